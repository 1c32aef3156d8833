"""Stores a traced graph in float16 or int8 by rewriting its nodes.

A built graph is written in its precision. A traced one comes in float32 and is rewritten here into the nodes that a
built one has: matmuls with a constant matrix become int8 matmuls, and lookups in a constant table read int8 rows. The
matmul that gives the logits stays in float. A matmul whose input is itself constant, such as DeBERTa's of relative
positions, has int8 weights but is computed in float: its result is the same for every text, and ONNX Runtime computes
    it
once, when it loads the file.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from liteft.exporting.builder import GraphBuilder
from liteft.exporting.precision import emit_int8_product, quantize_channels, to_half
from liteft.exporting.quantization import Int8Plan
from liteft.int8 import LARGEST
from liteft.schemes import SCHEMES

__all__ = ["find_products", "store_half", "store_int8"]

_SMALLEST_MATRIX = 1024


def store_half(model: onnx.ModelProto) -> int:
    """Store every float32 matrix of a model in float16, in place, and return how many were changed.

    Arithmetic stays float32: a Cast at the start of the graph converts each matrix.
    """
    nodes, changed = [], 0
    for tensor in model.graph.initializer:
        if tensor.data_type != TensorProto.FLOAT or len(tensor.dims) < 2:
            continue
        half = to_half(numpy_helper.to_array(tensor))
        if half.dtype != np.float16:
            continue
        name, changed = tensor.name, changed + 1
        tensor.CopyFrom(numpy_helper.from_array(half, f"{name}.half"))
        nodes.append(helper.make_node("Cast", [tensor.name], [name], name=f"{name}.float", to=TensorProto.FLOAT))
    _set_nodes(model, [*nodes, *model.graph.node])
    return changed


def find_products(model: onnx.ModelProto, *, labels: int) -> dict[str, str]:
    """Return the matmuls that `store_int8` can quantize: name -> the float value that is each one's input.

    Args:
        model: a traced model, float32.
        labels: outputs of the classifier; a matrix with as many outputs stays in float.
    """
    rewriter, constant = _Rewriter(model, labels, Int8Plan()), _constants(model)
    return {
        _name_of(node): node.input[0]
        for node in model.graph.node
        if rewriter.matrix_of(node) is not None and node.input[0] not in constant
    }


def store_int8(model: onnx.ModelProto, *, labels: int, quantization: Int8Plan | None = None) -> int:
    """Quantize a model's matmuls and embedding tables, in place, and return how many matmuls are int8.

    Args:
        model: a traced model, float32.
        labels: outputs of the classifier; a matrix with as many outputs stays in float.
        quantization: which matmuls, by the names of `find_products`, and how; None for all, per row.
    """
    rewriter = _Rewriter(model, labels, quantization or Int8Plan())
    nodes: list[onnx.NodeProto] = []
    for node in model.graph.node:
        rewriter.builder.nodes.clear()
        nodes += rewriter.replaced(node) or [node]
    _set_nodes(model, [*rewriter.constants, *nodes])
    model.graph.initializer.extend(
        numpy_helper.from_array(array, name) for name, array in rewriter.builder.weights.items()
    )
    used = {name for node in model.graph.node for name in node.input}
    kept = [tensor for tensor in model.graph.initializer if tensor.name in used]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    return rewriter.products


class _Rewriter:
    """Finds the nodes to replace, and writes the int8 nodes for each; a matrix used twice is quantized once."""

    def __init__(self, model: onnx.ModelProto, labels: int, quantization: Int8Plan) -> None:
        self.builder = GraphBuilder()
        self._quantization = quantization
        self.constants: list[onnx.NodeProto] = []
        self.products = 0
        self._labels = labels
        self._matrices = {
            tensor.name: tensor
            for tensor in model.graph.initializer
            if tensor.data_type == TensorProto.FLOAT and len(tensor.dims) == 2
        }
        self._constant = _constants(model)
        self._transposed = {
            node.output[0]: node.input[0]
            for node in model.graph.node
            if node.op_type == "Transpose" and node.input[0] in self._matrices
        }
        self._stored: dict[tuple[str, str], tuple[str, str]] = {}

    def replaced(self, node: onnx.NodeProto) -> list[onnx.NodeProto] | None:
        """Return the nodes that replace a node, or None to keep it."""
        if node.op_type == "Gather" and node.input[0] in self._matrices and _attributes(node).get("axis", 0) == 0:
            return self._lookup(node) if self._quantization.tables else None
        found = self.matrix_of(node)
        return None if found is None else self._product(node, *found)

    def matrix_of(self, node: onnx.NodeProto) -> tuple[str, bool] | None:
        """Return the name of a matmul's matrix and whether its rows are outputs; None if int8 cannot take it."""
        attributes, transposed = _attributes(node), False
        if node.op_type == "Gemm":
            plain = all(attributes.get(name, 1.0) == 1.0 for name in ("alpha", "beta"))
            if not plain or attributes.get("transA", 0):
                return None
            transposed = bool(attributes.get("transB", 0))
        elif node.op_type != "MatMul":
            return None
        name = node.input[1]
        if name in self._transposed:
            name, transposed = self._transposed[name], not transposed
        if name not in self._matrices:
            return None
        rows, columns = self._matrices[name].dims
        outputs = rows if transposed else columns
        if outputs == self._labels or rows * columns < _SMALLEST_MATRIX:
            return None
        return name, transposed

    def _product(self, node: onnx.NodeProto, matrix: str, transposed: bool) -> list[onnx.NodeProto] | None:
        product, quantization = _name_of(node), self._quantization
        if node.input[0] in self._constant:
            quantization = quantization.falling_back(product, "weight_only")
        storage = quantization.storage(product)
        if storage == "float":
            return None
        weight, scale = self._quantized(
            matrix, "outputs_by_inputs" if transposed else "inputs_by_outputs", quantization.largest
        )
        name, op, x = f"{product}.int8", self.builder.op, node.input[0]
        stacked = node.op_type == "Gemm" and storage == "int8" and SCHEMES[quantization.scheme].stacked
        if stacked:
            x = op("Unsqueeze", x, self.builder.integers(0), name=f"{name}.stack")
        value = emit_int8_product(self.builder, x, weight, scale, name=name, product=product, quantization=quantization)
        if len(node.input) > 2 and node.input[2]:
            value = op("Add", value, node.input[2], name=f"{name}.biased")
        if stacked:
            value = op("Squeeze", value, self.builder.integers(0), name=f"{name}.unstacked")
        self.products += storage == "int8"
        return self._taken(value, node.output[0])

    def _lookup(self, node: onnx.NodeProto) -> list[onnx.NodeProto] | None:
        name = node.input[0]
        rows, columns = self._matrices[name].dims
        if rows * columns < _SMALLEST_MATRIX:
            return None
        weight, scale = self._quantized(name, "table", LARGEST[8])
        prefix = _name_of(node)
        op = self.builder.op
        whole = op("Gather", weight, node.input[1], name=f"{prefix}.int8.rows")
        floats = op("Cast", whole, name=f"{prefix}.int8.float", to=TensorProto.FLOAT)
        flat = op("Gather", scale, node.input[1], name=f"{prefix}.int8.scales")
        column = op("Unsqueeze", flat, self.builder.integers(-1), name=f"{prefix}.int8.scale_column")
        return self._taken(op("Mul", floats, column, name=f"{prefix}.int8.scaled"), node.output[0])

    def _quantized(self, name: str, layout: str, largest: int) -> tuple[str, str]:
        """Store a matrix in int8, transposed to (inputs, outputs) for a matmul; return its name and its scales'."""
        if (name, layout) not in self._stored:
            matrix = numpy_helper.to_array(self._matrices[name])
            quantized, scales = quantize_channels(matrix.T if layout == "inputs_by_outputs" else matrix, largest)
            self._stored[name, layout] = (
                self.builder.weight(f"{name}.int8.{layout}", quantized if layout == "table" else quantized.T),
                self.builder.weight(f"{name}.scale.{layout}", scales),
            )
        return self._stored[name, layout]

    def _taken(self, value: str, output: str) -> list[onnx.NodeProto]:
        """Return the builder's nodes with ``value`` renamed to the replaced node's output; keep constants apart."""
        self.constants += [node for node in self.builder.nodes if node.op_type == "Constant"]
        nodes = [node for node in self.builder.nodes if node.op_type != "Constant"]
        nodes[-1].output[:] = [output if each == value else each for each in nodes[-1].output]
        return nodes


def _constants(model: onnx.ModelProto) -> set[str]:
    """Return the names of the values that do not depend on the inputs: initializers, and what is computed from them."""
    found = {tensor.name for tensor in model.graph.initializer}
    for node in model.graph.node:
        plain = all(attribute.type != onnx.AttributeProto.GRAPH for attribute in node.attribute)
        if plain and not node.op_type.startswith("Random") and all(not name or name in found for name in node.input):
            found |= set(node.output)
    return found


def _name_of(node: onnx.NodeProto) -> str:
    return str(node.name or node.output[0])


def _attributes(node: onnx.NodeProto) -> dict[str, Any]:
    return {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}


def _set_nodes(model: onnx.ModelProto, nodes: list[onnx.NodeProto]) -> None:
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del model.graph.node[:]
    model.graph.node.extend(copies)
