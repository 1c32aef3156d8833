"""The single-label task: a text has one label, that of the largest logit."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from liteft.metrics import f1_scores, log_loss, softmax
from liteft.ragged import Ragged
from liteft.tasks.base import NOT_IN_TRAIN, Answer, Interval, Task, Threshold, check_logits, need_shape

__all__ = ["SINGLE_LABEL"]


class SingleLabel(Task):
    """A text has one label; label arrays are int64 (texts,), -1 for a label unknown in training."""

    name = "single_label"
    description = "one label per text"
    several = False
    fewest_labels = 2  # a single label would always be predicted
    label_dtype = np.int64
    activation = "softmax"
    primary_metric = "accuracy"
    text_metric = "accuracy"
    headline_metrics = ("accuracy", "macro_f1")
    judged_by = ("accuracy", "macro_f1")
    metrics = (*headline_metrics, "log_loss", "calibration_error")
    paired_units = "texts with the right label"
    columns = {"prediction": "text", "score": "number"}  # noqa: RUF012

    def check_names(self, names: Sequence[str]) -> None:
        if len(names) != 1:
            raise ValueError(f"a list of {len(names)} labels, but each text has one label")

    def encode_labels(self, rows: Sequence[tuple[str, ...]], index: Mapping[str, int]) -> np.ndarray:
        return np.fromiter((index.get(names[0], -1) for names in rows), dtype=np.int64, count=len(rows))

    def names_of(self, row: Any, labels: Sequence[str]) -> tuple[str, ...]:
        return (labels[int(row)] if row >= 0 else NOT_IN_TRAIN,)

    def without_labels(self, texts: int, labels: int, words: Ragged | None = None) -> np.ndarray:
        return np.full(texts, -1)

    def known(self, labels: np.ndarray) -> np.ndarray:
        return np.asarray(labels >= 0)

    def bare(self, labels: np.ndarray) -> np.ndarray:
        return np.zeros(len(labels), dtype=bool)

    def counts(self, labels: np.ndarray, count: int) -> np.ndarray:
        return np.bincount(labels[labels >= 0], minlength=count)

    def label_count(self, labels: np.ndarray) -> int:
        return int(labels.max()) + 1

    def misfit(self, labels: np.ndarray, count: int) -> str:
        largest = int(labels.max())
        return f"the label {largest}" if largest >= count else ""

    def relabel(self, labels: np.ndarray, place: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray | None]:
        return np.where(labels >= 0, place[labels], -1), None

    def indicators(self, labels: np.ndarray, count: int) -> np.ndarray:
        return np.asarray(labels[:, None] == np.arange(count))

    def probabilities(self, logits: np.ndarray) -> np.ndarray:
        return softmax(logits)

    def choose(self, scores: np.ndarray, threshold: Threshold) -> np.ndarray:
        return np.asarray(np.argmax(scores, axis=1), dtype=np.int64)

    def decide(self, logits: np.ndarray, threshold: Threshold = 0.5) -> np.ndarray:
        check_logits(logits)
        return self.choose(logits, threshold)  # not by probabilities, which may be equal for different logits

    def same(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        return np.asarray(first == second)

    def cells(self, answer: Answer) -> list[Any]:
        return [answer.label, answer.score]

    def chance_loss(self, labels: int) -> float:
        return math.log(max(2, labels))

    def score(
        self,
        logits: np.ndarray,
        labels: np.ndarray,
        *,
        unseen_label: np.ndarray | None = None,
        threshold: Threshold = 0.5,
    ) -> dict[str, float]:
        self.check_scored(logits, labels, unseen_label)
        decisions = self.decide(logits)
        _, macro = f1_scores(*self._counted(decisions, labels, logits, unseen_label))
        known = labels >= 0 if unseen_label is None else (labels >= 0) & ~unseen_label
        right = self.correct(logits, labels, unseen_label=unseen_label)
        metrics = {"accuracy": float(right.mean()), "macro_f1": macro}
        if known.any():
            metrics["log_loss"] = log_loss(logits[known], labels[known])
        return metrics | {"calibration_error": self.calibration_error(logits, np.where(known, labels, -1))}

    def contributions(
        self, logits: np.ndarray, labels: np.ndarray, *, unseen_label: np.ndarray | None = None
    ) -> np.ndarray:
        return self.correct(logits, labels, unseen_label=unseen_label).astype(np.float64)

    def primary_difference(
        self, first: np.ndarray, second: np.ndarray, labels: np.ndarray, *, unseen_label: np.ndarray | None = None
    ) -> Interval | None:
        return None

    def blind(self, labels: np.ndarray, count: int) -> float:
        shares = self.counts(labels, count) / max(1, len(labels))
        occurring = max(1, int(np.count_nonzero(shares)))
        most = float(shares.max(initial=0))
        constant = most + 2 * most / (1 + most) / occurring
        proportional = float((shares**2).sum()) + 1 / occurring  # of each label as many as there are
        return max(constant, proportional) / 2

    def _gold(self, labels: np.ndarray, count: int, unseen_label: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        unknown = labels < 0 if unseen_label is None else (labels < 0) | unseen_label.astype(bool)
        return self.indicators(labels, count) & ~unknown[:, None], unknown

    def _outcomes(self, logits: np.ndarray) -> list[np.ndarray]:
        return [softmax(logits)]

    def _log_outcomes(self, logits: np.ndarray) -> list[np.ndarray]:
        return [logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)]

    def _check_shape(self, logits: np.ndarray, labels: np.ndarray) -> None:
        need_shape(self, logits, labels, logits.shape[:1])
        if len(labels) and int(labels.max()) >= logits.shape[1]:
            raise ValueError(f"label {int(labels.max())} is beyond the model's {logits.shape[1]} labels")


SINGLE_LABEL = SingleLabel()
