"""Reading the tensors, inputs and outputs of an ONNX file, each with a shape that its values match."""

from __future__ import annotations

import math
import mmap
from typing import Any

import numpy as np

from liteft.runtime.onnx_content import TYPES, StoredTensor, StoredValue
from liteft.runtime.protobuf import Malformed, Message, Span

__all__ = ["MOST_TYPED", "PACKED", "packed", "read_tensor", "read_value"]

_HALVES = {21, 22}  # uint4, int4: two values per byte
_BYTES = {16: 2, 17: 1, 18: 1, 19: 1, 20: 1}  # bfloat16 and 8-bit floats
PACKED: dict[int, np.dtype[Any]] = {4: np.dtype("<f4"), 10: np.dtype("<f8")}  # values outside raw_data
_VARINTS = (5, 7)
_RAW, _EXTERNAL, _LOCATION = 9, 13, 14
MOST_TYPED = 1 << 16  # numbers of a tensor or attribute outside raw_data
_LARGEST = 1 << 31


def read_tensor(read: Message, mapped: mmap.mmap, span: Span, *, outside: bool) -> StoredTensor:
    """Return a tensor whose values match its shape. Raises Malformed for any other.

    Args:
        read: reads the file's messages.
        mapped: the file.
        span: where the tensor's message is.
        outside: accept values in another file, which are not read.
    """
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
        elif number in PACKED:
            typed.append(packed(mapped, value, PACKED[number]))
        elif number in _VARINTS:
            typed.append(np.array(read.integers(value, MOST_TYPED), np.int64))
        elif number == _EXTERNAL or (number == _LOCATION and value != 0):
            elsewhere = True
        elif number not in (12, _LOCATION, 16):
            raise Malformed(f"a tensor {name[:80]} stored in an unsupported way")
    tensor = StoredTensor(name, kind, tuple(dims), raw[0] if raw else None, None, mapped)
    if elsewhere and not outside:
        raise Malformed(f"a tensor {name[:80]} whose values are in another file, which no hash covers")
    _check_tensor(tensor, len(raw), typed, elsewhere=elsewhere)
    return tensor


def _check_tensor(tensor: StoredTensor, raws: int, typed: list[np.ndarray], *, elsewhere: bool) -> None:
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


def packed(mapped: mmap.mmap, value: int | Span, dtype: np.dtype[Any]) -> np.ndarray:
    """Return the floats of a repeated field: a single one, or packed ones, which are not copied."""
    if isinstance(value, int):
        return np.array([value & ((1 << 8 * dtype.itemsize) - 1)], f"<u{dtype.itemsize}").view(dtype)
    if (value[1] - value[0]) % dtype.itemsize:
        raise Malformed(f"a malformed list of numbers at byte {value[0]}")
    return np.frombuffer(mapped, dtype, (value[1] - value[0]) // dtype.itemsize, value[0])


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
