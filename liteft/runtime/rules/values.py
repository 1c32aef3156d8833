"""What the operators' rules are built from: values, and checks of a node's inputs."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from liteft.runtime.onnx_content import StoredNode, StoredTensor

__all__ = [
    "BOOL",
    "FLOAT",
    "FLOATING",
    "INTEGER",
    "LONG",
    "Inputs",
    "Rule",
    "Shape",
    "Value",
    "attribute",
    "broadcast",
    "checked_axes",
    "checked_axis",
    "computed",
    "known_numbers",
    "needed",
    "optional",
    "reduced",
    "require",
    "value_of",
]

_MOST_KNOWN = 1 << 16
FLOAT, BOOL, LONG = np.dtype(np.float32), np.dtype(np.bool_), np.dtype(np.int64)
FLOATING: set[np.dtype[Any]] = {np.dtype(np.float16), FLOAT, np.dtype(np.float64)}
INTEGER: set[np.dtype[Any]] = {np.dtype(f"{sign}{size}") for sign in "iu" for size in (1, 2, 4, 8)}

Shape = tuple[int, ...]


@dataclass(slots=True)
class Value:
    """A value in a graph: its dtype, its shape, its elements if known, and the work to compute it."""

    dtype: np.dtype[Any]
    shape: Shape
    known: np.ndarray | None = None
    work: int = 0

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)


Inputs = list["Value | None"]
Rule = Callable[[StoredNode, Inputs], list[Value]]


def value_of(tensor: StoredTensor) -> Value:
    """Return a stored tensor as a value. Raises ValueError for types that no operator here accepts."""
    if tensor.dtype is None:
        raise ValueError(f"the weight {tensor.name[:80]} is of a type that no operator takes")
    value = Value(tensor.dtype, tensor.shape)
    if value.size <= _MOST_KNOWN and (tensor.dtype.kind in "iub" or value.size == 1):
        value.known = tensor.array()
    return value


def require(fits: bool, message: str = "its inputs do not fit") -> None:
    if not fits:
        raise ValueError(message)


def attribute(node: StoredNode, name: str, default: Any = None) -> Any:
    found = node.attributes.get(name)
    return default if found is None else found.value


def needed(inputs: Inputs, place: int) -> Value:
    value = inputs[place] if place < len(inputs) else None
    if value is None:
        raise ValueError("an input is missing")
    return value


def optional(inputs: Inputs, place: int) -> Value | None:
    return inputs[place] if place < len(inputs) else None


def known_numbers(inputs: Inputs, place: int, *, most: int = 64) -> list[int]:
    """Return an input that has to be known: an integer or a vector of integers."""
    value = needed(inputs, place)
    require(value.dtype in (LONG, np.dtype(np.int32)) and len(value.shape) <= 1, "a shape is not a vector of integers")
    require(value.known is not None, "its shape depends on the content of its texts")
    assert value.known is not None
    require(value.size <= most, "a shape has too many dimensions")
    return [int(each) for each in value.known.reshape(-1)]


def checked_axis(axis: int, rank: int) -> int:
    require(-rank <= axis < rank, f"axis {axis} of {rank}")
    return axis % rank


def checked_axes(found: Sequence[int], rank: int) -> list[int]:
    axes = [checked_axis(axis, rank) for axis in found]
    require(len(set(axes)) == len(axes), "an axis occurs twice")
    return axes


def broadcast(*shapes: Shape) -> Shape:
    """Return the broadcast shape of values."""
    rank = max(map(len, shapes))
    whole = [1] * rank
    for shape in shapes:
        for place, size in enumerate(shape, rank - len(shape)):
            if size != 1:
                require(whole[place] in (1, size), f"shapes {' and '.join(map(str, shapes))} do not fit")
                whole[place] = size
    return tuple(whole)


def computed(value: Value, work: Callable[..., np.ndarray] | None, *sources: Value) -> Value:
    """Compute a value's elements if all its sources are known, integer and small."""
    kinds = all(source.dtype.kind in "iub" for source in sources) and value.dtype.kind in "iub"
    if work is None or not kinds or value.size > _MOST_KNOWN or any(source.known is None for source in sources):
        return value
    with np.errstate(all="ignore"):
        found = np.asarray(work(*(source.known for source in sources)))
    require(found.shape == value.shape, "its shape is not what it should be")
    value.known = found.astype(value.dtype)
    return value


def reduced(shape: Shape, axes: Sequence[int], *, keep: bool) -> Shape:
    """Return a shape after reducing some of its axes; they stay with size 1, or are removed."""
    kept = [1 if place in axes else size for place, size in enumerate(shape)]
    return tuple(size for place, size in enumerate(kept) if keep or place not in axes)
