"""The content of an ONNX file as plain Python: nodes, functions, and tensors whose values stay in the mapped file."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from liteft.runtime.protobuf import Span

__all__ = [
    "TYPES", "StoredAttribute", "StoredFunction", "StoredGraph", "StoredModel", "StoredNode", "StoredTensor",
    "StoredValue", "has_endless_value",
]  # fmt: skip

TYPES: dict[int, np.dtype[Any]] = {  # TensorProto.DataType
    1: np.dtype("<f4"), 2: np.dtype("|u1"), 3: np.dtype("|i1"), 4: np.dtype("<u2"), 5: np.dtype("<i2"),
    6: np.dtype("<i4"), 7: np.dtype("<i8"), 9: np.dtype("|b1"), 10: np.dtype("<f2"), 11: np.dtype("<f8"),
    12: np.dtype("<u4"), 13: np.dtype("<u8"),
}  # fmt: skip


@dataclass(slots=True)
class StoredTensor:
    """A stored tensor: name, number of its data type, shape, and its values or their span in the file."""

    name: str
    kind: int
    shape: tuple[int, ...]
    raw: Span | None
    typed: np.ndarray | None
    buffer: Any = field(repr=False)

    @property
    def dtype(self) -> np.dtype[Any] | None:
        """The numpy dtype; None if numpy has none."""
        return TYPES.get(self.kind)

    def array(self) -> np.ndarray | None:
        """Return the values, as a view into the file if they are there; None if numpy has no such dtype."""
        dtype = self.dtype
        if dtype is None:
            return None
        if self.raw is None:
            return np.zeros(self.shape, dtype) if self.typed is None else self.typed.astype(dtype).reshape(self.shape)
        return np.frombuffer(self.buffer, dtype, math.prod(self.shape), self.raw[0]).reshape(self.shape)


@dataclass(slots=True)
class StoredAttribute:
    """An attribute: the number of its kind, and its value: a number, text, list, tensor or graphs."""

    kind: int
    value: Any


@dataclass(slots=True)
class StoredNode:
    """A node; its domain is "" for ONNX's own operators."""

    operator: str
    domain: str
    inputs: list[str]
    outputs: list[str]
    attributes: dict[str, StoredAttribute]
    graphs: list[StoredGraph]


@dataclass(slots=True)
class StoredValue:
    """An input or output of a graph: name, number of its data type, and shape, in which None means any size."""

    name: str
    kind: int
    shape: tuple[int | None, ...] | None


@dataclass(slots=True)
class StoredGraph:
    """Nodes, tensors, inputs, outputs, and the number of inner values with a stated shape."""

    nodes: list[StoredNode]
    tensors: list[StoredTensor]
    inputs: list[StoredValue]
    outputs: list[StoredValue]
    described: int


@dataclass(slots=True)
class StoredFunction:
    """A function of the model."""

    name: str
    domain: str
    inputs: list[str]
    outputs: list[str]
    attributes: list[str]
    nodes: list[StoredNode]
    opsets: dict[str, int]
    described: int


@dataclass(slots=True)
class StoredModel:
    """The content of a whole file."""

    version: int
    opsets: dict[str, int]
    graph: StoredGraph
    functions: dict[tuple[str, str], StoredFunction]

    def all_nodes(self) -> Iterator[StoredNode]:
        """Yield every node in the file, including those of functions and of subgraphs."""
        rows = [self.graph.nodes, *(function.nodes for function in self.functions.values())]
        while rows:
            for node in rows.pop():
                yield node
                rows += [graph.nodes for graph in node.graphs]

    def all_tensors(self) -> Iterator[StoredTensor]:
        """Yield every stored tensor, including those of Constant nodes."""
        yield from self.graph.tensors
        for node in self.all_nodes():
            for graph in node.graphs:
                yield from graph.tensors
            yield from (each.value for each in node.attributes.values() if isinstance(each.value, StoredTensor))


def has_endless_value(array: np.ndarray) -> bool:
    """Return whether a float array contains NaN or an infinity, without copying it.

    Their bit patterns are the largest: for positive numbers as signed integers, for negative ones as unsigned.
    """
    if array.dtype.kind != "f" or not array.size:
        return False
    size = array.dtype.itemsize
    limit = {2: 0x7C00, 4: 0x7F800000, 8: 0x7FF0000000000000}[size]
    negative = limit | 1 << (8 * size - 1)
    return bool(array.view(f"<i{size}").max() >= limit or array.view(f"<u{size}").max() >= negative)
