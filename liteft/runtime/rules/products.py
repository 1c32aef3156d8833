"""Reductions, normalizations, windows and matmuls."""

from __future__ import annotations

import math

import numpy as np

from liteft.runtime.onnx_content import StoredNode
from liteft.runtime.rules.values import (
    FLOAT,
    FLOATING,
    LONG,
    Inputs,
    Shape,
    Value,
    attribute,
    broadcast,
    checked_axes,
    checked_axis,
    known_numbers,
    needed,
    optional,
    reduced,
    require,
)

__all__ = [
    "conv_rule",
    "dequantize_rule",
    "dynamic_quantize_rule",
    "einsum_rule",
    "gemm_rule",
    "layer_norm_rule",
    "matmul_integer_rule",
    "matmul_rule",
    "pool_rule",
    "quantize_rule",
    "reduce_rule",
    "softmax_rule",
]


def reduce_rule(node: StoredNode, inputs: Inputs) -> list[Value]:
    value = needed(inputs, 0)
    require(value.dtype in FLOATING | {LONG, np.dtype(np.int32)}, f"an input of type {value.dtype}")
    rank = len(value.shape)
    axes = [] if optional(inputs, 1) is None else checked_axes(known_numbers(inputs, 1), rank)
    if not axes:
        if attribute(node, "noop_with_empty_axes", 0):
            return [Value(value.dtype, value.shape)]
        axes = list(range(rank))
    require(all(value.shape[axis] > 0 for axis in axes), "the sum of nothing")
    return [Value(value.dtype, reduced(value.shape, axes, keep=bool(attribute(node, "keepdims", 1))))]


def softmax_rule(node: StoredNode, inputs: Inputs) -> list[Value]:
    value = needed(inputs, 0)
    require(value.dtype in FLOATING)
    checked_axis(attribute(node, "axis", -1), len(value.shape))
    return [Value(value.dtype, value.shape)]


def layer_norm_rule(node: StoredNode, inputs: Inputs) -> list[Value]:
    value = needed(inputs, 0)
    axis = checked_axis(attribute(node, "axis", -1), len(value.shape))
    require(value.dtype in FLOATING and len(node.outputs) == 1 and value.shape[-1] > 0)
    for place in (1, 2):
        part = needed(inputs, place) if place == 1 else optional(inputs, place)
        require(part is None or (part.shape == value.shape[axis:] and part.dtype == value.dtype))
    return [Value(value.dtype, value.shape)]


def _product_shape(left: Shape, right: Shape) -> tuple[Shape, int]:
    """Return the shape of a matmul's result, and how many products are summed for each element."""
    require(len(left) >= 1 and len(right) >= 1, "a product of numbers")
    rows = left if len(left) > 1 else (1, *left)
    columns = right if len(right) > 1 else (*right, 1)
    require(rows[-1] == columns[-2], f"a product of {left} and {right}")
    batch = broadcast(rows[:-2], columns[:-2])
    shape = (*batch, *rows[-2:-1][: len(left) > 1], *columns[-1:][: len(right) > 1])
    return shape, rows[-1]


def matmul_rule(_: StoredNode, inputs: Inputs) -> list[Value]:
    left, right = needed(inputs, 0), needed(inputs, 1)
    require(left.dtype == right.dtype and left.dtype in FLOATING, "its inputs differ in type")
    shape, depth = _product_shape(left.shape, right.shape)
    return [Value(left.dtype, shape, work=depth * math.prod(shape))]


def matmul_integer_rule(_: StoredNode, inputs: Inputs) -> list[Value]:
    left, right = needed(inputs, 0), needed(inputs, 1)
    bytes_ = {np.dtype(np.int8), np.dtype(np.uint8)}
    require(left.dtype in bytes_ and right.dtype in bytes_, "an integer product of other types")
    require(min(len(left.shape), len(right.shape)) >= 2, "a product of numbers")
    shape, depth = _product_shape(left.shape, right.shape)
    for place, side in ((2, left), (3, right)):
        zero = optional(inputs, place)
        require(zero is None or (zero.dtype == side.dtype and zero.size == 1), "zero points that do not fit")
    return [Value(np.dtype(np.int32), shape, work=depth * math.prod(shape))]


def gemm_rule(node: StoredNode, inputs: Inputs) -> list[Value]:
    left, right, bias = needed(inputs, 0), needed(inputs, 1), optional(inputs, 2)
    require(left.dtype == right.dtype and left.dtype in FLOATING and len(left.shape) == len(right.shape) == 2)
    rows = left.shape[::-1] if attribute(node, "transA", 0) else left.shape
    columns = right.shape[::-1] if attribute(node, "transB", 0) else right.shape
    shape, depth = _product_shape(rows, columns)
    require(bias is None or (bias.dtype == left.dtype and broadcast(bias.shape, shape) == shape))
    return [Value(left.dtype, shape, work=depth * math.prod(shape))]


def _scaled(value: Value, inputs: Inputs, node: StoredNode) -> Value:
    """Check the scale and zero point of a value; return the scale."""
    scale, zero = needed(inputs, 1), optional(inputs, 2)
    require(scale.dtype in FLOATING and (zero is None or zero.shape == scale.shape), "scales that do not fit")
    require(attribute(node, "block_size", 0) == 0, "scales of blocks")
    if scale.shape not in ((), (1,)):
        axis = checked_axis(attribute(node, "axis", 1), len(value.shape))
        require(scale.shape == (value.shape[axis],), "scales that do not fit")
    return scale


