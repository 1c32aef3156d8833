"""One column per label: of zeros and ones, as in pandas.get_dummies and many spreadsheets, or of probabilities.

The loader sees these columns as one column with lists of names or, where a value is between 0 and 1, with an object
of the names and their probabilities.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from liteft.data.cells import bit, is_missing
from liteft.data.columns import find_column
from liteft.data.tables import Source, Table, TableView
from liteft.errors import DataError, option
from liteft.privacy import quoted, shown_names

__all__ = ["LabelColumns", "label_columns", "with_label_columns"]


@dataclass(frozen=True)
class LabelColumns(TableView):
    """A table that presents its label columns as one column.

    Attributes:
        parts: the label columns; each is named after its label.
    """

    parts: tuple[str, ...]

    @property
    def label(self) -> str:
        """The name of the column of lists."""
        return ", ".join(self.parts)

    @property
    def columns(self) -> tuple[str, ...]:
        """The other columns and the column of lists, unless a label column is missing."""
        there = self.table.columns
        rest = tuple(name for name in there if name not in self.parts)
        return (*rest, self.label) if set(self.parts) <= set(there) else rest

    def read(self, names: Sequence[str]) -> tuple[dict[str, list[Any]], np.ndarray]:
        """Return the columns; a row whose label columns are all empty, or all -1, has None for its list.

        Raises:
            DataError: a value other than 0 or 1, or, where there are probabilities, one that is not from 0 to 1.
        """
        if self.label not in names:
            return self.table.read(names)
        rest = [name for name in names if name != self.label]
        values, places = self.table.read([*rest, *self.parts])
        cells = zip(*(values[part] for part in self.parts), strict=True)
        soft = any(_share(cell) not in (None, 0.0, 1.0) for part in self.parts for cell in values[part])
        read = self._shares if soft else self._list
        lists = [read(row, f"{self.name}, {self.unit} {place}") for row, place in zip(cells, places, strict=True)]
        return {name: lists if name == self.label else values[name] for name in names}, places

    def _shares(self, cells: Sequence[Any], where: str) -> dict[str, float] | None:
        if all(is_missing(cell) or str(cell) in ("", "-1", "-1.0") for cell in cells):
            return None
        found = {part: _share(cell) for part, cell in zip(self.parts, cells, strict=True)}
        wrong = next((part for part, share in found.items() if share is None), None)
        if wrong is not None:
            cell = quoted(cells[self.parts.index(wrong)])
            raise DataError(
                f"{where}: the column {wrong!r} holds {cell}, which is not a probability.",
                accepted={"label columns": "0 or 1 each, or probabilities from 0 to 1"},
                fix="correct that row",
            )
        return {part: share for part, share in found.items() if share is not None}

    def class_names(self, column: str) -> tuple[str, ...] | None:
        """Return the names that the integers in a column stand for, or None."""
        return None if column == self.label else self.table.class_names(column)

    def _list(self, cells: Sequence[Any], where: str) -> list[str] | None:
        bits = [bit(cell) for cell in cells]
        if None not in bits:
            return [part for part, one in zip(self.parts, bits, strict=True) if one]
        if all(is_missing(cell) or str(cell) in ("", "-1", "-1.0") for cell in cells):
            return None
        wrong = bits.index(None)
        raise DataError(
            f"{where}: the column {self.parts[wrong]!r} holds {quoted(cells[wrong])}, which is neither 0 nor 1.",
            accepted={"label": "one column of labels, or several columns of 0 and 1, one for each label"},
            fix=option("label", self.parts[wrong], note=", if only this column holds the label"),
        )


def _share(cell: Any) -> float | None:
    """Return a probability, as a number or text, and None for anything else."""
    one = bit(cell)
    if one is not None:
        return float(one)
    try:
        value = float(cell)
    except (TypeError, ValueError):
        return None
    return value if 0 <= value <= 1 else None


def label_columns(label: str | Sequence[str] | None, columns: Sequence[str]) -> tuple[str, ...]:
    """Return the names of several label columns; an empty tuple if ``label`` is one column or None.

    "joy,anger" names two columns unless there is a column of that name.
    """
    if label is None or (isinstance(label, str) and (label in columns or "," not in label)):
        return ()
    parts = label.split(",") if isinstance(label, str) else label
    found = tuple(dict.fromkeys(part.strip() for part in parts if part.strip()))
    return found if len(found) > 1 else ()


def with_label_columns(source: Source, parts: tuple[str, ...]) -> Source:
    """Return a source whose tables present label columns as one column. Raises DataError if train lacks one."""
    for table in source.splits["train"]:
        for part in parts:
            find_column(table.columns, part, "label", table.name)
    splits: dict[str, list[Table]] = {}
    for name, tables in source.splits.items():
        for table in tables:
            lacking = [part for part in parts if part not in table.columns]
            if 0 < len(lacking) < len(parts):
                raise DataError(
                    f"{table.name} has no column {lacking[0]!r}, but has other label columns.",
                    accepted={"columns": ", ".join(shown_names(table.columns))},
                    fix="give all files the same columns",
                )
        splits[name] = [LabelColumns(table, parts) for table in tables]
    note = f"{len(parts)} columns of 0 and 1 are labels of a multi-label task: {', '.join(parts[:6])}"
    return Source(source.name, splits, (*source.notes, note + (", ..." if len(parts) > 6 else "")))
