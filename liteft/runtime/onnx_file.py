"""An ONNX file read into plain Python, within bounds, before a C++ library sees it.

Read is whatever decides if a file can be run: nodes, attributes, functions, the shapes of stored tensors. Values stay
in the mapped file. Refused is whatever a text classifier's graph does not need or that cannot be checked: tensors in
other files, which no hash covers, sparse and segmented tensors, lengths that do not match shapes, and
functions that call themselves or expand to millions of nodes.
"""

from __future__ import annotations

import math
import mmap
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from liteft import files
from liteft.errors import ArtifactError
from liteft.runtime.protobuf import Malformed, Message, Span
from liteft.untrusted.reading import open_regular

__all__ = [
    "StoredAttribute", "StoredFunction", "StoredGraph", "StoredModel", "StoredNode", "StoredTensor", "StoredValue",
    "has_endless_value", "map_file", "read_model", "read_value",
]  # fmt: skip

TYPES: dict[int, np.dtype[Any]] = {  # TensorProto.DataType
    1: np.dtype("<f4"), 2: np.dtype("|u1"), 3: np.dtype("|i1"), 4: np.dtype("<u2"), 5: np.dtype("<i2"),
    6: np.dtype("<i4"), 7: np.dtype("<i8"), 9: np.dtype("|b1"), 10: np.dtype("<f2"), 11: np.dtype("<f8"),
    12: np.dtype("<u4"), 13: np.dtype("<u8"),
}  # fmt: skip
_HALVES = {21, 22}  # uint4, int4: two values per byte
_BYTES = {16: 2, 17: 1, 18: 1, 19: 1, 20: 1}  # bfloat16 and 8-bit floats
_PACKED: dict[int, np.dtype[Any]] = {4: np.dtype("<f4"), 10: np.dtype("<f8")}  # values outside raw_data
_VARINTS = (5, 7)
_RAW, _EXTERNAL, _LOCATION = 9, 13, 14
_MOST_DEPTH = 12
_MOST_NODES = 100_000
_MOST_TYPED = 1 << 16
_LARGEST = 1 << 31


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


def map_file(path: Path) -> mmap.mmap:
    """Map a regular file. Raises ArtifactError if it cannot be read or is empty."""
    try:
        descriptor = open_regular(path)
        try:
            if not os.fstat(descriptor).st_size:
                raise ArtifactError(
                    f"{path} is not an ONNX file, or is damaged: it is empty.", fix="copy the folder again"
                )
            if os.fstat(descriptor).st_size >= _LARGEST:
                raise ValueError("it has 2 GB or more, which is more than an ONNX file may have")
            return mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ)
        finally:
            os.close(descriptor)
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{path} cannot be read: {error}.", fix="copy the folder again") from error


def read_model(path: Path, *, outside: bool = False) -> StoredModel:
    """Return the content of an ONNX file whose functions are known to terminate.

    Args:
        path: the file.
        outside: accept tensors whose values are in other files, which are not read.

    Raises:
        ArtifactError: the file cannot be read, is not an ONNX file, or contains something that is never loaded.
    """
    mapped = map_file(path)
    if files.is_lfs_pointer(mapped[:64]):
        raise ArtifactError(f"{path} is a git-lfs pointer, not the file itself.", fix="git lfs pull")
    try:
        model = _Reader(mapped, outside=outside).model()
        _check_expansion(model)
    except (Malformed, UnicodeDecodeError, RecursionError) as error:
        raise ArtifactError(
            f"{path} is not an ONNX file, or is damaged: {error}.",
            accepted={"read": "an ONNX file as liteft export writes it"},
            fix="export the model again",
        ) from error
    return model


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


def read_value(read: Message, span: Span) -> StoredValue:
    """Return an input or output of a graph, read from a file's messages. Raises Malformed if it is not a tensor."""
    kind, shape = 0, None
    for number, value in read.fields(span):
        if number != 2:
            continue
        for part, each in read.fields(read.span(value)):
            if part == 1:
                kind, shape = _tensor_type(read, read.span(each))
            elif part != 6:
                raise Malformed("an input or output that is not a tensor")
    return StoredValue(read.one_text(span, 1), kind, shape)


