"""The threshold of a task with several labels per text: one for all labels, chosen for the task's primary metric."""

from __future__ import annotations

import numpy as np

from liteft.ragged import Rows
from liteft.tasks.base import Task

__all__ = ["fit_threshold"]

_SHARES = np.arange(0.4, 2.5, 0.1)  # predicted labels over true ones that are tried


def fit_threshold(
    logits: Rows, labels: Rows, task: Task, *, unseen_label: np.ndarray | None = None
) -> tuple[float, float]:
    """Return the logit above which a label is best predicted, and the primary metric there.

    Tried are 0 and the logits above which there are 0.4 to 2.4 times as many predicted as true labels, each in the
    middle between two that occur, so that rounding to float32 changes no prediction. A task with one label per text
    or word has no threshold: 0.

    Args:
        logits: float (texts, labels), finite, of texts that were not trained on.
        labels, unseen_label: as for ``Task.score``.
        task: what the labels mean.

    Raises:
        ValueError, ModelError: as for ``Task.score``.
    """
    if not task.several:
        return 0.0, task.score(logits, labels, unseen_label=unseen_label)[task.primary_metric]
    task.check_scored(logits, labels, unseen_label)
    order = np.argsort(-logits, axis=None, kind="stable")
    ordered = logits.ravel()[order].astype(np.float64)
    hits = np.concatenate([[0], np.cumsum(labels.ravel()[order])])  # of the first 0, 1, 2, ... cells
    missing = 0 if unseen_label is None else int(unseen_label.sum())

    def reached(predicted: int) -> float:
        return float(2 * hits[predicted] / max(1, predicted + hits[-1] + missing))

    candidates = {0.0: reached(int((ordered > 0).sum()))}
    for share in _SHARES:
        wanted = min(int(hits[-1] * share), len(ordered) - 1)
        above = int((ordered > ordered[wanted]).sum())  # fewer where several cells have one logit
        if above:
            candidates.setdefault(float(ordered[above - 1 : above + 1].mean()), reached(above))
    best = max(candidates, key=candidates.__getitem__)
    return best, candidates[best]
