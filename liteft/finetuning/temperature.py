"""The temperature of a trained classifier, fitted on validation and folded into its last layer.

The weights and the bias of the last layer are divided by it. So every later step reads calibrated logits: those that
teach a student, those of exported graphs and of every engine. No label changes, and no file stores a temperature.
"""

from __future__ import annotations

import torch

from liteft.data import Split
from liteft.finetuning.head import last_layer
from liteft.finetuning.logits import predict_logits
from liteft.finetuning.model import TorchClassifier
from liteft.tasks import fit_temperature, rows_to_calibrate, task_of_labels

__all__ = ["calibrate"]


def calibrate(loaded: TorchClassifier, validation: Split, *, wanted: bool = True) -> float:
    """Fit the temperature of a trained classifier, divide its last layer by it in place, and return it.

    Args:
        loaded: the classifier.
        validation: texts with labels that it was not trained on; with fewer than 50 the temperature is 1.
        wanted: False leaves the classifier alone and returns 1.
    """
    if not wanted or validation.labels is None:
        return 1.0
    task = task_of_labels(validation.labels)
    rows = rows_to_calibrate(validation.labels, task, unseen_label=validation.unseen_label)
    if not len(rows):
        return 1.0
    logits = predict_logits(loaded, validation.texts, validation.pairs)
    temperature = fit_temperature(logits[rows], validation.labels[rows], task)
    layer = last_layer(loaded.model, len(loaded.settings.labels))
    with torch.no_grad():
        for weights in (layer.weight, layer.bias):
            if weights is not None:
                weights.div_(temperature)
    return temperature
