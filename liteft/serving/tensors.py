"""Tensors of the Open Inference Protocol, in JSON and in its binary extension.

In the extension, which Triton's clients use, a body is a JSON object whose length a header gives, followed by the bytes
of the tensors that say so, one after the other. A string is its length, 4 bytes with the lowest first, and its UTF-8.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np

from liteft.serving.refusals import refused_input

__all__ = [
    "InputParameters",
    "InputTensor",
    "OutputParameters",
    "OutputTensor",
    "RequestedOutput",
    "binary_of",
    "read_tensor",
    "split_body",
]

_NUMBERS = {"BOOL": "?", "INT64": "<i8", "FP32": "<f4"}  # of inputs and outputs, which are BYTES besides
_LENGTH = 4  # bytes before a string
_MOST_DIGITS = 18


class InputParameters(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Parameters of an input.

    Attributes:
        binary_data_size: number of its bytes, which follow the JSON.
        content_type: of MLServer; accepted, and not looked at.
    """

    binary_data_size: int | None = None
    content_type: str | None = None


class InputTensor(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """A tensor of a request.

    Attributes:
        name, shape, datatype: of the tensor.
        data: its values, nested or flat; left out if they follow the JSON.
        parameters: how it was sent.
    """

    name: str
    shape: list[int]
    datatype: str
    data: list[Any] | None = None
    parameters: InputParameters | None = None


class OutputParameters(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Parameters of an output.

    Attributes:
        binary_data: whether it follows the JSON; None as the whole request says.
        classification: of ``probabilities``, give so many of the best labels instead, as Triton writes them.
        content_type: of MLServer; accepted, and not looked at.
    """

    binary_data: bool | None = None
    classification: int | None = None
    content_type: str | None = None


class RequestedOutput(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """An output that a request asks for.

    Attributes:
        name: of the output.
        parameters: how it is wanted.
    """

    name: str
    parameters: OutputParameters | None = None


class OutputTensor(msgspec.Struct, omit_defaults=True):
    """A tensor of an answer.

    Attributes:
        name, shape, datatype: of the tensor.
        data: its values, flat; left out if they follow the JSON.
        parameters: ``binary_data_size``, the number of bytes that follow.
    """

    name: str
    shape: list[int]
    datatype: str
    data: list[Any] | None = None
    parameters: dict[str, int] = msgspec.field(default_factory=dict)


def split_body(body: bytes, headers: Mapping[bytes, bytes]) -> tuple[bytes, memoryview]:
    """Return the JSON of a body, and the bytes after it.

    Raises:
        Refused: the header with the length of the JSON does not fit the body.
    """
    length = headers.get(b"inference-header-content-length")
    if length is None:
        return body, memoryview(b"")
    if not length.isdigit() or len(length) > _MOST_DIGITS or int(length) > len(body):
        raise refused_input(
            f"Inference-Header-Content-Length must be 0 to {len(body):,}, the bytes of the body, "
            f"got {length.decode('latin-1')[:40]!r}"
        )
    return body[: int(length)], memoryview(body)[int(length) :]


def read_tensor(tensor: InputTensor, datatype: str, rest: memoryview) -> tuple[list[Any], memoryview]:
    """Return the values of a tensor, and the bytes that are left for those after it.

    Args:
        tensor: of a request.
        datatype: that it must have, "BYTES" or "INT64".
        rest: the bytes from its own on.

    Raises:
        Refused: data, shape and datatype do not fit each other.
    """
    name, shape = tensor.name, tensor.shape
    if tensor.datatype != datatype:
        raise refused_input(f"{name} must have the datatype {datatype}, got {tensor.datatype!r:.40}")
    if not (len(shape) == 1 or (len(shape) == 2 and shape[1] == 1)) or min(shape) < 0:
        raise refused_input(f"{name} must have the shape [N] or [N, 1], got {shape!s:.60}")
    size = None if tensor.parameters is None else tensor.parameters.binary_data_size
    if size is None:
        values = _from_json(tensor, str if datatype == "BYTES" else int)
    else:
        if tensor.data is not None:
            raise refused_input(f"{name} has both data and binary_data_size, and must have one of them")
        if not 0 <= size <= len(rest):
            raise refused_input(f"{name} has the binary_data_size {size}, and {len(rest):,} bytes follow")
        values = _strings(name, rest[:size]) if datatype == "BYTES" else _numbers(name, datatype, rest[:size])
        rest = rest[size:]
    if len(values) != math.prod(shape):
        raise refused_input(f"{name} has the shape {shape} and {len(values):,} values")
    return values, rest


def binary_of(values: Any, datatype: str) -> bytes:
    """Return the bytes of a tensor: of strings for BYTES, else of an array."""
    if datatype == "BYTES":
        parts = []
        for value in values:
            encoded = str(value).encode()
            parts += [len(encoded).to_bytes(_LENGTH, "little"), encoded]
        return b"".join(parts)
    return np.ascontiguousarray(values, dtype=_NUMBERS[datatype]).tobytes()


def _from_json(tensor: InputTensor, kind: type) -> list[Any]:
    """Return the values in a tensor's JSON; rows of a nested form are joined."""
    values = [value for row in tensor.data or [] for value in (row if isinstance(row, list) else [row])]
    for place, value in enumerate(values):
        if type(value) is not kind:
            wanted = "a string" if kind is str else "an integer"
            raise refused_input(f"value {place} of {tensor.name} must be {wanted}, got {value!s:.40}")
    return values


def _numbers(name: str, datatype: str, content: memoryview) -> list[Any]:
    kind = np.dtype(_NUMBERS[datatype])
    if len(content) % kind.itemsize:
        raise refused_input(f"{name} must have {kind.itemsize} bytes for each {datatype}, got {len(content):,} in all")
    return list(np.frombuffer(content, dtype=kind).tolist())


def _strings(name: str, content: memoryview) -> list[str]:
    values: list[str] = []
    place = 0
    while place < len(content):
        first = place + _LENGTH
        place = first + int.from_bytes(content[place:first], "little")
        if max(first, place) > len(content):
            raise refused_input(f"{name} ends within value {len(values)}: each is 4 bytes of its length, and its UTF-8")
        try:
            values.append(str(content[first:place], "utf-8"))
        except UnicodeDecodeError:
            raise refused_input(f"value {len(values)} of {name} is not UTF-8") from None
    return values
