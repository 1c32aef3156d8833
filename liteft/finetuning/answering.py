"""Models that answer questions: how they read and decide, and which settings of a training do not apply to them."""

from __future__ import annotations

import math

import numpy as np

from liteft.answer_spans import MAX_ANSWER, AnswerForm
from liteft.data import Dataset, Split
from liteft.errors import ConfigError, leave_out
from liteft.finetuning.model import TorchClassifier
from liteft.finetuning.reading import read_split
from liteft.recipes import TeacherRecipe, TrainingRecipe

__all__ = ["form_for", "require_answerable"]

_COVERED = 0.99  # of the training answers, by the longest answer that is given
_PLAIN = {
    "class_weights": "none",
    "choose_by": ("balanced", "metric"),
    "head": (None, "random"),
    "logits_loss": "kl",
    "augmentation": "none",
    "pool_select": None,
    "vocabulary": None,
    "teacher_folds": 0,
}  # what a training of answers may have of settings that depend on what a label is


def require_answerable(recipe: TrainingRecipe, dataset: Dataset) -> None:
    """Refuse settings that do not apply to answers.

    Args:
        recipe: of a teacher or a student.
        dataset: the data; of other tasks nothing is refused but ``max_answer``.

    Raises:
        ConfigError: a setting does not apply.
    """
    table = "teacher" if isinstance(recipe, TeacherRecipe) else "student"
    if not dataset.task.extractive:
        if isinstance(recipe, TeacherRecipe) and recipe.max_answer is not None:
            raise ConfigError(
                f"max_answer is the length of answers to questions, and {dataset.name} has labels.",
                fix=leave_out("teacher.max_answer"),
            )
        return
    for name, plain in _PLAIN.items():
        accepted = plain if isinstance(plain, tuple) else (plain,)
        value = getattr(recipe, name, accepted[0])
        if value not in accepted:
            raise ConfigError(
                f"{name}={value} does not apply where questions are answered from a context.",
                accepted={name: ", ".join("none" if each is None else str(each) for each in accepted)},
                fix=leave_out(f"{table}.{name}"),
            )


def form_for(loaded: TorchClassifier, train: Split, recipe: TeacherRecipe) -> AnswerForm | None:
    """Return how a model reads questions and decides on answers, before a threshold is known; None for other models.

    Args:
        loaded: the untrained model.
        train: its training split, by whose answers their most tokens are chosen if the recipe does not say.
        recipe: its ``max_answer`` counts.
    """
    if loaded.settings.answers is None:
        return None
    most = recipe.max_answer
    if most is None:
        windows = read_split(loaded, train).answers
        assert windows is not None and train.labels is not None
        tokens = windows.target_tokens(windows.targets(train.labels))
        most = max(MAX_ANSWER, math.ceil(np.quantile(tokens, _COVERED))) if len(tokens) else MAX_ANSWER
    return AnswerForm(max_answer=most)
