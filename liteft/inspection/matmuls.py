"""The matmuls of a model: computed in integers, in float with integer weights, or in float."""

from __future__ import annotations

import math
from collections.abc import Sequence

import onnx

from liteft.inspection.nodes import Node
from liteft.inspection.result import Form, Matmul
from liteft.inspection.tensors import type_name
from liteft.int8 import INTEGER_MATMULS, MICROSOFT, ONNX

__all__ = ["find_matmuls"]

_FLOAT = {  # operator -> index of the input that is the weight
    (ONNX, "MatMul"): 1,
    (ONNX, "Gemm"): 1,
    (ONNX, "Conv"): 1,
    (MICROSOFT, "FusedMatMul"): 1,
    (MICROSOFT, "FusedGemm"): 1,
    (MICROSOFT, "Attention"): 1,
    (MICROSOFT, "MatMulNBits"): 1,  # its weights are stored as integers and multiplied as floats
}
_MOST_STEPS = 50
_SAME_VALUES = {"Cast", "Mul", "Sub", "DequantizeLinear", "Transpose", "Reshape", "Identity", "Unsqueeze", "Squeeze"}
_INTEGERS = {"int8", "uint8", "int4", "uint4", "int2", "uint2"}


def find_matmuls(model: onnx.ModelProto, nodes: Sequence[Node]) -> list[Matmul]:
    """Return every matmul of a model, in the graph's order.

    Args:
        model: the model, with or without its tensors' data.
        nodes: all of its nodes, functions expanded.
    """
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    stored |= {node.outputs[0]: node.constant for node in nodes if node.constant is not None}
    producers = {value: node for node in nodes for value in node.outputs if value}
    weights: dict[str, onnx.TensorProto | None] = {}
    found = []
    for node in nodes:
        kind = (node.domain, node.operator)
        place = INTEGER_MATMULS.get(kind, _FLOAT.get(kind))
        if place is None or len(node.inputs) <= place:
            continue
        sides = (_weight(node.inputs[side], stored, producers, weights) for side in (place, 0))
        weight = next((each for each in sides if each is not None), None)
        dtype = None if weight is None else type_name(weight.data_type)
        name = node.operator if node.domain == ONNX else f"{node.domain}.{node.operator}"
        form = "integer" if kind in INTEGER_MATMULS else _form(node, dtype, producers)
        found.append(Matmul(node.name, name, form, None if weight is None else weight.name or None, dtype))
    return found


def _form(node: Node, dtype: str | None, producers: dict[str, Node]) -> Form:
    if _between_quantizers(node, producers):
        return "quantize-dequantize"
    if dtype is None:
        return "activations"
    return "integer weights" if dtype in _INTEGERS else "float"


def _between_quantizers(node: Node, producers: dict[str, Node]) -> bool:
    """Return whether both inputs of a float matmul are dequantized, and one of them comes from a QuantizeLinear."""
    before = [producers.get(value) for value in node.inputs[:2]]
    if any(each is None or each.operator != "DequantizeLinear" for each in before):
        return False
    sources = [producers.get(each.inputs[0]) for each in before if each is not None]
    return any(each is not None and each.operator == "QuantizeLinear" for each in sources)


def _weight(
    value: str,
    stored: dict[str, onnx.TensorProto],
    producers: dict[str, Node],
    found: dict[str, onnx.TensorProto | None],
    depth: int = 0,
) -> onnx.TensorProto | None:
    """Return the largest stored tensor that a value consists of, or None if it depends on computed values.

    ``found`` caches the results, since a value may be used many times. Chains of more than 50 nodes are not followed.
    """
    if value in stored:
        return stored[value]
    node = producers.get(value)
    if value in found or node is None or node.operator not in _SAME_VALUES or depth > _MOST_STEPS:
        return found.get(value)
    found[value] = None  # ends a cycle in a malformed graph
    sources = [_weight(each, stored, producers, found, depth + 1) for each in node.inputs if each]
    whole = [each for each in sources if each is not None]
    if whole and len(whole) == len(sources):
        found[value] = max(whole, key=lambda tensor: math.prod(tensor.dims))
    return found[value]
