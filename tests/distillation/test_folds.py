"""Fold teachers: no text is taught by a teacher that has seen it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from liteft.data import Dataset, Split
from liteft.data.splitting import fold_numbers
from liteft.distillation import ensemble
from liteft.distillation.ensemble import taught_logits
from liteft.distillation.folds import folds_of, train_folds
from liteft.distillation.teachers import FoldTeachers, Teacher
from liteft.distillation.training import StudentTraining
from liteft.errors import ConfigError
from liteft.finetuning.context import RunContext
from liteft.finetuning.logits import predict_logits
from liteft.finetuning.model import load_classifier
from liteft.form import ExportForm
from liteft.recipes import Recipe, StudentRecipe, TeacherRecipe
from liteft.run import Run
from tests.distillation.students import distill

POOL = ["red0 w1 w2 red1", "w3 green0 green2", "blue1 blue0 w9 w8"]


@pytest.fixture(scope="module")
def folded(
    tiny: ModuleType, base: Path, teacher: Run, dataset: Dataset, tmp_path_factory: pytest.TempPathFactory
) -> Teacher:
    """The teacher with three fold teachers beside it."""
    recipe = Recipe(teacher=TeacherRecipe(**{**tiny.QUICK, "base": str(base)}))
    context = RunContext(tmp_path_factory.mktemp("folds") / "teacher", None, ())
    whole = Teacher.of(teacher)
    return Teacher(whole.loaded, teacher, whole.weights_sha256, folds=train_folds(dataset, recipe, 3, context))


def training_of(teacher: Teacher, dataset: Dataset, out: Path, **settings: Any) -> StudentTraining:
    recipe = StudentRecipe(size="2", training_precision="fp32", **settings)
    return StudentTraining(teacher, dataset, recipe, RunContext(out, None, ()), ExportForm())


def test_folds_divide_each_label_evenly_and_keep_duplicates_together() -> None:
    keys = [f"text {row // 2}" for row in range(60)]
    labels = [("abc"[row // 2 % 3],) for row in range(60)]
    fold = fold_numbers(keys, labels, 5, seed=0)
    assert (fold[::2] == fold[1::2]).all()
    for label in "abc":
        rows = [row for row in range(60) if labels[row] == (label,)]
        assert np.bincount(fold[rows], minlength=5).tolist() == [4] * 5
    assert (fold == fold_numbers(keys, labels, 5, seed=0)).all()
    assert (fold != fold_numbers(keys, labels, 5, seed=1)).any()


def test_a_fold_teacher_is_a_run_of_the_other_texts_that_never_sees_the_test_split(
    folded: Teacher, dataset: Dataset
) -> None:
    assert folded.folds is not None
    fold = folded.folds.fold
    assert (fold == folds_of(dataset, 3, seed=3)).all()
    for number, run in enumerate(folded.folds.runs):
        assert run.path.name == f"teacher-fold{number + 1}"
        assert run.info["data"]["rows"] == {"train": int((fold != number).sum()), "validation": len(dataset.validation)}


@pytest.mark.parametrize("large", [10, ensemble.LARGE])
def test_a_labelled_text_gets_the_logits_of_the_teacher_that_has_not_seen_it_and_others_get_the_mean(
    folded: Teacher, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, large: int
) -> None:
    monkeypatch.setattr(ensemble, "LARGE", large)
    assert folded.folds is not None
    split = Split("train", [*dataset.train.texts, *POOL])
    found = taught_logits(training_of(folded, dataset, tmp_path / "run"), split)
    assert isinstance(found, np.memmap) == (large == 10)
    each = [predict_logits(load_classifier(run.model_path), split.texts) for run in folded.folds.runs]
    rows = np.arange(len(dataset.train))
    own = np.stack(each)[folded.folds.fold, rows]
    np.testing.assert_allclose(found[rows], own, atol=1e-5)
    mean = np.mean([dataset.task.probabilities(logits[len(rows) :]) for logits in each], axis=0)
    np.testing.assert_allclose(dataset.task.probabilities(found[len(rows) :]), mean, atol=1e-6)


def test_texts_whose_label_no_other_fold_has_are_taught_by_the_whole_teacher(
    folded: Teacher, dataset: Dataset, tmp_path: Path
) -> None:
    assert folded.folds is not None
    assert dataset.train.labels is not None and dataset.train.labels[2] == 2
    rows = [*np.flatnonzero(dataset.train.labels != 2)[:19].tolist(), 2]
    few = replace(dataset, splits=dataset.splits | {"train": dataset.train.take([*rows, 2])})  # with a duplicate
    fold = folds_of(few, 3, seed=3)
    assert fold[-2:].tolist() == [-1, -1] and set(fold[:-2].tolist()) == {0, 1, 2}
    teacher = replace(folded, folds=FoldTeachers(folded.folds.runs, fold))
    found = taught_logits(training_of(teacher, few, tmp_path / "run"), few.train)
    np.testing.assert_allclose(found[-2:], predict_logits(folded.loaded, few.train.texts[-2:]), atol=1e-5)


def test_a_student_names_its_fold_teachers_and_starts_from_the_whole_one(
    base: Path, tiny: ModuleType, dataset: Dataset, tmp_path: Path
) -> None:
    recipe = Recipe(teacher=TeacherRecipe(**{**tiny.QUICK, "epochs": 1}))
    settings = {**tiny.QUICK, "size": "2", "epochs": 1, "teacher_folds": 2}
    del settings["max_tokens"]
    student = distill(str(base), dataset, out=tmp_path / "student", recipe=recipe, **settings)
    assert len(student.info["teacher"]["folds"]) == 2
    assert (tmp_path / "student-teacher-fold2" / "run.json").is_file()
    again = distill(str(base), dataset, out=tmp_path / "student", recipe=recipe, **settings)
    assert again.info == student.info


@pytest.mark.parametrize(
    ("settings", "seen"),
    [
        ({"teacher_folds": 1}, "a teacher that leaves out its only fold"),
        ({"teacher_folds": 2, "augmentation": "mask"}, "augmented copies of labelled texts"),
        ({"teacher_folds": 2, "augmentation": "mask", "augment_labelled": False}, "augmented copies of labelled texts"),
    ],
)
def test_settings_with_which_folds_cannot_work_are_refused(
    teacher: Run, dataset: Dataset, tmp_path: Path, settings: dict[str, Any], seen: str
) -> None:
    with pytest.raises(ConfigError, match=seen):
        distill(teacher, dataset, out=tmp_path / "x", size="2", **settings)


def test_a_classifier_from_elsewhere_has_no_fold_teachers(teacher: Run, dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not say from which base and how"):
        distill(teacher.model_path, dataset, out=tmp_path / "x", size="2", teacher_folds=2)
