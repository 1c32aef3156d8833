"""The words that an encoder classifier is described by, each list in the order in which the C library numbers it.

The library's numbers are those of ``cpp_ext/include/liteft/liteft.h``: a word's number is its place here.
"""

from __future__ import annotations

from typing import Literal, get_args

__all__ = ["ACTIVATIONS", "HEADS", "POOLINGS", "Activation", "Head", "Pooling"]

Activation = Literal["gelu", "relu", "gelu_tanh", "silu"]
Pooling = Literal["cls", "mean"]
Head = Literal["none", "tanh", "relu", "gelu"]

ACTIVATIONS: tuple[Activation, ...] = get_args(Activation)
"""Of the feed-forward; "gelu" is the exact one."""
POOLINGS: tuple[Pooling, ...] = get_args(Pooling)
"""Column 0, or the mean over the columns that the mask keeps."""
HEADS: tuple[Head, ...] = get_args(Head)
"""The activation after the dense layer of the head; "none" where there is no dense layer."""