def _tensor_type(read: Message, span: Span) -> tuple[int, tuple[int | None, ...] | None]:
    kind, shape = 0, None
    for number, value in read.fields(span):
        if number == 1:
            kind = read.number(value)
        elif number == 2:
            shape = tuple(_size(read, read.span(each)) for part, each in read.fields(read.span(value)) if part == 1)
    return kind, shape


def _size(read: Message, span: Span) -> int | None:
    """Return the size of a dimension; None if it is named or unspecified."""
    found = None
    for number, value in read.fields(span):
        if number == 1:
            found = read.number(value)
        elif number == 2:
            read.text(value)  # its name must be UTF-8, or other readers fail on it
    return found


def _check_expansion(model: StoredModel) -> None:
    """Refuse functions that call themselves, and those that expand to more nodes than any real graph has."""
    sizes: dict[tuple[str, str], int] = {}
    open_calls: set[tuple[str, str]] = set()

    def size_of(nodes: list[StoredNode], depth: int) -> int:
        if depth > 2 * _MOST_DEPTH:
            raise Malformed("functions that call each other too deeply")
        total = 0
        for node in nodes:
            key = (node.domain, node.operator)
            total += 1 + sum(size_of(graph.nodes, depth + 1) for graph in node.graphs)
            if key in model.functions:
                total += function_size(key, depth)
            if total > _MOST_NODES:
                raise Malformed(f"functions that expand to more than {_MOST_NODES:,} nodes")
        return total

    def function_size(key: tuple[str, str], depth: int) -> int:
        if key in open_calls:
            raise Malformed(f"a function that calls itself, {key[0]}.{key[1]}"[:200])
        if key not in sizes:
            open_calls.add(key)
            sizes[key] = size_of(model.functions[key].nodes, depth + 1)
            open_calls.remove(key)
        return sizes[key]

    size_of(model.graph.nodes, 0)
    for key in model.functions:
        function_size(key, 0)


