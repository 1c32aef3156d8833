"""Operators that make shapes and change them."""

from __future__ import annotations

import math

import numpy as np

from liteft.runtime.onnx_content import StoredNode, StoredTensor
from liteft.runtime.rules.values import (
    FLOAT,
    LONG,
    Inputs,
    Shape,
    Value,
    attribute,
    broadcast,
    checked_axes,
    checked_axis,
    computed,
    known_numbers,
    needed,
    optional,
    require,
    value_of,
)

__all__ = [
    "concat_rule",
    "constant_of_shape_rule",
    "constant_rule",
    "expand_rule",
    "pad_rule",
    "range_rule",
    "reshape_rule",
    "shape_rule",
    "size_rule",
    "slice_rule",
    "split_rule",
    "squeeze_rule",
    "tile_rule",
    "transpose_rule",
    "unsqueeze_rule",
]


def shape_rule(node: StoredNode, inputs: Inputs) -> list[Value]:
    shape = needed(inputs, 0).shape
    part = np.array(shape, np.int64)[attribute(node, "start", 0) : attribute(node, "end", len(shape))]
    return [Value(LONG, part.shape, part)]


def size_rule(_: StoredNode, inputs: Inputs) -> list[Value]:
    return [Value(LONG, (), np.array(needed(inputs, 0).size, np.int64))]


def _reshaped(value: Value, shape: Shape) -> Value:
    return Value(value.dtype, shape, None if value.known is None else value.known.reshape(shape))


def reshape_rule(node: StoredNode, inputs: Inputs) -> list[Value]:
    value, wanted = needed(inputs, 0), known_numbers(inputs, 1, most=8)
    if not attribute(node, "allowzero", 0):
        require(all(size or place < len(value.shape) for place, size in enumerate(wanted)))
        wanted = [size or value.shape[place] for place, size in enumerate(wanted)]
    require(all(size >= -1 for size in wanted) and wanted.count(-1) <= 1, "an invalid shape")
    if -1 in wanted:
        rest = math.prod(size for size in wanted if size != -1)
        require(rest > 0 and value.size % rest == 0, "its values do not fit its shape")
        wanted[wanted.index(-1)] = value.size // rest
    require(math.prod(wanted) == value.size, "its values do not fit its shape")
    return [_reshaped(value, tuple(wanted))]


def squeeze_rule(_: StoredNode, inputs: Inputs) -> list[Value]:
    value = needed(inputs, 0)
    rank = len(value.shape)
    given = optional(inputs, 1) is not None
    ones = [axis for axis in range(rank) if value.shape[axis] == 1]
    axes = checked_axes(known_numbers(inputs, 1), rank) if given else ones
    require(all(value.shape[axis] == 1 for axis in axes), "it takes out an axis of more than one")
    return [_reshaped(value, tuple(size for axis, size in enumerate(value.shape) if axis not in axes))]


def unsqueeze_rule(_: StoredNode, inputs: Inputs) -> list[Value]:
    value, wanted = needed(inputs, 0), known_numbers(inputs, 1, most=8)
    rank = len(value.shape) + len(wanted)
    axes, sizes = checked_axes(wanted, rank), iter(value.shape)
    return [_reshaped(value, tuple(1 if axis in axes else next(sizes) for axis in range(rank)))]


def transpose_rule(node: StoredNode, inputs: Inputs) -> list[Value]:
    value = needed(inputs, 0)
    order = attribute(node, "perm", list(range(len(value.shape)))[::-1])
    require(sorted(order) == list(range(len(value.shape))), "an invalid order of axes")
    shape = tuple(value.shape[axis] for axis in order)
    return [computed(Value(value.dtype, shape), lambda array: array.transpose(order), value)]


def concat_rule(node: StoredNode, inputs: Inputs) -> list[Value]:
    values = [needed(inputs, place) for place in range(len(inputs))]
    first = values[0]
    axis = checked_axis(attribute(node, "axis", 0), len(first.shape))
    for value in values:
        require(value.dtype == first.dtype and len(value.shape) == len(first.shape))
        require(all(size == first.shape[each] for each, size in enumerate(value.shape) if each != axis))
    shape = [*first.shape]
    shape[axis] = sum(value.shape[axis] for value in values)
    return [computed(Value(first.dtype, tuple(shape)), lambda *arrays: np.concatenate(arrays, axis), *values)]


