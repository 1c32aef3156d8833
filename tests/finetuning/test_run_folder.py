"""What a run folder is bound to, what it holds when it is finished, and what is taken back."""

from __future__ import annotations

import csv
import json
import os
import shutil
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from liteft.config import differences, read_recipe
from liteft.data import Dataset, Split
from liteft.errors import LiteftError, ModelError, RunError
from liteft.finetuning import finetune
from liteft.finetuning.context import RunContext
from liteft.finetuning.logits import predict_logits
from liteft.finetuning.model import load_classifier
from liteft.finetuning.run_folder import open_run, withdrawn_on_error, writing_run
from liteft.recipes import DataRecipe, Recipe, TeacherRecipe
from liteft.run import RUN_FORMAT, Run, read_run
from liteft.tasks import SINGLE_LABEL
from tests.finetuning.conftest import LABELS, QUICK, make_dataset, make_multi, write_base

Get = Callable[[str], Path]
INPUTS = {"kind": "teacher", "data": "a" * 64, "base": "b" * 64}


def opened(out: Path, inputs: dict[str, Any] = INPUTS, **settings: Any) -> bool:
    return open_run(out, Recipe(teacher=TeacherRecipe(**settings)), inputs, table="teacher")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_finished_folder_holds_a_run_and_nothing_else(finished: Run) -> None:
    assert names(finished.path) == [
        *("data_check.json", "inputs.json", "log.jsonl", "model", "predictions", "recipe.toml", "run.json")
    ]
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= set(names(finished.model_path))


def test_every_split_has_predictions_and_metrics(finished: Run, dataset: Dataset) -> None:
    loaded = load_classifier(finished.model_path)
    for name, split in dataset.splits.items():
        logits, gold = finished.predictions(name)
        assert logits.dtype == np.float32
        np.testing.assert_array_equal(gold, split.labels)
        np.testing.assert_array_equal(logits, predict_logits(loaded, split.texts))
        expected = SINGLE_LABEL.score(logits, gold)
        found = finished.metrics[name]
        assert {key: found[key] for key in expected} == pytest.approx(expected)
        assert found["n"] == len(split)
        low, high = found["accuracy_interval"]
        assert low <= found["accuracy"] <= high


