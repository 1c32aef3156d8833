"""Fold teachers: teachers that have not seen the texts on which they are asked.

A fine-tuned teacher knows its training texts by heart, so what it says of them is hardly more than their labels. With
``teacher_folds`` = K, K more teachers are fine-tuned with the teacher's own recipe, for as many passes, each on the
training texts outside one fold. A labelled text gets the logits of the one teacher that has not seen it, a text without
a label the mean probabilities of all. The student still starts from the teacher that was trained on everything. A label
of which only one fold has texts would be unknown to that fold's teacher, so they are in no fold, and the whole teacher
is asked.

Source: cross-fitting for distillation, Dao et al. 2021, arXiv:2104.09732.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from liteft.config import read_recipe, resolve_recipe
from liteft.data import Dataset
from liteft.data.folds import count_different, folds_of_split, with_duplicates
from liteft.distillation.teachers import Base, FoldTeachers, Teacher
from liteft.errors import ConfigError, DataError, Hint, option
from liteft.finetuning.context import RunContext
from liteft.finetuning.teacher import train_teacher
from liteft.recipes import Recipe

__all__ = ["check_folds", "folds_of", "recipe_of_folds", "train_folds"]


def check_folds(recipe: Recipe, teachers: int, *, unlabelled: bool) -> None:
    """Refuse settings with which fold teachers cannot do what they are for.

    Args:
        recipe: its table ``student``.
        teachers: how many teachers were named.
        unlabelled: the student learns from texts without labels too.

    Raises:
        ConfigError: several teachers, or copies of labelled texts, which only the whole teacher could label.
    """
    student = recipe.student
    if not student.teacher_folds:
        return
    if teachers > 1:
        raise ConfigError(
            f"teacher_folds fine-tunes one teacher again, and {teachers} teachers were named.",
            accepted={"teacher_folds": "with one teacher"},
            fix=[option("student.teacher_folds", 0), "name one teacher"],
        )
    copied = student.augment_labelled or not unlabelled  # as liteft.distillation.transfer_set has it
    others = (
        option("student.augment_labelled", False)
        if unlabelled
        else Hint('unlabeled="pool.txt"', "--unlabeled pool.txt")
    )
    if student.augmentation != "none" and copied:
        raise ConfigError(
            "augmented copies of labelled texts are labelled by the whole teacher, which has seen these texts.",
            accepted={"teacher_folds": "without augmentation, or with augmented copies of unlabelled texts only"},
            fix=[option("student.augmentation", "none"), others],
        )


def recipe_of_folds(teacher: Base | Teacher, recipe: Recipe) -> Recipe:
    """Return the recipe with which the fold teachers are fine-tuned: that of the teacher itself.

    Raises:
        ConfigError: LiteFT did not fine-tune the teacher, so nothing says how.
    """
    if isinstance(teacher, Base):
        return resolve_recipe(recipe, "teacher", {"base": teacher.name})
    stored = None if teacher.run is None else teacher.run.path / "recipe.toml"
    if teacher.run is None or stored is None or not stored.is_file() or teacher.run.info.get("kind") != "teacher":
        raise ConfigError(
            f"teacher_folds fine-tunes the teacher again, and {teacher.name} does not say from which base and how.",
            accepted={"teacher": "a base, or the run of a base that liteft fine-tuned"},
            fix=[Hint("a base as the teacher", "--teacher minilm"), option("student.teacher_folds", 0)],
        )
    return recipe.model_copy(update={"teacher": read_recipe(stored).teacher})


def train_folds(dataset: Dataset, recipe: Recipe, count: int, context: RunContext) -> FoldTeachers:
    """Fine-tune the teacher of each fold, or read those that are finished.

    Each is a run of its own beside the teacher's: OUT/teacher-fold1 and so on. Its data are the training texts outside
    the fold and the whole validation split; it does not see the test split.

    Args:
        dataset: its training texts are divided, label by label, duplicates together, by the recipe's seed.
        recipe: of the teacher.
        count: number of folds.
        context: of the teacher.

    Raises:
        DataError: fewer different training texts than folds.
    """
    fold = folds_of(dataset, count, seed=recipe.teacher.seed)
    if (fold < 0).any():
        context.tell(
            f"teacher_folds: {int((fold < 0).sum()):,} training texts are in no fold: only one would have their label; "
            "the whole teacher, which has seen them, is asked"
        )
    runs = []
    for number in range(count):
        rest = dataset.train.take(np.flatnonzero(fold != number))
        part = replace(dataset, splits={"train": rest, "validation": dataset.validation}, pool=None, unseen={})
        out = context.out.with_name(f"{context.out.name}-fold{number + 1}")
        runs.append(train_teacher(part, recipe, context.at(out)))
    return FoldTeachers(tuple(runs), fold)


def folds_of(dataset: Dataset, count: int, *, seed: int) -> np.ndarray:
    """Return the fold of each training row, from 0, or -1 for those that no teacher leaves out: int64 (rows,)."""
    train = dataset.train
    if count_different(train, dataset.task) < count or train.labels is None:
        raise DataError(
            f"{dataset.name} has {count_different(train, dataset.task):,} different training texts for {count} folds.",
            accepted={"training texts": "as many different ones as folds, at least"},
            fix=option("student.teacher_folds", 0),
        )
    fold = folds_of_split(train, dataset.task, dataset.labels, count, seed=seed)
    has = dataset.task.present(train.labels, len(dataset.labels))
    alone = [label for label in range(has.shape[1]) if len(np.unique(fold[has[:, label]])) == 1]
    fold[with_duplicates(train, np.asarray(has[:, alone].any(axis=1)))] = -1
    return fold
