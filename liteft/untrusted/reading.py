"""Opening, hashing and parsing without blocking or exhaustion: no pipes, devices, huge files or deep JSON."""

from __future__ import annotations

import hashlib
import json
import math
import os
import stat
from pathlib import Path
from typing import Any, NoReturn

__all__ = ["MOST_JSON", "open_regular", "parse_json", "plain_text", "read_bytes", "regular_size", "sha256_of"]

MOST_JSON = 64 << 20  # bytes; the largest known vocabulary, of 900,000 tokens, takes about 60 MB
_MOST_CONTAINERS = 3 << 20  # each takes at least 64 bytes of memory
_MOST_VALUES = 8 << 20
_BLOCK = 1 << 20


def regular_size(path: Path) -> int:
    """Return the size of a regular file in bytes. Raises as ``open_regular``."""
    found = path.stat()
    _check_regular(found.st_mode)
    return found.st_size


def open_regular(path: Path) -> int:
    """Open a regular file for reading and return its descriptor. Never blocks on a pipe.

    Raises:
        OSError: the file cannot be opened; among the reasons are circular links and names that are too long.
        ValueError: it is not a regular file, or no file can have such a name.
    """
    regular_size(path)  # before opening: opening some devices has side effects
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:
        _check_regular(os.fstat(descriptor).st_mode)
    except ValueError:
        os.close(descriptor)
        raise
    return descriptor


def read_bytes(path: Path, most: int = MOST_JSON) -> bytes:
    """Return the bytes of a regular file.

    Args:
        path: the file.
        most: its maximum size in bytes.

    Raises:
        OSError: it cannot be read.
        ValueError: it is not a regular file, or is larger than ``most``.
    """
    with os.fdopen(open_regular(path), "rb") as file:
        size = os.fstat(file.fileno()).st_size
        content = file.read(most + 1) if size <= most else b""
    if size > most or len(content) > most:
        raise ValueError(f"it has {max(size, len(content)):,} bytes, and at most {most:,} are read")
    return content


def sha256_of(path: Path, size: int) -> str | None:
    """Return the SHA-256 of a regular file of ``size`` bytes, 64 hexadecimal digits; None if it has another size.

    Raises:
        OSError, ValueError: as ``open_regular``.
    """
    with os.fdopen(open_regular(path), "rb", buffering=0) as file:
        if os.fstat(file.fileno()).st_size != size:
            return None
        found, left = hashlib.sha256(), size
        block = bytearray(min(_BLOCK, size))
        while left and (count := file.readinto(memoryview(block)[: min(_BLOCK, left)])):
            found.update(memoryview(block)[:count])
            left -= count
    return None if left else found.hexdigest()


def parse_json(content: bytes, *, unique: bool = False) -> Any:
    """Return the value of a JSON text.

    Args:
        content: UTF-8.
        unique: refuse duplicate keys in an object.

    Raises:
        ValueError: the content is not UTF-8 or not JSON, contains NaN or Infinity, or is too large or too deeply
            nested.
    """
    hook = _unique_keys if unique else None
    if content.count(b"[") + content.count(b"{") > _MOST_CONTAINERS or content.count(b",") > _MOST_VALUES:
        raise ValueError("it contains more lists and values than are accepted")
    try:
        return json.loads(content.decode("utf-8"), parse_constant=_refuse_constant, object_pairs_hook=hook)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def plain_text(value: Any, *, depth: int = 24) -> None:
    """Check that parsed JSON contains only what other programs can represent.

    Args:
        value: from ``parse_json``.
        depth: how deeply lists and objects may be nested.

    Raises:
        ValueError: an integer beyond 64 bits, a number beyond float64, a text with a lone surrogate, or deeper nesting.
    """
    level = [value]
    for _ in range(depth):
        below: list[Any] = []
        for each in level:
            if isinstance(each, dict):
                below += each.keys()
                below += each.values()
            elif isinstance(each, list):
                below += each
            else:
                _check_scalar(each)
        level = below
    if level:
        raise ValueError("it is nested too deeply")


def _check_scalar(value: Any) -> None:
    if isinstance(value, int) and not -(1 << 63) <= value < 1 << 63:
        raise ValueError("it contains an integer beyond 64 bits")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("it contains a number beyond float64")
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            raise ValueError("it contains a text with half a surrogate pair") from None


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key occurs twice in one object")
    return found


def _check_regular(mode: int) -> None:
    if not stat.S_ISREG(mode):
        kinds = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}
        raise ValueError(f"it is {kinds.get(stat.S_IFMT(mode), 'a device')}, not a file")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"it contains {name}, which is not JSON")
