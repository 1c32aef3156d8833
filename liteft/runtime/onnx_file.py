"""An ONNX file read into plain Python, within bounds, before a C++ library sees it.

Read is whatever decides if a file can be run: nodes, attributes, functions, the shapes of stored tensors. Values stay
in the mapped file. Refused is whatever a text classifier's graph does not need or that cannot be checked: tensors in
other files, which no hash covers, sparse and segmented tensors, lengths that do not match shapes, and
functions that call themselves or expand to millions of nodes.
"""

from __future__ import annotations

import mmap
import os
from pathlib import Path
from typing import Any

import numpy as np

from liteft import files
from liteft.errors import ArtifactError
from liteft.runtime.onnx_content import (
    StoredAttribute,
    StoredFunction,
    StoredGraph,
    StoredModel,
    StoredNode,
    StoredTensor,
)
from liteft.runtime.onnx_tensors import MOST_TYPED, PACKED, packed, read_tensor, read_value
from liteft.runtime.protobuf import Malformed, Message, Span
from liteft.untrusted.reading import open_regular

__all__ = ["map_file", "read_model"]

_MOST_DEPTH = 12
_MOST_NODES = 100_000
_LARGEST = 1 << 31


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
                graph.tensors.append(self._tensor(value))
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
                found.setdefault(4, []).append(self._tensor(value))
            elif number == 6:
                found.setdefault(5, []).append(self._graph(read.span(value), depth + 1))
            elif number == 7:
                found.setdefault(6, []).extend(self._floats(value))
            elif number == 8:
                found.setdefault(7, []).extend(read.integers(value, MOST_TYPED))
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
        if not isinstance(value, int) and value[1] - value[0] > 4 * MOST_TYPED:
            raise Malformed(f"a list of numbers that is too long at byte {value[0]}")
        return [float(each) for each in packed(self._mapped, value, PACKED[4])]

    def _tensor(self, value: int | Span) -> StoredTensor:
        return read_tensor(self._read, self._mapped, self._read.span(value), outside=self._outside)


def _float(bits: int) -> float:
    return float(np.array([bits & 0xFFFFFFFF], "<u4").view("<f4")[0])
