"""What scoring tables reports: how far it is, what it has done, and what it would do."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from liteft.bulk.attempts import Event
from liteft.bulk.job import Failure
from liteft.bulk.plan import Unit
from liteft.data.notes import lines as joined
from liteft.results import Result
from liteft.runtime.scored_blocks import Counts

__all__ = ["Planned", "ScoreProgress", "Scored", "Tally"]

_SECONDS = 0.5  # between two progress reports
_SHOWN = 10


@dataclass(frozen=True, slots=True)
class ScoreProgress:
    """How far a job is; str() gives a line to show.

    Attributes:
        units: units that are finished, those of earlier runs included.
        of_units: units of the plan.
        rows: rows that this run has scored.
        rows_per_second: speed of this run.
        seconds_left: time that the rest will take at this speed; None before anything is known.
    """

    units: int
    of_units: int
    rows: int
    rows_per_second: float
    seconds_left: float | None

    def __str__(self) -> str:
        line = f"{self.units:,} of {self.of_units:,} units, {self.rows:,} rows, {self.rows_per_second:,.0f} rows/s"
        return line if self.seconds_left is None else f"{line}, {_duration(self.seconds_left)} left"


@dataclass(frozen=True, slots=True)
class Scored(Result):
    """What ``score`` did.

    Attributes:
        out: folder or URL of the parts.
        units: units of the plan.
        rows: rows in the parts.
        resumed: how many of these earlier runs had finished.
        refused: rows without a usable text, whose predictions are null.
        truncated: rows whose prediction says ``truncated``.
        empty: rows whose text was empty or only white space.
        repeated: rows whose text another row of their unit has, too; computed once.
        failed: the units that were set aside after three tries, and why; the parts of these are missing.
        seconds: wall time of this run.
    """

    out: str
    units: int
    rows: int
    resumed: int
    refused: int
    truncated: int
    empty: int
    repeated: int
    failed: tuple[Failure, ...]
    seconds: float

    @property
    def texts_per_second(self) -> float:
        """Rows that this run scored, per second."""
        return (self.rows - self.resumed) / max(self.seconds, 1e-9)

    def render(self) -> str:
        """Return a line with the rows, and one for each unit that failed."""
        share = f" ({self.repeated / self.rows:.1%})" if self.rows else ""
        notes = {"from an earlier run": self.resumed, "without a text": self.refused, "cut": self.truncated}
        notes |= {"empty": self.empty, f"repeated{share}": self.repeated}
        counted = "".join(f", {count:,} {name}" for name, count in notes.items() if count)
        done = self.units - len(self.failed)
        lines = [f"{self.out}: {done:,} of {self.units:,} parts, {self.rows:,} rows{counted}, {self.seconds:.1f} s"]
        for failure in self.failed[:_SHOWN]:
            where = f" ({failure.row})" if failure.row and failure.row not in failure.error else ""
            lines.append(failure.told(f"{failure.unit}{where}"))
        if len(self.failed) > _SHOWN:
            lines.append(f"and {len(self.failed) - _SHOWN:,} more")
        return joined(lines)

    def to_dict(self) -> dict[str, Any]:
        """Return the result as plain data for JSON."""
        names = ("out", "units", "rows", "resumed", "refused", "truncated", "empty", "repeated", "seconds")
        failed = [
            {"unit": str(each.unit), "path": each.unit.path, "row": each.row, "error": each.error}
            for each in self.failed
        ]
        content = {name: getattr(self, name) for name in names}
        return {**content, "texts_per_second": self.texts_per_second, "failed": failed}


@dataclass(frozen=True, slots=True)
class Planned(Result):
    """What ``score`` would do.

    Attributes:
        out: folder or URL of the parts.
        units: the units of the plan, in order.
        finished: how many of these have a part.
        failed: files that cannot be planned, and why.
        workers: units that would be scored at a time.
        threads: threads of each.
        rows_per_second: measured on rows of some units that have no part, by one worker; None if none is left.
        sample: number of these rows.
        hours: estimated time for the units that have no part; None if none is left.
    """

    out: str
    units: tuple[Unit, ...]
    finished: int
    failed: tuple[Failure, ...]
    workers: int
    threads: int
    rows_per_second: float | None
    sample: int
    hours: float | None

    @property
    def bytes(self) -> int:
        """Bytes of all units; of Parquet uncompressed."""
        return sum(unit.size for unit in self.units)

    def render(self) -> str:
        """Return the units, their bytes and the estimated hours, and a line for each of the first units."""
        files = len({unit.path for unit in self.units})
        counted = [unit.rows for unit in self.units if unit.rows is not None]
        rows = f", {sum(counted):,} rows" if len(counted) == len(self.units) else ""
        lines = [
            f"{len(self.units):,} units of {files:,} files, {self.bytes / 1e6:,.1f} MB{rows}; "
            f"{self.finished:,} finished",
            f"{self.workers or 'as many as the cluster takes'} workers of {self.threads} threads",
        ]
        if self.hours is not None and self.rows_per_second is not None:
            lines.append(
                f"about {self.hours:.2f} hours{'' if self.workers else ' of one worker'}: "
                f"{self.rows_per_second:,.0f} rows/s of each worker, "
                f"measured on {self.sample:,} rows"
            )
        lines += [f"  {unit}: {unit.size / 1e6:,.1f} MB" for unit in self.units[:_SHOWN]]
        if len(self.units) > _SHOWN:
            lines.append(f"  and {len(self.units) - _SHOWN:,} more")
        return joined([*lines, *(each.told(each.unit.path) for each in self.failed)])

    def to_dict(self) -> dict[str, Any]:
        """Return the plan as plain data for JSON."""
        names = ("out", "finished", "workers", "threads", "rows_per_second", "sample", "hours", "bytes")
        failed = [{"path": each.unit.path, "error": each.error} for each in self.failed]
        units = [unit.to_dict() for unit in self.units]
        return {**{name: getattr(self, name) for name in names}, "units": units, "failed": failed}


class Tally:
    """Counts what engines tell, and reports it at intervals.

    Args:
        units: the units that are to be scored.
        of_units: units of the whole plan.
        report: called with a ScoreProgress.
    """

    def __init__(self, units: Sequence[Unit], of_units: int, report: Callable[[ScoreProgress], None] | None) -> None:
        self._report = report
        self._of_units = of_units
        self._finished = of_units - len(units)
        self._size = max(1, sum(unit.size for unit in units))
        self._done = 0
        self._rows: dict[Unit, int] = {}
        self._whole = 0
        self.parts = 0
        self._started = self._last = time.perf_counter()
        self.counts = Counts()
        self.failed: list[Failure] = []

    def add(self, event: Event) -> None:
        """Count an event."""
        if event.rows > 0:
            self._rows[event.unit] = self._rows.get(event.unit, 0) + event.rows
        elif event.rows < 0:
            self._rows.pop(event.unit, None)
        if event.counts is not None:
            self._rows.pop(event.unit, None)
            self.counts.add(event.counts)
            self._whole += event.counts.rows
            self.parts += 1
            self._finished += 1
        if event.failure is not None:
            self.failed.append(event.failure)
        if event.counts is not None or event.failure is not None:
            self._done += event.unit.size
        if self._report is not None and time.perf_counter() - self._last >= _SECONDS:
            self.tell()

    def tell(self) -> None:
        """Report now."""
        self._last = time.perf_counter()
        if self._report is None:
            return
        seconds = max(self._last - self._started, 1e-9)
        done = self._done + sum(unit.size * rows / unit.rows for unit, rows in self._rows.items() if unit.rows)
        left = seconds * (self._size - done) / done if done else None
        rows = self._whole + sum(self._rows.values())
        self._report(ScoreProgress(self._finished, self._of_units, rows, rows / seconds, left))


def _duration(seconds: float) -> str:
    return (
        f"{seconds:,.0f} s"
        if seconds < 300
        else f"{seconds / 60:,.0f} min"
        if seconds < 7200
        else (f"{seconds / 3600:,.1f} h")
    )
