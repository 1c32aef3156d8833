"""What a rank does: it makes the call that it was started for, and stores what that raises.

A signal ends it as Ctrl-C would, so that temporary files are removed, and it ends if the process that started it dies.
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import pickle
import signal
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from liteft.ranks.request import REQUEST, LinesWritten, Request, write_failure

__all__ = ["START", "main"]

START = """
import json, os, sys
given = json.loads(sys.argv[1])
os.environ.update(given["environment"])
sys.path[:] = given["path"]
from liteft.ranks.rank import main
main(given["folder"])
"""
"""What Python runs in a rank: the thread pools are limited before anything that reads their limits is imported."""

_PR_SET_PDEATHSIG = 1
_PATIENCE = 2.0  # seconds


def main(folder: str) -> None:
    """Make the call that is stored in ``folder``, in a process that torch.distributed.run has started.

    The exit status is 0, 1 after an error, or 130 after a signal.
    """
    place, rank = Path(folder), int(os.environ["RANK"])
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # it warns of kernels that are not installed
    try:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, _interrupt)
        request: Request = pickle.loads((place / REQUEST).read_bytes())
        _end_with(request.parent)
        progress = LinesWritten(place) if rank == 0 else None
        request.function(*request.arguments, **request.keywords, progress=progress)
        _leave()
    except KeyboardInterrupt:
        _end(130)
    except BaseException as error:
        write_failure(place, rank, error)
        # the first may be about to raise the same, and then withdraws what it has begun
        _end(1, after=_PATIENCE if rank else 0)
    _end(0)


def _end(status: int, *, after: float = 0) -> NoReturn:
    """Exit after some seconds, without a signal in between: the others may be ended because this one ends."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    time.sleep(after)
    sys.exit(status)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _end_with(parent: int) -> None:
    """Have the kernel end this process when the one that started it dies, however it dies; on Linux."""
    if sys.platform.startswith("linux"):
        with contextlib.suppress(OSError):
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        raise KeyboardInterrupt  # it has died already


def _leave() -> None:
    """Leave the group of ranks, if the call has made one."""
    distributed: Any = sys.modules.get("torch.distributed")
    if distributed is not None and distributed.is_available() and distributed.is_initialized():
        distributed.destroy_process_group()
