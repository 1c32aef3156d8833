"""A small writer of ONNX nodes, so that the code for a graph's body is a plain function over a builder.

Values are named by strings, weights are kept apart from the nodes, and equal constants are written once. The result is
a flat model; `wrapping` turns it into a model-local function, in which weights become inputs and constants stay nodes.
The builder does not validate: `Blueprint.model` passes the finished model to onnx.checker with shape inference.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

__all__ = ["IR_VERSION", "OPSET", "GraphBuilder"]

OPSET = 20
IR_VERSION = 9


class GraphBuilder:
    """Collects nodes, in the order in which they are created, and named weights."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: dict[str, np.ndarray] = {}
        self._constants: dict[tuple[str, tuple[int, ...], bytes], str] = {}
        self._taken: set[str] = set()

    def weight(self, name: str, array: np.ndarray) -> str:
        """Add an array as a weight and return its name, which no other weight may have."""
        if name in self.weights:
            raise ValueError(f"there is already a weight named {name}")
        self.weights[name] = np.ascontiguousarray(array)
        return name

    def constant(self, value: np.ndarray | np.generic) -> str:
        """Return the name of a constant with this value, dtype and shape; equal constants share one node."""
        array = np.asarray(value)
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._constants:
            name = self._unique("constant")
            tensor = numpy_helper.from_array(array, name)
            self.nodes.append(helper.make_node("Constant", [], [name], name=name, value=tensor))
            self._constants[key] = name
        return self._constants[key]

    def integers(self, *values: int) -> str:
        """Return the name of a constant int64 vector of these values."""
        return self.constant(np.array(values, dtype=np.int64))

    def number(self, value: float) -> str:
        """Return the name of a constant float32 scalar of this value."""
        return self.constant(np.float32(value))

    def op(self, kind: str, *inputs: str, name: str, **attributes: Any) -> str:
        """Append a node of operator ``kind`` with one output.

        Returns:
            The name of the output and of the node: ``name``, with a number appended if it is taken.
        """
        output = self._unique(name)
        self.nodes.append(helper.make_node(kind, list(inputs), [output], name=output, **attributes))
        return output

    def split(self, value: str, *, axis: int, parts: Sequence[str]) -> list[str]:
        """Append a Split of ``value`` into equal parts along ``axis``, and return the names of the parts."""
        outputs = [self._unique(part) for part in parts]
        node = helper.make_node("Split", [value], outputs, name=outputs[0], axis=axis, num_outputs=len(parts))
        self.nodes.append(node)
        return outputs

    def model(
        self, name: str, *, inputs: Mapping[str, Sequence[str | int]], output: str, shape: Sequence[str | int]
    ) -> onnx.ModelProto:
        """Return the finished model.

        Args:
            name: the graph's name.
            inputs: name -> shape of the int64 inputs, in order; a string in a shape is a dynamic axis.
            output: the float32 value that the model returns.
            shape: of the output.
        """
        graph = helper.make_graph(
            self.nodes,
            name,
            [helper.make_tensor_value_info(each, TensorProto.INT64, axes) for each, axes in inputs.items()],
            [helper.make_tensor_value_info(output, TensorProto.FLOAT, shape)],
            [numpy_helper.from_array(array, each) for each, array in self.weights.items()],
        )
        return helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
            producer_name="liteft",
        )

    def _unique(self, name: str) -> str:
        candidate, number = name, 1
        while candidate in self._taken:
            number += 1
            candidate = f"{name}.{number}"
        self._taken.add(candidate)
        return candidate
