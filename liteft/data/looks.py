"""What columns look like, judged by their first rows: only for hints and notes, never for a decision.

A look reads the first 200 rows. If they cannot be read it is empty: the columns that are needed are read later,
and that error names the malformed row.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from liteft.data.cells import bit, is_empty
from liteft.data.tables import Table
from liteft.errors import DataError

__all__ = ["Looks", "look"]

_ROWS = 200


@dataclass(frozen=True)
class Looks:
    """Columns by what they seem to contain.

    Attributes:
        binary: only zeros and ones.
        strings: only strings.
        texts: strings of at least three words on average, hardly any repeated; the longest first.
        classes: few different values, each in several rows.
    """

    binary: tuple[str, ...]
    strings: tuple[str, ...]
    texts: tuple[str, ...]
    classes: tuple[str, ...]


def look(table: Table) -> Looks:
    """Return what the columns of a table look like."""
    binary, strings, classes = [], [], []
    words: dict[str, float] = {}
    try:
        head = table.head(_ROWS)
    except DataError:
        head = {}
    for name, cells in head.items():
        held = [cell for cell in cells if not is_empty(cell)]
        if not held:
            continue
        if all(bit(cell) is not None for cell in held):
            binary.append(name)
        elif all(isinstance(cell, str) for cell in held):
            strings.append(name)
            average = sum(_length(cell) for cell in held) / len(held)
            if average >= 3 and 2 * len(set(held)) > len(held):
                words[name] = average
        if all(isinstance(cell, str | int) for cell in held) and 2 <= len(set(held)) <= len(held) / 2:
            classes.append(name)
    texts = tuple(sorted(words, key=lambda name: -words[name]))
    return Looks(tuple(binary), tuple(strings), texts, tuple(classes))


def _length(cell: Any) -> float:
    """Return the number of words, or half the characters if no white space separates them, as in Chinese."""
    return len(cell.split()) if cell.isascii() else max(len(cell.split()), len(cell) / 2)
