"""Killed and started again: the same command ends in the same bits."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import runpy
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import TrainerCallback

from liteft.data import Dataset
from liteft.errors import RunError
from liteft.finetuning import finetune
from liteft.finetuning.checkpoints import mark_complete, prepare_resume
from liteft.run import Run, read_run
from tests.finetuning.conftest import QUICK

SCRIPT = Path(__file__).with_name("training_process.py")
SETTINGS: dict[str, Any] = {**QUICK, "epochs": 3, "evaluations_per_epoch": 2, "checkpoint_steps": 2}
STEPS = 18
SEED = int(os.environ.get("LITEFT_TEST_SEED", "0"))  # of the moments at which runs are killed
Start = Callable[..., int]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory, dataset: Dataset) -> Path:
    """The data set as files."""
    folder = tmp_path_factory.mktemp("data") / "topics"
    folder.mkdir()
    for name, split in dataset.splits.items():
        rows = zip(split.texts, split.labels, strict=True)  # type: ignore[arg-type]
        lines = [json.dumps({"text": text, "label": dataset.labels[gold]}) for text, gold in rows]
        (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def start(base: Callable[[str], Path], data: Path) -> Iterator[Start]:
    """A function that trains in a process and returns its exit code: 0, or minus the signal.

    The processes are forked from one that has imported everything and trained nothing, so each takes a second.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["liteft.finetuning"])

    def run(out: Path, *, within_s: float | None = None, settings: dict[str, Any] = SETTINGS, **moment: Any) -> int:
        request = {"base": str(base("bert")), "data": str(data), "out": str(out), "settings": settings, **moment}
        process = context.Process(
            target=runpy.run_path,
            args=(str(SCRIPT),),
            kwargs={"init_globals": {"REQUEST": request}, "run_name": "training_process"},
        )
        process.start()
        process.join(within_s or 120)
        if process.is_alive():
            process.kill()
            process.join()
        assert process.exitcode is not None
        return process.exitcode

    yield run


@pytest.fixture(scope="module")
def again(base: Callable[[str], Path], data: Path) -> Callable[..., Run]:
    """A function that gives the same command again, in this process."""

    def run(out: Path, **settings: Any) -> Run:
        return finetune(str(base("bert")), str(data), out=out, **{**SETTINGS, **settings})

    return run


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory, again: Callable[..., Run]) -> Run:
    """What every resumed run must be equal to."""
    return again(tmp_path_factory.mktemp("uninterrupted") / "run")


def assert_equal(run: Run, reference: Run) -> None:
    """Assert that two runs are equal in bits at every step, and that the folder holds nothing but a run."""
    varying = {"seconds", "training_seconds"}
    facts = {name: value for name, value in run.info.items() if name not in varying}
    assert facts == {name: value for name, value in reference.info.items() if name not in varying}
    for split in ("train", "validation", "test"):
        np.testing.assert_array_equal(run.predictions(split)[0], reference.predictions(split)[0])
    assert history(run.path) == history(reference.path)
    assert sorted(path.name for path in run.path.iterdir()) == sorted(path.name for path in reference.path.iterdir())