def slice_rule(_: StoredNode, inputs: Inputs) -> list[Value]:
    value = needed(inputs, 0)
    starts, stops = known_numbers(inputs, 1, most=8), known_numbers(inputs, 2, most=8)
    axes = list(range(len(starts))) if optional(inputs, 3) is None else known_numbers(inputs, 3, most=8)
    steps = [1] * len(starts) if optional(inputs, 4) is None else known_numbers(inputs, 4, most=8)
    require(len(starts) == len(stops) == len(axes) == len(steps) and all(0 < abs(step) < 1 << 31 for step in steps))
    cut = [slice(None)] * len(value.shape)
    for axis, start, stop, step in zip(checked_axes(axes, len(value.shape)), starts, stops, steps, strict=True):
        size = value.shape[axis]
        if step < 0 and stop <= -size - 1:
            cut[axis] = slice(start, None, step)
        else:
            cut[axis] = slice(start, stop, step)
    shape = tuple(len(range(size)[part]) for size, part in zip(value.shape, cut, strict=True))
    return [computed(Value(value.dtype, shape), lambda array: array[tuple(cut)], value)]


def expand_rule(_: StoredNode, inputs: Inputs) -> list[Value]:
    value, wanted = needed(inputs, 0), known_numbers(inputs, 1, most=8)
    require(all(size >= 0 for size in wanted), "an invalid shape")
    shape = broadcast(value.shape, tuple(wanted))
    return [computed(Value(value.dtype, shape), lambda array: np.broadcast_to(array, shape), value)]


def tile_rule(_: StoredNode, inputs: Inputs) -> list[Value]:
    value, times = needed(inputs, 0), known_numbers(inputs, 1, most=8)
    require(len(times) == len(value.shape) and all(each >= 0 for each in times), "it repeats axes that do not exist")
    shape = tuple(size * each for size, each in zip(value.shape, times, strict=True))
    return [computed(Value(value.dtype, shape), lambda array: np.tile(array, times), value)]


def range_rule(_: StoredNode, inputs: Inputs) -> list[Value]:
    values = [needed(inputs, place) for place in range(3)]
    require(len({value.dtype for value in values}) == 1 and all(value.size == 1 for value in values))
    require(all(value.known is not None for value in values), "its shape depends on the content of its texts")
    start, stop, step = (np.asarray(value.known).reshape(-1)[0].item() for value in values)
    require(step != 0 and all(map(math.isfinite, (start, stop, step))) and max(abs(start), abs(stop)) < 1 << 40)
    count = max(0, math.ceil((stop - start) / step))
    result = Value(values[0].dtype, (count,))
    return [computed(result, lambda *_: np.arange(count, dtype=np.int64) * step + start, *values)]


def constant_of_shape_rule(node: StoredNode, inputs: Inputs) -> list[Value]:
    shape = tuple(known_numbers(inputs, 0, most=8))
    require(all(size >= 0 for size in shape), "an invalid shape")
    tensor = attribute(node, "value")
    filled = Value(FLOAT, (1,)) if tensor is None else value_of(tensor)
    require(filled.size == 1, "it fills with more than one value")
    result = Value(filled.dtype, shape)
    return [computed(result, lambda array: np.broadcast_to(array.reshape(()), shape), filled)]


def constant_rule(node: StoredNode, _: Inputs) -> list[Value]:
    tensor = attribute(node, "value")
    if not isinstance(tensor, StoredTensor):
        raise ValueError("a constant that is not a tensor")
    return [value_of(tensor)]


def split_rule(node: StoredNode, inputs: Inputs) -> list[Value]:
    value, parts = needed(inputs, 0), len(node.outputs)
    axis = checked_axis(attribute(node, "axis", 0), len(value.shape))
    size = value.shape[axis]
    if optional(inputs, 1) is not None:
        sizes = known_numbers(inputs, 1)
        require(len(sizes) == parts and sum(sizes) == size and min(sizes) >= 0, "parts that do not add up to the whole")
    else:
        require(attribute(node, "num_outputs", parts) == parts and parts > 0, "parts that do not add up to the whole")
        each = -(-size // parts)
        sizes = [min(each, max(0, size - each * place)) for place in range(parts)]
    return [Value(value.dtype, (*value.shape[:axis], each, *value.shape[axis + 1 :])) for each in sizes]


def pad_rule(node: StoredNode, inputs: Inputs) -> list[Value]:
    value, pads = needed(inputs, 0), known_numbers(inputs, 1)
    rank = len(value.shape)
    axes = list(range(rank)) if optional(inputs, 3) is None else checked_axes(known_numbers(inputs, 3), rank)
    require(len(pads) == 2 * len(axes) and all(0 <= each < 1 << 20 for each in pads), "it pads axes that do not exist")
    require(attribute(node, "mode", "constant") == "constant", "it does not pad with a single value")
    shape = [*value.shape]
    for place, axis in enumerate(axes):
        shape[axis] += pads[place] + pads[place + len(axes)]
    return [Value(value.dtype, tuple(shape))]