def quantize_rule(node: StoredNode, inputs: Inputs) -> list[Value]:
    value, zero = needed(inputs, 0), optional(inputs, 2)
    scale = _scaled(value, inputs, node)
    require(value.dtype == scale.dtype)
    dtype = np.dtype(np.uint8) if zero is None else zero.dtype
    require(dtype in (np.dtype(np.int8), np.dtype(np.uint8)), "it rounds to a type other than 8-bit")
    return [Value(dtype, value.shape)]


def dequantize_rule(node: StoredNode, inputs: Inputs) -> list[Value]:
    value, zero = needed(inputs, 0), optional(inputs, 2)
    scale = _scaled(value, inputs, node)
    fits = value.dtype in (np.dtype(np.int8), np.dtype(np.uint8), np.dtype(np.int32))
    require(fits, "what it scales is not 8-bit")
    require(zero is None or zero.dtype == value.dtype)
    return [Value(scale.dtype, value.shape)]


def dynamic_quantize_rule(_: StoredNode, inputs: Inputs) -> list[Value]:
    value = needed(inputs, 0)
    require(value.dtype == FLOAT and value.size > 0)
    return [Value(np.dtype(np.uint8), value.shape), Value(FLOAT, ()), Value(np.dtype(np.uint8), ())]


def _window(node: StoredNode, sizes: Shape, kernel: Shape, *, dilated: bool) -> Shape:
    """Return the output sizes of a window that slides over the axes."""
    count = len(sizes)
    strides = attribute(node, "strides", [1] * count)
    pads = attribute(node, "pads", [0] * 2 * count)
    dilations = attribute(node, "dilations", [1] * count) if dilated else [1] * count
    require(attribute(node, "auto_pad", "NOTSET") == "NOTSET" and attribute(node, "ceil_mode", 0) == 0)
    require(len(strides) == len(dilations) == len(kernel) == count and len(pads) == 2 * count, "an invalid window")
    require(all(1 <= each < 1 << 20 for each in (*strides, *dilations, *kernel)), "an invalid window")
    require(all(0 <= each < 1 << 20 for each in pads), "an invalid window")
    left = []
    for axis, size in enumerate(sizes):
        room = size + pads[axis] + pads[axis + count] - dilations[axis] * (kernel[axis] - 1) - 1
        require(room >= 0, "a window larger than its input")
        left.append(room // strides[axis] + 1)
    return tuple(left)


def conv_rule(node: StoredNode, inputs: Inputs) -> list[Value]:
    value, weight, bias = needed(inputs, 0), needed(inputs, 1), optional(inputs, 2)
    group = attribute(node, "group", 1)
    require(value.dtype == weight.dtype == FLOAT and 3 <= len(value.shape) == len(weight.shape) <= 4)
    fits = group >= 1 and value.shape[1] == group * weight.shape[1] and weight.shape[0] % group == 0
    require(fits, "groups that do not fit")
    kernel = weight.shape[2:]
    require(list(kernel) == attribute(node, "kernel_shape", list(kernel)), "an invalid window")
    require(bias is None or (bias.shape == weight.shape[:1] and bias.dtype == FLOAT))
    shape = (value.shape[0], weight.shape[0], *_window(node, value.shape[2:], kernel, dilated=True))
    return [Value(FLOAT, shape, work=math.prod(shape) * weight.shape[1] * math.prod(kernel))]


def pool_rule(node: StoredNode, inputs: Inputs) -> list[Value]:
    value, kernel = needed(inputs, 0), tuple(attribute(node, "kernel_shape", []))
    require(value.dtype == FLOAT and len(value.shape) in (3, 4) and len(node.outputs) == 1)
    pads = attribute(node, "pads", [0] * 2 * len(kernel))
    require(len(pads) == 2 * len(kernel) and all(each < kernel[place % len(kernel)] for place, each in enumerate(pads)))
    sizes = _window(node, value.shape[2:], kernel, dilated=node.operator == "MaxPool")
    shape = (*value.shape[:2], *sizes)
    return [Value(FLOAT, shape, work=math.prod(shape) * math.prod(kernel))]


def einsum_rule(node: StoredNode, inputs: Inputs) -> list[Value]:
    values = [needed(inputs, place) for place in range(len(inputs))]
    terms, _, result = str(attribute(node, "equation", "")).replace(" ", "").partition("->")
    letters = terms.split(",")
    require(bool(result) and len(letters) == len(values) and all(each.isalpha() for each in (*letters, result)))
    sizes: dict[str, int] = {}
    for term, value in zip(letters, values, strict=True):
        require(len(term) == len(value.shape) == len(set(term)) and value.dtype == FLOAT)
        for letter, size in zip(term, value.shape, strict=True):
            require(sizes.setdefault(letter, size) == size, "sizes that do not fit")
    require(set(result) <= set(sizes) and len(set(result)) == len(result))
    return [Value(FLOAT, tuple(sizes[letter] for letter in result), work=math.prod(sizes.values()))]
