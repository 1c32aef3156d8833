"""The loss against labels or their probabilities: cross entropy, binary cross entropy, or squared differences."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from liteft.finetuning.task_training import training_of
from liteft.tasks import Task, task_of_labels

__all__ = ["balanced_weights", "label_loss"]


def label_loss(
    logits: Tensor,
    labels: Tensor,
    *,
    task: Task,
    smoothing: float = 0.0,
    weights: Tensor | None = None,
) -> Tensor:
    """Return the mean loss against gold labels.

    Args:
        logits: shape (texts, labels), any float dtype; computed in float32.
        labels: int64 (texts,), -1 for an unknown label, whose text is ignored; or float (texts, labels): 0, 1 or, for
            either task, the probability of each label; or float (texts,) of scores, NaN for an unknown one.
        task: selects the loss.
        smoothing: share of the probability spread evenly over all labels, 0 to 1.
        weights: one per label, float32 (labels,), or None.

    Returns:
        Shape (), in nats; 0 if no text has a label.

    Source of smoothing: Szegedy et al. 2016, section 7, arXiv:1512.00567.
    """
    return training_of(task).label_loss(logits.float(), labels, smoothing, weights)


def balanced_weights(labels: np.ndarray, count: int) -> Tensor:
    """Return class weights inverse to the classes' frequency, float32, shape (labels,).

    Args:
        labels: int64 (texts,) or bool (texts, labels) of the training split.
        count: number of labels.

    Single-label weights average 1 over the texts; multi-label weights are negatives / positives, at most 100.
    """
    task = task_of_labels(labels)
    return torch.tensor(training_of(task).balanced(task.counts(labels, count), len(labels)), dtype=torch.float32)
