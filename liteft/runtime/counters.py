"""What a classifier has done so far, counted across threads."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace

__all__ = ["Counters", "EngineCounters", "Stats"]


@dataclass(frozen=True, slots=True)
class Stats:
    """A snapshot of a classifier's counters.

    Attributes:
        texts: texts (or pairs) classified.
        truncated: how many of these have a prediction that says ``truncated``.
        empty: how many had no tokens but the special ones: nothing was left of them to read.
        refused: values in streams that were not texts and became None.
        tokens: tokens classified, special tokens included.
        padded_tokens: tokens computed, padding included; equal to ``tokens`` if the backend is padding-free.
        batches: runs of the backend.
    """

    texts: int = 0
    truncated: int = 0
    empty: int = 0
    refused: int = 0
    tokens: int = 0
    padded_tokens: int = 0
    batches: int = 0

    @property
    def padding_share(self) -> float:
        """Share of the computed tokens that were padding, 0 to 1."""
        return 1 - self.tokens / self.padded_tokens if self.padded_tokens else 0.0


@dataclass(frozen=True, slots=True)
class EngineCounters:
    """What an engine itself has counted in this process.

    Attributes:
        calls: runs.
        rows: rows that went through the model's layers; without padding, the tokens of the texts.
    """

    calls: int = 0
    rows: int = 0


class Counters:
    """Sums counts from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stats = Stats()

    def snapshot(self) -> Stats:
        """Return the sums so far."""
        return self._stats

    def add(self, *, texts: int, truncated: int, empty: int, tokens: int, padded_tokens: int, batches: int) -> None:
        """Add the counts of one run."""
        with self._lock:
            was = self._stats
            self._stats = Stats(
                texts=was.texts + texts,
                truncated=was.truncated + truncated,
                empty=was.empty + empty,
                refused=was.refused,
                tokens=was.tokens + tokens,
                padded_tokens=was.padded_tokens + padded_tokens,
                batches=was.batches + batches,
            )

    def add_refused(self) -> None:
        """Count one value that was not a text."""
        with self._lock:
            self._stats = replace(self._stats, refused=self._stats.refused + 1)

    def after_fork(self) -> None:
        """Take a new lock in a forked child: another thread of the parent may have held the old one."""
        self._lock = threading.Lock()
