"""Which units are still to be scored, how often each was tried, and what engines say of them."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass

from liteft.bulk.job import Failure
from liteft.bulk.plan import Unit
from liteft.runtime.scored_blocks import Counts

__all__ = ["TRIES", "Attempts", "Event"]

TRIES = 3


@dataclass(frozen=True, slots=True)
class Event:
    """Something that an engine tells.

    Attributes:
        unit: the unit it is about.
        rows: rows of it that were scored since the last event; -1 takes back those of a try that failed.
        counts: of its part, once that is finished.
        failure: why it is set aside.
    """

    unit: Unit
    rows: int = 0
    counts: Counts | None = None
    failure: Failure | None = None


class Attempts:
    """The units that are still to be scored; safe to use from several threads.

    Args:
        units: these units.
    """

    def __init__(self, units: Sequence[Unit]) -> None:
        self._waiting = deque(units)
        self._tries: Counter[Unit] = Counter()
        self._lock = threading.Lock()

    def take(self) -> Unit | None:
        """Return the next unit, None if none is waiting."""
        with self._lock:
            return self._waiting.popleft() if self._waiting else None

    def ended(self, unit: Unit, result: Counts | Failure) -> Event:
        """Return the event of a unit that was scored or failed; one that may be tried again waits behind the others."""
        if isinstance(result, Counts):
            return Event(unit, counts=result)
        with self._lock:
            self._tries[unit] += 1
            if result.again and not result.full and self._tries[unit] < TRIES:
                self._waiting.append(unit)
                return Event(unit, rows=-1)
        return Event(unit, rows=-1, failure=result)
