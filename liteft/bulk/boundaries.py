"""Where the rows of a part of a text file begin, found without reading what is before it.

A file is cut at byte offsets that its size alone determines, and each part begins at the first row at or after its
offset. In a file of one row per line that is the next line. A quoted csv cell may hold line ends, so there a line may
begin inside a cell. Both are supposed in turn, that the line begins a row and that it begins within quotes, until the
bytes contradict one of them: a closing quote that is followed by text, a row of another width, a cell that is longer
than any reader takes, or quotes that are never closed. What remains is true of every well-formed file. Where the bytes
contradict neither, they are read from further ahead, in the end from the first row on.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO

import numpy as np

from liteft.data.delimited import MAX_FIELD

__all__ = ["Dialect", "first_row", "row_start"]

_LOOKS = (1 << 16, 1 << 20, 17 << 20, 1 << 26)  # bytes to read ahead, until one supposition is contradicted
_BACKS = (0, 1 << 16, 1 << 20, 1 << 24)  # bytes to go back, if none is
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Dialect:
    """What separates the rows of a text file.

    Attributes:
        delimiter: between cells; "" in a file of one row per line.
        quoting: cells may be quoted, and then hold line ends.
        width: cells of each row.
    """

    delimiter: str = ""
    quoting: bool = False
    width: int = 0


def first_row(file: IO[bytes], size: int, dialect: Dialect, *, told: bool) -> int:
    """Return where the row after the column names begins; ``told`` says that a line "sep=;" is before the names."""
    start = 3 if _read(file, 0, 3) == b"\xef\xbb\xbf" else 0
    if told:
        start = _next_line(file, start, size)
    while start < size and _read(file, start, 1) in b"\r\n":  # blank lines before the names
        start += 1
    if not dialect.quoting:
        return _next_line(file, start, size)
    return _forward(file, start, start + 1, size, dialect)


def row_start(file: IO[bytes], offset: int, first: int, size: int, dialect: Dialect) -> int:
    """Return where the first row at or after an offset begins; the size of the file if there is none.

    Args:
        file: the file.
        offset: a byte of it.
        first: where its first row begins.
        size: its size.
        dialect: what separates its rows.
    """
    if offset <= first:
        return first
    if offset >= size:
        return size
    if not dialect.quoting:
        return _next_line(file, offset - 1, size)
    for back in _BACKS:
        line = _next_line(file, offset - back - 1, size) if offset - back > first else first
        known = _resolved(file, line, size, dialect) if line > first else first
        if known is not None:
            return _forward(file, known, offset, size, dialect)
    return _forward(file, first, offset, size, dialect)


def _resolved(file: IO[bytes], line: int, size: int, dialect: Dialect) -> int | None:
    """Return where a row begins at or after the beginning of a line; None if the bytes do not say."""
    if line >= size:
        return size
    for look in _LOOKS:
        data = _read(file, line, look)
        ended = line + len(data) >= size
        quoted = _first_end(data, dialect, ended, inside=True)
        if quoted is None:
            return line
        if quoted and _first_end(data, dialect, ended, inside=False) is None:
            return line + quoted
        if ended:
            break
    return None


def _first_end(data: bytes, dialect: Dialect, ended: bool, *, inside: bool) -> int | None:
    """Return where the first row ends if the data begin inside a quoted cell, or with a row; None if they cannot.

    0 stands for a row that does not end within the data. ``ended`` says that the file ends with them.
    """
    mark = dialect.delimiter.encode()
    plain = re.compile(rb"[\r\n" + re.escape(mark) + rb"]")
    place, row, first, cells, partial = 0, 0, 0, 1, inside
    while place < len(data) or inside:
        if inside or data[place : place + 1] == b'"':
            opening = place if inside else place + 1
            place, inside = _closing(data, opening), False
            if place < 0:
                return None if ended or _characters(data[opening:]) > MAX_FIELD else first
            if data[place : place + 1] not in (b"", b"\r", b"\n", mark):
                return None
        else:
            found = plain.search(data, place)
            place = len(data) if found is None else found.start()
        if data[place : place + 1] == mark:
            cells, place = cells + 1, place + 1
        elif place < len(data):
            if data[place:] == b"\r" and not ended:  # a line feed may follow
                return first
            blank = place == row and not partial
            place += 2 if data[place : place + 2] == b"\r\n" else 1
            if not blank and not _fits(cells, dialect.width, partial):
                return None
            first, row, cells, partial = first or place, place, 1, False
    whole = not ended or place == row or _fits(cells, dialect.width, partial)
    return first if whole else None


def _fits(cells: int, width: int, partial: bool) -> bool:
    """Return whether a row may have so many cells; of a partial one some are before the data."""
    return cells <= width if partial else cells == width


def _closing(data: bytes, place: int) -> int:
    """Return the place behind the quote that closes a cell, -1 if it is not in the data."""
    while True:
        place = data.find(b'"', place)
        if place < 0 or data[place + 1 : place + 2] != b'"':
            return place if place < 0 else place + 1
        place += 2


def _characters(data: bytes) -> int:
    """Return the number of characters in UTF-8."""
    return len(data) - int(np.count_nonzero((np.frombuffer(data, dtype=np.uint8) & 0xC0) == 0x80))


def _forward(file: IO[bytes], known: int, offset: int, size: int, dialect: Dialect) -> int:
    """Return the first row at or after ``offset``, read from a row that begins at ``known``."""
    start, look = known, _CHUNK
    while start < offset:
        data = _read(file, start, look)
        ends = _row_ends(data, dialect, offset - start)
        if ends:
            start, look = start + ends[-1], _CHUNK
        elif start + len(data) >= size:
            return size
        else:
            look *= 2  # a row that is longer
    return start


def _row_ends(data: bytes, dialect: Dialect, enough: int) -> Sequence[int]:
    """Return the ends of the rows in data that begin with one, up to the first that is at ``enough`` or after it."""
    mark = re.escape(dialect.delimiter.encode())
    quoted, plain = rb'"[^"]*(?:""[^"]*)*"', rb'[^"\r\n' + mark + rb"][^\r\n" + mark + rb"]*"
    cell = re.compile(rb"(?:" + quoted + rb"|" + plain + rb")?(?:" + mark + rb"|(\r\n|\r(?!\n|\Z)|\n))")
    ends: list[int] = []
    place = 0
    while (not ends or ends[-1] < enough) and (found := cell.match(data, place)):
        place = found.end()
        if found[1] is not None:
            ends.append(place)
    return ends


def _next_line(file: IO[bytes], offset: int, size: int) -> int:
    """Return the place behind the first line feed at or after an offset."""
    place = offset
    while place < size:
        data = _read(file, place, _CHUNK)
        found = data.find(b"\n")
        if found >= 0:
            return place + found + 1
        if not data:
            break
        place += len(data)
    return size


def _read(file: IO[bytes], offset: int, count: int) -> bytes:
    file.seek(offset)
    return file.read(count)
