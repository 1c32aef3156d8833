"""Arrays of rows of different lengths: the words of each text, their tags, their logits.

All rows are in one array, one after the other, and nothing is padded. Where code needs rows and columns, a Ragged looks
like an array whose first axis is texts: `len`, ``shape[0]`` and indexing count rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Self, TypeAlias, overload

import numpy as np

__all__ = [
    "Ragged",
    "Rows",
    "applied",
    "columns",
    "concatenated",
    "equal_rows",
    "gathered",
    "offsets_of",
    "row_differences",
    "values_of",
]

Rows: TypeAlias = Any
"""An array whose first axis is texts, or a Ragged: which of them, the task decides (``Task.per_word``)."""


@dataclass(frozen=True, slots=True, eq=False)
class Ragged:
    """Rows of different lengths.

    ``ragged[3]`` is one row, an array that shares memory; ``ragged[2:5]``, ``ragged[[4, 0]]`` and ``ragged[mask]`` are
    some of the rows, as a Ragged.

    Attributes:
        values: the entries of all rows, one row after the other: (entries, ...).
        offsets: int64, (rows + 1,): row i is ``values[offsets[i]:offsets[i + 1]]``.
    """

    values: np.ndarray
    offsets: np.ndarray

    @classmethod
    def of(cls, rows: Sequence[Any], dtype: Any, *, width: tuple[int, ...] = ()) -> Self:
        """Return rows as a Ragged.

        Args:
            rows: a sequence or an array for each row.
            dtype: of the values.
            width: shape of one entry.
        """
        arrays = [np.asarray(row, dtype=dtype).reshape(-1, *width) for row in rows]
        values = np.concatenate(arrays) if arrays else np.zeros((0, *width), dtype=dtype)
        return cls(values, offsets_of([len(array) for array in arrays]))

    @classmethod
    def join(cls, parts: Iterable[Ragged]) -> Self:
        """Return the rows of all parts, of which there must be one at least, in order."""
        parts = list(parts)
        values = np.concatenate([part.values for part in parts])
        return cls(values, offsets_of(np.concatenate([part.lengths for part in parts])))

    @property
    def lengths(self) -> np.ndarray:
        """Number of entries of each row: int64 (rows,)."""
        counts: np.ndarray = self.offsets[1:] - self.offsets[:-1]
        return counts

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of rows, and the shape of one entry."""
        return (len(self), *self.values.shape[1:])

    @property
    def ndim(self) -> int:
        """Number of axes of ``values``."""
        return int(self.values.ndim)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values."""
        return self.values.dtype

    @property
    def row_numbers(self) -> np.ndarray:
        """The row of each entry: int64 (entries,)."""
        return np.repeat(np.arange(len(self)), self.lengths)

    def like(self, values: np.ndarray) -> Ragged:
        """Return other values, as many as there are, in the same rows."""
        if len(values) != len(self.values):
            raise ValueError(f"{len(values):,} values for rows that have {len(self.values):,}")
        return Ragged(values, self.offsets)

    def fits(self, other: Ragged) -> bool:
        """Return whether the rows of another Ragged are as many and as long."""
        return np.array_equal(self.offsets, other.offsets)

    def astype(self, dtype: Any, copy: bool = True) -> Ragged:
        """Return the same rows with values of another type."""
        return Ragged(self.values.astype(dtype, copy=copy), self.offsets)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self[row] for row in range(len(self)))

    @overload
    def __getitem__(self, rows: int | np.integer[Any]) -> np.ndarray: ...

    @overload
    def __getitem__(self, rows: slice | Sequence[int] | np.ndarray) -> Ragged: ...

    def __getitem__(self, rows: Any) -> np.ndarray | Ragged:
        """Return one row as an array, or some rows as a Ragged."""
        if isinstance(rows, int | np.integer):
            row = range(len(self))[int(rows)]
            return self.values[self.offsets[row] : self.offsets[row + 1]]
        chosen = np.arange(len(self))[rows]
        offsets = offsets_of(self.lengths[chosen])
        return Ragged(self.values[gathered(self.offsets[:-1][chosen], offsets)], offsets)


def applied(function: Callable[[np.ndarray], np.ndarray], rows: Rows) -> Rows:
    """Return an array after a function of its entries, whose first axis it keeps; of a Ragged its values."""
    return rows.like(function(rows.values)) if isinstance(rows, Ragged) else function(rows)


def columns(rows: Rows, order: Sequence[int] | np.ndarray) -> Rows:
    """Return logits with their labels in another order, the numbers of the columns to take."""
    return applied(lambda values: values[:, order], rows)


def concatenated(parts: Sequence[Rows]) -> Rows:
    """Return label arrays or logits of several lists of texts, all of one kind, as those of one."""
    ragged = [each for each in parts if isinstance(each, Ragged)]
    return type(ragged[0]).join(ragged) if ragged else np.concatenate(parts)


def values_of(rows: Rows) -> np.ndarray:
    """Return an array, or all values of a Ragged."""
    return rows.values if isinstance(rows, Ragged) else np.asarray(rows)


def equal_rows(first: Rows, second: Rows) -> bool:
    """Return whether two arrays, or two Raggeds, have the same entries in the same rows."""
    alike = not isinstance(first, Ragged) or first.fits(second)
    return alike and np.array_equal(values_of(first), values_of(second))


def row_differences(first: Rows, second: Rows) -> np.ndarray:
    """Return the largest difference of an entry in each row: float (rows,); 0 for a row without entries."""
    if not isinstance(first, Ragged):
        return np.asarray(np.abs(first - second).max(axis=1))
    largest = np.zeros(len(first), dtype=first.dtype)
    if len(first.values):
        each = np.abs(first.values - second.values).max(axis=1)
        np.maximum.at(largest, first.row_numbers, each)
    return largest


def offsets_of(lengths: Sequence[int] | np.ndarray) -> np.ndarray:
    """Return the offsets of rows of these lengths: int64 (rows + 1,)."""
    offsets = np.zeros(len(lengths) + 1, dtype=np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return offsets


def gathered(starts: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Return the places of all entries of some rows: int64 (entries,).

    Args:
        starts: the place of each row's first entry, int64 (rows,).
        offsets: of the rows after they are gathered, int64 (rows + 1,).
    """
    return np.asarray(np.repeat(starts - offsets[:-1], offsets[1:] - offsets[:-1]) + np.arange(offsets[-1]))
