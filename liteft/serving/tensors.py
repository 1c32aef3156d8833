"""Tensors of the Open Inference Protocol, in JSON and in its binary extension.

In the extension, which Triton's clients use, a body is a JSON object whose length a header gives, followed by the bytes
of the tensors that say so, one after the other. A string is its length, 4 bytes with the lowest first, and its UTF-8.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
import numpy as np

from liteft.serving.refusals import Refused, refused_input

__all__ = ["InputTensor", "OutputTensor", "RequestedOutput", "binary_of", "read_tensor", "split_body"]

_NUMBERS = {
    **{"BOOL": "?", "UINT8": "<u1", "UINT16": "<u2", "UINT32": "<u4", "UINT64": "<u8"},
    **{"INT8": "<i1", "INT16": "<i2", "INT32": "<i4", "INT64": "<i8", "FP32": "<f4", "FP64": "<f8"},
}


class InputTensor(msgspec.Struct, omit_defaults=True):
    """A tensor of a request.

    Attributes:
        name, shape, datatype: of the tensor.
        data: its values, nested or flat; left out if they follow the JSON.
        parameters: ``binary_data_size``, the number of bytes that follow.
    """

    name: str
    shape: list[int]
    datatype: str
    data: list[Any] | None = None
    parameters: dict[str, Any] = msgspec.field(default_factory=dict)


class RequestedOutput(msgspec.Struct, omit_defaults=True):
    """An output that a request asks for.

    Attributes:
        name: of the output.
        parameters: ``binary_data``, to have it after the JSON; ``classification``, for so many best labels.
    """

    name: str
    parameters: dict[str, Any] = msgspec.field(default_factory=dict)


class OutputTensor(msgspec.Struct, omit_defaults=True):
    """A tensor of an answer; as for ``InputTensor``."""

    name: str
    shape: list[int]
    datatype: str
    data: list[Any] | None = None
    parameters: dict[str, Any] = msgspec.field(default_factory=dict)


def split_body(body: bytes, headers: Mapping[bytes, bytes]) -> tuple[bytes, memoryview]:
    """Return the JSON of a body, and the bytes after it.

    Raises:
        Refused: the header with the length of the JSON does not fit the body.
    """
    length = headers.get(b"inference-header-content-length")
    if length is None:
        return body, memoryview(b"")
    if not length.isdigit() or int(length) > len(body):
        raise refused_input(
            f"Inference-Header-Content-Length must be 0 to {len(body):,}, the bytes of the body, "
            f"got {length.decode('latin-1')!r}"
        )
    return body[: int(length)], memoryview(body)[int(length) :]


def read_tensor(tensor: InputTensor, rest: memoryview) -> tuple[list[Any], memoryview]:
    """Return the values of a tensor, flat, and the bytes that are left for those after it.

    Raises:
        Refused: data, shape and datatype do not fit each other.
    """
    if any(size < 0 for size in tensor.shape):
        raise refused_input(f"the shape of {tensor.name} must have sizes of 0 or more, got {tensor.shape}")
    count = math.prod(tensor.shape)
    size = tensor.parameters.get("binary_data_size")
    if size is None:
        values = list(_flat(tensor.data or []))
    else:
        if not isinstance(size, int) or not 0 <= size <= len(rest):
            raise refused_input(f"{tensor.name} has binary_data_size {size!r}, and {len(rest):,} bytes follow")
        values = _from_bytes(tensor, rest[:size])
        rest = rest[size:]
    if len(values) != count:
        raise refused_input(f"{tensor.name} has the shape {tensor.shape} and {len(values):,} values")
    return values, rest


def binary_of(values: Any, datatype: str) -> bytes:
    """Return the bytes of a tensor: of strings for BYTES, else of an array."""
    if datatype == "BYTES":
        parts = []
        for value in values:
            encoded = str(value).encode()
            parts += [len(encoded).to_bytes(4, "little"), encoded]
        return b"".join(parts)
    return np.ascontiguousarray(values, dtype=_NUMBERS[datatype]).tobytes()


def _flat(data: Iterable[Any]) -> Iterable[Any]:
    for value in data:
        if isinstance(value, list):
            yield from _flat(value)
        else:
            yield value


def _from_bytes(tensor: InputTensor, content: memoryview) -> list[Any]:
    if tensor.datatype != "BYTES":
        kind = _NUMBERS.get(tensor.datatype)
        if kind is None or len(content) % np.dtype(kind).itemsize:
            raise refused_input(f"{tensor.name} has the datatype {tensor.datatype!r} and {len(content):,} bytes")
        return list(np.frombuffer(content, dtype=kind).tolist())
    values, place = [], 0
    while place < len(content):
        stop = place + 4 + int.from_bytes(content[place : place + 4], "little")
        if place + 4 > len(content) or stop > len(content):
            raise refused_input(f"{tensor.name} ends within a string")
        try:
            values.append(str(content[place + 4 : stop], "utf-8"))
        except UnicodeDecodeError:
            raise Refused(422, "input", f"value {len(values)} of {tensor.name} is not UTF-8") from None
        place = stop
    return values
