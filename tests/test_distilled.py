"""The result of `liteft.distill`: its text, its data, and when it compares seeds."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from liteft.data import Dataset, load_dataset
from liteft.distilled import Distillation
from liteft.floors import Floor, Floors, as_logits
from liteft.report import SeedsTable
from liteft.run import Run
from liteft.tasks import SINGLE_LABEL

SCORES = {"accuracy": 0.91, "accuracy_interval": [0.88, 0.93]}


def write_run(path: Path, *, split: str = "test", **info: Any) -> Run:
    """Write the predictions of a run, and return it with what run.json would say."""
    (path / "predictions").mkdir(parents=True)
    gold = np.arange(100) % 2
    np.savez(path / "predictions" / f"{split}.npz", logits=np.eye(2, dtype=np.float32)[gold], labels=gold)
    content = {
        "kind": "student",
        "task": "single_label",
        "labels": ["0", "1"],
        "parameters": 1_000_000,
        "size_bytes": 4_000_000,
        "seed": 0,
        "data": {"name": "reviews", "fingerprint": "f" * 64},
        "metrics": {"validation": SCORES, "test": SCORES},
    }
    return Run(path, content | info)


def dataset() -> Dataset:
    return load_dataset({"train": [("good", 1), ("bad", 0)] * 20}, validation_fraction=0, test_fraction=0)


def of(*students: Run, teacher: Run | None = None, controls: tuple[Run, ...] = ()) -> Distillation:
    arms = {"student": students, "control": controls}
    return Distillation(teacher, {kind: runs for kind, runs in arms.items() if runs}, None, dataset())


def test_its_text_is_the_table_of_all_runs_and_what_the_seeds_show(tmp_path: Path) -> None:
    students = [write_run(tmp_path / f"student-{seed}", seed=seed) for seed in (0, 1)]
    made = of(*students, teacher=write_run(tmp_path / "teacher", kind="teacher"))
    assert all(f"{tmp_path / name} " in made.render() for name in ("teacher", "student-0", "student-1"))
    assert made.seeds is not None and str(made).endswith(made.seeds.render())
    assert json.loads(json.dumps(made.to_dict()))["seeds"]["split"] == "test"


@pytest.mark.parametrize(("texts", "said"), [(5, True), (49, True), (50, False)])
def test_where_the_test_split_is_small_its_first_line_says_how_to_test_on_all_texts(
    texts: int, said: bool, tmp_path: Path
) -> None:
    made = of(write_run(tmp_path / "student"))
    made.dataset.splits["test"] = made.dataset.train.take(np.arange(texts) % 2)  # type: ignore[index]
    assert made.render().startswith(f"warning: {texts} test texts tell only large differences apart") == said


def test_without_a_training_its_text_says_so() -> None:
    assert of().render() == "the teacher is a classifier already; nothing was trained."


def test_a_student_alone_needs_no_table_of_seeds(tmp_path: Path) -> None:
    alone = of(write_run(tmp_path / "student"), teacher=write_run(tmp_path / "teacher", kind="teacher"))
    assert alone.to_dict()["seeds"] is None
    assert "difference" not in alone.render()


def test_seeds_without_labels_to_test_on_are_compared_on_validation_or_not_at_all(tmp_path: Path) -> None:
    def seeds(name: str, metrics: Any) -> Any:
        runs = [
            write_run(tmp_path / name / str(seed), split="validation", seed=seed, metrics=metrics) for seed in (0, 1)
        ]
        return of(*runs).to_dict()["seeds"]

    assert seeds("chosen", {"validation": SCORES})["split"] == "validation"
    assert seeds("none", {}) is None


def test_a_teacher_of_other_data_is_left_out_of_the_seeds_and_stops_nothing(tmp_path: Path) -> None:
    students = [write_run(tmp_path / str(seed), seed=seed) for seed in (0, 1)]
    other = write_run(tmp_path / "teacher", kind="teacher", data={"name": "reviews", "fingerprint": "0" * 64})
    document = of(*students, teacher=other).to_dict()
    assert [row["kind"] for row in document["seeds"]["rows"]] == ["student"]
    assert document["teacher"] is not None


def test_what_a_reader_must_know_stands_in_the_first_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = of(write_run(tmp_path / "a"), controls=(write_run(tmp_path / "b", kind="control"),))
    assert not made.render().startswith("warning")
    monkeypatch.setattr(SeedsTable, "warnings", ("the student is worse than control (C1)",))
    assert made.render().splitlines()[0] == "warning: the student is worse than control (C1)."


def floors_of(decisions: np.ndarray, *splits: str) -> Floors:
    """A floor with the same decisions on each split."""
    gold = np.arange(100) % 2
    logits = as_logits(decisions, SINGLE_LABEL, 2)
    scores, intervals = SINGLE_LABEL.score(logits, gold), SINGLE_LABEL.intervals(logits, gold)
    each = dict.fromkeys(splits, scores)
    row = Floor("naive Bayes", {}, each, dict.fromkeys(splits, intervals), dict.fromkeys(splits, decisions), 0.0)
    return Floors((row,), SINGLE_LABEL, ("0", "1"), "reviews", 40)


def test_its_first_line_says_that_the_student_does_not_beat_a_floor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = replace(of(write_run(tmp_path / "student")), floors=floors_of(np.arange(100) % 2, "test"))
    first = made.render().splitlines()[0]
    assert first.startswith("warning: student is not better than naive Bayes on test: accuracy 100.0 and 100.0")
    assert made.to_dict()["unbeaten"] == [first.removeprefix("warning: ")]
    monkeypatch.setattr(SeedsTable, "warnings", ("the student is worse than control (C1)",))
    worse = replace(made, arms=made.arms | {"control": (write_run(tmp_path / "b", kind="control"),)})
    assert worse.to_dict()["warnings"] == [*made.unbeaten, "the student is worse than control (C1)."]


def test_of_a_student_that_beats_its_floors_only_the_table_is_shown(tmp_path: Path) -> None:
    made = replace(of(write_run(tmp_path / "student")), floors=floors_of(np.zeros(100, dtype=np.int64), "test"))
    assert made.unbeaten == ()
    assert made.render().startswith(of(write_run(tmp_path / "again")).render().splitlines()[0][:4])
    assert "naive Bayes" in made.render()


def test_floors_of_another_split_say_nothing(tmp_path: Path) -> None:
    made = replace(of(write_run(tmp_path / "student")), floors=floors_of(np.arange(100) % 2, "extra"))
    assert made.unbeaten == ()
