"""The losses of distillation, as pure functions of tensors.

Each returns a mean over texts or over real tokens, shape (), so its size does not depend on the batch size. Teacher
tensors have no gradient. Everything is computed in float32, whatever the precision of the model's matmuls.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from liteft.finetuning.task_training import training_of
from liteft.tasks import SINGLE_LABEL, Task

__all__ = ["hidden_state_loss", "kl_loss", "mse_loss", "relation_loss"]


def kl_loss(student: Tensor, teacher: Tensor, *, temperature: float = 2.0, task: Task = SINGLE_LABEL) -> Tensor:
    """Kullback-Leibler divergence between softened distributions, times T squared.

    Args:
        student: logits, shape (texts, labels), any float dtype.
        teacher: logits, same shape, no gradient.
        temperature: T > 0; 1 leaves the distributions alone.
        task: single-label compares one distribution over the labels; multi-label compares a yes/no distribution for
            each label and sums over the labels.

    Returns:
        Mean over texts, shape (), float32, in nats.

    Raises:
        ValueError: the shapes differ or T <= 0.

    Source: Hinton et al. 2015, section 2, arXiv:1503.02531.
    """
    _check_same(student, teacher)
    if temperature <= 0:
        raise ValueError(f"temperature {temperature} is not positive")
    student, teacher = student.float() / temperature, teacher.float() / temperature
    student, teacher = (training_of(task).log_outcomes(logits) for logits in (student, teacher))
    divergence = (teacher.exp() * (teacher - student)).flatten(1).sum(dim=1)
    return divergence.mean() * temperature**2


def mse_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean squared difference of logits, shape ().

    Args:
        student: logits, shape (texts, labels), any float dtype.
        teacher: logits, same shape, no gradient.

    Raises:
        ValueError: the shapes differ.

    Source: Ba and Caruana 2014, section 2.2, arXiv:1312.6184; against the divergence: Kim et al. 2021,
    arXiv:2105.08919.
    """
    _check_same(student, teacher)
    return functional.mse_loss(student.float(), teacher.float())


def hidden_state_loss(student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    """Mean squared difference of hidden states over real tokens, shape ().

    Args:
        student: shape (texts, tokens, width), projected to the teacher's width where they differ.
        teacher: same shape, no gradient.
        mask: shape (texts, tokens), nonzero at real tokens.

    Raises:
        ValueError: the shapes differ.

    Source: Jiao et al. 2020 (TinyBERT), equation 8, arXiv:1909.10351.
    """
    _check_same(student, teacher)
    real = mask.bool()
    return functional.mse_loss(student.float()[real], teacher.float()[real])


def relation_loss(student: Tensor, teacher: Tensor, mask: Tensor, *, heads: int) -> Tensor:
    """Divergence between the self-attention relations of teacher and student, shape (), in nats.

    A relation is the softmax of the scaled products of a projection (queries, keys or values) with itself. Both
    sides are cut into the same number of relation heads first, so that their widths may differ.

    Args:
        student: one projection, shape (texts, tokens, width), any float dtype.
        teacher: the same projection of the teacher, shape (texts, tokens, its width), no gradient.
        mask: shape (texts, tokens), nonzero at real tokens.
        heads: relation heads; must divide both widths.

    Returns:
        Mean over the real tokens and heads.

    Raises:
        ValueError: the heads do not divide a width, or texts and tokens differ.

    Source: Wang et al. 2021 (MiniLMv2), section 3.1, arXiv:2012.15828.
    """
    if student.shape[:2] != teacher.shape[:2] or student.shape[-1] % heads or teacher.shape[-1] % heads:
        raise ValueError(f"relations of shapes {tuple(student.shape)} and {tuple(teacher.shape)} in {heads} heads")
    real = mask.bool()
    ours, theirs = (_log_relations(values.float(), real, heads) for values in (student, teacher))
    # Hidden tokens have log-probability -inf on both sides: their difference is NaN, their share 0.
    difference = torch.where(real[:, None, None, :], theirs - ours, torch.zeros(()))
    divergence = (theirs.exp() * difference).sum(dim=-1).mean(dim=1)
    return divergence[real].mean()


def _log_relations(values: Tensor, real: Tensor, heads: int) -> Tensor:
    """Log-softmax over tokens of scaled self-products: (texts, heads, tokens, tokens)."""
    texts, tokens, width = values.shape
    parts = values.view(texts, tokens, heads, width // heads).transpose(1, 2)
    products = parts @ parts.transpose(-1, -2) / math.sqrt(width // heads)
    return products.masked_fill(~real[:, None, None, :], float("-inf")).log_softmax(dim=-1)


def _check_same(student: Tensor, teacher: Tensor) -> None:
    if student.shape != teacher.shape:
        raise ValueError(f"student {tuple(student.shape)} and teacher {tuple(teacher.shape)} differ in shape")
