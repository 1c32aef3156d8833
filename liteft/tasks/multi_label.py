"""The multi-label task: a text has any number of labels, those whose sigmoid exceeds a threshold."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from liteft.metrics import binary_log_loss, f1_scores, micro_f1_contributions, sigmoid
from liteft.ragged import Ragged
from liteft.tasks.base import Answer, Interval, Task, Threshold, check_logits, need_shape

__all__ = ["MULTI_LABEL"]


class MultiLabel(Task):
    """A text has any number of labels; label arrays are bool (texts, labels)."""

    name = "multi_label"
    description = "any number of labels per text"
    several = True
    fewest_labels = 1
    label_dtype = bool
    activation = "sigmoid"
    primary_metric = "micro_f1"
    text_metric = "exact_match"
    headline_metrics = ("micro_f1", "macro_f1", "exact_match")
    judged_by = ("micro_f1", "macro_f1")
    metrics = (*headline_metrics, "label_accuracy", "log_loss", "calibration_error")
    paired_units = "texts with every label right"
    columns = {"predictions": "texts", "scores": "numbers"}  # noqa: RUF012

    def check_names(self, names: Sequence[str]) -> None:
        pass

    def encode_labels(self, rows: Sequence[tuple[str, ...]], index: Mapping[str, int]) -> np.ndarray:
        labels = np.zeros((len(rows), len(index)), dtype=bool)
        for row, names in enumerate(rows):
            labels[row, [index[name] for name in names if name in index]] = True
        return labels

    def names_of(self, row: Any, labels: Sequence[str]) -> tuple[str, ...]:
        return tuple(labels[column] for column in np.flatnonzero(row).tolist())

    def without_labels(self, texts: int, labels: int, words: Ragged | None = None) -> np.ndarray:
        return np.zeros((texts, labels), dtype=bool)

    def known(self, labels: np.ndarray) -> np.ndarray:
        return np.ones(len(labels), dtype=bool)

    def bare(self, labels: np.ndarray) -> np.ndarray:
        return np.asarray(~labels.any(axis=1))

    def counts(self, labels: np.ndarray, count: int) -> np.ndarray:
        return np.asarray(labels.sum(axis=0))

    def label_count(self, labels: np.ndarray) -> int:
        return int(labels.shape[1])

    def misfit(self, labels: np.ndarray, count: int) -> str:
        return f"columns for {labels.shape[1]} labels" if labels.shape[1] != count else ""

    def relabel(self, labels: np.ndarray, place: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray | None]:
        moved = np.zeros((len(labels), count), dtype=labels.dtype)
        moved[:, place[place >= 0]] = labels[:, place >= 0]
        return moved, np.asarray(labels[:, place < 0].any(axis=1))

    def indicators(self, labels: np.ndarray, count: int) -> np.ndarray:
        return labels.astype(bool)

    def probabilities(self, logits: np.ndarray) -> np.ndarray:
        return sigmoid(logits)

    def choose(self, scores: np.ndarray, threshold: Threshold) -> np.ndarray:
        return np.asarray(scores > threshold)

    def decide(self, logits: np.ndarray, threshold: Threshold = 0.5) -> np.ndarray:
        check_logits(logits)
        return self.choose(sigmoid(logits), threshold)

    def same(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        return np.asarray((first == second).all(axis=1))

    def cells(self, answer: Answer) -> list[Any]:
        scores = dict(answer.top)
        return [list(answer.labels), [scores[label] for label in answer.labels]]

    def chance_loss(self, labels: int) -> float:
        return math.log(2)

    def score(
        self,
        logits: np.ndarray,
        labels: np.ndarray,
        *,
        unseen_label: np.ndarray | None = None,
        threshold: Threshold = 0.5,
    ) -> dict[str, float]:
        self.check_scored(logits, labels, unseen_label)
        decisions = self.decide(logits, threshold)
        micro, macro = f1_scores(*self._counted(decisions, labels, logits, unseen_label))
        return {
            "exact_match": float(self.correct(logits, labels, unseen_label=unseen_label, threshold=threshold).mean()),
            "micro_f1": micro,
            "macro_f1": macro,
            "label_accuracy": float((decisions == labels).mean()),
            "log_loss": binary_log_loss(logits, labels),
            "calibration_error": self.calibration_error(logits, labels),
        }

    def contributions(
        self, logits: np.ndarray, labels: np.ndarray, *, unseen_label: np.ndarray | None = None
    ) -> np.ndarray:
        self._check(logits, labels, unseen_label)
        return micro_f1_contributions(*self._counted(self.decide(logits), labels, logits, unseen_label))

    def primary_difference(
        self, first: np.ndarray, second: np.ndarray, labels: np.ndarray, *, unseen_label: np.ndarray | None = None
    ) -> Interval | None:
        return self.paired_f1_intervals(first, second, labels, unseen_label=unseen_label)[self.primary_metric]

    def blind(self, labels: np.ndarray, count: int) -> float:
        shares = np.sort(labels.mean(axis=0))[::-1]
        shares = shares[shares > 0]  # a label that does not occur has no F1 where it is not named
        if not len(shares):
            return 0.0
        named = np.arange(1, len(shares) + 1)  # the most frequent ones, for every text
        micro = float((2 * np.cumsum(shares) / (named + shares.sum())).max())
        return (micro + float(np.mean(2 * shares / (1 + shares)))) / 2

    def _gold(self, labels: np.ndarray, count: int, unseen_label: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        unknown = np.zeros(len(labels), dtype=bool) if unseen_label is None else unseen_label.astype(bool)
        return labels.astype(bool), unknown

    def _outcomes(self, logits: np.ndarray) -> list[np.ndarray]:
        yes = sigmoid(logits)
        return [yes, 1 - yes]

    def _log_outcomes(self, logits: np.ndarray) -> list[np.ndarray]:
        return [-np.logaddexp(0, -logits), -np.logaddexp(0, logits)]

    def _check_shape(self, logits: np.ndarray, labels: np.ndarray) -> None:
        need_shape(self, logits, labels, logits.shape)


MULTI_LABEL = MultiLabel()
