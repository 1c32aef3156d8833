"""Predictions: from logits to labels with scores.

Softmax or sigmoid is applied here and not in the graph, so that logits stay available and thresholds can change
without another export. The manifest says which of the two it is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np

from liteft.arguments import checked_top_k
from liteft.errors import ConfigError, Hint, option
from liteft.metrics import sigmoid, softmax
from liteft.results import Result
from liteft.tasks import Task

__all__ = ["Answering", "Prediction", "activation_of"]


@dataclass(frozen=True, slots=True)
class Prediction(Result):
    """The prediction for one text.

    Attributes:
        label: the label with the highest score (the first on a tie).
        score: its score: a probability, or the logit if the manifest names no activation.
        labels: multi-label: every label whose score is over its threshold, in the manifest's order, possibly none;
            single-label: only ``label``.
        top: (label, score) of the ``top_k`` best labels, best first; empty without ``top_k``.
        truncated: True if the text was truncated.
        backend: what computed it: "native" or "onnxruntime". On native, a text's logits are bit-identical whatever
            texts are beside it; onnxruntime pads, and they may differ in the last bits.
    """

    label: str
    score: float
    labels: tuple[str, ...]
    top: tuple[tuple[str, float], ...]
    truncated: bool
    backend: str

    def render(self) -> str:
        """Return one line: the labels and the score of the best one, then the best labels with ``top_k``."""
        line = f"{', '.join(self.labels) or '(none)'} {self.score:.4f}"
        if self.top:
            line += f" ({', '.join(f'{label} {score:.4f}' for label, score in self.top)})"
        return line

    def to_dict(self) -> dict[str, Any]:
        """Return the prediction as plain data for JSON; ``top`` is a list of {label, score}, best first."""
        top = [{"label": label, "score": score} for label, score in self.top]
        return {
            "label": self.label,
            "score": self.score,
            "labels": list(self.labels),
            "top": top,
            "truncated": self.truncated,
            "backend": self.backend,
        }


class Answering:
    """Turns logits into predictions, with checked settings.

    Args:
        task: the task, which chooses labels by their scores.
        labels: the label names, in the order of the logits.
        activation: "softmax", "sigmoid" or "none".
        backend: the backend's name, for each Prediction.
        top_k: maximum number of labels in ``Prediction.top``; None for none.
        threshold: multi-label: a score must be larger; one number for all labels, or one per label. None means 0.5.

    Raises:
        ConfigError: a setting is out of range or does not fit the task.
    """

    def __init__(
        self,
        *,
        task: Task,
        labels: Sequence[str],
        activation: str,
        backend: str,
        top_k: int | None = None,
        threshold: float | Sequence[float] | None = None,
    ) -> None:
        self._labels = tuple(labels)
        self._task = task
        self._scores = activation_of(activation)
        self._backend = backend
        self._top_k = checked_top_k(top_k)
        self._threshold = _checked_threshold(threshold, task, len(self._labels))

    def __call__(self, logits: np.ndarray, truncated: np.ndarray) -> list[Prediction]:
        """Return one Prediction per row.

        Args:
            logits: float32, shape (texts, labels).
            truncated: bool, shape (texts,).
        """
        scores = self._scores(logits)
        best = scores.argmax(axis=1)
        best_scores = scores.max(axis=1).tolist()
        chosen = self._task.choose(scores, self._threshold)
        top = self._top(scores)
        answers = []
        for index, (column, cut) in enumerate(zip(best.tolist(), truncated.tolist(), strict=True)):
            label, named = self._labels[column], self._task.names_of(chosen[index], self._labels)
            answers.append(Prediction(label, best_scores[index], named, top[index] if top else (), cut, self._backend))
        return answers

    def _top(self, scores: np.ndarray) -> list[tuple[tuple[str, float], ...]]:
        if self._top_k is None:
            return []
        columns = np.argsort(-scores, axis=1, kind="stable")[:, : self._top_k]
        best = np.take_along_axis(scores, columns, axis=1)
        return [
            tuple((self._labels[column], score) for column, score in zip(*row, strict=True))
            for row in zip(columns.tolist(), best.tolist(), strict=True)
        ]


def activation_of(name: str) -> Callable[[np.ndarray], np.ndarray]:
    """Return the function from logits to scores for the manifest's name of it: "softmax", "sigmoid" or "none"."""
    known: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        "softmax": softmax,
        "sigmoid": sigmoid,
        "none": lambda logits: logits,
    }
    return known[name]


def _checked_threshold(threshold: float | Sequence[float] | None, task: Task, labels: int) -> float | np.ndarray:
    if threshold is None:
        return 0.5
    if not task.several:
        raise ConfigError(
            "a threshold was given, but this model has one label for every text.",
            accepted={"threshold": "multi-label models only"},
            fix=Hint("leave out the threshold, and compare Prediction.score with it", "leave out --threshold"),
        )
    to_list = getattr(threshold, "tolist", None)  # of arrays, and of columns of pandas
    given = to_list() if callable(to_list) and not isinstance(threshold, type) else threshold
    listed = given if isinstance(given, list | tuple) else [given]
    numbers = all(isinstance(each, Real) and not isinstance(each, bool) for each in listed)
    values = np.asarray(given if numbers else math.nan, dtype=np.float32)
    if values.shape not in ((), (labels,)) or not np.isfinite(values).all():
        raise ConfigError(
            f"threshold={given!r} is neither a number nor one number per label.",
            accepted={"threshold": f"a number such as 0.5, or {labels} numbers, one per label"},
            fix=option("threshold", 0.5),
        )
    if task.activation == "sigmoid" and ((values < 0) | (values > 1)).any():
        raise ConfigError(
            f"threshold must be from 0 to 1, got {given!r}.",
            accepted={"threshold": "a probability, or one for each label"},
            fix=option("threshold", 0.5),
        )
    return values