class _Reader:
    """Reads the messages of one file, by the field numbers of onnx.proto."""

    def __init__(self, mapped: mmap.mmap, *, outside: bool) -> None:
        self._mapped, self._outside = mapped, outside
        self._read = Message(memoryview(mapped))
        self._nodes = 0

    def model(self) -> StoredModel:
        read = self._read
        version, graphs = 0, []
        opsets: dict[str, int] = {}
        functions: dict[tuple[str, str], StoredFunction] = {}
        for number, value in read.fields(read.whole):
            if number == 1:
                version = read.number(value)
            elif number == 7:
                graphs.append(read.span(value))
            elif number == 8:
                self._opset(read.span(value), opsets)
            elif number == 25:
                function = self._function(read.span(value))
                if (function.domain, function.name) in functions:
                    raise Malformed("two functions of one name")
                functions[function.domain, function.name] = function
            elif number not in (2, 3, 4, 5, 6, 14):
                raise Malformed(f"a field of unknown kind {number}")
        if len(graphs) != 1:
            raise Malformed(f"{len(graphs)} graphs")
        return StoredModel(version, opsets, self._graph(graphs[0], 0), functions)

    def _opset(self, span: Span, opsets: dict[str, int]) -> None:
        domain, version = "", 0
        for number, value in self._read.fields(span):
            if number == 1:
                domain = self._domain(value)
            elif number == 2:
                version = self._read.number(value)
        if opsets.get(domain, version) != version:
            raise Malformed(f"two versions of the domain {domain[:80]!r}")
        opsets[domain] = version

    def _domain(self, value: int | Span) -> str:
        domain = self._read.text(value)
        return "" if domain == "ai.onnx" else domain

    def _function(self, span: Span) -> StoredFunction:
        read = self._read
        function = StoredFunction("", "", [], [], [], [], {}, 0)
        for number, value in read.fields(span):
            if number == 1:
                function.name = read.text(value)
            elif number == 10:
                function.domain = self._domain(value)
            elif number in (4, 5, 6):
                {4: function.inputs, 5: function.outputs, 6: function.attributes}[number].append(read.text(value))
            elif number == 7:
                function.nodes.append(self._node(read.span(value), 0))
            elif number == 9:
                self._opset(read.span(value), function.opsets)
            elif number == 12:
                function.described += 1
            elif number not in (8, 14):  # 11: attributes with defaults; 13: overloads
                raise Malformed(f"a function with a field of unknown kind {number}")
        return function

    def _graph(self, span: Span, depth: int) -> StoredGraph:
        if depth > _MOST_DEPTH:
            raise Malformed("graphs in graphs too deeply")
        read = self._read
        graph = StoredGraph([], [], [], [], 0)
        for number, value in read.fields(span):
            if number == 1:
                graph.nodes.append(self._node(read.span(value), depth))
            elif number == 5:
                graph.tensors.append(self._tensor(read.span(value)))
            elif number in (11, 12):
                (graph.inputs if number == 11 else graph.outputs).append(read_value(read, read.span(value)))
            elif number == 13:
                graph.described += 1
            elif number == 15:
                raise Malformed("sparse weights")
            elif number not in (2, 10, 14, 16):
                raise Malformed(f"a graph with a field of unknown kind {number}")
        if len({tensor.name for tensor in graph.tensors}) != len(graph.tensors):
            raise Malformed("two weights of one name")
        return graph

    def _node(self, span: Span, depth: int) -> StoredNode:
        read = self._read
        self._nodes += 1
        if self._nodes > _MOST_NODES:
            raise Malformed(f"more than {_MOST_NODES:,} nodes")
        node = StoredNode("", "", [], [], {}, [])
        for number, value in read.fields(span):
            if number in (1, 2):
                (node.inputs if number == 1 else node.outputs).append(read.text(value))
            elif number == 4:
                node.operator = read.text(value)
            elif number == 5:
                name, attribute = self._attribute(read.span(value), depth, node.graphs)
                if name in node.attributes:
                    raise Malformed(f"attribute {name[:80]} twice")
                node.attributes[name] = attribute
            elif number == 7:
                node.domain = self._domain(value)
            elif number == 8 and read.text(value):
                raise Malformed("a node with an overload")
            elif number == 3:
                read.text(value)  # must be UTF-8, or other readers fail on it
            elif number not in (6, 8, 9):
                raise Malformed(f"a node with a field of unknown kind {number}")
        return node

    def _attribute(self, span: Span, depth: int, graphs: list[StoredGraph]) -> tuple[str, StoredAttribute]:
        read = self._read
        name, kind = read.one_text(span, 1), 0
        found: dict[int, list[Any]] = {}
        for number, value in read.fields(span):
            if number == 20:
                kind = read.number(value)
            elif number == 2:
                found.setdefault(1, []).append(_float(read.number(value)))
            elif number == 3:
                found.setdefault(2, []).append(read.number(value))
            elif number == 4:
                found.setdefault(3, []).append(read.text(value))
            elif number == 5:
                found.setdefault(4, []).append(self._tensor(read.span(value)))
            elif number == 6:
                found.setdefault(5, []).append(self._graph(read.span(value), depth + 1))
            elif number == 7:
                found.setdefault(6, []).extend(self._floats(value))
            elif number == 8:
                found.setdefault(7, []).extend(read.integers(value, _MOST_TYPED))
            elif number == 9:
                found.setdefault(8, []).append(read.text(value))
            elif number == 11:
                found.setdefault(10, []).append(self._graph(read.span(value), depth + 1))
            elif number not in (1, 13):  # 21: a reference to an attribute of the enclosing function
                raise Malformed(f"an attribute {name[:80]} of unknown kind {number}")
        values = found.get(kind, [])
        if set(found) - {kind} or kind not in (*range(1, 9), 10) or (kind <= 5 and len(values) > 1):
            raise Malformed(f"an attribute {name[:80]} of two kinds, or none")
        if kind in (5, 10):
            graphs += values
        if kind > 5:
            return name, StoredAttribute(kind, values)
        if not values and kind in (4, 5):
            raise Malformed(f"an attribute {name[:80]} without a value")
        return name, StoredAttribute(kind, values[0] if values else {1: 0.0, 2: 0, 3: ""}[kind])

    def _floats(self, value: int | Span) -> list[float]:
        if not isinstance(value, int) and value[1] - value[0] > 4 * _MOST_TYPED:
            raise Malformed(f"a list of numbers that is too long at byte {value[0]}")
        return [float(each) for each in self._packed(value, _PACKED[4])]

    def _packed(self, value: int | Span, dtype: np.dtype[Any]) -> np.ndarray:
        """Return the floats of a repeated field: a single one, or packed ones, which are not copied."""
        if isinstance(value, int):
            return np.array([value & ((1 << 8 * dtype.itemsize) - 1)], f"<u{dtype.itemsize}").view(dtype)
        if (value[1] - value[0]) % dtype.itemsize:
            raise Malformed(f"a malformed list of numbers at byte {value[0]}")
        return np.frombuffer(self._mapped, dtype, (value[1] - value[0]) // dtype.itemsize, value[0])

    def _tensor(self, span: Span) -> StoredTensor:
        read = self._read
        name, kind = "", 0
        dims: list[int] = []
        raw: list[Span] = []
        typed: list[np.ndarray] = []
        elsewhere = False
        for number, value in read.fields(span):
            if number == 1:
                dims += read.integers(value)
            elif number == 2:
                kind = read.number(value)
            elif number == 8:
                name = read.text(value)
            elif number == _RAW:
                raw.append(read.span(value))
            elif number in _PACKED:
                typed.append(self._packed(value, _PACKED[number]))
            elif number in _VARINTS:
                typed.append(np.array(read.integers(value, _MOST_TYPED), np.int64))
            elif number == _EXTERNAL or (number == _LOCATION and value != 0):
                elsewhere = True
            elif number not in (12, _LOCATION, 16):
                raise Malformed(f"a tensor {name[:80]} stored in an unsupported way")
        tensor = StoredTensor(name, kind, tuple(dims), raw[0] if raw else None, None, self._mapped)
        if elsewhere and not self._outside:
            raise Malformed(f"a tensor {name[:80]} whose values are in another file, which no hash covers")
        self._check_tensor(tensor, len(raw), typed, elsewhere=elsewhere)
        return tensor

    def _check_tensor(self, tensor: StoredTensor, raws: int, typed: list[np.ndarray], *, elsewhere: bool) -> None:
        """Refuse a tensor whose shape is invalid or does not match its values."""
        shape, kind = tensor.shape, tensor.kind
        if len(shape) > 8 or not all(0 <= size < _LARGEST for size in shape):
            raise Malformed(f"a tensor {tensor.name[:80]} of shape {shape[:9]}")
        count = math.prod(shape)
        if raws + (1 if typed else 0) > 1:
            raise Malformed(f"a tensor {tensor.name[:80]} that is stored twice")
        if kind in TYPES:
            size = TYPES[kind].itemsize * count
        elif kind in _HALVES:
            size = -(-count // 2)
        elif kind in _BYTES:
            size = _BYTES[kind] * count
        else:
            raise Malformed(f"a tensor {tensor.name[:80]} of unknown type {kind}")
        if typed:
            values = np.concatenate(typed)
            if kind == 10:  # float16 is stored in int32_data as bits
                values = values.astype(np.uint16).view(np.float16)
            tensor.typed, found, wanted = values, len(values), size if kind in _HALVES else count
        else:
            found, wanted = 0 if tensor.raw is None else tensor.raw[1] - tensor.raw[0], size
        if elsewhere and not found:
            tensor.kind = -tensor.kind  # its values are not available
        elif found != wanted:
            raise Malformed(f"a tensor {tensor.name[:80]} of shape {shape} whose values do not match its shape")


def _float(bits: int) -> float:
    return float(np.array([bits & 0xFFFFFFFF], "<u4").view("<f4")[0])
