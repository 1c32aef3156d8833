"""R-Drop: every text is run twice, with two draws of dropout, and the two predictions are pulled together.

Dropout trains many thinned networks that need not agree with each other, while the full network predicts. The second
pass takes as long as the first.

Source: Liang et al. 2021, arXiv:2106.14448.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from liteft.finetuning.task_training import training_of
from liteft.finetuning.trainer import ClassifierTrainer, gold_of
from liteft.recipes import TeacherRecipe
from liteft.tasks import Task

__all__ = ["ConsistencyTrainer", "consistency_loss"]


def consistency_loss(first: Tensor, second: Tensor, *, task: Task) -> Tensor:
    """Return the mean of both Kullback-Leibler divergences between two predictions for the same texts.

    Args:
        first: logits of one pass, shape (texts, labels), any float dtype; computed in float32.
        second: logits of the other pass, same shape.
        task: a single-label one compares one distribution over the labels; a multi-label one a yes and no for each
            label, averaged over labels as the hard-label loss is.

    Returns:
        Mean over texts, shape (), in nats. Both passes have a gradient.

    Source: Liang et al. 2021, equation 2, arXiv:2106.14448.
    """
    return training_of(task).distance(first.float(), second.float())


class ConsistencyTrainer(ClassifierTrainer):
    """Trainer of a teacher with R-Drop.

    Both passes go through the model as one batch of twice the texts: one forward call per step, as training in several
    processes requires.
    """

    recipe: TeacherRecipe

    def model_inputs(self, batch: dict[str, Tensor]) -> dict[str, Any]:
        """Return the model's inputs; during training, each text is in them twice."""
        inputs = super().model_inputs(batch)
        if self.model.training:
            inputs = {name: torch.cat([tensor, tensor]) for name, tensor in inputs.items()}
        return inputs

    def text_loss(self, logits: Tensor, batch: dict[str, Tensor], outputs: Any) -> Tensor:
        """Return the hard-label loss, averaged over both passes, plus the weighted distance between them, shape ()."""
        first, second = logits.chunk(2)
        gold = self.gold_loss(logits, torch.cat([gold_of(batch), gold_of(batch)]))
        return gold + self.recipe.rdrop_weight * consistency_loss(first, second, task=self.task)
