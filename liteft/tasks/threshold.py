"""The threshold of a task with several labels per text: one for all labels, chosen for the task's primary metric."""

from __future__ import annotations

import numpy as np

from liteft.tasks.base import Task

__all__ = ["fit_threshold"]

_SHARES = np.arange(0.4, 2.5, 0.1)  # predicted labels over true ones that are tried


def fit_threshold(
    logits: np.ndarray, labels: np.ndarray, task: Task, *, unseen_label: np.ndarray | None = None
) -> tuple[float, float]:
    """Return the logit above which a label is best predicted, and the primary metric there.

    Tried are 0 and the logits above which there are 0.4 to 2.4 times as many predicted as true labels. A task with one
    label per text has no threshold: 0.

    Args:
        logits: float (texts, labels), finite, of texts that were not trained on.
        labels, unseen_label: as for ``Task.score``.
        task: what the labels mean.
    """

    def reached(threshold: float) -> float:
        return task.score(logits - threshold, labels, unseen_label=unseen_label)[task.primary_metric]

    if not task.several:
        return 0.0, reached(0.0)
    ordered = np.sort(logits, axis=None)[::-1]
    wanted = int(labels.sum())
    places = [min(len(ordered) - 1, int(wanted * share)) for share in _SHARES]
    candidates = [0.0, *dict.fromkeys(float(ordered[place]) for place in places)]
    values = [reached(threshold) for threshold in candidates]
    best = int(np.argmax(values))
    return candidates[best], values[best]
