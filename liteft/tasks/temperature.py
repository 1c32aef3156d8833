"""Temperature scaling: the one number by which logits are divided so that probabilities are as sure as they are right.

Training ends with logits that fit the training texts, so probabilities are too sure of others. Dividing all logits by
one temperature changes no label, and mends most of it.

Source: Guo et al. 2017, section 4.2, arXiv:1706.04599. That one more text of unknown label keeps a flawless validation
split from asking for endless certainty is from Platt 1999, section 2.2.
"""

from __future__ import annotations

import math

import numpy as np

from liteft.ragged import Ragged, Rows
from liteft.tasks.base import Task, entries
from liteft.tasks.single_label import SINGLE_LABEL

__all__ = ["FEWEST_TO_CALIBRATE", "FEW_TO_TEST", "fit_temperature", "rows_to_calibrate"]

FEWEST_TO_CALIBRATE = 50  # with fewer rows the temperature would be mostly chance
FEW_TO_TEST = 50  # of fewer texts a difference of 14 points is within chance
_LOWEST, _HIGHEST = 0.25, 8.0
_HALVINGS = 40


def rows_to_calibrate(labels: Rows, task: Task, *, unseen_label: np.ndarray | None = None) -> np.ndarray:
    """Return the rows of validation on which a temperature is fitted: int64; none if there are fewer than 50.

    Args:
        labels: int64 (texts,), -1 for a label unknown in training; or bool (texts, labels); or Ragged, of words.
        task: what the labels mean.
        unseen_label: bool (texts,), texts with a label unknown in training, or None; they are left out.
    """
    if task.numeric:
        return np.zeros(0, dtype=np.int64)  # scores are no probabilities
    known = task.known(labels) if unseen_label is None else task.known(labels) & ~unseen_label
    rows = np.flatnonzero(known)
    return rows if len(rows) >= FEWEST_TO_CALIBRATE else rows[:0]


def fit_temperature(logits: Rows, labels: Rows, task: Task) -> float:
    """Return the temperature with the lowest negative log-likelihood of labels, between 0.25 and 8.

    The likelihood is that of `Task.probabilities` (softmax, or a sigmoid per label) after dividing the logits.

    Args:
        logits: float (texts, labels), of texts that were not trained on.
        labels: int64 (texts,) or bool (texts, labels), all of them known in training; of words some may be unknown.
        task: what the labels mean.
    """
    if isinstance(logits, Ragged):  # all words alike, in whichever text
        known = entries(labels) >= 0
        return fit_temperature(logits.values[known], entries(labels)[known], SINGLE_LABEL) if known.any() else 1.0
    values = logits.astype(np.float64)
    doubt = 1 / (len(values) + 1)
    gold = (1 - doubt) * task.indicators(labels, logits.shape[1]) + doubt * task.probabilities(0 * values)

    def too_sure(temperature: float) -> bool:
        # the slope over 1 / temperature, in which the loss is convex: the sum of (probability - gold) * logit
        return bool(((task.probabilities(values / temperature) - gold) * values).sum() > 0)

    low, high = math.log(_LOWEST), math.log(_HIGHEST)
    if too_sure(_HIGHEST):
        return _HIGHEST
    if not too_sure(_LOWEST):
        return _LOWEST
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if too_sure(math.exp(middle)) else (low, middle)
    return math.exp((low + high) / 2)
