"""Several teachers teach the mean of their probabilities, and copies of texts are labelled only where no label is."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from transformers import BertForSequenceClassification

from liteft.data import Dataset, Split
from liteft.distillation import ensemble
from liteft.distillation.ensemble import taught_logits
from liteft.distillation.initial import create_student
from liteft.distillation.teachers import Teacher, ready_teacher
from liteft.distillation.training import StudentTraining
from liteft.distillation.transfer_set import TransferSet, transfer_set_of
from liteft.errors import ConfigError, LiteftError
from liteft.finetuning import finetune
from liteft.finetuning.context import RunContext
from liteft.finetuning.logits import predict_logits
from liteft.finetuning.model import load_classifier
from liteft.foreign import Said
from liteft.form import ExportForm
from liteft.recipes import Recipe, StudentRecipe, TeacherRecipe
from liteft.run import Run, read_run
from liteft.tasks import MULTI_LABEL, SINGLE_LABEL, Task
from tests.cache import Cache
from tests.distillation.students import distill

POOL = ["red0 w1 w2 red1", "w3 green0 green2", "blue1 blue0 w9 w8"]


@pytest.fixture(scope="module")
def second(tiny: ModuleType, dataset: Dataset, cache: Cache, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A teacher of another family, with the labels in another order."""
    names = ("blue", "red", "green")
    place = np.array([names.index(name) for name in dataset.labels])
    splits = {}
    for name, split in dataset.splits.items():
        assert split.labels is not None
        splits[name] = Split(name, split.texts, None, place[split.labels])
    other = Dataset("topics", "single_label", names, splits)
    base = tiny.write_base(tmp_path_factory.mktemp("second") / "base", "roberta")
    return read_run(cache("ensemble-second", lambda out: finetune(base, other, out=out, **tiny.QUICK)))


@pytest.mark.parametrize("task", [SINGLE_LABEL, MULTI_LABEL])
def test_mean_logits_have_the_mean_of_the_probabilities_even_where_they_are_tiny(task: Task) -> None:
    parts = [np.random.default_rng(seed).normal(size=(20, 4)) * 3 for seed in range(3)]
    mean = np.mean([task.probabilities(part) for part in parts], axis=0)
    np.testing.assert_allclose(task.probabilities(task.mean_logits(parts)), mean, atol=1e-6)
    assert np.isfinite(task.mean_logits([200.0 * part for part in parts])).all()


