"""Disks that take nothing or no more: an error of three parts, nothing half-written, and a run that goes on."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors import SafetensorError
from transformers import Trainer

from liteft.data import Dataset
from liteft.errors import RunError
from liteft.finetuning import finetune
from liteft.finetuning.context import RunContext
from liteft.finetuning.run_folder import withdrawn_on_error

QUICK: dict[str, Any] = {
    "epochs": 2,
    "batch_size": 8,
    "learning_rate": 5e-3,
    "training_precision": "fp32",
    "max_tokens": 16,
}
FULL = [
    OSError(errno.ENOSPC, "No space left on device"),
    OSError(errno.EDQUOT, "Disk quota exceeded"),
    SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"),
    RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 84672 vs 84564"),
]
"""As Python, safetensors and torch.save say it: taken down on a real full disk."""


@pytest.mark.parametrize("error", FULL, ids=lambda error: type(error).__name__)
def test_every_writers_words_for_a_full_disk_become_one_error(tmp_path: Path, error: Exception) -> None:
    out = tmp_path / "run"
    out.mkdir()
    with (
        pytest.raises(RunError, match=f"{out} could not be written: .*; nothing of it stays") as caught,
        withdrawn_on_error(RunContext(out)),
    ):
        raise error
    assert caught.value.fix[0] == "free some space and run the same command again"
    assert caught.value.__cause__ is error
    assert not out.exists()


@pytest.mark.parametrize(
    "error",
    [OSError("no config"), FileNotFoundError(errno.ENOENT, "No such file"), RuntimeError("shapes differ")],
    ids=str,
)
def test_other_errors_stay_what_they_are(tmp_path: Path, error: Exception) -> None:
    with pytest.raises(type(error)) as caught, withdrawn_on_error(RunContext(tmp_path / "run")):
        raise error
    assert caught.value is error


@pytest.mark.parametrize("error", FULL[2:], ids=lambda error: type(error).__name__)
def test_a_full_disk_at_the_second_checkpoint_keeps_the_first_and_the_run_goes_on(
    base: Callable[[str], Path], dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    out = tmp_path / "run"
    save, calls = Trainer._save_optimizer_and_scheduler, 0

    def save_once(self: Trainer, output_dir: str) -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise error
        save(self, output_dir)

    monkeypatch.setattr(Trainer, "_save_optimizer_and_scheduler", save_once)
    with pytest.raises(RunError, match="the last whole checkpoint stays") as caught:
        finetune(base("bert"), dataset, out=out, **QUICK)
    assert "it goes on from there" in caught.value.fix[0]
    assert [path.name for path in (out / "checkpoints").iterdir()] == ["checkpoint-6"]
    monkeypatch.undo()
    told: list[str] = []
    assert finetune(base("bert"), dataset, out=out, progress=told.append, **QUICK).info["steps"] == 12
    assert any("resumed, 6 of 12 steps skipped" in line for line in told)


@pytest.mark.parametrize("parent", ["/proc", "/sys"])
def test_a_place_that_not_even_root_may_write_to_is_an_error(
    base: Callable[[str], Path], dataset: Dataset, parent: str
) -> None:
    if not Path(parent).is_dir():
        pytest.skip(f"this system has no {parent}")
    with pytest.raises(RunError, match=f"{parent}/liteft/run cannot be made: ") as caught:
        finetune(base("bert"), dataset, out=Path(parent) / "liteft" / "run", **QUICK)
    assert caught.value.fix == ("choose a folder that you may write to",)


SCRIPT = """
import json, subprocess, sys
from pathlib import Path
from liteft.data import load_dataset
from liteft.errors import RunError
from liteft.finetuning import finetune

base, rows, settings, mounted = sys.argv[1], json.loads(sys.argv[2]), json.loads(sys.argv[3]), Path(sys.argv[4])
data = load_dataset([tuple(row) for row in rows], validation_fraction=0.2, test_fraction=0.2)
for kilobytes in map(int, sys.argv[5:]):
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "none", mounted], check=True)
    try:
        finetune(base, data, out=mounted / "run", **settings)
        told = "done"
    except RunError as error:
        told = str(error)
    left = [path.name for path in mounted.rglob("*") if path.name.endswith((".tmp", ".writing"))]
    print(json.dumps([kilobytes, told, left]), flush=True)
    subprocess.run(["umount", mounted], check=True)
"""


def _may_mount() -> bool:
    if not sys.platform.startswith("linux") or shutil.which("unshare") is None:
        return False
    command = ["unshare", "--mount", "sh", "-c", "mount -t tmpfs -o size=16k none /mnt"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


@pytest.mark.slow
def test_disks_of_every_size_end_in_a_run_or_in_an_error_of_ours(
    base: Callable[[str], Path], dataset: Dataset, tmp_path: Path
) -> None:
    """Small file systems in memory, seen by this child alone; it imports transformers anew."""
    if not _may_mount():
        pytest.skip("mounting a file system in a namespace of one's own is not allowed here")
    (tmp_path / "disk").mkdir()
    labels = dataset.train.labels
    assert labels is not None
    rows = [[text, dataset.labels[label]] for text, label in zip(dataset.train.texts, labels, strict=True)]
    sizes = [str(size) for size in (4, 8, 16, 40, 100, 200, 300, 400, 500, 600, 1600)]
    words = [str(base("bert")), json.dumps(rows), json.dumps(QUICK), str(tmp_path / "disk"), *sizes]
    done = subprocess.run(
        ["unshare", "--mount", sys.executable, "-c", SCRIPT, *words],
        env={**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(answers) == len(sizes)
    assert answers[-1][1] == "done"
    for kilobytes, told, left in answers[:-1]:
        assert told == "done" or "could not be written: " in told or "cannot be made: " in told, kilobytes
        assert left == [], kilobytes
    assert sum(told != "done" for _, told, _ in answers) >= 6
