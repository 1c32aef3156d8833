"""The processes below another one, as Linux shows them in /proc: what bench/score_tables.py kills and watches."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Process", "below", "is_running", "resident_mb"]

_PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class Process:
    """A process: its id, its parent's, and its command line."""

    pid: int
    parent: int
    command: str


def below(ancestor: int) -> list[Process]:
    """Return the processes that an ancestor started, or that these did."""
    found = {each.pid: each for each in map(_read, _PROC.iterdir()) if each is not None}

    def is_below(process: Process) -> bool:
        parent = found.get(process.parent)
        return process.parent == ancestor or (parent is not None and is_below(parent))

    return [each for each in found.values() if is_below(each)]


def is_running(pid: int) -> bool:
    """Return whether a process exists and is no zombie."""
    try:
        return (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def resident_mb(pid: int) -> float | None:
    """Return the resident memory of a process in MB; None if it has ended."""
    try:
        pages = int((_PROC / str(pid) / "statm").read_text().split()[1])
    except (OSError, IndexError):
        return None
    return round(pages * os.sysconf("SC_PAGE_SIZE") / 1e6, 1)


def _read(entry: Path) -> Process | None:
    if not entry.name.isdigit():
        return None
    try:
        parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
        command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
    except (OSError, IndexError):
        return None
    return Process(int(entry.name), parent, command)
