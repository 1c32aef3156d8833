"""How busy the machine was with other processes while models were timed.

Turns and medians (workers.py) share a neighbour's noise among the models; they do not remove it, and a model whose
threads wait for a core that another process uses is slowed by more than its share. So the processor time of all other
processes is measured over the rounds, and figures of a busy machine are marked.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Load", "Watch", "watching"]

_BUSY_SHARE = 0.1  # of all cores
_STAT = Path("/proc/stat")
_IDLE = (3, 4)  # places of "idle" and "iowait" among the numbers of a processor
_GUESTS = 8  # the fields from here on count time that other fields already include


@dataclass(frozen=True, slots=True)
class Load:
    """What others took while models were timed.

    Attributes:
        cores: of the machine.
        others: of these, how many other processes kept busy on average; None if the system does not tell.
        queue: runnable processes of the minute before, the system's load average; or None.
    """

    cores: int
    others: float | None
    queue: float | None

    @property
    def busy(self) -> bool:
        """Whether speeds measured meanwhile are unreliable."""
        if self.others is not None:
            return self.others > _BUSY_SHARE * self.cores
        return self.queue is not None and self.queue > self.cores / 2

    def words(self) -> str:
        """Return the measured load in words."""
        if self.others is not None:
            return f"other processes kept {self.others:.1f} of {self.cores} cores busy meanwhile"
        return f"{self.queue:.1f} processes were runnable before, on {self.cores} cores"

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return {"cores": self.cores, "others": self.others, "queue": self.queue, "busy": self.busy}


class Watch:
    """Becomes a load when what it watches has ended."""

    load: Load | None = None


@contextmanager
def watching(processes: Sequence[int], *, stat: Path = _STAT) -> Iterator[Watch]:
    """Measure what other processes use while the body runs, apart from this one and ``processes``."""
    own = [os.getpid(), *processes]
    queue = round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None
    watch = Watch()
    before, began = _seconds(own, stat), time.monotonic()
    yield watch
    after, passed = _seconds(own, stat), time.monotonic() - began
    others = None
    if before is not None and after is not None and passed > 0:
        others = round(max(0.0, after - before) / passed, 2)
    watch.load = Load(os.cpu_count() or 1, others, queue)


def _seconds(own: Sequence[int], stat: Path) -> float | None:
    """Return the processor time since the start that all processes but ``own`` took; None if unknown."""
    try:
        ticks = os.sysconf("SC_CLK_TCK")
        numbers = [int(word) for word in stat.read_text(encoding="ascii").splitlines()[0].split()[1:]]
        taken = sum(number for place, number in enumerate(numbers[:_GUESTS]) if place not in _IDLE)
        mine = sum(_ticks(stat.with_name(str(process)) / "stat") for process in own)
    except (OSError, ValueError, IndexError, AttributeError):
        return None
    return (taken - mine) / ticks


def _ticks(path: Path) -> int:
    """Return the ticks of one process; its name, in brackets, may contain anything."""
    words = path.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    return int(words[11]) + int(words[12])
