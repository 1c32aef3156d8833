"""The head's first weights: linear discriminants of the base's own features, instead of random ones.

A random head distorts the encoder until the head itself has learned something; part of what the base knew is lost,
more so the more labels there are. Discriminants of the pooled features, in closed form after one pass over the
training texts, are a fair classifier at step 0, and fine-tuning starts from there.

Sources: Fisher 1936 for the discriminants; Kumar et al. 2022, arXiv:2202.10054, for what a random head does to a
pretrained encoder.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from liteft.data import Split
from liteft.errors import ConfigError, DataError, option
from liteft.finetuning.logits import predict_logits
from liteft.finetuning.loss import label_loss
from liteft.finetuning.model import MeanPooledClassifier, TorchClassifier
from liteft.finetuning.task_training import training_of
from liteft.tasks import Task, task_of_labels

__all__ = ["discriminants", "last_layer", "layer_inputs", "start_from_discriminants"]

_TEXTS = 16_384  # more texts would hardly change the means
_SHRINKAGE = 0.3
_SCALES = 2.0 ** np.arange(-7, 3)


def start_from_discriminants(loaded: TorchClassifier, split: Split, *, seed: int, bf16: bool) -> None:
    """Set the last layer of an untrained classifier to the discriminants of a split's texts, in place.

    The features are the inputs of the last layer: the pooled vector, or the output of the head's dense layers.

    Args:
        loaded: the classifier.
        split: the training split; at most 16,384 of its texts with labels are read, drawn by the seed.
        seed: draws them.
        bf16: run matrix products in bfloat16.

    Raises:
        ConfigError: the model is a decoder, whose last layer reads every token, or it judges words.
        DataError: the split has no labels.
    """
    if loaded.settings.task.per_word:
        raise ConfigError(
            "a head starts from discriminants of whole texts, and words are judged here.",
            fix=option("teacher.head", "random"),
        )
    layer = last_layer(loaded.model, len(loaded.settings.labels))
    if layer.bias is None:  # as in every decoder of transformers
        raise ConfigError(
            "the head of a decoder reads every token, so it has no discriminants to start from.",
            fix=option("teacher.head", "random"),
        )
    if split.labels is None:
        raise DataError(f"the {split.name} split has no labels.", fix="liteft.load_dataset(...)")
    rows = np.flatnonzero(task_of_labels(split.labels).known(split.labels))
    if len(rows) > _TEXTS:
        rows = np.sort(np.random.default_rng(seed).choice(rows, _TEXTS, replace=False))
    drawn = split.take(rows)
    # Sorted as predict_logits sorts, so the layer sees the texts in this order.
    rows = rows[np.argsort(loaded.tokenizer.encode(drawn.texts, drawn.pairs).lengths, kind="stable")]
    chosen = split.take(rows)
    read = _read_inputs(loaded, chosen, layer, bf16=bf16)
    weight, bias = discriminants(read.numpy(), split.labels[rows], count=layer.out_features, task=loaded.settings.task)
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(weight))
        layer.bias.copy_(torch.from_numpy(bias))


def layer_inputs(loaded: TorchClassifier, split: Split, layer: nn.Linear) -> Tensor:
    """Return what the last layer reads of each text, float32, shape (texts, width), in the order of the split."""
    order = np.argsort(loaded.tokenizer.encode(split.texts, split.pairs).lengths, kind="stable")  # as in predict_logits
    found = torch.empty(len(split), layer.in_features)
    found[torch.from_numpy(order)] = _read_inputs(loaded, split, layer, bf16=False)
    return found


def _read_inputs(loaded: TorchClassifier, split: Split, layer: nn.Linear, *, bf16: bool) -> Tensor:
    """Return what a layer reads, in the order in which `predict_logits` runs the texts: shortest first."""
    read: list[Tensor] = []
    hook = layer.register_forward_pre_hook(lambda _, given: read.append(given[0].float().cpu()))
    try:
        predict_logits(loaded, split, bf16=bf16)
    finally:
        hook.remove()
    return torch.cat(read)


def discriminants(features: np.ndarray, labels: np.ndarray, *, count: int, task: Task) -> tuple[np.ndarray, np.ndarray]:
    """Return weights and biases of linear discriminant analysis, scaled to fit.

    The covariance is shrunk by 0.3 towards a multiple of the identity. Discriminants in many dimensions are far
    overconfident, so they are multiplied by the power of two, 1/128 to 4, that makes the given labels most likely; the
    terms for label frequencies are not scaled.

    Args:
        features: float, shape (texts, width).
        labels: int64 (texts,) or bool (texts, labels).
        count: number of labels. A label without texts gets zero weights and the frequency of half a text.
        task: single-label separates the labels from each other, multi-label each label from its absence.

    Returns:
        Weights (labels, width) and biases (labels,), float32.
    """
    features = features.astype(np.float64)
    chosen = task.indicators(labels, count)
    texts, middle = len(features), features.mean(axis=0)
    present = chosen.sum(axis=0)
    sums = chosen.T.astype(np.float64) @ features
    means = np.where(present[:, None] > 0, sums / np.maximum(present, 1)[:, None], middle)
    others, centres, odds = training_of(task).contrasts(labels, means, middle, sums, present)
    within, frequency = features - centres, np.log(np.maximum(present, 0.5) / odds)
    covariance = within.T @ within / texts
    width = len(covariance)
    spread = max(float(np.trace(covariance)) / width, 1e-12)
    shrunk = (1 - _SHRINKAGE) * covariance + _SHRINKAGE * spread * np.eye(width)
    weight = np.linalg.solve(shrunk, (means - others).T).T
    bias = -0.5 * (weight * (means + others)).sum(axis=1)
    evidence = features @ weight.T + bias
    gold = torch.from_numpy(labels)
    scale = min(
        _SCALES, key=lambda one: float(label_loss(torch.from_numpy(one * evidence + frequency), gold, task=task))
    )
    return (scale * weight).astype(np.float32), (scale * bias + frequency).astype(np.float32)


def last_layer(model: nn.Module, labels: int) -> nn.Linear:
    """Return the layer that gives the logits. An encoder layer may be as wide, and may be registered after it."""
    encoder: Any = model.encoder if isinstance(model, MeanPooledClassifier) else model.base_model
    inside = set(encoder.modules())
    head = [module for module in model.modules() if module not in inside]
    return [module for module in head if isinstance(module, nn.Linear) and module.out_features == labels][-1]
