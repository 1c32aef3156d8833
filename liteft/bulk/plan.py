"""The plan: which units a table is cut into. It follows from the listing and the files alone, on every machine alike.

A unit is some whole row groups of a Parquet file, or the rows that begin within a range of bytes of a csv, tsv, jsonl
or txt file, or any other file as a whole. Each is scored into a part of its own. So a killed job loses the units that
were being scored, and nothing has to be remembered but the parts.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

from liteft.bulk.sources import Source

__all__ = ["UNIT_BYTES", "UNIT_ROWS", "Unit", "units_of"]

UNIT_BYTES = 1 << 28
UNIT_ROWS = 1_000_000


@dataclass(frozen=True, slots=True)
class Unit:
    """A part of a file that is scored by one worker.

    Attributes:
        path: the file's absolute path or URL.
        bytes: the file's size.
        version: the file's version, see `Found`.
        kind: as of `Source`.
        number: number of the unit in its file.
        start: first row group, or byte.
        stop: row group, or byte, that follows.
        size: bytes of the unit, as they are stored; of row groups uncompressed.
        rows: number of rows, if the file says it.
        form: of text: encoding, delimiter, quoting, byte of the first row, and the columns of csv and tsv.
    """

    path: str
    bytes: int
    version: str
    kind: str
    number: int
    start: int
    stop: int
    size: int
    rows: int | None
    form: tuple[Any, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the unit as plain data for JSON."""
        return {**asdict(self), "form": list(self.form)}

    @classmethod
    def of(cls, content: dict[str, Any]) -> Unit:
        """Return the unit that `to_dict` made this of."""
        return cls(**{**content, "form": tuple(content["form"])})

    def __str__(self) -> str:
        if self.kind == "whole":
            return self.path
        return f"{self.path}, {'row groups' if self.kind == 'parquet' else 'bytes'} {self.start:,} to {self.stop:,}"


def units_of(source: Source, *, unit_bytes: int = UNIT_BYTES, unit_rows: int = UNIT_ROWS) -> list[Unit]:
    """Return the units of a file, in order; at least one.

    Args:
        source: the file.
        unit_bytes: about the most bytes of a unit; a row group or a row that is larger is a unit of its own.
        unit_rows: about the most rows of a unit; of text files, as their first rows let expect.
    """
    found = source.found
    form: tuple[Any, ...] = ()
    rows: list[int | None]
    if source.kind == "parquet":
        ranges = list(_group_ranges(source.groups, unit_bytes, unit_rows))
        sizes = [sum(size for _, size in source.groups[start:stop]) for start, stop in ranges]
        rows = [sum(count for count, _ in source.groups[start:stop]) for start, stop in ranges]
    elif source.kind == "whole":
        form = (source.encoding, source.delimiter)
        ranges, sizes, rows = [(0, found.bytes)], [found.bytes], [source.rows]
    else:
        names = source.columns if source.delimiter else ()
        form = (source.encoding, source.delimiter, source.quoting, source.first, *names)
        count = max(1, math.ceil(found.bytes / max(1.0, min(unit_bytes, unit_rows * source.row_bytes or unit_bytes))))
        cuts = [found.bytes * number // count for number in range(count + 1)]
        ranges = list(pairwise(cuts))
        sizes, rows = [stop - start for start, stop in ranges], [None] * count
    return [
        Unit(found.path, found.bytes, found.version, source.kind, number, *ends, sizes[number], rows[number], form)
        for number, ends in enumerate(ranges)
    ]


def _group_ranges(groups: Sequence[tuple[int, int]], unit_bytes: int, unit_rows: int) -> Iterator[tuple[int, int]]:
    start = rows = size = 0
    for number, (more, bytes_) in enumerate(groups):
        if number > start and (rows + more > unit_rows or size + bytes_ > unit_bytes):
            yield start, number
            start, rows, size = number, 0, 0
        rows, size = rows + more, size + bytes_
    yield start, len(groups)
