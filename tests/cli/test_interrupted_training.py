"""Ctrl-C in a real training, then the same command again."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="training needs the extra 'train'")

from tests.bench.conftest import write_data
from tests.finetuning.conftest import make_dataset, write_base

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_training_loses_no_checkpoint_and_the_same_command_ends_it(tmp_path: Path, number: int) -> None:
    write_data(tmp_path / "topics", make_dataset())
    base = write_base(tmp_path / "bert", "bert")
    run = tmp_path / "run"
    words = ["finetune", "--base", str(base), "--data", str(tmp_path / "topics"), "--out", str(run)]
    words += ["--epochs", "60", "--batch-size", "8", "--max-tokens", "16", "--json"]
    command = [sys.executable, "-m", "liteft.cli", *words]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stderr is not None
    said = []
    for line in process.stderr:
        said.append(line)
        if sum("validation accuracy" in one for one in said) == 2:  # the checkpoint of the first is on disk
            process.send_signal(number)
            break
    said += process.stderr.readlines()
    assert process.wait(timeout=60) == 128 + number, "".join(said)[-3000:]
    text = "".join(said)
    assert "Traceback" not in text
    assert "the same command resumes" in text
    assert not (run / "run.json").exists()
    process.stdout.close()
    process.stderr.close()

    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "steps skipped" in done.stderr
    assert json.loads(done.stdout)["path"] == str(run)
    entries = [json.loads(line) for line in (run / "log.jsonl").read_text("utf-8").splitlines()]
    (resumed,) = [entry for entry in entries if entry.get("resumed")]
    assert resumed["skipped_steps"] >= 6
