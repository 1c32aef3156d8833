"""Pickles that joblib wrote, read as data: nothing that they name is imported, called or created.

`joblib.load` and `pickle.load` run what a file tells them to run. Here the instructions of a pickle build plain values,
arrays of numbers and texts, and a `Pickled` for every object: its class's name, what it was made with and its state.
So a file can say anything and do nothing. Instructions that such files do not need are refused.
"""

from __future__ import annotations

import io
import math
import pickle
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from liteft.untrusted.reading import read_bytes

__all__ = ["Pickled", "read_pickle"]

_MOST_BYTES = 256 << 20
_NUMBERS = re.compile(r"[biufU]\d{1,9}")
_WRAPPER = "joblib.numpy_pickle.NumpyArrayWrapper"
_NEEDED = {
    "values": ["NONE", "NEWTRUE", "NEWFALSE", "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"],
    "texts": ["SHORT_BINUNICODE", "BINUNICODE", "SHORT_BINBYTES", "BINBYTES"],
    "containers": ["EMPTY_DICT", "EMPTY_LIST", "EMPTY_TUPLE", "EMPTY_SET", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3"],
    "their items": ["MARK", "APPEND", "APPENDS", "SETITEM", "SETITEMS", "ADDITEMS"],
    "memory": ["BINPUT", "LONG_BINPUT", "BINGET", "LONG_BINGET", "MEMOIZE"],
    "objects": ["GLOBAL", "STACK_GLOBAL", "REDUCE", "NEWOBJ", "BUILD"],
    "the file": ["PROTO", "FRAME", "STOP"],
}
"""Instructions of pickles that joblib writes for classifiers."""
_STANDARD: Any = pickle  # whose reader in Python and whose codes are not in its types


@dataclass(slots=True, eq=False)
class Pickled:
    """An object as a pickle describes it.

    Attributes:
        name: of its class, or of the function that would have made it, with the module's.
        arguments: what it would have been made with.
        state: what it would have been given then, most often a dict of attributes; None without any.
        items: what would have been set in it, as in a dict.
    """

    name: str
    arguments: tuple[Any, ...] = ()
    state: Any = None
    items: dict[Any, Any] = field(default_factory=dict)

    def __setitem__(self, key: Any, value: Any) -> None:
        self.items[key] = value

    def attribute(self, name: str) -> Any:
        """Return an attribute out of the state; None if it has none of that name."""
        return self.state.get(name) if isinstance(self.state, dict) else None


@dataclass(frozen=True, slots=True)
class _Name:
    text: str


def read_pickle(path: Path) -> Any:
    """Return what a pickle contains: plain values, arrays, and a `Pickled` for each object.

    Args:
        path: a file that joblib wrote without compression, or a pickle of protocol 2 to 5 without arrays of objects.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is no such file, or is larger than 256 MiB.
    """
    file = io.BytesIO(read_bytes(path, _MOST_BYTES))
    try:
        return _Reader(file).load()
    except ValueError:
        raise
    except Exception as error:  # the standard library's reader raises anything on a broken file
        reason = " ".join(str(error).split())[:100]
        raise ValueError(f"it is not a pickle that can be read as data ({type(error).__name__}: {reason})") from None


class _Reader(_STANDARD._Unpickler):  # type: ignore[misc]  # in Python: the one in C cannot be limited
    """Reads a pickle's instructions, of which those that make objects make descriptions."""

    dispatch: ClassVar[dict[int, Any]] = {
        getattr(pickle, name)[0]: _STANDARD._Unpickler.dispatch[getattr(pickle, name)[0]]
        for names in _NEEDED.values()
        for name in names
    }

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file)
        self._file = file

    def find_class(self, module: str, name: str) -> _Name:
        """Return the name alone."""
        return _Name(f"{module}.{name}")

    def persistent_load(self, pid: Any) -> Any:
        """Refuse a reference to something outside the file."""
        raise ValueError(f"it refers to something outside of it: {pid!r:.40}")

    def make(self) -> None:
        """Describe an object instead of making it."""
        arguments, named = self.stack.pop(), self.stack.pop()
        if not isinstance(named, _Name) or not isinstance(arguments, tuple):
            raise ValueError("it calls something that is not a name")
        self.stack.append(Pickled(named.text, arguments))

    def give_state(self) -> None:
        """Note an object's state; of an array of joblib's, read the numbers, which follow in the file."""
        state, owner = self.stack.pop(), self.stack[-1]
        if not isinstance(owner, Pickled):
            raise ValueError("it gives a state to something that is not an object")
        owner.state = state
        if owner.name == _WRAPPER:
            self.stack[-1] = _read_array(owner, self._file)

    dispatch[_STANDARD.REDUCE[0]] = make
    dispatch[_STANDARD.NEWOBJ[0]] = make
    dispatch[_STANDARD.BUILD[0]] = give_state


def _read_array(wrapper: Pickled, file: io.BytesIO) -> np.ndarray:
    """Return the array whose bytes follow its description. Raises ValueError for objects, or too few bytes."""
    kind, shape = _dtype(wrapper.attribute("dtype")), wrapper.attribute("shape")
    if not isinstance(shape, tuple) or not all(type(each) is int and each >= 0 for each in shape):
        raise ValueError(f"an array in it has the shape {shape!r:.40}")
    if wrapper.attribute("numpy_array_alignment_bytes") is not None:
        file.read(int.from_bytes(file.read(1), "little"))
    size = math.prod(shape) * kind.itemsize
    content = file.read(size) if size <= _MOST_BYTES else b""
    if len(content) != size:
        raise ValueError("it ends within an array")
    order: Literal["C", "F"] = "F" if wrapper.attribute("order") == "F" else "C"
    return np.frombuffer(content, dtype=kind).reshape(tuple(shape), order=order)


def _dtype(described: Any) -> np.dtype[Any]:
    name = described.arguments[0] if isinstance(described, Pickled) and described.arguments else None
    if not isinstance(name, str) or not _NUMBERS.fullmatch(name):
        raise ValueError("an array in it holds objects, not numbers or texts")
    state = described.state
    swapped = isinstance(state, tuple) and state[1:2] == (">",)
    return np.dtype(name).newbyteorder(">" if swapped else "<")
