"""A hash of what a user's function computes: its source, and what it has closed over.

By it a run notices that it is resumed with another metric or loss. Counted are the source, default values, captured
variables, attributes of a callable object, and of the module's globals that the function names the plain values,
arrays, torch modules and functions, which count in the same way. Functions and classes of other modules count by name.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
from collections.abc import Callable, Iterator, Mapping
from types import CodeType, ModuleType
from typing import Any

import numpy as np
import torch
from torch import nn

__all__ = ["function_name", "source_hash"]

_PLAIN = (type(None), bool, int, float, complex, str, bytes, np.generic)


def function_name(function: Callable[..., Any]) -> str:
    """Return a function's module and qualified name, "module:name"; of a callable object, those of its class."""
    if isinstance(function, functools.partial):
        return f"{function_name(function.func)}, partial"
    named = function if hasattr(function, "__qualname__") else type(function)
    return f"{named.__module__}:{named.__qualname__}"


def source_hash(function: Callable[..., Any]) -> str:
    """Return a hash of what a function computes, 64 hexadecimal digits."""
    digest = hashlib.sha256()
    inner = function
    while isinstance(inner, functools.partial):
        inner = inner.func
    home = getattr(inner, "__module__", None)
    for part in _parts(function, home, set()):
        digest.update(part)
        digest.update(b"\0")
    return digest.hexdigest()


def _parts(value: Any, home: str | None, seen: set[int]) -> Iterator[bytes]:
    """Yield what tells a value from others; functions and objects whose module is ``home`` by their content."""
    if isinstance(value, _PLAIN):
        yield repr(value).encode()
        return
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu().reshape(-1).view(torch.uint8).numpy() if value.numel() else repr(value)
    if isinstance(value, np.ndarray):
        yield f"{value.dtype} {value.shape}".encode() + value.tobytes()
        return
    if id(value) in seen:
        yield b"again"
        return
    seen.add(id(value))
    if isinstance(value, ModuleType | type):
        yield getattr(value, "__qualname__", value.__name__).encode()
    elif isinstance(value, functools.partial):
        yield from _all((value.func, value.args, value.keywords), home, seen)
    elif inspect.ismethod(value):
        yield from _all((value.__func__, value.__self__), home, seen)
    elif inspect.isfunction(value):
        yield from _of_function(value, home, seen)
    elif isinstance(value, Mapping):
        yield from _all([each for key in sorted(value, key=repr) for each in (key, value[key])], home, seen)
    elif isinstance(value, set | frozenset):
        yield from _all(sorted(value, key=repr), home, seen)
    elif isinstance(value, list | tuple):
        yield from _all(value, home, seen)
    elif hasattr(value, "__dict__"):
        yield _source(type(value))
        yield from _parts(vars(value), home, seen)
    else:
        yield f"{type(value).__module__}:{type(value).__qualname__} {getattr(value, '__qualname__', '')}".encode()


def _all(values: Any, home: str | None, seen: set[int]) -> Iterator[bytes]:
    yield f"{type(values).__name__} {len(values)}".encode()
    for each in values:
        yield from _parts(each, home, seen)


def _of_function(function: Any, home: str | None, seen: set[int]) -> Iterator[bytes]:
    yield f"{function.__module__}:{function.__qualname__}".encode()
    if function.__module__ != home:
        return
    yield _source(function)
    yield from _parts(function.__defaults__, home, seen)
    yield from _parts(function.__kwdefaults__, home, seen)
    found = inspect.getclosurevars(function)
    yield from _parts(dict(found.nonlocals), home, seen)
    for name, value in sorted(found.globals.items()):
        counted = (*_PLAIN, list, tuple, dict, set, frozenset, np.ndarray, torch.Tensor, nn.Module, functools.partial)
        if isinstance(value, counted) or inspect.isfunction(value):
            yield name.encode()
            yield from _parts(value, home, seen)


def _source(thing: Any) -> bytes:
    """Return the source of a function or class; where there is none, the code that was compiled from it."""
    try:
        return inspect.getsource(thing).encode()
    except (OSError, TypeError):
        code = getattr(thing, "__code__", None)
        return f"{thing.__module__}:{thing.__qualname__}".encode() if code is None else _compiled(code)


def _compiled(code: CodeType) -> bytes:
    inner = [_compiled(each) if isinstance(each, CodeType) else repr(each).encode() for each in code.co_consts]
    return b"\0".join([code.co_code, repr(code.co_names).encode(), *inner])
