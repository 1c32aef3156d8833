"""The texts and labels that models are scored on."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from liteft.artifact import Artifact
from liteft.config import write_recipe
from liteft.data import Dataset, Split, load_dataset
from liteft.data.splitting import text_hashes
from liteft.errors import ConfigError, DataError
from liteft.recipes import DataRecipe, Recipe
from liteft.report.gold import find_gold, find_test, in_order
from liteft.report.subjects import Subject, find_subjects
from liteft.run import POOL_HASHES


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
    assert [hint.command for hint in caught.value.fix] == ["--on DATA (liteft compare), --data DATA (liteft export)"]


def test_the_model_folder_of_a_run_names_its_run(subjects: list[Subject], tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("{}")
    model = replace(subjects[0], path=tmp_path / "model")
    with pytest.raises(ConfigError, match="does not name the data") as caught:
        find_gold(None, [model], split="test", settings={})
    assert caught.value.fix[0] == f"give the run: {tmp_path}"


def test_logits_follow_the_order_of_the_labels() -> None:
    logits = np.array([[1.0, 2.0, 3.0]])
    assert in_order(logits, ("a", "b", "c"), ("c", "a", "b")).tolist() == [[3.0, 1.0, 2.0]]
    assert in_order(logits, ("a", "b", "c"), ("a", "b", "c")) is logits


@pytest.fixture
def fifty(forms: Any, tmp_path: Path) -> Path:
    """A file of 50 rows, without splits."""
    return rows_of(tmp_path / "fifty.jsonl", labelled(50, forms.run.labels))


@pytest.fixture
def trained_on(forms: Any, tmp_path: Path) -> Callable[[Dataset], Subject]:
    """A function that makes a run which was trained on a data set, as far as its files tell."""

    def make(data: Dataset) -> Subject:
        run = tmp_path / "student"
        shutil.copytree(forms.run.path, run)
        for name, split in data.splits.items():
            hashes = text_hashes(split.texts, split.pairs)
            np.savez(run / "predictions" / f"{name}.npz", logits=np.zeros((len(split), 5)), text_hash=hashes)
        (subject,) = find_subjects([run])
        return subject

    return make


def test_a_test_split_that_is_drawn_from_texts_that_a_run_was_trained_on_is_refused(
    fifty: Path, trained_on: Callable[[Dataset], Subject]
) -> None:
    """Folds test all texts, so the last run is trained on all; any test split of the same file was trained on."""
    subject = trained_on(load_dataset(fifty, test_fraction=0.0))
    with pytest.raises(
        DataError, match=r"the test split was drawn from fifty now: .* texts were trained on by student"
    ):
        find_gold(fifty, [subject], split="test", settings={})
    assert find_test(fifty, [subject], split="validation", settings={}) is None
    with pytest.raises(DataError, match="fifty has no test split") as caught:
        find_gold(fifty, [subject], split="test", settings={"test_fraction": 0.0})
    assert "--split all" in caught.value.fix[0].command  # type: ignore[union-attr]


def test_a_larger_test_split_than_the_runs_own_is_refused_and_its_own_is_not(
    fifty: Path, trained_on: Callable[[Dataset], Subject]
) -> None:
    subject = trained_on(load_dataset(fifty))
    with pytest.raises(DataError, match="of the 20 texts were trained on by student"):
        find_gold(fifty, [subject], split="test", settings={"test_fraction": 0.4})
    assert find_gold(fifty, [subject], split="test", settings={}).notes == ()


def test_texts_that_the_user_gives_and_a_run_has_seen_are_noted(
    fifty: Path, trained_on: Callable[[Dataset], Subject], forms: Any, tmp_path: Path
) -> None:
    subject = trained_on(load_dataset(fifty, validation_fraction=0.2, test_fraction=0.0))
    gold = find_gold(fifty, [subject], split="all", settings={})
    assert gold.split.name == "all"
    assert gold.notes == (
        "40 of the 50 texts were trained on by student: the numbers flatter such a model",
        "10 of the 50 texts were used to choose student: the numbers flatter such a model",
    )
    known = rows_of(tmp_path / "known.jsonl", labelled(50, forms.run.labels)[:3])
    split = load_dataset(known, validation_fraction=0.0, test_fraction=0.0).train
    assert all("the numbers flatter" in note for note in find_gold(split, [subject], split="test", settings={}).notes)
    fresh = rows_of(tmp_path / "fresh.jsonl", [(f"new {n}", forms.run.labels[n % 5]) for n in range(20)])
    assert find_gold(fresh, [subject], split="all", settings={}).notes == ()


def test_an_artifact_is_known_by_the_run_beside_it_and_otherwise_said_to_be_unknown(
    forms: Any, fifty: Path, trained_on: Callable[[Dataset], Subject], tmp_path: Path
) -> None:
    (alone,) = find_subjects([shutil.copytree(forms.artifact.path, tmp_path / "elsewhere" / "artifact")])
    gold = find_gold(fifty, [alone], split="test", settings={})
    assert gold.notes == ("it is not known whether artifact was trained on these texts",)
    trained_on(load_dataset(fifty, test_fraction=0.0))
    (beside,) = find_subjects([shutil.copytree(forms.artifact.path, tmp_path / "artifact")])
    with pytest.raises(DataError, match="trained on by artifact"):
        find_gold(fifty, [beside], split="test", settings={})


def test_texts_of_a_pool_and_those_that_a_teacher_was_trained_on_are_noted(
    fifty: Path, trained_on: Callable[[Dataset], Subject], forms: Any, tmp_path: Path
) -> None:
    run = trained_on(load_dataset(fifty)).path
    fresh = rows_of(tmp_path / "fresh.jsonl", [(f"new {n}", forms.run.labels[n % 5]) for n in range(20)])
    hashes = text_hashes([f"new {n}" for n in range(20)], None)
    np.save(run / POOL_HASHES, hashes[:3])
    teacher = shutil.copytree(run, tmp_path / "teacher")
    np.savez(teacher / "predictions" / "train.npz", logits=np.zeros((8, 5)), text_hash=hashes[:8])
    info = json.loads((run / "run.json").read_text(encoding="utf-8"))
    (run / "run.json").write_text(json.dumps(info | {"teacher": {"path": str(teacher)}}), encoding="utf-8")
    (subject,) = find_subjects([run])
    assert find_gold(fresh, [subject], split="all", settings={}).notes == (
        "3 of the 20 texts were learned without their labels by student: the numbers flatter such a model",
        "8 of the 20 texts were trained on by the teacher of student: the numbers flatter such a model",
    )
    # the teacher is a student itself, such as the control that teaches C2: its own teacher counts as well
    whose = shutil.copytree(teacher, tmp_path / "teachers-teacher")
    np.savez(whose / "predictions" / "train.npz", logits=np.zeros((2, 5)), text_hash=hashes[8:10])
    np.savez(whose / "predictions" / "validation.npz", logits=np.zeros((1, 5)), text_hash=hashes[10:11])
    (teacher / "run.json").write_text(json.dumps(info | {"teacher": {"path": str(whose)}}), encoding="utf-8")
    assert find_gold(fresh, [subject], split="all", settings={}).notes[1:] == (
        "10 of the 20 texts were trained on by the teacher of student: the numbers flatter such a model",
        "1 of the 20 texts was used to choose the teacher of student: the numbers flatter such a model",
    )
    shutil.rmtree(teacher)
    (subject,) = find_subjects([run])
    assert len(find_gold(fresh, [subject], split="all", settings={}).notes) == 1