def log(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


def history(out: Path) -> dict[tuple[int, str], float]:
    """What the log says last about the losses and metrics of each step."""
    timed = ("runtime", "per_second", "flos", "train_loss")
    return {
        (entry["step"], name): value
        for entry in log(out)
        if "step" in entry
        for name, value in entry.items()
        if not any(part in name for part in timed)
    }


def test_training_twice_gives_the_same_bits(tmp_path: Path, again: Callable[..., Run], uninterrupted: Run) -> None:
    assert_equal(again(tmp_path / "run"), uninterrupted)


def saved_before(step: int) -> int:
    """The newest checkpoint of a run that died at the end of a step, before anything was saved there."""
    return max([0, *(at for at in range(1, step) if at % 2 == 0 or at % 3 == 0)])


def test_a_run_killed_at_random_steps_ends_in_the_same_bits(
    tmp_path: Path, start: Start, again: Callable[..., Run], uninterrupted: Run
) -> None:
    steps = sorted(random.Random(SEED).sample(range(3, STEPS + 1), 2))
    print(f"killed at steps {steps}, seed {SEED}")
    out = tmp_path / "run"
    for step in steps:
        assert start(out, step=step) == -signal.SIGKILL
        with pytest.raises(RunError, match="unfinished run"):
            read_run(out)
    assert_equal(again(out), uninterrupted)
    skipped = [entry["skipped_steps"] for entry in log(out) if entry.get("resumed")]
    assert skipped == [saved_before(step) for step in steps]


def test_a_run_killed_before_its_first_checkpoint_starts_over(
    tmp_path: Path, start: Start, again: Callable[..., Run], uninterrupted: Run
) -> None:
    assert start(tmp_path / "run", step=1) == -signal.SIGKILL
    assert_equal(again(tmp_path / "run"), uninterrupted)
    assert not any(entry.get("resumed") for entry in log(tmp_path / "run"))


@pytest.mark.parametrize(
    ("function", "call", "after"),
    [
        ("torch:save", 1, False),  # the optimizer of the first checkpoint is half written
        pytest.param("torch:save", 13, False, marks=pytest.mark.slow),  # that of the fifth
        ("torch:save", 15, False),  # its random state
        ("liteft.finetuning.resumable:mark_complete", 4, False),  # all is written, but nobody has said so
        pytest.param("liteft.finetuning.resumable:mark_complete", 4, True, marks=pytest.mark.slow),  # older ones remain
        pytest.param("liteft.finetuning.resumable:remove_superseded", 5, True, marks=pytest.mark.slow),
    ],
)
def test_a_run_killed_while_it_saves_ends_in_the_same_bits(
    tmp_path: Path,
    start: Start,
    again: Callable[..., Run],
    uninterrupted: Run,
    function: str,
    call: int,
    after: bool,
) -> None:
    out = tmp_path / "run"
    assert start(out, function=function, call=call, after=after) == -signal.SIGKILL
    assert_equal(again(out), uninterrupted)


@pytest.mark.parametrize(
    ("function", "call", "after"),
    [
        pytest.param("liteft.finetuning.run_folder:write_recipe", 1, True, marks=pytest.mark.slow),  # not bound yet
        ("os:replace", 1, False),  # the recipe lies beside its name
        ("liteft.finetuning.run_folder:save_classifier", 1, True),
        pytest.param("liteft.finetuning.run_folder:predict_logits", 2, False, marks=pytest.mark.slow),
        ("liteft.finetuning.run_folder:split_metrics", 3, True),
        ("liteft.finetuning.run_folder:remove_all_checkpoints", 1, False),  # finished, and its checkpoints remain
    ],
)
def test_a_run_killed_while_it_opens_or_finishes_its_folder_ends_in_the_same_bits(
    tmp_path: Path,
    start: Start,
    again: Callable[..., Run],
    uninterrupted: Run,
    function: str,
    call: int,
    after: bool,
) -> None:
    out = tmp_path / "run"
    assert start(out, function=function, call=call, after=after) == -signal.SIGKILL
    assert_equal(again(out), uninterrupted)


@pytest.mark.parametrize("bits", ["8bit", "4bit"])
def test_a_killed_adapter_on_a_quantized_base_ends_in_the_same_bits(
    tmp_path: Path, start: Start, again: Callable[..., Run], bits: str
) -> None:
    added = {"base_quantization": bits, "lora_dropout": 0.1}
    reference = again(tmp_path / "reference", **added)
    step = random.Random(f"{SEED} {bits}").randint(3, STEPS)
    print(f"killed at step {step}, seed {SEED}")
    out = tmp_path / "run"
    assert start(out, step=step, settings={**SETTINGS, **added}) == -signal.SIGKILL
    stored = list(out.glob("checkpoints/*/*.safetensors"))
    assert stored and {path.name for path in stored} == {"adapter_model.safetensors"}
    assert_equal(again(out, **added), reference)
    assert [entry["skipped_steps"] for entry in log(out) if entry.get("resumed")] == [saved_before(step)]


@pytest.mark.slow
def test_a_run_killed_again_and_again_at_any_moment_ends_in_the_same_bits(
    tmp_path: Path, start: Start, uninterrupted: Run
) -> None:
    out, waiting, kills = tmp_path / "run", random.Random(SEED), 0
    within_s = 1.0
    for attempt in range(60):
        code = start(out, within_s=within_s * waiting.uniform(0.3, 1.0))
        if code == 0 and kills:
            break
        if code == 0:  # faster than was thought: once more, and killed earlier
            out, within_s = tmp_path / f"run-{attempt}", within_s / 2
            continue
        assert code == -signal.SIGKILL
        kills += 1
    assert kills
    assert start(out) == 0
    assert_equal(read_run(out), uninterrupted)


class Interrupting(TrainerCallback):
    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_end(self, _args: Any, state: Any, _control: Any, **_rest: Any) -> None:
        if state.global_step == self.step:
            signal.raise_signal(signal.SIGINT)


def half_written(out: Path) -> list[str]:
    checkpoints = [path for path in out.glob("checkpoints/*") if not (path / "complete").is_file()]
    halves = [*out.glob("**/*.tmp"), *out.glob("**/*.writing"), *out.glob("lock")]
    return [path.name for path in [*checkpoints, *halves, *out.glob("model"), *out.glob("run.json")]]


@pytest.mark.parametrize("step", [1, 13])
def test_an_interrupt_leaves_nothing_half_written_and_the_run_goes_on(
    tmp_path: Path, again: Callable[..., Run], uninterrupted: Run, step: int
) -> None:
    out = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        again(out, callbacks=[Interrupting(step)])
    assert not half_written(out)
    assert_equal(again(out), uninterrupted)


def test_an_interrupt_while_saving_leaves_no_half_checkpoint(
    tmp_path: Path, again: Callable[..., Run], uninterrupted: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def interrupted(content: Any, path: str, *rest: Any, **keywords: Any) -> None:
        calls.append(path)
        Path(path).write_bytes(b"half a file")
        if len(calls) == 5:
            raise KeyboardInterrupt

    out = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", interrupted)
        with pytest.raises(KeyboardInterrupt):
            again(out)
    assert not half_written(out)
    assert [path.name for path in (out / "checkpoints").iterdir()] == ["checkpoint-2"]


def test_an_interrupt_while_finishing_leaves_no_half_model(
    tmp_path: Path, again: Callable[..., Run], uninterrupted: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*arguments: Any) -> None:
        (Path(arguments[3]) / "model.safetensors").write_bytes(b"half a file")
        raise KeyboardInterrupt

    out = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr("liteft.finetuning.run_folder.save_classifier", interrupted)
        with pytest.raises(KeyboardInterrupt):
            again(out)
    assert not half_written(out)
    run = again(out)
    assert_equal(run, uninterrupted)
    assert [entry["skipped_steps"] for entry in log(out) if entry.get("resumed")] == [STEPS]


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({"early_stopping": 1, "learning_rate": 1e-5}, marks=pytest.mark.slow),
        {"max_steps": 10},
        pytest.param(
            {"gradient_accumulation": 4, "optimizer": "adafactor", "schedule": "cosine"}, marks=pytest.mark.slow
        ),
        pytest.param(
            {"optimizer": "sgd", "learning_rate": 0.1, "group_by_length": False, "checkpoint_steps": None},
            marks=pytest.mark.slow,
        ),
        {"pooling": "mean", "dropout": 0.3, "class_weights": "balanced", "label_smoothing": 0.1},
        pytest.param({"rdrop_weight": 1.0, "dropout": 0.2, "max_steps": 8}, marks=pytest.mark.slow),
        {"base_quantization": "4bit", "dropout": 0.2, "max_steps": 8},
        pytest.param({"base_quantization": "8bit", "optimizer": "adamw8bit", "max_steps": 8}, marks=pytest.mark.slow),
        pytest.param({"lora_rank": 4, "pooling": "mean", "head": "lda"}, marks=pytest.mark.slow),
    ],
    ids=["early stopping", "steps within an epoch", "accumulation", "sgd", "mean", "R-Drop", "4 bit", "8 bit", "LoRA"],
)
def test_a_resumed_run_is_equal_under_other_settings_too(
    tmp_path: Path, again: Callable[..., Run], settings: dict[str, Any]
) -> None:
    reference = again(tmp_path / "reference", **settings)
    steps = reference.info["steps"]
    for step in {steps // 2 + 1, steps}:
        out = tmp_path / f"interrupted at {step}"
        with pytest.raises(KeyboardInterrupt):
            again(out, callbacks=[Interrupting(step)], **settings)
        assert_equal(again(out, **settings), reference)


@pytest.mark.parametrize("settings", [{"early_stopping": 1, "learning_rate": 1e-5}, {"max_steps": 10}])
def test_a_run_that_died_after_its_last_step_takes_no_further_step(
    tmp_path: Path, again: Callable[..., Run], monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any]
) -> None:
    reference = again(tmp_path / "reference", **settings)
    with monkeypatch.context() as patch:
        patch.setattr("liteft.finetuning.teacher.finish_run", lambda *_, **__: (_ for _ in ()).throw(MemoryError()))
        with pytest.raises(MemoryError):
            again(tmp_path / "run", **settings)
    run = again(tmp_path / "run", **settings)
    assert run.info["steps"] == reference.info["steps"] < STEPS
    assert_equal(run, reference)


