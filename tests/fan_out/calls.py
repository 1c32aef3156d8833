"""What the tests of this folder call in Ray tasks. It imports no torch, so a task starts in a moment."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

from liteft.errors import DataError
from liteft.privacy import quoted


def described(shared: str, number: int, *, progress: Any) -> dict[str, Any]:
    """Return what a task knows of itself, or refuse the number 2."""
    progress(f"number {number}")
    if number == 2:
        raise DataError("a row has no label.", accepted={"label": "red or blue"}, fix="give it one")
    return {"value": f"{shared}{number}", "threads": os.environ["OMP_NUM_THREADS"], "folder": str(Path.cwd())}


def killed_once(out: Path, number: int, *, progress: Any) -> str:
    """Kill the worker at the first attempt; return how many there were."""
    attempts = out / f"attempts-{number}"
    attempts.write_text(attempts.read_text() + "x" if attempts.is_file() else "x")
    if attempts.read_text() == "x":
        os.kill(os.getpid(), signal.SIGKILL)
    return attempts.read_text()


def killed_always(*, progress: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def waiting(out: Path, number: int, *, progress: Any) -> None:
    """Wait to be ended, and say whether there was time to clean up."""
    progress("waits")
    try:
        for _ in range(600):  # Ray raises the interrupt between two calls
            time.sleep(0.1)
    finally:
        (out / f"cleaned-{number}").write_text("")


def hides(_shared: str, number: int, *, progress: Any) -> str:
    """Return a text as this worker would show it."""
    progress(f"number {number}")
    return quoted("a private text")
