"""Runs a contestant in a process of its own, which is idle between calls.

Engines have thread pools that spin after a run, and OpenMP runtimes that conflict with each other. In separate
processes they can take turns without disturbing each other. A worker answers only when its threads have become idle.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
from peer_contestants import CONTESTANTS, Contestant, Cores
from peer_kinds import Text

_INT8 = 2  # LITEFT_INT8
_GLANCE_SECONDS = 0.01
_RESTING_SHARE = 0.1
_PATIENCE_SECONDS = 1.0


@dataclass(frozen=True)
class Cell:
    """Texts and batches to time.

    Attributes:
        texts: the texts, in order.
        batch: texts per call.
        tokenized: whether calls get token ids, so that tokenization is not timed.
    """

    texts: tuple[Text, ...]
    batch: int
    tokenized: bool


class Worker:
    """The process of a contestant; calls raise RuntimeError with the contestant's message if they fail."""

    def __init__(self, name: str, checkpoint: Path, folder: Path, cores: Cores) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, other = context.Pipe()
        self._process = context.Process(target=_serve, args=(other, name, checkpoint, folder, cores), daemon=True)
        self._process.start()
        other.close()
        try:
            self._answer()
        except RuntimeError:
            self.close()
            raise

    def logits(self, texts: tuple[Text, ...]) -> np.ndarray:
        """Return the logits of texts or their words, (texts or words, labels), computed in batches of 16."""
        return self._ask("logits", texts)

    def seconds(self, cell: Cell) -> float:
        """Return the wall time of one pass over a cell's texts."""
        return float(self._ask("seconds", cell))

    def idle_share(self, seconds: float) -> float:
        """Let the process wait for some seconds, and return the processor time it uses, as a share of one core."""
        return float(self._ask("idle", seconds))

    def int8_peak(self) -> float:
        """Return the int8 operations per second of libliteft's plain multiply-add loop on this worker's cores."""
        return float(self._ask("peak", None))

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.join()

    def _ask(self, call: str, argument: Any) -> Any:
        try:
            self._pipe.send((call, argument))
        except OSError:
            raise RuntimeError("the process has ended") from None
        return self._answer()

    def _answer(self) -> Any:
        try:
            good, answer = self._pipe.recv()
        except (EOFError, OSError):
            raise RuntimeError("the process ended without an answer") from None
        if not good:
            raise RuntimeError(answer)
        return answer


def _serve(pipe: Connection, name: str, checkpoint: Path, folder: Path, cores: Cores) -> None:
    used = sorted(os.sched_getaffinity(0))[: cores.used]
    os.sched_setaffinity(0, used)
    threads = str(cores.threads)
    os.environ |= {
        "OMP_NUM_THREADS": threads,
        "RAYON_NUM_THREADS": threads,
        "TOKENIZERS_PARALLELISM": "false" if cores.threads == 1 else "true",
    }
    try:
        if len(used) < cores.used:
            raise ValueError(f"{cores.used} cores are needed, and only {len(used)} may be used")
        contestant = CONTESTANTS[name].make(checkpoint, folder, cores)
        calls: dict[str, Callable[[Any], Any]] = {
            "logits": lambda texts: _logits(contestant, texts),
            "seconds": lambda cell: _seconds(contestant, cell, cores.lanes),
            "idle": _idle,
            "peak": lambda _: _peak(cores),
        }
        pipe.send((True, None))
        while True:
            call, argument = pipe.recv()
            answer = calls[call](argument)
            _rest()
            pipe.send((True, answer))
    except (EOFError, BrokenPipeError):
        return  # the process that makes the calls has ended
    except Exception as error:
        with contextlib.suppress(BrokenPipeError):
            pipe.send((False, f"{type(error).__name__}: {error}"))


def _logits(contestant: Contestant, texts: tuple[Text, ...]) -> np.ndarray:
    return np.concatenate([contestant.classify(texts[start : start + 16]) for start in range(0, len(texts), 16)])


def _seconds(contestant: Contestant, cell: Cell, lanes: int) -> float:
    call: Callable[[Any], Any] = contestant.run if cell.tokenized else contestant.classify
    given: Any = contestant.encode(cell.texts) if cell.tokenized else cell.texts
    batches = [given[start : start + cell.batch] for start in range(0, len(given), cell.batch)]
    if lanes == 1:
        begin = time.perf_counter()
        for batch in batches:
            call(batch)
        return time.perf_counter() - begin
    with ThreadPoolExecutor(lanes) as pool:
        for _ in range(lanes):  # threads are started before the clock
            pool.submit(time.sleep, _GLANCE_SECONDS)
        pool.submit(int).result()
        begin = time.perf_counter()
        list(pool.map(call, batches))
        return time.perf_counter() - begin


def _rest() -> None:
    """Wait until the threads of this process are idle, or a time limit is reached."""
    end = time.perf_counter() + _PATIENCE_SECONDS
    while time.perf_counter() < end:
        if _idle(_GLANCE_SECONDS) < _RESTING_SHARE:
            return


def _idle(seconds: float) -> float:
    used, begin = time.process_time(), time.perf_counter()
    time.sleep(seconds)
    return (time.process_time() - used) / (time.perf_counter() - begin)


def _peak(cores: Cores) -> float:
    import ctypes

    from liteft.runtime.native_library import find_library

    library = ctypes.CDLL(str(find_library()))
    library.liteft_peak.restype = ctypes.c_double
    return float(library.liteft_peak(_INT8, cores.used, None))
