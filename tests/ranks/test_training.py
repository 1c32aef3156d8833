"""Trainings in several processes: what equals what, what a killed rank leaves, and who writes."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="training needs the extra 'train'")

from accelerate.data_loader import BatchSamplerShard
from safetensors.numpy import load_file
from torch.utils.data import BatchSampler

import liteft
from liteft.config import make_recipe
from liteft.data import Dataset
from liteft.errors import ConfigError, RunError
from liteft.finetuning import finetune
from liteft.finetuning.batches import LengthGroupedSampler
from liteft.run import Run, read_run
from tests.finetuning.conftest import QUICK, make_dataset, write_base
from tests.ranks.callbacks import DyingAtStep

SGD = QUICK | {"optimizer": "sgd", "learning_rate": 0.05, "dropout": 0.0, "threads": 2}
"""With plain gradients and without dropout, two processes differ from one by rounding alone."""


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return make_dataset()


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_base(tmp_path_factory.mktemp("bases") / "bert", "bert")


def weights(run: Any) -> dict[str, np.ndarray]:
    loaded: dict[str, np.ndarray] = load_file(run.model_path / "model.safetensors")
    return loaded


def same(one: Any, other: Any) -> bool:
    first, second = weights(one), weights(other)
    return first.keys() == second.keys() and all(np.array_equal(first[name], second[name]) for name in first)


def farthest(one: Run, other: Run) -> float:
    first, second = weights(one), weights(other)
    return max(float(np.abs(first[name] - second[name]).max()) for name in first)


def evaluations(run: Run) -> list[int]:
    entries = [json.loads(line) for line in (run.path / "log.jsonl").read_text("utf-8").splitlines()]
    return [entry["step"] for entry in entries if "eval_accuracy" in entry]


def test_a_step_whose_texts_cannot_be_shared_is_refused_before_anything_is_started(
    base: Path, dataset: Dataset, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="8 texts of a step cannot be shared equally by 3 processes") as caught:
        finetune(base, dataset, out=tmp_path / "run", processes=3, **QUICK)
    assert str(caught.value.fix[0]) == "batch_size=9"
    recipe = make_recipe({"teacher": {"batch_size": 6}, "student": {"batch_size": 7, "size": "1"}})
    with pytest.raises(ConfigError, match="7 texts of a step"):
        liteft.distill(base, dataset, out=tmp_path / "runs", recipe=recipe, processes=2)
    odd = make_recipe({"teacher": {"batch_size": 5}, "student": {"batch_size": 7, "size": "1"}})
    with pytest.raises(ConfigError, match="5 texts of a step") as caught:
        liteft.distill(base, dataset, out=tmp_path / "runs", recipe=odd, processes=2)
    assert caught.value.command_hints() == ["--set teacher.batch_size=4"]
    with pytest.raises(ConfigError, match="7 texts of a step"):  # of a finished teacher no step is trained
        liteft.distill(Run(tmp_path / "teacher", {}), dataset, out=tmp_path / "runs", recipe=odd, processes=2)
    with pytest.raises(ConfigError, match="7 texts of a step"):
        liteft.pretrain(["a", "b"], out=tmp_path / "base", size="1x32", batch_size=7, processes=2)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("processes", [2, 4])
def test_the_texts_of_each_step_are_those_of_one_process_and_the_last_is_filled_from_the_beginning(
    processes: int,
) -> None:
    sampler = LengthGroupedSampler(np.random.default_rng(0).integers(3, 40, 50), batch_size=8, seed=1)
    sampler.set_epoch(3)
    alone = [*BatchSampler(sampler, 8, drop_last=False)]
    parts = BatchSampler(sampler, 8 // processes, drop_last=False)
    shared = [BatchSamplerShard(parts, processes, rank) for rank in range(processes)]
    steps = [list(itertools.chain(*each)) for each in zip(*shared, strict=True)]
    assert steps[:-1] == alone[:-1] and len(steps) == len(alone) == 7
    assert len(alone[-1]) == 2 and steps[-1] == [*alone[-1], *alone[0][:6]]


def test_two_processes_train_what_one_trains_but_for_rounding(base: Path, dataset: Dataset, tmp_path: Path) -> None:
    alone = finetune(base, dataset, out=tmp_path / "one", **SGD)
    lines: list[str] = []
    both = finetune(base, dataset, out=tmp_path / "two", processes=2, progress=lines.append, **SGD)
    assert both.info["steps"] == alone.info["steps"] and evaluations(both) == evaluations(alone)
    assert 0 < farthest(alone, both) < 1e-5
    assert both.info["processes"] == 2 and "processes" not in alone.info
    assert sum("kept: epoch" in line for line in lines) == 1  # one of them tells
    again = finetune(base, dataset, out=tmp_path / "two", processes=2, **SGD)
    assert again.info == both.info


@pytest.mark.slow
@pytest.mark.parametrize(("processes", "rank"), [(2, 1), (2, 0), (3, 2)])
def test_a_training_whose_rank_was_killed_ends_in_the_bits_of_an_uninterrupted_one(
    base: Path, dataset: Dataset, tmp_path: Path, processes: int, rank: int
) -> None:
    settings = QUICK | {"batch_size": 6, "threads": 2}
    whole = finetune(base, dataset, out=tmp_path / "whole", processes=processes, **settings)
    out, dying = tmp_path / "killed", DyingAtStep(10, rank)
    with pytest.raises(RunError, match=f"process {rank + 1} of {processes} was killed by SIGKILL"):
        finetune(base, dataset, out=out, processes=processes, callbacks=[dying], **settings)
    assert not (out / "run.json").exists()
    with pytest.raises(RunError, match=f"an unfinished run of {processes} processes") as caught:
        finetune(base, dataset, out=out, **settings)
    assert caught.value.accepted == {"processes": f"{processes} -> 1"}
    resumed = finetune(base, dataset, out=out, processes=processes, **settings)
    assert '"resumed": true' in (out / "log.jsonl").read_text("utf-8")
    assert same(whole, resumed)


def pool(folder: Path) -> Path:
    from tests.finetuning.conftest import make_texts

    path = folder / "pool.txt"
    path.write_text("\n".join(make_texts(200, seed=9)[0]), encoding="utf-8")
    return path


@pytest.mark.slow
@pytest.mark.parametrize("processes", [2, 3])
def test_a_distillation_whose_rank_was_killed_ends_in_the_same_artifact(
    base: Path, dataset: Dataset, tmp_path: Path, processes: int
) -> None:
    """Matching has no search for unused weights, so DDP lays its buckets out again after a first step."""
    student = {"size": "1", "batch_size": 6, "epochs": 2, "hidden_weight": 1.0, "matching_epochs": 1.0, "seed": 3}
    student |= {"unlabeled": str(pool(tmp_path)), "control": True, "training_precision": "fp32", "threads": 2}
    student |= {"checkpoint_steps": 4}
    recipe = make_recipe({"teacher": QUICK | {"batch_size": 6}, "student": student, "export": {"tolerance": 100.0}})

    def distilled(name: str, *callbacks: Any) -> liteft.Distillation:
        out = tmp_path / name
        return liteft.distill(base, dataset, out=out, recipe=recipe, processes=processes, callbacks=callbacks)

    whole = distilled("whole")
    with pytest.raises(RunError, match="was killed by SIGKILL"):
        distilled("killed", DyingAtStep(11, 1, "matching"))
    assert (tmp_path / "killed" / "teacher" / "run.json").is_file()
    resumed = distilled("killed")
    for one, other in zip((whole.teacher, whole.student, whole.control), (resumed.teacher, resumed.student,
                                                                       resumed.control), strict=True):  # fmt: skip
        assert same(one, other)
    graphs = [made.artifact.path / "model.onnx" for made in (whole, resumed) if made.artifact is not None]
    assert len({path.read_bytes() for path in graphs}) == 1 and len(graphs) == 2
    assert not list(tmp_path.rglob("*.share-*"))


@pytest.mark.slow
def test_a_pretraining_in_two_processes_resumes_to_the_same_bits(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"size": "1x32", "vocabulary": 200, "batch_size": 16, "epochs": 4, "max_tokens": 16}
    settings |= {"threads": 2, "checkpoint_steps": 3}
    texts = pool(tmp_path)
    whole = liteft.pretrain(texts, out=tmp_path / "whole", processes=2, **settings)
    with pytest.raises(RunError, match="was killed by SIGKILL"):
        dying = DyingAtStep(20, 1)
        liteft.pretrain(texts, out=tmp_path / "killed", processes=2, callbacks=[dying], **settings)
    resumed = liteft.pretrain(texts, out=tmp_path / "killed", processes=2, **settings)
    assert same(whole, resumed)
    assert whole.info["processes"] == 2


@pytest.fixture
def command(base: Path, tmp_path: Path) -> Callable[..., list[str]]:
    from tests.bench.conftest import write_data

    write_data(tmp_path / "topics", make_dataset())

    def words(*more: str) -> list[str]:
        first = [
            sys.executable,
            "-m",
            "liteft.cli",
            "finetune",
            "--base",
            str(base),
            "--data",
            str(tmp_path / "topics"),
        ]
        settings = ["--batch-size", "8", "--max-tokens", "16", "--threads", "2", "--processes", "2"]
        return [*first, "--out", str(tmp_path / "run"), *settings, *more]

    return words


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_command_ends_all_ranks_and_the_same_command_resumes(
    command: Callable[..., list[str]], tmp_path: Path, number: signal.Signals
) -> None:
    words = command("--epochs", "60", "--json")
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None and process.stdout is not None
    said = []
    for line in process.stderr:
        said.append(line)
        if sum("validation accuracy" in one for one in said) == 2:
            process.send_signal(number)
            break
    said += process.stderr.readlines()
    assert process.wait(timeout=60) == 128 + number, "".join(said)[-3000:]
    text = "".join(said)
    assert "Traceback" not in text and text.count("the same command resumes") == 1
    process.stdout.close()
    process.stderr.close()
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("steps skipped") == 1
    document = json.loads(done.stdout)  # one process prints it, once
    assert document["path"] == str(tmp_path / "run")
    assert read_run(tmp_path / "run").info["processes"] == 2


@pytest.mark.slow
def test_the_exit_statuses_of_a_command_are_those_of_one_process(
    command: Callable[..., list[str]], tmp_path: Path
) -> None:
    def status(*more: str) -> tuple[int, str]:
        done = subprocess.run(command(*more), capture_output=True, text=True, check=False, timeout=120)
        return done.returncode, done.stderr

    assert status("--epochs", "1", "--batch-size", "9")[0] == 2
    diverged, text = status("--epochs", "2", "--learning-rate", "1e30", "--optimizer", "sgd")
    assert diverged == 1 and text.count("the loss") == 1, text
    shutil.rmtree(tmp_path / "run", ignore_errors=True)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.tex").write_text("years of work")
    refused, text = status("--epochs", "1")
    assert refused == 1 and text.count("is not a run folder; nothing was written") == 1
    assert os.listdir(tmp_path / "run") == ["thesis.tex"]  # noqa: PTH208
