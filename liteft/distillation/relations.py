"""Queries, keys and values of a model's last layer, captured by hooks.

transformers returns hidden states and attention probabilities, but not the projections from which attention relations
are computed. A forward hook on each of the three linear layers keeps its latest output.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from liteft.distillation.losses import relation_loss
from liteft.encoder.families import BUILT
from liteft.encoder.modules import read_layer, role_of
from liteft.errors import ConfigError, Hint, option

__all__ = ["LastProjections", "relations_loss"]

_NO_RELATIONS = option("student.relation_weight", 0)


class LastProjections:
    """The outputs of the last layer's query, key and value projections in the latest forward pass.

    Args:
        model: a classifier or an encoder; the hooks stay until `close`.
        fix: what to try where its family has none.

    Raises:
        ConfigError: the model's attention does not have three separate linear layers.
    """

    def __init__(self, model: nn.Module, *, fix: Hint = _NO_RELATIONS) -> None:
        found = [
            (layer.number, module)
            for name, module in model.named_modules()
            if role_of(name) == "attention.input" and (layer := read_layer(name)) is not None
        ]
        last = [module for layer, module in found if layer == max(number for number, _ in found)]
        if len(last) != 3:
            raise ConfigError(
                "attention relations need queries, keys and values as three linear layers, which this family lacks.",
                accepted={"families": ", ".join(BUILT)},
                fix=fix,
            )
        self._caught: list[Tensor | None] = [None, None, None]
        self._hooks = [module.register_forward_hook(self._keep(index)) for index, module in enumerate(last)]

    @property
    def values(self) -> list[Tensor]:
        """Queries, keys and values, each of shape (texts, tokens, width)."""
        return [value for value in self._caught if value is not None]

    def close(self) -> None:
        """Remove the hooks."""
        for hook in self._hooks:
            hook.remove()
        self._caught = [None, None, None]

    def _keep(self, index: int):  # type: ignore[no-untyped-def]
        def hook(_module: nn.Module, _inputs: object, output: Tensor) -> None:
            self._caught[index] = output

        return hook


def relations_loss(student: LastProjections, teacher: LastProjections, mask: Tensor, *, heads: int) -> Tensor:
    """Return the mean divergence of the relations of queries, of keys and of values, shape (), in nats.

    Both sides are cut into as many relation heads as the student has attention heads, as far as they divide the
    teacher's width.

    Args:
        student, teacher: after a forward pass of each on the same tokens.
        mask: shape (texts, tokens), nonzero at real tokens.
        heads: attention heads of the student.
    """
    pairs = list(zip(student.values, teacher.values, strict=True))
    common = math.gcd(heads, pairs[0][1].shape[-1])
    return torch.stack([relation_loss(ours, theirs, mask, heads=common) for ours, theirs in pairs]).mean()
