"""The shape and type that each operator gives: the rules for the dry run of a graph in `dry_run`.

A rule gets a node and its inputs and returns the outputs, or raises ValueError if the node is not as ONNX defines it.
Integers and booleans are also computed if they are few and known, because shapes are made of them.

Source: https://onnx.ai/onnx/operators, opset 20
"""

from __future__ import annotations

import numpy as np

from liteft.runtime.rules.elementwise import (
    binary_rule,
    cast_rule,
    clip_rule,
    dropped_rule,
    extreme_rule,
    truncated,
    unary_rule,
    where_rule,
)
from liteft.runtime.rules.layout import (
    concat_rule,
    constant_of_shape_rule,
    constant_rule,
    expand_rule,
    pad_rule,
    range_rule,
    reshape_rule,
    shape_rule,
    size_rule,
    slice_rule,
    split_rule,
    squeeze_rule,
    tile_rule,
    transpose_rule,
    unsqueeze_rule,
)
from liteft.runtime.rules.products import (
    conv_rule,
    dequantize_rule,
    dynamic_quantize_rule,
    einsum_rule,
    gemm_rule,
    layer_norm_rule,
    matmul_integer_rule,
    matmul_rule,
    pool_rule,
    quantize_rule,
    reduce_rule,
    softmax_rule,
)
from liteft.runtime.rules.rows import (
    cumulated_rule,
    extreme_place_rule,
    gather_elements_rule,
    gather_nd_rule,
    gather_rule,
    non_zero_rule,
    scatter_elements_rule,
    scatter_nd_rule,
    trilu_rule,
)
from liteft.runtime.rules.values import BOOL, FLOATING, INTEGER, Rule, Value, value_of

__all__ = ["RULES", "Value", "value_of"]

_COMPARED = FLOATING | INTEGER | {BOOL}
_COMPUTED = FLOATING | INTEGER

