"""A table: named columns of raw values and where each row came from, whatever it was before.

Files, objects in memory and hub data sets all turn into tables, and the loader knows nothing else. Values
are raw: what is a text and what is a label is judged later, once, with the row's place at hand.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Protocol

import numpy as np

from liteft.data.rows import RowFile

__all__ = ["FileTable", "MemoryTable", "Source", "Table"]


class Table(Protocol):
    """Columns that can be read by name."""

    @property
    def name(self) -> str:
        """The file, or what the object is called in messages."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns."""

    @property
    def unit(self) -> str:
        """What a row's place counts: "line" or "row"."""

    def read(self, names: Sequence[str]) -> tuple[dict[str, list[Any]], np.ndarray]:
        """Return the values of some columns, and each row's place (from 1): int64, shape (texts,)."""

    def head(self, rows: int) -> dict[str, list[Any]]:
        """Return the first rows of all columns, for a look at them."""

    def class_names(self, column: str) -> tuple[str, ...] | None:
        """Return the names that integers in a column stand for, or None."""


@dataclass(frozen=True)
class FileTable:
    """A file of rows as a table."""

    file: RowFile

    @property
    def name(self) -> str:
        """The file's path."""
        return str(self.file.path)

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns."""
        return self.file.columns

    @property
    def unit(self) -> str:
        """What a record is called, "line" or "row"."""
        return self.file.unit

    def read(self, names: Sequence[str]) -> tuple[dict[str, list[Any]], np.ndarray]:
        """Read the file; a column that a row lacks is None there."""
        values: dict[str, list[Any]] = {name: [] for name in names}
        lists = list(values.items())
        places = []
        for place, row in self.file.rows(columns=names):
            places.append(place)
            for name, cells in lists:
                cells.append(row.get(name))
        return values, np.array(places, dtype=np.int64)

    def head(self, rows: int) -> dict[str, list[Any]]:
        """Read the first rows."""
        first = [row for _, row in islice(self.file.rows(), rows)]
        return {name: [row.get(name) for row in first] for name in self.columns}

    def class_names(self, column: str) -> tuple[str, ...] | None:
        """Return what the file's schema calls the integers of a column, or None."""
        return self.file.names_of.get(column)


@dataclass(frozen=True)
class MemoryTable:
    """Columns in memory, all of one length.

    Attributes:
        name: what it is called in messages.
        values: the columns.
        names_of: what integers in a column stand for.
        unit: what a row's place counts.
        places: of the rows; None counts them from 1.
    """

    name: str
    values: Mapping[str, list[Any]]
    names_of: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    unit: str = "row"
    places: np.ndarray | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns."""
        return tuple(self.values)

    def read(self, names: Sequence[str]) -> tuple[dict[str, list[Any]], np.ndarray]:
        """Return the columns."""
        length = len(next(iter(self.values.values()), []))
        places = np.arange(1, length + 1, dtype=np.int64) if self.places is None else self.places
        return {name: self.values[name] for name in names}, places

    def head(self, rows: int) -> dict[str, list[Any]]:
        """Return the first rows."""
        return {name: values[:rows] for name, values in self.values.items()}

    def class_names(self, column: str) -> tuple[str, ...] | None:
        """Return the names that integers in a column stand for, or None."""
        return self.names_of.get(column)


@dataclass(frozen=True)
class Source:
    """Where a data set comes from, opened.

    Attributes:
        name: for reports.
        splits: tables by split name; several where a split is stored in parts.
        notes: what opening it decided by itself.
    """

    name: str
    splits: Mapping[str, list[Table]]
    notes: tuple[str, ...] = ()
