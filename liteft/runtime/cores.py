"""How many cores this process may use, and how many threads its environment asks for.

Not the machine's cores: a container with a quota of two processors on a machine with 64 would otherwise start 64
threads that take turns on two. A quota may be set in the process's own control group (systemd's CPUQuota, a container
in a container) or in any group above it; the smallest applies. Hyper-threads count once, because two threads of
matmuls on one core are slower than one.

The native library counts the same way, and reads the same variables, for its operator (cpp_ext/ort/cores.cpp).
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

from liteft.errors import ConfigError

__all__ = ["MOST_THREADS", "default_threads", "usable_cores"]

MOST_THREADS = 1024  # a classifier's limit in the native library; with 5,000 in ONNX Runtime, the process died
_CGROUP = Path("/sys/fs/cgroup")
_OWN = Path("/proc/self/cgroup")
_CPUS = Path("/sys/devices/system/cpu")
_VARIABLES = ("LITEFT_THREADS", "OMP_NUM_THREADS")


def default_threads(environment: Mapping[str, str] | None = None) -> int:
    """Return how many threads to use if the caller named no number.

    Args:
        environment: environment variables; None for this process's.

    Returns:
        LITEFT_THREADS if set, else OMP_NUM_THREADS (the first number of a list), else the usable cores; 1 to 1024.

    Raises:
        ConfigError: the variable that applies is not an integer from 1 to 1024.
    """
    environment = os.environ if environment is None else environment
    for name in _VARIABLES:
        text = environment.get(name, "").strip()
        if not text:
            continue
        number = (text.split(",")[0] if name == "OMP_NUM_THREADS" else text).strip()
        digits = number.isascii() and number.isdigit() and len(number) < 9
        if not (digits and 1 <= int(number) <= MOST_THREADS):
            raise ConfigError(
                f"the environment's {name} must be an integer from 1 to {MOST_THREADS}, got {text!r}.",
                accepted={name: f"1 to {MOST_THREADS}"},
                fix=[f"unset {name}", f"set {name} to {min(usable_cores(), MOST_THREADS)}"],
            )
        return int(number)
    return min(usable_cores(), MOST_THREADS)


def usable_cores(*, cgroup: Path = _CGROUP, cpus: Path = _CPUS, own: Path = _OWN) -> int:
    """Return the number of physical cores that this process may be scheduled on, limited by the smallest quota.

    Args:
        cgroup: where the control groups are mounted (Linux).
        cpus: where the kernel describes the processors (Linux).
        own: the file that lists this process's control groups (Linux).

    Returns:
        At least 1.
    """
    if hasattr(os, "sched_getaffinity"):
        allowed = os.sched_getaffinity(0)
        cores = len({_siblings(cpus, cpu) for cpu in allowed})
    else:
        cores = os.cpu_count() or 1
    quotas = [quota for group in _groups(cgroup, own) if (quota := _quota(group)) is not None]
    return max(1, min([cores, *map(math.ceil, quotas)]))


def _siblings(cpus: Path, cpu: int) -> str:
    """Return the name of the physical core that a logical processor belongs to."""
    try:
        return (cpus / f"cpu{cpu}" / "topology" / "thread_siblings_list").read_text(encoding="ascii").strip()
    except OSError:
        return str(cpu)


def _groups(cgroup: Path, own: Path) -> Iterator[Path]:
    """Yield the control groups that may limit this process's processors: its own and all above, of both versions.

    In a container, the file may name the group as the host sees it, a path that does not exist there: the mounted root
        is then the process's own group.
    """
    yield cgroup
    yield cgroup / "cpu"
    try:
        lines = own.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, name = rest.partition(":")
        if controllers and "cpu" not in controllers.split(","):
            continue
        group = PurePosixPath(name.lstrip("/"))
        if ".." in group.parts:  # outside what is mounted here
            continue
        mounts = [cgroup / "cpu", cgroup / controllers] if controllers else [cgroup, cgroup / "unified"]
        for part in (group, *group.parents):
            yield from (mount / part for mount in mounts)


def _quota(group: Path) -> float | None:
    """Return the processor time that a control group allows, in processors; None if it sets no limit."""
    try:
        limit, period = (group / "cpu.max").read_text(encoding="ascii").split()
    except (OSError, ValueError):
        try:
            limit = (group / "cpu.cfs_quota_us").read_text(encoding="ascii").strip()
            period = (group / "cpu.cfs_period_us").read_text(encoding="ascii").strip()
        except (OSError, ValueError):
            return None
    try:
        share = int(limit) / int(period)
    except (ValueError, ZeroDivisionError):  # "max": no limit
        return None
    return share if share > 0 else None
