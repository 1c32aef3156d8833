"""A student that learns public texts alone: its teacher has seen private ones, and only the teacher's answers get out.

With ``transfer=pool`` the labelled texts and their labels take no part in what becomes of the student's weights: they
are not learned, validation chooses and fits nothing, the vocabulary is trimmed to the unlabelled texts, and the student
starts from the base that the teacher started from, or from an encoder of its own. What the answers themselves tell of
the private texts is not bounded by this. It is where the teacher was trained with an epsilon: whatever is made of such
a teacher keeps its promise, so that its student may start from its layers.

Source: Papernot et al. 2017, arXiv:1610.05755, of which this takes the public transfer set and not the vote.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from liteft.data import Dataset, Split
from liteft.distillation.raw_start import create_untaught
from liteft.distillation.teachers import Teacher
from liteft.distillation.training import StudentTraining
from liteft.errors import ConfigError, option
from liteft.finetuning.model import TorchClassifier
from liteft.recipes import Recipe, StudentRecipe
from liteft.tasks import task_of_labels

__all__ = [
    "bare_labels",
    "from_public_start",
    "kept_promise",
    "learns_pool_alone",
    "public_start",
    "require_public_pool",
    "settled_for_pool",
]


def learns_pool_alone(training: StudentTraining) -> bool:
    """Return whether a student learns the unlabelled texts alone."""
    return training.recipe.transfer == "pool"


def settled_for_pool(recipe: StudentRecipe) -> StudentRecipe:
    """Return the recipe of a student that learns the pool alone, without anything that validation would choose."""
    return recipe.model_copy(update={"hard_weight": 0.0, "calibrate": False, "rate_search": False})


def require_public_pool(teacher: Teacher, dataset: Dataset, recipe: Recipe, tell: Callable[[str], None]) -> None:
    """Refuse a pool of private texts, and a start that is not known; tell where a teacher's epsilon ends.

    Raises:
        ConfigError: the pool is the rest of the labelled texts, or the teacher's base is not known.
    """
    promised = _promise_of(teacher) is not None
    if recipe.student.transfer == "all":
        if any(_has_epsilon(each) for each in (teacher, *teacher.others)):
            tell("warning: the teacher's epsilon does not hold for its student, which learns the texts themselves")
        return
    if teacher.others and any(_has_epsilon(each) for each in (teacher, *teacher.others)):
        tell("warning: of several teachers the student keeps no epsilon: each has its own, and they add up")
    if dataset.subset is not None:
        raise ConfigError(
            "transfer=pool learns public texts alone, and with labels_per_class the labelled texts are the pool.",
            fix=[option("student.transfer", "all"), "leave out labels_per_class"],
        )
    known = teacher.run is not None and teacher.run.kind == "teacher"
    if not (known or promised or recipe.student.student is not None):
        raise ConfigError(
            "transfer=pool starts from the base of the teacher, and this one does not say what that was.",
            accepted={"start": "the base of a run that liteft.finetune made, or an encoder of the student's own"},
            fix=option("student", "ENCODER"),
        )


def from_public_start(training: StudentTraining) -> TorchClassifier | None:
    """Return the untrained student where it must not start from its teacher's layers; None where it may."""
    return create_untaught(training) if _starts_apart(training) else None


def bare_labels(train: Split, unlabeled: Split) -> Split:
    """Return unlabelled texts with the empty labels that a training expects, of the form of the labelled ones'."""
    assert train.labels is not None  # require_trainable
    task = task_of_labels(train.labels)
    empty = task.without_labels(len(unlabeled), task.label_count(train.labels), unlabeled.words)
    return replace(unlabeled, labels=empty.astype(train.labels.dtype), soft_labels=None)


def public_start(training: StudentTraining) -> str:
    """Return what a student starts from in words, if it must not start from its teacher's layers; else ""."""
    return "the base's layers and a new head" if _starts_apart(training) else ""


def _starts_apart(training: StudentTraining) -> bool:
    return learns_pool_alone(training) and training.encoder is None and _promise_of(training.teacher) is None


def kept_promise(training: StudentTraining) -> dict[str, Any] | None:
    """Return the teacher's promise, which a student that learned the pool alone keeps; None without one."""
    return _promise_of(training.teacher)


def _promise_of(teacher: Teacher) -> dict[str, Any] | None:
    """Return what was promised of the one teacher that answers; None of several: theirs do not hold together."""
    return teacher.run.info.get("privacy") if teacher.run is not None and not teacher.others else None


def _has_epsilon(teacher: Teacher) -> bool:
    return teacher.run is not None and "privacy" in teacher.run.info
