"""Elementwise operators."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from liteft.runtime.onnx_content import TYPES, StoredNode
from liteft.runtime.rules.values import (
    BOOL,
    INTEGER,
    Inputs,
    Rule,
    Value,
    attribute,
    broadcast,
    computed,
    needed,
    optional,
    require,
)

__all__ = [
    "binary_rule",
    "cast_rule",
    "clip_rule",
    "dropped_rule",
    "extreme_rule",
    "truncated",
    "unary_rule",
    "where_rule",
]


def unary_rule(kinds: set[np.dtype[Any]], work: Callable[..., np.ndarray] | None = None) -> Rule:
    def rule(_: StoredNode, inputs: Inputs) -> list[Value]:
        value = needed(inputs, 0)
        require(value.dtype in kinds, f"an input of type {value.dtype}")
        return [computed(Value(value.dtype, value.shape), work, value)]

    return rule


def binary_rule(kinds: set[np.dtype[Any]], work: Any = None, result: np.dtype[Any] | None = None) -> Rule:
    def rule(node: StoredNode, inputs: Inputs) -> list[Value]:
        left, right = needed(inputs, 0), needed(inputs, 1)
        same = left.dtype == right.dtype or node.operator == "Pow"
        require(left.dtype in kinds and same, "its inputs differ in type")
        if node.operator in ("Div", "Mod") and left.dtype in INTEGER:  # dividing by zero kills the process
            require(right.known is not None and bool(np.all(right.known > 0)), "it may divide by zero")
        return [computed(Value(result or left.dtype, broadcast(left.shape, right.shape)), work, left, right)]

    return rule


def truncated(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    return np.asarray(np.sign(left) * (np.abs(left) // right))


def extreme_rule(work: Callable[..., np.ndarray]) -> Rule:
    def rule(_: StoredNode, inputs: Inputs) -> list[Value]:
        values = [needed(inputs, place) for place in range(len(inputs))]
        require(len({value.dtype for value in values}) == 1, "its inputs differ in type")
        result = Value(values[0].dtype, broadcast(*(value.shape for value in values)))
        return [computed(result, lambda *arrays: _folded(work, arrays), *values)]

    return rule


def _folded(work: Callable[..., np.ndarray], arrays: Sequence[np.ndarray]) -> np.ndarray:
    found = arrays[0]
    for array in arrays[1:]:
        found = work(found, array)
    return found


def cast_rule(node: StoredNode, inputs: Inputs) -> list[Value]:
    value, dtype = needed(inputs, 0), TYPES.get(attribute(node, "to", 0))
    if dtype is None:
        raise ValueError("it casts to a type that no operator takes")
    return [computed(Value(dtype, value.shape), lambda array: array.astype(dtype), value)]


def where_rule(_: StoredNode, inputs: Inputs) -> list[Value]:
    chosen, left, right = (needed(inputs, place) for place in range(3))
    require(chosen.dtype == BOOL and left.dtype == right.dtype)
    shape = broadcast(chosen.shape, left.shape, right.shape)
    return [computed(Value(left.dtype, shape), np.where, chosen, left, right)]


def clip_rule(_: StoredNode, inputs: Inputs) -> list[Value]:
    value = needed(inputs, 0)
    for place in (1, 2):
        limit = optional(inputs, place)
        require(limit is None or (limit.dtype == value.dtype and limit.shape == ()))
    return [Value(value.dtype, value.shape)]


def dropped_rule(_: StoredNode, inputs: Inputs) -> list[Value]:
    value = needed(inputs, 0)
    return [Value(value.dtype, value.shape, value.known)]
