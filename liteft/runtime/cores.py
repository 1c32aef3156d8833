"""How many cores this process may use.

Not the machine's: a container with a quota of two processors on a machine with 64 would otherwise start 64
threads that take turns on two. Hyper-threads count once, because two threads of matrix products on one core
are slower than one.
"""

from __future__ import annotations

import math
import os
from pathlib import Path

__all__ = ["usable_cores"]

_CGROUP = Path("/sys/fs/cgroup")
_CPUS = Path("/sys/devices/system/cpu")


def usable_cores(*, cgroup: Path = _CGROUP, cpus: Path = _CPUS) -> int:
    """Return the physical cores that the scheduler lets this process use, cut to the container's quota.

    Args:
        cgroup: where the control groups are mounted (Linux).
        cpus: where the kernel describes the processors (Linux).

    Returns:
        At least 1.
    """
    if hasattr(os, "sched_getaffinity"):
        allowed = os.sched_getaffinity(0)
        cores = len({_siblings(cpus, cpu) for cpu in allowed})
    else:
        cores = os.cpu_count() or 1
    quota = _quota(cgroup)
    return max(1, cores if quota is None else min(cores, math.ceil(quota)))


def _siblings(cpus: Path, cpu: int) -> str:
    """Name of the physical core that a logical processor belongs to."""
    try:
        return (cpus / f"cpu{cpu}" / "topology" / "thread_siblings_list").read_text(encoding="ascii").strip()
    except OSError:
        return str(cpu)


def _quota(cgroup: Path) -> float | None:
    """Processors' worth of time that the control group allows; None where it sets no limit."""
    try:
        limit, period = (cgroup / "cpu.max").read_text(encoding="ascii").split()
    except (OSError, ValueError):
        try:
            limit = (cgroup / "cpu" / "cpu.cfs_quota_us").read_text(encoding="ascii").strip()
            period = (cgroup / "cpu" / "cpu.cfs_period_us").read_text(encoding="ascii").strip()
        except OSError:
            return None
    try:
        share = int(limit) / int(period)
    except (ValueError, ZeroDivisionError):  # "max": no limit
        return None
    return share if share > 0 else None
