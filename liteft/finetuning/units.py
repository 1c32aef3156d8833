"""The units in which scores are learned: standard deviations of train, around its mean.

An optimizer moves every weight by about its learning rate, whatever the labels are. Scores from 0 to 100 would take a
hundred times as many steps as those from 0 to 1. So while a model is trained, its last layer gives standard scores, and
the trainer converts them; before and after, the layer gives scores as the data have them, and nothing else has to know.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from liteft.finetuning.head import last_layer
from liteft.finetuning.model import TorchClassifier
from liteft.finetuning.task_training import units_of
from liteft.tasks import Task

__all__ = ["start_in_units", "training_units"]


def start_in_units(loaded: TorchClassifier) -> None:
    """Convert a new last layer, whose random weights give standard scores, to the units of the data, in place."""
    units = units_of(loaded.settings.task)
    if units is not None:
        _widen(last_layer(loaded.model, 1), *units)


@contextmanager
def training_units(loaded: TorchClassifier, task: Task) -> Iterator[tuple[float, float]]:
    """Let the last layer give standard scores while the body runs.

    Args:
        loaded: the classifier that is trained.
        task: of the data.

    Yields:
        What to add to its logits and what to multiply them with before: 0 and 1 for tasks without units, 0 also for a
        last layer without a bias.
    """
    units = units_of(task)
    if units is None:
        yield 0.0, 1.0
        return
    layer = last_layer(loaded.model, 1)
    mean, spread = units if layer.bias is not None else (0.0, units[1])
    _widen(layer, -mean / spread, 1 / spread)
    try:
        yield mean, spread
    finally:
        _widen(layer, mean, spread)


def _widen(layer: nn.Linear, mean: float, spread: float) -> None:
    """Multiply what a layer gives, and add to it."""
    with torch.no_grad():
        layer.weight.mul_(spread)
        if layer.bias is not None:
            layer.bias.mul_(spread).add_(mean)