def test_a_run_folder_may_be_moved_between_two_runs(
    tmp_path: Path, again: Callable[..., Run], uninterrupted: Run
) -> None:
    with pytest.raises(KeyboardInterrupt):
        again(tmp_path / "run", callbacks=[Interrupting(11)])
    (tmp_path / "run").rename(tmp_path / "elsewhere")
    assert_equal(again(tmp_path / "elsewhere"), uninterrupted)


def test_other_settings_do_not_go_on_with_an_unfinished_run(tmp_path: Path, again: Callable[..., Run]) -> None:
    with pytest.raises(KeyboardInterrupt):
        again(tmp_path / "run", callbacks=[Interrupting(5)])
    with pytest.raises(RunError, match="an unfinished run with other settings") as caught:
        again(tmp_path / "run", batch_size=4)
    assert caught.value.accepted == {"batch_size": "8 -> 4"}


def test_checkpoints_without_a_marker_are_removed_and_never_resumed_from(tmp_path: Path) -> None:
    for step, whole in ((2, True), (10, True), (12, False)):
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        (folder / "trainer_state.json").write_text(json.dumps({"best_global_step": 2, "best_model_checkpoint": "/x"}))
        if whole:
            mark_complete(folder)
    (tmp_path / "checkpoint-last").mkdir()
    assert prepare_resume(tmp_path) == tmp_path / "checkpoint-10"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-10", "checkpoint-2"]
    state = json.loads((tmp_path / "checkpoint-10" / "trainer_state.json").read_text())
    assert state["best_model_checkpoint"] == str(tmp_path / "checkpoint-2")


def test_there_is_nothing_to_resume_in_a_folder_without_checkpoints(tmp_path: Path) -> None:
    assert prepare_resume(tmp_path) is None
    assert prepare_resume(tmp_path / "missing") is None


def test_only_the_newest_and_the_best_checkpoint_are_kept(tmp_path: Path, again: Callable[..., Run]) -> None:
    seen: list[set[str]] = []

    class Looking(TrainerCallback):
        def on_step_begin(self, args: Any, state: Any, _control: Any, **_rest: Any) -> None:
            names = {path.name for path in Path(args.output_dir).glob("*")}
            wanted = {f"checkpoint-{saved_before(state.global_step + 1)}", f"checkpoint-{state.best_global_step}"}
            seen.append(names - wanted)

    again(tmp_path / "run", callbacks=[Looking()])
    assert len(seen) == STEPS
    assert not any(seen)
