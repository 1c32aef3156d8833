"""Measurement of how busy other processes kept the machine while models were timed.

Timing in turns and taking medians (workers.py) spreads the noise of other processes over all models but does not remove
it, and a model whose threads wait for a busy core loses more than its share. So the processor time of all other
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

_BUSY_SHARE = 0.1  # of all cores, used by other processes: above, the machine counts as busy
_STAT = Path("/proc/stat")
_IDLE = (3, 4)  # positions of "idle" and "iowait" in the first line of /proc/stat
_GUESTS = 8  # fields from this position on count time that other fields already include


@dataclass(frozen=True, slots=True)
class Load:
    """How busy other processes kept the machine while models were timed.

    Attributes:
        cores: number of logical processors of the machine.
        others: how many of them other processes kept busy on average; None if the system does not report it.
        queue: the system's load average (runnable processes) over the minute before the timing, or None.
    """

    cores: int
    others: float | None
    queue: float | None

    @property
    def busy(self) -> bool:
        """Whether speeds measured at this load are unreliable."""
        if self.others is not None:
            return self.others > _BUSY_SHARE * self.cores
        return self.queue is not None and self.queue > self.cores / 2

    def words(self) -> str:
        """Return the measured load in words."""
        if self.others is not None:
            return f"other processes kept {self.others:.1f} of {self.cores} cores busy during the timing"
        return f"{self.queue:.1f} processes were runnable before the timing, on {self.cores} cores"

    def to_dict(self) -> dict[str, Any]:
        """Return the load as plain data."""
        return {"cores": self.cores, "others": self.others, "queue": self.queue, "busy": self.busy}


class Watch:
    """The load measured by ``watching``; ``load`` is None until its block has ended."""

    load: Load | None = None


@contextmanager
def watching(processes: Sequence[int], *, stat: Path = _STAT) -> Iterator[Watch]:
    """Measure the load by other processes while the body of the with statement runs.

    Args:
        processes: ids of processes that count as own, as this process does.
        stat: the kernel's file of processor times; the processes' files are beside it.
    """
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
    """Return the processor time in seconds that all processes except ``own`` have used since boot; None if unknown."""
    try:
        ticks_per_second = os.sysconf("SC_CLK_TCK")
        numbers = [int(word) for word in stat.read_text(encoding="ascii").splitlines()[0].split()[1:]]
        all_ticks = sum(number for place, number in enumerate(numbers[:_GUESTS]) if place not in _IDLE)
        own_ticks = sum(_ticks(stat.with_name(str(process)) / "stat") for process in own)
    except (OSError, ValueError, IndexError, AttributeError):
        return None
    return (all_ticks - own_ticks) / ticks_per_second


def _ticks(path: Path) -> int:
    """Return the clock ticks that one process has used; its name, in brackets, may contain any character."""
    words = path.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    return int(words[11]) + int(words[12])
