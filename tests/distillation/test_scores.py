"""Students of a teacher of scores: what they learn, their arms, and teachers whose scores are of another kind."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from liteft.config import resolve_recipe
from liteft.data import Dataset, Split
from liteft.distillation.teachers import Teacher, find_teacher, with_labels
from liteft.errors import ConfigError, ModelError
from liteft.finetuning import finetune
from liteft.finetuning.model import load_classifier
from liteft.finetuning.task_training import training_of
from liteft.pipeline import distill
from liteft.recipes import Recipe
from liteft.run import Run, read_run
from tests.cache import Cache

STUDENT: dict[str, Any] = {
    "size": "2", "max_steps": 12, "batch_size": 8, "evaluations_per_epoch": 1, "training_precision": "fp32"
}  # fmt: skip


def scored(tiny: ModuleType, *, scale: float = 1.0, shift: float = 0.0) -> Dataset:
    """Return the tiny texts with a score for each topic."""
    topics = tiny.make_dataset()
    splits = {
        name: Split(name, split.texts, None, scale * np.asarray(split.labels) / 2 + shift)
        for name, split in topics.splits.items()
    }
    return Dataset("topics", "scores", ("score",), splits)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def data(tiny: ModuleType) -> Dataset:
    return scored(tiny, scale=40, shift=20)


@pytest.fixture(scope="module")
def teacher(tiny: ModuleType, base: Path, data: Dataset, cache: Cache) -> Run:
    """A teacher of scores from 20 to 60. Read it only."""
    settings = tiny.QUICK | {"max_steps": 40, "learning_rate": 3e-3}
    return read_run(cache("distillation-scores", lambda out: finetune(base, data, out=out, **settings)))


def test_a_student_learns_its_teachers_logits(teacher: Run, data: Dataset, tmp_path: Path) -> None:
    pool = tmp_path / "pool.txt"
    pool.write_text("\n".join(f"red{row % 4} w{row} blue{row % 3}" for row in range(24)) + "\n")
    made = distill(teacher, data, out=tmp_path / "out", until="student", arms=["c1"], unlabeled=str(pool), **STUDENT)
    student, control = made.arms["student"][0], made.arms["control"][0]
    taught, own, alone = (run.predictions("train")[0] for run in (teacher, student, control))
    assert np.abs(own - taught).mean() < 0.5 * np.std(data.train.labels)  # type: ignore[arg-type]
    assert own.shape == alone.shape == (48, 1) and student.task.activation == "none"
    assert set(student.metrics["test"]) >= {"spearman", "pearson", "rmse", "mae"}
    assert made.floors is None and made.to_label is None
    cached = [np.load(path) for path in (teacher.path / "cache").rglob("*.npy")]
    assert any(each.shape == (72, 1) for each in cached), "logits of labelled and unlabelled texts"


def test_what_is_learned_of_a_teacher_is_a_squared_difference_in_variances(data: Dataset) -> None:
    first, second = torch.tensor([[20.0], [60.0]]), torch.tensor([[30.0], [60.0]])
    found = float(training_of(data.task).distance(first, second))
    assert found == pytest.approx(100 / 2 / float(np.var(data.train.labels)))  # type: ignore[arg-type]


def test_picking_texts_of_a_pool_by_doubt_is_refused(teacher: Run, data: Dataset, tmp_path: Path) -> None:
    (tmp_path / "pool.txt").write_text("w1 w2\nw3 w4\n")
    settings = STUDENT | {"pool_select": 5, "unlabeled": str(tmp_path / "pool.txt")}
    with pytest.raises(ConfigError, match="pool_select=5 applies to labels with names"):
        distill(teacher, data, out=tmp_path / "out", until="student", **settings)


def test_a_teacher_of_other_scores_is_refused(tiny: ModuleType, teacher: Run) -> None:
    with pytest.raises(ModelError, match="was not made for the data") as caught:
        with_labels(scored(tiny), Teacher.of(teacher))
    assert caught.value.accepted == {"its scores": "any numbers", "those of the data": "from 0 to 1"}


def test_a_pooling_that_a_finished_teacher_does_not_have_is_refused(teacher: Run) -> None:
    own = str(teacher.info["pooling"])
    other = "mean" if own == "cls" else "cls"
    for source in (teacher, teacher.model_path):
        with pytest.raises(ConfigError, match=f"pooling {other} was requested, and the teacher .* has pooling {own}"):
            find_teacher(source, recipe=Recipe.model_validate({"teacher": {"pooling": other}}))
    assert isinstance(find_teacher(teacher, recipe=Recipe.model_validate({"teacher": {"pooling": own}})), Teacher)


def test_a_length_that_a_finished_teacher_does_not_have_is_refused(teacher: Run) -> None:
    own = int(teacher.info["max_tokens"])
    for source in (teacher, teacher.model_path):
        with pytest.raises(ConfigError, match=f"max_tokens {own + 4} was requested, and the teacher .* reads {own}"):
            find_teacher(source, recipe=Recipe.model_validate({"teacher": {"max_tokens": own + 4}}))
    assert isinstance(find_teacher(teacher, recipe=Recipe.model_validate({"teacher": {"max_tokens": own}})), Teacher)


def test_a_reranker_from_elsewhere_teaches_scores_from_0_to_1(
    tiny: ModuleType, teacher: Run, tmp_path: Path, data: Dataset
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(teacher.model_path, folder)
    config = json.loads((folder / "config.json").read_text())
    kept = {name: value for name, value in config.items() if name not in ("liteft", "problem_type")}
    (folder / "config.json").write_text(json.dumps(kept))
    found = find_teacher(folder, dataset=scored(tiny), recipe=resolve_recipe(None, "student", STUDENT))
    assert isinstance(found, Teacher) and found.loaded.settings.activation == "none"
    assert with_labels(scored(tiny), found).task == "scores"
    assert found.loaded.settings.activation == "sigmoid"
    assert load_classifier(teacher.model_path).settings.activation == "none"
