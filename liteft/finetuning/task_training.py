"""What a task means for training, in torch: losses, class weights, the initial head.

The other half of `liteft.tasks`, kept apart because the runtime must not import torch.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from liteft.finetuning.answer_batches import known_units
from liteft.tasks import ANSWERS, MULTI_LABEL, SCORES, SINGLE_LABEL, TOKENS, Task
from liteft.tasks.scores import Scores

__all__ = ["TaskTraining", "training_of", "units_of"]


class TaskTraining(ABC):
    """One instance per task. Logits are float32, shape (texts, labels), and losses have shape (), in nats."""

    def of(self, task: Task) -> TaskTraining:
        """Return the training side of a task that is bound to data."""
        return self

    @abstractmethod
    def label_loss(self, logits: Tensor, labels: Tensor, smoothing: float, weights: Tensor | None) -> Tensor:
        """Return the mean loss against gold labels; see ``loss.label_loss``."""

    @abstractmethod
    def distance(self, first: Tensor, second: Tensor) -> Tensor:
        """Return the mean of both divergences between two predictions; see ``consistency.consistency_loss``.

        Of scores it is the mean squared difference, which is also what a student learns from its teacher.
        """

    @abstractmethod
    def log_outcomes(self, logits: Tensor) -> Tensor:
        """Return log-probabilities of all outcomes, shape (texts, ...), for divergences to sum over."""

    @abstractmethod
    def distributions(self, logits: Tensor) -> int:
        """Return the number of distributions per text: `label_loss` averages over them, divergences sum."""

    @abstractmethod
    def balanced(self, counts: np.ndarray, texts: int) -> np.ndarray:
        """Return class weights, float64 (labels,), from the number of texts with each label, ``counts`` (labels,)."""

    @abstractmethod
    def contrasts(
        self, labels: np.ndarray, means: np.ndarray, middle: np.ndarray, sums: np.ndarray, present: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray | int]:
        """Return what linear discriminants separate each label from; see ``head.discriminants``.

        Args:
            labels: of the texts, as an array of the task.
            means: mean features of each label's texts, float64 (labels, width).
            middle: mean features of all texts, (width,).
            sums: features of each label's texts, summed: (labels, width).
            present: texts with each label: int64 (labels,).

        Returns:
            The mean of what each label is separated from, (labels, width); what to subtract from each text's features
            for the covariance within labels, (texts, width) or (width,); and the number of texts that each label's
            frequency is relative to: all texts, or per label those without it.
        """


class _SingleLabel(TaskTraining):
    def label_loss(self, logits: Tensor, labels: Tensor, smoothing: float, weights: Tensor | None) -> Tensor:
        if labels.is_floating_point():
            return functional.cross_entropy(logits, labels, weight=weights, label_smoothing=smoothing)
        if not bool((labels >= 0).any()):
            return logits.sum() * 0.0
        return functional.cross_entropy(logits, labels, weight=weights, ignore_index=-1, label_smoothing=smoothing)

    def distance(self, first: Tensor, second: Tensor) -> Tensor:
        # KL(p, q) + KL(q, p) = sum of (p - q)(log p - log q), where the normalising constants of the logits cancel.
        return ((first.softmax(dim=-1) - second.softmax(dim=-1)) * (first - second)).sum(dim=-1).mean() / 2

    def log_outcomes(self, logits: Tensor) -> Tensor:
        return logits.log_softmax(dim=-1)

    def distributions(self, logits: Tensor) -> int:
        return 1

    def balanced(self, counts: np.ndarray, texts: int) -> np.ndarray:
        return np.asarray(counts.sum() / (len(counts) * np.maximum(counts, 1)))

    def contrasts(
        self, labels: np.ndarray, means: np.ndarray, middle: np.ndarray, sums: np.ndarray, present: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray | int]:
        return np.broadcast_to(middle, means.shape), means[labels], len(labels)


class _MultiLabel(TaskTraining):
    def label_loss(self, logits: Tensor, labels: Tensor, smoothing: float, weights: Tensor | None) -> Tensor:
        targets = labels.float() * (1 - smoothing) + smoothing / 2
        return functional.binary_cross_entropy_with_logits(logits, targets, pos_weight=weights)

    def distance(self, first: Tensor, second: Tensor) -> Tensor:
        return ((first.sigmoid() - second.sigmoid()) * (first - second)).mean() / 2

    def log_outcomes(self, logits: Tensor) -> Tensor:
        # log sigmoid(x) and log sigmoid(-x) are the two outcomes of each label.
        return torch.stack([functional.logsigmoid(logits), functional.logsigmoid(-logits)], dim=-1)

    def distributions(self, logits: Tensor) -> int:
        return int(logits.shape[1])

    def balanced(self, counts: np.ndarray, texts: int) -> np.ndarray:
        return np.asarray(np.clip((texts - counts) / np.maximum(counts, 1), 0.01, 100.0))

    def contrasts(
        self, labels: np.ndarray, means: np.ndarray, middle: np.ndarray, sums: np.ndarray, present: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray | int]:
        texts = len(labels)
        absent = texts - present
        others = np.where(absent[:, None] > 0, (texts * middle - sums) / np.maximum(absent, 1)[:, None], middle)
        return others, middle, np.maximum(absent, 0.5)


class _Answers(TaskTraining):
    """Logits are those of units, (rows, units, 2), and labels the first and the last unit, int64 (rows, 2)."""

    def label_loss(self, logits: Tensor, labels: Tensor, smoothing: float, weights: Tensor | None) -> Tensor:
        logs = self.log_outcomes(logits)
        right = -logs.gather(1, labels[:, None, :]).mean()
        if not smoothing:
            return right
        units = known_units(logits)
        even = (-logs.where(units, torch.zeros_like(logs)).sum(dim=1) / units.sum(dim=1)).mean()
        return (1 - smoothing) * right + smoothing * even

    def distance(self, first: Tensor, second: Tensor) -> Tensor:
        shares = first.softmax(dim=1) - second.softmax(dim=1)
        return (shares * (first - second)).sum(dim=1).mean() / 2

    def log_outcomes(self, logits: Tensor) -> Tensor:
        return logits.log_softmax(dim=1)

    def distributions(self, logits: Tensor) -> int:
        return 2

    def balanced(self, counts: np.ndarray, texts: int) -> np.ndarray:
        raise NotImplementedError("answers have no classes")

    def contrasts(
        self, labels: np.ndarray, means: np.ndarray, middle: np.ndarray, sums: np.ndarray, present: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray | int]:
        raise NotImplementedError("answers have no classes")


class _Scores(TaskTraining):
    """Binary cross entropy where scores are from 0 to 1, and otherwise squared differences in variances of train."""

    def __init__(self, spread: float = 1.0, *, bounded: bool = False) -> None:
        self._spread = spread
        self._bounded = bounded

    def of(self, task: Task) -> TaskTraining:
        units = units_of(task)
        return _Scores(1.0 if units is None else units[1], bounded=task.activation == "sigmoid")

    def label_loss(self, logits: Tensor, labels: Tensor, smoothing: float, weights: Tensor | None) -> Tensor:
        known = ~labels.isnan()
        if not bool(known.any()):
            return logits.sum() * 0.0
        found, gold = logits[known, 0], labels[known].float()
        if self._bounded:
            return functional.binary_cross_entropy_with_logits(found, gold)
        return functional.mse_loss(found / self._spread, gold / self._spread)

    def distance(self, first: Tensor, second: Tensor) -> Tensor:
        return functional.mse_loss(first / self._spread, second / self._spread)

    def log_outcomes(self, logits: Tensor) -> Tensor:
        raise ValueError("scores have no probabilities")

    def distributions(self, logits: Tensor) -> int:
        return 1

    def balanced(self, counts: np.ndarray, texts: int) -> np.ndarray:
        raise ValueError("scores have no classes")

    def contrasts(
        self, labels: np.ndarray, means: np.ndarray, middle: np.ndarray, sums: np.ndarray, present: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray | int]:
        raise ValueError("scores have no discriminants")


# Logits of words are a row for each word here, so a word's tag is learned as a text's label is.
_TRAINING: dict[Task, TaskTraining] = {
    SINGLE_LABEL: _SingleLabel(),
    MULTI_LABEL: _MultiLabel(),
    TOKENS: _SingleLabel(),
    ANSWERS: _Answers(),
    SCORES: _Scores(),
}


def training_of(task: Task) -> TaskTraining:
    """Return the training side of a task."""
    return _TRAINING[task].of(task)


def units_of(task: Task) -> tuple[float, float] | None:
    """Return the mean and the deviation in which the logits of scores are learned; None for other tasks."""
    if not isinstance(task, Scores) or task.activation == "sigmoid":
        return None
    return task.mean, task.spread
