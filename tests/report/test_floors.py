"""Floors beside models: rows of a comparison, and a first line when a model does not beat them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from liteft.artifact import Artifact
from liteft.data import Dataset
from liteft.floors import FLOORS_FILE, Floor, Floors, as_logits, stored_floors, train_floors
from liteft.report.comparison import compare
from liteft.report.floor_rows import find_floors, measured_floors, why_no_floors
from liteft.report.gold import Gold, find_gold
from liteft.report.result import Comparison
from liteft.report.subjects import find_subjects
from liteft.report.verdict import not_better_than_floors
from liteft.tasks import MULTI_LABEL, SINGLE_LABEL, Task

GOLD = np.array([0] * 40 + [1] * 8 + [2] * 2)


def floors_of(*decided: np.ndarray, gold: np.ndarray = GOLD, task: Task = SINGLE_LABEL) -> Floors:
    """Floors with given decisions on a test split."""
    rows = []
    for number, decisions in enumerate(decided):
        logits = as_logits(decisions, task, 3)
        scores, intervals = task.score(logits, gold), task.intervals(logits, gold)
        rows.append(Floor(f"floor {number}", {}, {"test": scores}, {"test": intervals}, {"test": decisions}, 0.0))
    return Floors(tuple(rows), task, ("a", "b", "c"), "mail", 10)


def wrong(*places: int) -> np.ndarray:
    """The gold labels with some texts wrong."""
    decided = GOLD.copy()
    for place in places:
        decided[place] = (decided[place] + 1) % 3
    return decided


def sentence(model: np.ndarray, *floors: np.ndarray) -> str:
    return not_better_than_floors("student", as_logits(model, SINGLE_LABEL, 3), GOLD, floors_of(*floors), "test")


def test_nothing_is_said_of_a_model_that_beats_every_floor() -> None:
    assert sentence(wrong(0), wrong(0, 1), wrong(0, 1, 2, 45)) == ""


def test_a_model_with_a_floors_own_answers_does_not_beat_it() -> None:
    said = sentence(wrong(0, 1), wrong(0, 1))
    assert said.startswith("student is not better than floor 0 on test: accuracy 96.0 and 96.0 (+0.0 [")
    assert said.endswith("].") is False and said.endswith(").")


def test_a_higher_accuracy_is_not_enough_without_macro_f1() -> None:
    said = sentence(wrong(48, 49), wrong(0, 1, 2, 3))
    assert "accuracy 96.0 and 92.0 (+4.0 [" in said
    assert "macro F1" in said and "(-" in said


def test_of_two_unbeaten_floors_the_better_one_is_named() -> None:
    said = sentence(wrong(0, 1, 2), wrong(0, 1, 2), wrong(0))
    assert said.startswith("student is not better than floor 1") and said.endswith(" Nor than floor 0.")


def test_several_labels_are_judged_by_micro_and_macro_f1() -> None:
    gold = np.random.default_rng(0).random((30, 3)) < 0.4
    floors = floors_of(gold, gold=gold, task=MULTI_LABEL)
    logits = as_logits(~gold, MULTI_LABEL, 3)
    said = not_better_than_floors("student", logits, gold, floors, "test")
    hint = "The floor chooses labels at a threshold tuned on validation, student at 0.5 (see tune_threshold)."
    assert said.endswith(hint) and hint not in not_better_than_floors(
        "student", logits, gold, floors, "test", tuned=True
    )
    assert "micro F1 0.0 and 100.0" in said and "macro F1" in said


@pytest.fixture
def trained(dataset: Dataset, first: Artifact) -> Gold:
    """Gold labels of a data set with a training split on which, by its run.json, the first model was trained."""
    train = replace(dataset.splits["validation"], name="train")
    whole = replace(dataset, splits={**dataset.splits, "train": train})
    subjects = [replace(each, info={"data": {"fingerprint": whole.fingerprint}}) for each in find_subjects([first])]
    return find_gold(whole, subjects, split="test", settings={})


def silent(_line: str) -> None:
    pass


def test_floors_of_the_data_that_a_run_was_trained_on_are_rows(trained: Gold) -> None:
    floors = find_floors(trained, None, silent)
    assert floors is not None
    assert trained.dataset is not None
    logits = np.zeros((len(trained.split), len(trained.labels)))
    rows = measured_floors(floors, trained, logits)
    assert [row.name for row in rows] == ["naive Bayes", "TF-IDF with a linear SVM"]
    assert rows[0].scores == train_floors(trained.dataset).rows[0].scores["test"]


def test_labels_in_another_order_give_the_same_floors(trained: Gold) -> None:
    backwards = tuple(reversed(trained.labels))
    assert trained.dataset is not None
    turned = Dataset("mail", SINGLE_LABEL, trained.labels, dict(trained.dataset.splits))
    assert turned.fingerprint == trained.dataset.fingerprint
    moved = replace(trained, labels=backwards)
    assert find_floors(moved, None, silent) is None  # run.json's fingerprint is of the data in the run's own order


def test_floors_that_are_stored_beside_the_run_are_not_trained_again(
    trained: Gold, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert trained.dataset is not None
    stored = stored_floors(tmp_path / FLOORS_FILE, trained.dataset)
    monkeypatch.setattr("liteft.report.floor_rows.train_floors", None)
    beside = replace(trained, subjects=tuple(replace(each, path=tmp_path / "run") for each in trained.subjects))
    found = find_floors(beside, None, silent)
    assert found is not None
    for one, other in zip(found.rows, stored.rows, strict=True):
        assert np.array_equal(one.decisions["test"], other.decisions["test"])


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda gold: replace(gold, dataset=None), "a split alone"),
        (
            lambda gold: replace(gold, subjects=tuple(replace(e, info=None) for e in gold.subjects)),
            "none of the models",
        ),
        (lambda gold: replace(gold, labels=(*gold.labels, "another")), "other labels"),
        (lambda gold: replace(gold, split=gold.dataset.train), "no labelled texts to train them on"),
        (lambda gold: replace(gold, split=replace(gold.split, name="all")), "no labelled texts to train them on"),
    ],
    ids=["a split alone", "data of no run", "other labels", "the training split", "all rows"],
)
def test_there_are_no_floors_and_a_reason_for(trained: Gold, change: Callable[[Gold], Gold], why: str) -> None:
    changed = change(trained)
    assert find_floors(changed, None, silent) is None
    assert why in why_no_floors(changed)


def test_floors_can_be_left_out(trained: Gold) -> None:
    assert find_floors(trained, False, silent) is None


def test_artifacts_alone_are_compared_without_floors(pair: Comparison) -> None:
    assert pair.floors == () and pair.unbeaten == ()
    assert "Note: no floors: there are no labelled texts to train them on" in pair.render()


def test_the_first_line_and_the_table_show_floors(invented: Callable[..., Comparison], trained: Gold) -> None:
    floors = find_floors(trained, None, silent)
    assert floors is not None
    rows = measured_floors(floors, trained, np.zeros((len(trained.split), len(trained.labels))))
    shown = invented(("one", 0.9, 12.0, 44.0), floors=rows, unbeaten=("one is not better than naive Bayes.",))
    for text in (shown.render(), shown.to_markdown()):
        assert text.splitlines()[0] == "one is not better than naive Bayes."
        assert "naive Bayes" in text.split("\n", 1)[1]
    assert [row["name"] for row in shown.to_dict()["floors"]] == [row.name for row in rows]


def test_scikit_learn_is_not_needed_without_a_run(pair: Comparison, first: Artifact, dataset: Dataset) -> None:
    assert compare(first, on=dataset, rounds=0, threads=1, floors=True).floors == ()
