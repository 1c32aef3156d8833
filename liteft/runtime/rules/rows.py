"""Operators that gather, scatter and count elements."""

from __future__ import annotations

import numpy as np

from liteft.runtime.onnx_content import StoredNode
from liteft.runtime.rules.values import (
    FLOATING,
    LONG,
    Inputs,
    Value,
    attribute,
    checked_axis,
    computed,
    known_numbers,
    needed,
    optional,
    reduced,
    require,
)

__all__ = [
    "cumulated_rule",
    "extreme_place_rule",
    "gather_elements_rule",
    "gather_nd_rule",
    "gather_rule",
    "non_zero_rule",
    "scatter_elements_rule",
    "scatter_nd_rule",
    "trilu_rule",
]


def _check_indices(value: Value) -> None:
    require(value.dtype in (LONG, np.dtype(np.int32)), "invalid indices")


def gather_rule(node: StoredNode, inputs: Inputs) -> list[Value]:
    value, indices = needed(inputs, 0), needed(inputs, 1)
    _check_indices(indices)
    axis = checked_axis(attribute(node, "axis", 0), len(value.shape))
    if indices.known is not None and indices.size:
        least, most = int(indices.known.min()), int(indices.known.max())
        require(-value.shape[axis] <= least and most < value.shape[axis], "an index beyond its table")
    shape = (*value.shape[:axis], *indices.shape, *value.shape[axis + 1 :])
    return [computed(Value(value.dtype, shape), lambda array, where: np.take(array, where, axis), value, indices)]


def gather_elements_rule(node: StoredNode, inputs: Inputs) -> list[Value]:
    value, indices = needed(inputs, 0), needed(inputs, 1)
    _check_indices(indices)
    axis = checked_axis(attribute(node, "axis", 0), len(value.shape))
    require(len(indices.shape) == len(value.shape))
    sizes = zip(indices.shape, value.shape, strict=True)
    require(all(each <= size for place, (each, size) in enumerate(sizes) if place != axis))
    return [Value(value.dtype, indices.shape)]


def gather_nd_rule(node: StoredNode, inputs: Inputs) -> list[Value]:
    value, indices = needed(inputs, 0), needed(inputs, 1)
    require(indices.dtype == LONG and bool(indices.shape) and bool(value.shape), "invalid indices")
    batch, depth = attribute(node, "batch_dims", 0), indices.shape[-1]
    require(0 <= batch < min(len(value.shape), len(indices.shape)) and value.shape[:batch] == indices.shape[:batch])
    require(1 <= depth <= len(value.shape) - batch, "invalid indices")
    return [Value(value.dtype, (*indices.shape[:-1], *value.shape[batch + depth :]))]


def scatter_elements_rule(node: StoredNode, inputs: Inputs) -> list[Value]:
    value, indices, updates = (needed(inputs, place) for place in range(3))
    _check_indices(indices)
    axis = checked_axis(attribute(node, "axis", 0), len(value.shape))
    require(indices.shape == updates.shape and len(indices.shape) == len(value.shape) and value.dtype == updates.dtype)
    sizes = zip(indices.shape, value.shape, strict=True)
    require(all(each <= size for place, (each, size) in enumerate(sizes) if place != axis))
    return [Value(value.dtype, value.shape)]


def scatter_nd_rule(_: StoredNode, inputs: Inputs) -> list[Value]:
    value, indices, updates = (needed(inputs, place) for place in range(3))
    require(indices.dtype == LONG and bool(indices.shape) and value.dtype == updates.dtype, "invalid indices")
    depth = indices.shape[-1]
    require(1 <= depth <= len(value.shape) and updates.shape == (*indices.shape[:-1], *value.shape[depth:]))
    return [Value(value.dtype, value.shape)]


def non_zero_rule(_: StoredNode, inputs: Inputs) -> list[Value]:
    value = needed(inputs, 0)
    require(value.known is not None, "its shape depends on the content of its texts")
    assert value.known is not None
    found = np.array(np.nonzero(value.known), np.int64).reshape(len(value.shape), -1)
    return [Value(LONG, found.shape, found)]


def cumulated_rule(node: StoredNode, inputs: Inputs) -> list[Value]:
    value = needed(inputs, 0)
    (axis,) = known_numbers(inputs, 1, most=1) or [0]
    axis = checked_axis(axis, len(value.shape))
    require(value.dtype in FLOATING | {LONG, np.dtype(np.int32)})
    plain = not attribute(node, "reverse", 0)
    before = attribute(node, "exclusive", 0)
    work = (lambda array: np.cumsum(array, axis) - (array if before else 0)) if plain else None
    return [computed(Value(value.dtype, value.shape), work, value)]


def trilu_rule(_: StoredNode, inputs: Inputs) -> list[Value]:
    value = needed(inputs, 0)
    require(len(value.shape) >= 2 and (optional(inputs, 1) is None or bool(known_numbers(inputs, 1, most=1))))
    return [Value(value.dtype, value.shape)]


def extreme_place_rule(node: StoredNode, inputs: Inputs) -> list[Value]:
    value = needed(inputs, 0)
    axis = checked_axis(attribute(node, "axis", 0), len(value.shape))
    require(value.shape[axis] > 0, "the largest of nothing")
    return [Value(LONG, reduced(value.shape, [axis], keep=bool(attribute(node, "keepdims", 1))))]
