"""The number of parameters in a file, read from its headers alone.

It needs neither torch nor onnx and reads no weights: a safetensors file begins with a JSON table of shapes, and an ONNX
file is a protocol buffer in which the length of every tensor precedes its bytes.
"""

from __future__ import annotations

import json
import math
import mmap
from collections.abc import Iterator
from pathlib import Path

from liteft.encoder.layout import WORDS
from liteft.errors import ArtifactError, ModelError
from liteft.foreign.weights import UNUSED_WEIGHTS

__all__ = ["onnx_parameters", "safetensors_parameters"]

_GRAPH, _INITIALIZER = 7, 5  # fields of ModelProto and GraphProto
_DIMS, _DATA_TYPE, _NAME = 1, 2, 8  # fields of TensorProto
_UINT8, _PACKED = 2, f"{WORDS}.weight"  # as uint8 it is a 4-bit table, two values per byte
_WEIGHT_TYPES = frozenset({1, 2, 3, 10, 11, 16, 17, 18})  # float, uint8, int8, half, double, bfloat16, float8
_VARINT, _EIGHT, _BYTES, _FOUR = 0, 1, 2, 5


def safetensors_parameters(path: Path) -> int:
    """Return the number of elements of all tensors in a safetensors file, without those that it says are not used.

    Raises:
        ModelError: the file is not a safetensors file.
    """
    try:
        with open(path, "rb") as file:
            size = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(size) if size < 2**27 else b"")
        left_out = {"__metadata__", *json.loads(header.get("__metadata__", {}).get(UNUSED_WEIGHTS, "[]"))}
        return sum(math.prod(entry["shape"]) for name, entry in header.items() if name not in left_out)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(
            f"{path} is not a readable safetensors file: {error}.", fix="copy the whole folder again"
        ) from error


def onnx_parameters(path: Path) -> int:
    """Return the number of weights in an ONNX file.

    Counts the elements of stored tensors of a floating-point or 8-bit type, except scalars and the scales of int8
    weights (names that end in "scale"). A 4-bit table of word embeddings has two weights per byte.

    Raises:
        ArtifactError: the file is not an ONNX model.
    """
    total = 0
    try:
        with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            for graph in _messages(content, 0, len(content), _GRAPH):
                for tensor in _messages(content, *graph, _INITIALIZER):
                    total += _elements(content, *tensor)
    except (OSError, ValueError, IndexError) as error:
        raise ArtifactError(f"{path} is not a readable ONNX file: {error}.", fix="export the model again") from error
    return total


def _elements(content: mmap.mmap, start: int, stop: int) -> int:
    """Return the number of weights in the TensorProto between two positions; 0 if it does not count."""
    dims: list[int] = []
    kind, name = 0, ""
    for field, wire, value, at in _fields(content, start, stop):
        if field == _DIMS and wire == _VARINT:
            dims.append(value)
        elif field == _DIMS and wire == _BYTES:
            while at < value:
                dim, at = _varint(content, at)
                dims.append(dim)
        elif field == _DATA_TYPE:
            kind = value
        elif field == _NAME:
            name = content[at:value].decode("utf-8", "replace")
    if kind not in _WEIGHT_TYPES or not dims or name.endswith("scale"):
        return 0
    packed = kind == _UINT8 and name == _PACKED  # two 4-bit values per byte
    return math.prod(dims) * (2 if packed else 1)


def _messages(content: mmap.mmap, start: int, stop: int, wanted: int) -> Iterator[tuple[int, int]]:
    """Yield the start and end of each submessage in the field number ``wanted``."""
    for field, wire, value, at in _fields(content, start, stop):
        if field == wanted and wire == _BYTES:
            yield at, value


def _fields(content: mmap.mmap, start: int, stop: int) -> Iterator[tuple[int, int, int, int]]:
    """Yield field number, wire type, value and position; for a bytes field the value is the position of its end."""
    at = start
    while at < stop:
        key, at = _varint(content, at)
        field, wire = key >> 3, key & 7
        if wire == _VARINT:
            value, at = _varint(content, at)
            yield field, wire, value, at
        elif wire == _BYTES:
            length, at = _varint(content, at)
            if at + length > stop:
                raise ValueError("it ends too early")
            yield field, wire, at + length, at
            at += length
        elif wire in (_EIGHT, _FOUR):
            at += 8 if wire == _EIGHT else 4
        else:
            raise ValueError(f"wire type {wire}")


def _varint(content: mmap.mmap, at: int) -> tuple[int, int]:
    """Return the variable-length integer at a position, and the position behind it."""
    value = shift = 0
    while True:
        byte = content[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at
        if shift > 63:
            raise ValueError("a number is too long")