RULES: dict[str, tuple[Rule, dict[str, int]]] = {  # operator -> (rule, attribute -> number of its kind)
    **{
        name: (unary_rule(FLOATING), {})
        for name in (
            *("Acos", "Asin", "Atan", "Ceil", "Cos", "Cosh", "Erf", "Exp", "Floor", "HardSwish", "Log", "Mish"),
            *("Reciprocal", "Round", "Sigmoid", "Sin", "Sinh", "Softplus", "Softsign", "Sqrt", "Tan", "Tanh"),
        )
    },
    **{name: (unary_rule(FLOATING), {"alpha": 1, "beta": 1, "gamma": 1}) for name in ("HardSigmoid", "Selu")},
    **{name: (unary_rule(FLOATING), {"alpha": 1}) for name in ("Elu", "Celu", "LeakyRelu", "ThresholdedRelu")},
    "Gelu": (unary_rule(FLOATING), {"approximate": 3}),
    "Abs": (unary_rule(_COMPUTED, np.abs), {}),
    "Neg": (unary_rule(_COMPUTED, np.negative), {}),
    "Sign": (unary_rule(_COMPUTED, np.sign), {}),
    "Relu": (unary_rule(_COMPUTED), {}),
    "Not": (unary_rule({BOOL}, np.logical_not), {}),
    "BitwiseNot": (unary_rule(INTEGER, np.invert), {}),
    "Identity": (unary_rule(_COMPARED, lambda array: array), {}),
    "IsNaN": (lambda node, inputs: [Value(BOOL, unary_rule(FLOATING)(node, inputs)[0].shape)], {}),
    "IsInf": (
        lambda node, inputs: [Value(BOOL, unary_rule(FLOATING)(node, inputs)[0].shape)],
        {"detect_negative": 2, "detect_positive": 2},
    ),
    "Add": (binary_rule(_COMPUTED, np.add), {}),
    "Sub": (binary_rule(_COMPUTED, np.subtract), {}),
    "Mul": (binary_rule(_COMPUTED, np.multiply), {}),
    "Div": (binary_rule(_COMPUTED, truncated), {}),
    "Mod": (binary_rule(INTEGER, np.mod), {"fmod": 2}),
    "Pow": (binary_rule(FLOATING), {}),
    "PRelu": (binary_rule(FLOATING), {}),
    "And": (binary_rule({BOOL}, np.logical_and), {}),
    "Or": (binary_rule({BOOL}, np.logical_or), {}),
    "Xor": (binary_rule({BOOL}, np.logical_xor), {}),
    "BitwiseAnd": (binary_rule(INTEGER, np.bitwise_and), {}),
    "BitwiseOr": (binary_rule(INTEGER, np.bitwise_or), {}),
    "BitShift": (binary_rule(INTEGER), {"direction": 3}),
    "Equal": (binary_rule(_COMPARED, np.equal, BOOL), {}),
    "Less": (binary_rule(_COMPUTED, np.less, BOOL), {}),
    "LessOrEqual": (binary_rule(_COMPUTED, np.less_equal, BOOL), {}),
    "Greater": (binary_rule(_COMPUTED, np.greater, BOOL), {}),
    "GreaterOrEqual": (binary_rule(_COMPUTED, np.greater_equal, BOOL), {}),
    "Max": (extreme_rule(np.maximum), {}),
    "Min": (extreme_rule(np.minimum), {}),
    "Cast": (cast_rule, {"to": 2, "saturate": 2}),
    "Where": (where_rule, {}),
    "Clip": (clip_rule, {}),
    "Dropout": (dropped_rule, {"seed": 2}),
    "Shape": (shape_rule, {"start": 2, "end": 2}),
    "Size": (size_rule, {}),
    "Reshape": (reshape_rule, {"allowzero": 2}),
    "Squeeze": (squeeze_rule, {}),
    "Unsqueeze": (unsqueeze_rule, {}),
    "Transpose": (transpose_rule, {"perm": 7}),
    "Concat": (concat_rule, {"axis": 2}),
    "Slice": (slice_rule, {}),
    "Expand": (expand_rule, {}),
    "Tile": (tile_rule, {}),
    "Range": (range_rule, {}),
    "Constant": (constant_rule, {"value": 4}),
    "ConstantOfShape": (constant_of_shape_rule, {"value": 4}),
    "Split": (split_rule, {"axis": 2, "num_outputs": 2}),
    "Pad": (pad_rule, {"mode": 3}),
    "Gather": (gather_rule, {"axis": 2}),
    "GatherElements": (gather_elements_rule, {"axis": 2}),
    "GatherND": (gather_nd_rule, {"batch_dims": 2}),
    "ScatterElements": (scatter_elements_rule, {"axis": 2, "reduction": 3}),
    "ScatterND": (scatter_nd_rule, {"reduction": 3}),
    "NonZero": (non_zero_rule, {}),
    "CumSum": (cumulated_rule, {"exclusive": 2, "reverse": 2}),
    "Trilu": (trilu_rule, {"upper": 2}),
    "ArgMax": (extreme_place_rule, {"axis": 2, "keepdims": 2, "select_last_index": 2}),
    "ArgMin": (extreme_place_rule, {"axis": 2, "keepdims": 2, "select_last_index": 2}),
    **{
        f"Reduce{name}": (reduce_rule, {"keepdims": 2, "noop_with_empty_axes": 2})
        for name in ("Sum", "Mean", "Max", "Min", "Prod", "L1", "L2", "SumSquare", "LogSumExp")
    },
    "Softmax": (softmax_rule, {"axis": 2}),
    "LogSoftmax": (softmax_rule, {"axis": 2}),
    "LayerNormalization": (layer_norm_rule, {"axis": 2, "epsilon": 1, "stash_type": 2}),
    "MatMul": (matmul_rule, {}),
    "MatMulInteger": (matmul_integer_rule, {}),
    "Gemm": (gemm_rule, {"alpha": 1, "beta": 1, "transA": 2, "transB": 2}),
    "QuantizeLinear": (quantize_rule, {"axis": 2, "saturate": 2, "block_size": 2}),
    "DequantizeLinear": (dequantize_rule, {"axis": 2, "block_size": 2}),
    "DynamicQuantizeLinear": (dynamic_quantize_rule, {}),
    "Conv": (
        conv_rule,
        {"auto_pad": 3, "dilations": 7, "group": 2, "kernel_shape": 7, "pads": 7, "strides": 7},
    ),
    "AveragePool": (
        pool_rule,
        {"auto_pad": 3, "ceil_mode": 2, "count_include_pad": 2, "kernel_shape": 7, "pads": 7, "strides": 7},
    ),
    "MaxPool": (
        pool_rule,
        {"auto_pad": 3, "ceil_mode": 2, "dilations": 7, "kernel_shape": 7, "pads": 7, "storage_order": 2, "strides": 7},
    ),
    "Einsum": (einsum_rule, {"equation": 3}),
}
