"""A table: named columns of raw values, and where each row came from.

Files, objects in memory and hub data sets all become tables, and the loader sees nothing else. Values are raw:
they are checked as texts and labels later, in one place, which knows each row's place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

__all__ = ["MemoryTable", "Source", "Table", "TableView"]


class Table(Protocol):
    """Columns that can be read by name. A `RowFile` is one, so is a `MemoryTable`."""

    @property
    def name(self) -> str:
        """The file, or the object's name in messages."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns."""

    @property
    def unit(self) -> str:
        """What a row's place counts: "line" or "row"."""

    def read(self, names: Sequence[str]) -> tuple[dict[str, list[Any]], np.ndarray]:
        """Return the values of some columns, and each row's place (from 1): int64, shape (texts,)."""

    def head(self, rows: int) -> dict[str, list[Any]]:
        """Return the first rows of all columns."""

    def class_names(self, column: str) -> tuple[str, ...] | None:
        """Return the names that integers in a column stand for, or None."""


@dataclass(frozen=True)
class TableView:
    """A table that presents the columns of another one otherwise; what it does not change is the other's.

    Attributes:
        table: the original table.
    """

    table: Table

    @property
    def name(self) -> str:
        """The table's name."""
        return self.table.name

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns."""
        return self.table.columns

    @property
    def unit(self) -> str:
        """What the table's places count: "line" or "row"."""
        return self.table.unit

    def read(self, names: Sequence[str]) -> tuple[dict[str, list[Any]], np.ndarray]:
        """Return the values of some columns, and each row's place."""
        return self.table.read(names)

    def head(self, rows: int) -> dict[str, list[Any]]:
        """Return the first rows of the table's own columns."""
        return self.table.head(rows)

    def class_names(self, column: str) -> tuple[str, ...] | None:
        """Return the names that the integers in a column stand for, or None."""
        return self.table.class_names(column)


@dataclass(frozen=True)
class MemoryTable:
    """Columns in memory, all of one length.

    Attributes:
        name: its name in messages.
        values: the columns.
        names_of: column -> names that its integers stand for.
        unit: what a row's place counts.
        places: places of the rows; None counts them from 1.
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
        splits: tables by split name; several for a split stored in parts.
        notes: what opening it decided on its own.
    """

    name: str
    splits: Mapping[str, list[Table]]
    notes: tuple[str, ...] = ()
