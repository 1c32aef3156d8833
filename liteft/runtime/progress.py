"""How far a file has been classified, reported now and then."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Pace", "Progress"]

_SECONDS = 0.5  # between two progress reports


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a file has been processed; str() gives a line to show.

    Attributes:
        rows: rows done, including those of an earlier run.
        total: rows of the input if its format states it (parquet), else None.
        rows_per_second: speed of this run.
    """

    rows: int
    total: int | None
    rows_per_second: float

    def __str__(self) -> str:
        line = f"{self.rows:,}"
        if self.total is not None:
            line += f" of {self.total:,}"
        line += f" rows, {self.rows_per_second:,.0f} rows/s"
        if self.total and self.rows_per_second > 0:
            line += f", {(self.total - self.rows) / self.rows_per_second:,.0f} s left"
        return line


class Pace:
    """Reports progress at intervals."""

    def __init__(self, report: Callable[[Progress], None] | None, rows: int, total: int | None) -> None:
        self._report = report
        self._total = total
        self._resumed = self._rows = rows
        self._started = self._last = time.perf_counter()

    def row(self) -> None:
        """Count a row."""
        self._rows += 1
        if self._rows == self._resumed + 1:
            self._last = time.perf_counter()  # rows arrive in batches: a single row says nothing about the rate
        if self._report is not None and time.perf_counter() - self._last >= _SECONDS:
            self.tell()

    def tell(self) -> None:
        """Report now."""
        self._last = time.perf_counter()
        if self._report is not None:
            rate = (self._rows - self._resumed) / max(self._last - self._started, 1e-9)
            self._report(Progress(self._rows, self._total, rate))
