"""One contestant in a process of its own, idle until it is told to work.

Engines bring thread pools that spin after a run and OpenMP runtimes that do not get along; in processes of their own
they take turns without disturbing each other.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

_QUIET_SECONDS = 0.05  # after a run, for the pools' spinning to end


@dataclass(frozen=True)
class Cell:
    """One thing to time.

    Attributes:
        texts: the texts, in the order in which they come.
        batch: texts of one call.
        tokenized: token ids are given, so that tokenizing is outside of the clock.
    """

    texts: tuple[str, ...]
    batch: int
    tokenized: bool


class Worker:
    """A contestant's process. Raises RuntimeError with the contestant's words where it fails."""

    def __init__(self, name: str, checkpoint: Path, folder: Path, threads: int) -> None:
        self.checkpoint = checkpoint
        context = multiprocessing.get_context("spawn")
        self._pipe, other = context.Pipe()
        self._process = context.Process(
            target=_serve, args=(other, name, checkpoint, folder, threads), daemon=True
        )
        self._process.start()
        other.close()
        self._answer()

    def logits(self, texts: tuple[str, ...]) -> np.ndarray:
        """Return the logits of texts, in one batch of 16 after the other."""
        self._pipe.send(("logits", texts))
        return self._answer()

    def seconds(self, cell: Cell) -> float:
        """Return the wall time of one pass over a cell's texts."""
        self._pipe.send(("time", cell))
        found = self._answer()
        time.sleep(_QUIET_SECONDS)
        return float(found)

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.join()

    def _answer(self) -> Any:
        try:
            good, answer = self._pipe.recv()
        except EOFError:
            raise RuntimeError("the process ended without an answer") from None
        if not good:
            raise RuntimeError(answer)
        return answer


def _serve(pipe: Connection, name: str, checkpoint: Path, folder: Path, threads: int) -> None:
    os.environ |= {"OMP_NUM_THREADS": str(threads), "RAYON_NUM_THREADS": str(threads), "TOKENIZERS_PARALLELISM": "true"}
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    from peer_contestants import contestants

    try:
        contestant = contestants()[name][2](checkpoint, folder, threads)
        pipe.send((True, None))
        while True:
            what, given = pipe.recv()
            if what == "logits":
                parts = [contestant.classify(given[start : start + 16]) for start in range(0, len(given), 16)]
                pipe.send((True, np.concatenate(parts)))
            else:
                pipe.send((True, _time(contestant, given)))
    except EOFError:
        return
    except Exception as error:
        pipe.send((False, f"{type(error).__name__}: {error}"))


def _time(contestant: Any, cell: Cell) -> float:
    call = contestant.run if cell.tokenized else contestant.classify
    given = contestant.encode(cell.texts) if cell.tokenized else cell.texts
    batches = [given[start : start + cell.batch] for start in range(0, len(given), cell.batch)]
    call(batches[0])
    begin = time.perf_counter()
    for batch in batches:
        call(batch)
    return time.perf_counter() - begin
