"""The texts and labels that models are scored on."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from liteft.artifact import Artifact
from liteft.config import write_recipe
from liteft.data import Dataset, Split, load_dataset
from liteft.errors import ConfigError, DataError
from liteft.recipes import DataRecipe, Recipe
from liteft.report.gold import find_gold, find_test, in_order
from liteft.report.subjects import Subject, find_subjects


@pytest.fixture
def subjects(first: Artifact) -> list[Subject]:
    """One model of the labels order, payment, app, praise."""
    return find_subjects([first])


def rows_of(path: Path, rows: list[tuple[str, str]]) -> Path:
    lines = [json.dumps({"text": text, "label": label}) for text, label in rows]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def labelled(count: int, labels: tuple[str, ...] = ("app", "order", "payment", "praise")) -> list[tuple[str, str]]:
    return [(f"text number {number}", labels[number % len(labels)]) for number in range(count)]


def test_labels_of_the_data_are_put_into_the_models_order(subjects: list[Subject]) -> None:
    split = Split("test", ["a", "b", "c"], None, np.array([0, 1, 2]))
    data = Dataset("d", "single_label", ("praise", "app", "order"), {"test": split})
    gold = find_gold(data, subjects, split="test", settings={})
    assert [gold.labels[index] for index in gold.targets] == ["praise", "app", "order"]
    assert gold.labels == subjects[0].labels
    assert gold.notes == ()


def test_a_label_that_the_models_lack_counts_as_wrong_and_is_noted(subjects: list[Subject]) -> None:
    split = Split("test", ["a", "b", "c"], None, np.array([0, 1, -1]))
    data = Dataset("d", "single_label", ("blame", "app"), {"test": split})
    gold = find_gold(data, subjects, split="test", settings={})
    assert gold.targets.tolist() == [-1, subjects[0].labels.index("app"), -1]
    assert gold.notes == ("1 text has a label that the models lack (blame) and can only be wrong there",)


def test_columns_of_several_labels_move_with_their_names(write_artifact: Callable[..., Artifact]) -> None:
    subjects = find_subjects([write_artifact("multi", multi=True, labels=("a", "b", "c"))])
    labels = np.array([[True, False, False], [False, True, True], [False, False, True]])
    data = Dataset("d", "multi_label", ("c", "a", "x"), {"test": Split("test", ["1", "2", "3"], None, labels)})
    gold = find_gold(data, subjects, split="test", settings={})
    assert gold.targets.tolist() == [[False, False, True], [True, False, False], [False, False, False]]
    assert gold.split.unseen_label is not None and gold.split.unseen_label.tolist() == [False, True, True]
    assert gold.notes[0].startswith("2 texts have a label that the models lack (x)")


def test_data_without_a_common_label_are_refused(subjects: list[Subject]) -> None:
    data = Dataset("d", "single_label", ("x", "y"), {"test": Split("test", ["a"], None, np.array([0]))})
    with pytest.raises(DataError, match="no label in common") as caught:
        find_gold(data, subjects, split="test", settings={})
    assert caught.value.accepted == {"the data": "x, y", "the models": "order, payment, app, praise"}


def test_a_split_alone_is_taken_in_the_first_models_order(subjects: list[Subject]) -> None:
    split = Split("mine", ["a", "b"], None, np.array([3, -1]))
    gold = find_gold(split, subjects, split="test", settings={})
    assert gold.split is split and gold.data == "" and gold.notes == ()
    with pytest.raises(DataError, match="has 5 labels, and first has 4"):
        find_gold(replace(split, labels=np.array([4, 0])), subjects, split="test", settings={})


def test_a_split_of_a_data_set_brings_its_label_names(subjects: list[Subject]) -> None:
    data = load_dataset([{"text": f"{label} {n}", "label": label} for n in range(20) for label in ("praise", "app")])
    gold = find_gold(data.test, subjects, split="test", settings={})
    expected = [text.split()[0] for text in data.test.texts]
    assert [gold.labels[index] for index in gold.targets] == expected
    assert gold.split.take([0]).label_names == subjects[0].labels
    strangers = load_dataset([{"text": f"{label} {n}", "label": label} for n in range(20) for label in ("x", "y")])
    with pytest.raises(DataError, match="no label in common"):
        find_gold(strangers.test, subjects, split="test", settings={})


@pytest.mark.parametrize(
    ("split", "seen"),
    [
        (Split("test", ["a"]), "has no labels"),
        (Split("test", [], None, np.array([], dtype=np.int64)), "has no texts"),
        (Split("test", ["a"], ["b"], np.array([0])), "has pairs, and first reads single texts"),
        (Split("test", ["a"], None, np.array([[True, False, False, True]])), "is multi_label, and the models are"),
    ],
)
def test_a_split_that_does_not_fit_the_models_is_refused(split: Split, seen: str, subjects: list[Subject]) -> None:
    with pytest.raises(DataError, match=seen):
        find_gold(split, subjects, split="test", settings={})


def test_a_path_is_loaded_and_its_named_split_taken(subjects: list[Subject], tmp_path: Path) -> None:
    for name, count in (("train", 20), ("dev", 8), ("test", 12)):
        rows_of(tmp_path / "mail" / f"{name}.jsonl", labelled(count))
    gold = find_gold(tmp_path / "mail", subjects, split="test", settings={})
    assert (gold.data, gold.split.name, len(gold.split)) == ("mail", "test", 12)
    assert [gold.labels[index] for index in gold.targets[:4]] == ["app", "order", "payment", "praise"]
    flattered = find_gold(tmp_path / "mail", subjects, split="train", settings={})
    assert flattered.notes == ("models may have been trained on train: its numbers flatter them",)


def test_all_is_every_row_of_one_file(subjects: list[Subject], tmp_path: Path) -> None:
    path = rows_of(tmp_path / "mail.jsonl", labelled(20))
    assert len(find_gold(path, subjects, split="all", settings={}).split) == 20
    assert len(find_gold(path, subjects, split="test", settings={}).split) < 20
    made = find_test(path, subjects, split="validation", settings={})
    assert made is not None and made.name == "test" and len(made) < 20
    assert find_test(path, subjects, split="all", settings={}) is None


def test_all_of_data_that_have_splits_is_refused(subjects: list[Subject], tmp_path: Path) -> None:
    for name in ("train", "test"):
        rows_of(tmp_path / "mail" / f"{name}.jsonl", labelled(12))
    with pytest.raises(ConfigError, match="has splits") as caught:
        find_gold(tmp_path / "mail", subjects, split="all", settings={})
    assert caught.value.accepted == {"splits": "train, test"}


def test_without_data_a_run_is_scored_on_what_it_was_trained_on(forms: Any, tmp_path: Path) -> None:
    (subject,) = find_subjects([forms.run])
    labels = forms.run.labels
    path = rows_of(tmp_path / "mail" / "train.jsonl", labelled(20, labels))
    rows_of(tmp_path / "mail" / "test.jsonl", labelled(10, labels))
    run = replace(subject, path=tmp_path)
    write_recipe(Recipe(data=DataRecipe(source=str(path.parent), text="text")), tmp_path / "recipe.toml")
    gold = find_gold(None, [run], split="test", settings={})
    assert gold.data == "mail" and len(gold.split) == 10


def test_without_data_an_artifact_cannot_be_scored(subjects: list[Subject]) -> None:
    with pytest.raises(ConfigError, match="first does not name the data that it was trained on") as caught:
        find_gold(None, subjects, split="test", settings={})
    assert [hint.command for hint in caught.value.fix] == ["--data DATA"]


def test_logits_follow_the_order_of_the_labels() -> None:
    logits = np.array([[1.0, 2.0, 3.0]])
    assert in_order(logits, ("a", "b", "c"), ("c", "a", "b")).tolist() == [[3.0, 1.0, 2.0]]
    assert in_order(logits, ("a", "b", "c"), ("a", "b", "c")) is logits
