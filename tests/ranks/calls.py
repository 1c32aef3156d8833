"""What the tests of this folder call in several processes. It imports no torch, so a rank starts in a moment."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

from liteft.errors import DataError

RANK = int(os.environ.get("RANK", "-1"))


def told(out: str, *, progress: Any, callbacks: Any) -> None:
    """Write what a rank knows of itself, and tell two lines."""
    names = ("WORLD_SIZE", "OMP_NUM_THREADS", "RAYON_NUM_THREADS")
    (Path(out) / f"rank-{RANK}").write_text(" ".join(os.environ[name] for name in names))
    if progress is not None:
        progress("first")
        progress("second")


def refused(*, progress: Any, callbacks: Any) -> None:
    """Refuse something in the second rank, while the first goes on."""
    if RANK == 1:
        raise DataError("a row has no label.", accepted={"label": "red or blue"}, fix="give it one")
    time.sleep(60)


def broken(*, progress: Any, callbacks: Any) -> None:
    """Fail in a way that nobody expected, in every rank."""
    raise ZeroDivisionError(f"in rank {RANK}")


def killed(*, progress: Any, callbacks: Any) -> None:
    """Kill the second rank; the first then fails in what both do together."""
    if RANK == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.5)
    raise RuntimeError("connection closed by peer")


def left(*, progress: Any, callbacks: Any) -> None:
    """End the second rank without a word but on stderr."""
    if RANK == 1:
        os.write(2, b"undefined symbol\n")
        os._exit(7)
    time.sleep(60)


def waiting(out: str, *, progress: Any, callbacks: Any) -> None:
    """Wait to be ended, and say whether there was time to clean up."""
    (Path(out) / f"pid-{RANK}").write_text(str(os.getpid()))
    try:
        time.sleep(60)
    finally:
        (Path(out) / f"cleaned-{RANK}").write_text("")