def test_a_student_learns_the_mean_of_teachers_of_two_families(
    teacher: Run, second: Run, dataset: Dataset, tmp_path: Path, tiny: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {**tiny.QUICK, "size": "2", "epochs": 1}
    del settings["max_tokens"]
    student = distill([teacher, second], dataset, out=tmp_path / "student", **settings)  # type: ignore[arg-type]
    others = student.info["teacher"]["others"]
    assert [each["weights_sha256"] for each in others] == [second.info["weights_sha256"]]
    whole = Teacher.of(teacher)
    both = Teacher(whole.loaded, teacher, whole.weights_sha256, others=(Teacher.of(second),))
    recipe = StudentRecipe(size="2", training_precision="fp32")
    training = StudentTraining(both, dataset, recipe, RunContext(tmp_path / "x", None, ()), ExportForm())
    logits = taught_logits(training, dataset.test)
    monkeypatch.setattr(ensemble, "LARGE", 1)
    mapped = taught_logits(training, dataset.test)
    assert isinstance(mapped, np.memmap) and (mapped == logits).all()
    found = dataset.task.probabilities(logits)
    columns = [second.labels.index(name) for name in dataset.labels]
    parts = [teacher.predictions("test")[0], second.predictions("test")[0][:, columns]]
    expected = np.mean([dataset.task.probabilities(part) for part in parts], axis=0)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_teachers_that_cannot_teach_together_are_refused(teacher: Run, dataset: Dataset, tmp_path: Path) -> None:
    both: Any = [teacher, teacher]
    with pytest.raises(ConfigError, match="the same teacher was named twice"):
        distill(both, dataset, out=tmp_path / "x", size="2")
    with pytest.raises(ConfigError, match="augmented texts are labelled by one teacher"):
        distill(both, dataset, out=tmp_path / "x", size="2", augmentation="mask")
    with pytest.raises(ConfigError, match="teacher_folds fine-tunes one teacher again"):
        distill(both, dataset, out=tmp_path / "x", size="2", teacher_folds=2)


@pytest.fixture
def rows(teacher: Run, dataset: Dataset, tmp_path: Path) -> Callable[..., TransferSet]:
    def make(unlabeled: Split | None, **settings: Any) -> TransferSet:
        recipe = StudentRecipe(size="2", training_precision="fp32", **settings)
        found = Teacher.of(teacher)
        training = StudentTraining(found, dataset, recipe, RunContext(tmp_path / "x", None, ()), ExportForm())
        return transfer_set_of(training, create_student(found.loaded, recipe), unlabeled)

    return make


def test_only_texts_without_labels_are_augmented_where_there_are_any(
    rows: Callable[..., TransferSet], dataset: Dataset
) -> None:
    pool = Split("unlabeled", POOL)
    made = rows(pool, augmentation="mask")
    texts = len(dataset.train)
    assert made.train.extras["live"].tolist() == [False] * texts + [True] * len(POOL)
    assert not made.augments_labelled
    assert np.abs(made.train.extras["teacher_logits"][:texts]).sum(axis=1).all()
    assert "live" not in rows(pool, augmentation="mask", augment_labelled=True).train.extras
    assert "live" not in rows(None, augmentation="mask").train.extras


@pytest.mark.parametrize(
    ("second", "said"), [("{base}", "the same teacher was named twice"), ("{folder}/nowhere", "nowhere")]
)
def test_a_second_teacher_is_looked_at_before_the_first_is_trained(
    base: Path, dataset: Dataset, tmp_path: Path, second: str, said: str
) -> None:
    with pytest.raises(LiteftError, match=said):
        distill([base, second.format(base=base, folder=tmp_path)], dataset, out=tmp_path / "x", size="2")
    assert not (tmp_path / "x" / "teacher").exists() and not (tmp_path / "teacher").exists()


def test_labelled_texts_that_are_not_to_be_augmented_need_others(
    teacher: Run, dataset: Dataset, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="augmentation=mask has nothing to augment"):
        distill(teacher, dataset, out=tmp_path / "x", size="2", augmentation="mask", augment_labelled=False)


def test_a_batch_mixes_augmented_texts_with_cached_logits(
    teacher: Run, dataset: Dataset, tmp_path: Path, tiny: ModuleType
) -> None:
    (tmp_path / "pool.txt").write_text("\n".join(POOL * 4))
    settings = {**tiny.QUICK, "size": "2", "epochs": 2, "augmentation": "mask", "hard_weight": 0.5}
    del settings["max_tokens"]
    student = distill(teacher, dataset, out=tmp_path / "s", unlabeled=str(tmp_path / "pool.txt"), **settings)
    assert student.info["training_texts"] == len(dataset.train) + 4 * len(POOL)
    assert student.metrics["test"]["accuracy"] > 0.5


@pytest.mark.parametrize("calibrates", [True, False])
def test_a_classifier_from_elsewhere_is_calibrated_before_it_teaches(
    base: Path, dataset: Dataset, tmp_path: Path, calibrates: bool
) -> None:
    folder = Path(shutil.copytree(base, tmp_path / "elsewhere"))
    model = BertForSequenceClassification.from_pretrained(base, id2label=dict(enumerate(dataset.labels)))
    with torch.no_grad():
        model.classifier.weight.mul_(1_000)
    model.save_pretrained(folder)
    rows = np.arange(60) % len(dataset.validation)
    sixty = replace(dataset, splits=dataset.splits | {"validation": dataset.validation.take(rows)})
    texts = dataset.train.texts
    before = predict_logits(load_classifier(folder, said=Said(task=dataset.task, paired=False)), texts)
    recipe = Recipe(teacher=TeacherRecipe(calibrate=calibrates))
    found, trained = ready_teacher(folder, sixty, recipe, RunContext(tmp_path / "teacher"))
    assert not trained and (found.temperature > 1.5) is calibrates
    assert (found.logits_sha256 != found.weights_sha256) is calibrates and found.logits_sha256 in found.asked_sha256
    np.testing.assert_allclose(predict_logits(found.loaded, texts), before / found.temperature, rtol=1e-4, atol=1e-4)
    assert found.described().get("temperature", 1.0) == found.temperature