def test_predictions_are_also_readable_by_people(finished: Run, dataset: Dataset) -> None:
    with open(finished.path / "predictions" / "test.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    logits, gold = finished.predictions("test")
    assert [row["gold"] for row in rows] == [LABELS[label] for label in gold]
    assert [row["predicted"] for row in rows] == [LABELS[label] for label in SINGLE_LABEL.decide(logits)]
    assert all(1 / 3 <= float(row["score"]) <= 1 for row in rows)


def test_the_run_says_what_it_was_made_of(finished: Run, dataset: Dataset) -> None:
    info = finished.info
    assert (info["kind"], info["base"], info["family"], info["pooling"]) == ("teacher", "bert", "bert", "cls")
    assert info["data"]["fingerprint"] == dataset.fingerprint
    assert info["data"]["rows"] == {"train": 48, "validation": 18, "test": 18}
    assert info["size_bytes"] == (finished.model_path / "model.safetensors").stat().st_size
    assert info["steps"] == 12
    assert {"python", "torch", "transformers", "liteft"} <= set(info["versions"])
    assert json.loads((finished.path / "data_check.json").read_text())["fingerprint"] == dataset.fingerprint


def test_the_kept_recipe_is_the_resolved_one(finished: Run) -> None:
    recipe = read_recipe(finished.path / "recipe.toml")
    assert recipe.teacher.batch_size == QUICK["batch_size"]
    assert recipe.teacher.schedule == "linear"
    assert recipe.student == Recipe().student


@pytest.mark.serial
def test_the_same_call_again_returns_the_run_without_training(finished: Run, base: Get, dataset: Dataset) -> None:
    before = {path: path.stat().st_mtime_ns for path in finished.path.rglob("*")}
    started = time.monotonic()
    again = finetune(base("bert"), dataset, out=finished.path, **QUICK)
    assert time.monotonic() - started < 2
    assert again.info == finished.info
    assert {path: path.stat().st_mtime_ns for path in finished.path.rglob("*")} == before


def test_a_changed_recipe_is_an_error_that_shows_the_difference(finished: Run, base: Get, dataset: Dataset) -> None:
    with pytest.raises(RunError, match="a finished run with other settings or data") as caught:
        finetune(base("bert"), dataset, out=finished.path, **{**QUICK, "learning_rate": 1e-4, "schedule": "cosine"})
    assert caught.value.accepted == {"learning_rate": "0.005 -> 0.0001", "schedule": "'linear' -> 'cosine'"}
    assert "--out NEW_FOLDER for the new settings" in caught.value.command_hints()


def test_other_data_are_an_error_even_under_the_same_name(finished: Run, base: Get) -> None:
    with pytest.raises(RunError) as caught:
        finetune(base("bert"), make_dataset(seed=1), out=finished.path, **QUICK)
    assert list(caught.value.accepted) == ["data"]
    assert caught.value.accepted["data"].startswith("other content (its hash was ")


def test_settings_that_made_other_data_are_named(finished: Run, base: Get) -> None:
    recipe = Recipe(data=DataRecipe(seed=7), teacher=TeacherRecipe(**QUICK))
    with pytest.raises(RunError) as caught:
        finetune(base("bert"), make_dataset(seed=1), out=finished.path, recipe=recipe)
    assert caught.value.accepted["data.seed"] == "0 -> 7"


def test_other_weights_in_the_same_base_folder_are_an_error(
    base: Get, dataset: Dataset, tmp_path: Path, finished: Run
) -> None:
    folder = tmp_path / "base"
    shutil.copytree(base("bert"), folder)
    settings = {**QUICK, "max_steps": 1}
    finetune(folder, dataset, out=tmp_path / "run", **settings)
    shutil.rmtree(folder)
    write_base(folder, "bert", initializer_range=0.2)
    with pytest.raises(RunError) as caught:
        finetune(folder, dataset, out=tmp_path / "run", **settings)
    assert list(caught.value.accepted) == ["base"]


def test_opening_binds_a_folder_to_recipe_and_inputs(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "run"
    assert not opened(out, epochs=3)
    assert not opened(out, epochs=3)
    with pytest.raises(RunError, match="unfinished run with other settings") as caught:
        opened(out, {**INPUTS, "kind": "control"}, epochs=4)
    assert caught.value.accepted == {"epochs": "3.0 -> 4.0", "kind": "teacher -> control"}


def test_settings_of_other_tables_do_not_count(tmp_path: Path) -> None:
    assert not opened(tmp_path / "run")
    recipe = Recipe.model_validate({"student": {"epochs": 40}, "export": {"precision": "fp32"}})
    assert not open_run(tmp_path / "run", recipe, INPUTS, table="teacher")


@pytest.mark.parametrize("content", ["file", "folder"])
def test_a_folder_that_holds_something_else_is_left_alone(tmp_path: Path, content: str) -> None:
    out = tmp_path / "run"
    out.mkdir()
    (out / "thesis").mkdir() if content == "folder" else (out / "thesis.tex").write_text("years of work")
    before = names(out)
    with pytest.raises(RunError, match="exists but is not a run folder; nothing was written"):
        opened(out)
    assert names(out) == before


def test_one_training_at_a_time_writes_a_run_folder(base: Get, dataset: Dataset, tmp_path: Path) -> None:
    out = tmp_path / "run"

    def second(_line: str) -> None:
        with pytest.raises(RunError, match=f"another process is writing {out}") as caught:
            finetune(base("bert"), dataset, out=out, **QUICK)
        assert caught.value.accepted == {"its process": f"pid {os.getpid()} on {socket.gethostname()}"}
        refused.append(caught.value)

    refused: list[RunError] = []
    finetune(base("bert"), dataset, out=out, progress=second, **{**QUICK, "max_steps": 1})
    assert refused
    assert "lock" not in names(out)


def test_a_lock_that_a_killed_training_left_holds_nobody_up(tmp_path: Path) -> None:
    out = tmp_path / "run"
    out.mkdir()
    (out / "lock").write_text("half a line")
    with writing_run(RunContext(out)):
        assert not opened(out)
    assert names(out) == ["inputs.json", "recipe.toml"]


def test_a_run_follows_the_umask(finished: Run) -> None:
    modes = {oct(path.stat().st_mode & 0o777) for path in finished.path.rglob("*") if path.is_file()}
    umask = os.umask(0o077)
    os.umask(umask)
    assert modes == {oct(0o666 & ~umask)}


def test_a_file_is_no_run_folder(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("a file")
    with pytest.raises(RunError, match="exists but is not a run folder"):
        opened(tmp_path / "run")


def test_a_folder_that_cannot_be_made_is_an_error_that_says_why(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("a file")
    with pytest.raises(RunError, match=r"cannot be made: Not a directory\.") as caught:
        opened(tmp_path / "file" / "run")
    assert caught.value.fix


def test_an_empty_folder_is_taken(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    assert not opened(tmp_path / "run")


@pytest.mark.parametrize("existed", [True, False])
def test_a_failed_start_takes_everything_back(tmp_path: Path, existed: bool) -> None:
    out = tmp_path / "run"
    if existed:
        opened(out)
    with pytest.raises(ModelError), withdrawn_on_error(RunContext(out)):
        opened(out)
        (out / "log.jsonl").write_text("{}")
        raise ModelError("no such model")
    assert not out.exists()


def test_a_failure_after_a_checkpoint_takes_nothing_back(tmp_path: Path) -> None:
    out = tmp_path / "run"
    opened(out)
    folder = out / "checkpoints" / "checkpoint-1"
    folder.mkdir(parents=True)
    (folder / "complete").write_text("")
    with pytest.raises(MemoryError), withdrawn_on_error(RunContext(out)):
        raise MemoryError
    assert names(out) == ["checkpoints", "inputs.json", "recipe.toml"]


def test_taking_back_spares_what_is_not_the_runs_own(tmp_path: Path) -> None:
    opened(tmp_path)
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(LiteftError), withdrawn_on_error(RunContext(tmp_path)):
        raise LiteftError("no")
    assert names(tmp_path) == ["notes.txt"]


def test_a_corrected_setting_may_use_the_same_folder(base: Get, dataset: Dataset, tmp_path: Path) -> None:
    out = tmp_path / "run"
    settings = {**QUICK, "max_steps": 1}
    with pytest.raises(ModelError, match="has positions for"):
        finetune(base("bert"), dataset, out=out, **{**settings, "max_tokens": 4000})
    assert not out.exists()
    assert finetune(base("bert"), dataset, out=out, **settings).path == out


def test_a_run_of_a_later_format_is_refused(finished: Run, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(json.dumps({**finished.info, "format": 99}))
    with pytest.raises(RunError, match="run format 99") as caught:
        read_run(tmp_path)
    assert caught.value.accepted == {"formats that this version reads": str(RUN_FORMAT)}


@pytest.mark.parametrize(("content", "message"), [("[]", "run format None"), ("{", "cannot be read"), (None, "no run")])
def test_a_broken_or_missing_run_file_is_named(tmp_path: Path, content: str | None, message: str) -> None:
    if content is not None:
        (tmp_path / "run.json").write_text(content)
    with pytest.raises(RunError, match=message):
        read_run(tmp_path)


def test_predictions_of_an_unknown_split_name_the_known_ones(finished: Run) -> None:
    with pytest.raises(RunError) as caught:
        finished.predictions("dev")
    assert caught.value.accepted == {"splits": "test, train, validation"}


def test_extra_and_unlabelled_splits_are_predicted_and_scored_where_they_can_be(
    base: Get, dataset: Dataset, tmp_path: Path
) -> None:
    texts = dataset.test.texts
    unseen_label = np.zeros(len(texts), dtype=bool)
    unseen_label[:4] = True
    labels = np.where(unseen_label, -1, dataset.test.labels)  # type: ignore[arg-type]
    splits = {
        **dataset.splits,
        "test": Split("test", texts),
        "other domain": Split("other domain", texts, None, labels, unseen_label),
    }
    run = finetune(
        base("bert"), Dataset("topics", "single_label", LABELS, splits), out=tmp_path / "run", **{**QUICK, "epochs": 1}
    )
    assert set(run.metrics) == {"train", "validation", "other domain"}
    assert (run.path / "predictions" / "test.npz").is_file()
    logits, gold = run.predictions("other domain")
    assert gold[:4].tolist() == [-1] * 4
    assert run.metrics["other domain"]["accuracy"] == pytest.approx((logits.argmax(1) == gold).mean())


def test_several_labels_are_written_side_by_side(base: Get, tmp_path: Path) -> None:
    run = finetune(base("bert"), make_multi(), out=tmp_path / "run", **{**QUICK, "max_steps": 2})
    with open(run.path / "predictions" / "test.csv", encoding="utf-8", newline="") as file:
        gold = [row["gold"] for row in csv.DictReader(file)]
    assert gold[-1] == ""
    assert "red | blue" in gold


def test_differences_name_what_changed_and_nothing_else() -> None:
    assert differences(TeacherRecipe(), TeacherRecipe()) == {}
    assert differences(TeacherRecipe(), TeacherRecipe(dropout=0.2)) == {"dropout": "None -> 0.2"}
