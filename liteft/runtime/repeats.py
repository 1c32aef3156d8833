"""Rows of a table that were computed before, found by the digest of their text: what is exactly equal is computed once.

Digests are sorted arrays, 24 bytes a text, and results stay in Arrow's form: a million texts of a few words take some
50 MB, where a dictionary of strings would take several hundred. Beyond a bound no more results are kept; such a text
is then computed again, which gives the same.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from liteft.runtime.inputs import Text
from liteft.runtime.row_formats import require_pyarrow
from liteft.runtime.word_texts import WordText

__all__ = ["DIGEST_BYTES", "Repeats", "text_digest"]

DIGEST_BYTES = 16  # 128 bits: two of 10^9 different texts share one with probability 10^-21
_MOST_BYTES = 1 << 27


def text_digest(text: Text | WordText) -> bytes:
    """Return 16 bytes that are different for different texts."""
    if isinstance(text, WordText):
        content = repr((text.text, tuple(text.words), text.predicate)).encode()
    elif text.second is None:
        content = text.first.encode()
    else:
        first = text.first.encode()
        content = len(first).to_bytes(8, "big") + first + text.second.encode()
    return hashlib.blake2b(content, digest_size=DIGEST_BYTES).digest()


class Repeats:
    """The results of earlier texts."""

    def __init__(self, most_bytes: int = _MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._bytes = 0
        self._keys = np.zeros((0, 2), dtype=np.uint64)  # sorted by the first half
        self._places = np.zeros(0, dtype=np.int64)
        self._tables: list[Any] = []
        self._starts = [0]

    def find(self, keys: np.ndarray) -> np.ndarray:
        """Return the number of the result of each text, -1 for a new one: int64 (texts,).

        Args:
            keys: digests, uint64 (texts, 2).
        """
        if not len(self._keys):
            return np.full(len(keys), -1, dtype=np.int64)
        at = np.minimum(np.searchsorted(self._keys[:, 0], keys[:, 0]), len(self._keys) - 1)
        return np.where((self._keys[at] == keys).all(axis=1), self._places[at], -1)

    def add(self, keys: np.ndarray, results: Any) -> None:
        """Keep results, a pyarrow table with one row per text; ``keys`` are the texts' digests."""
        size = results.nbytes + len(keys) * (keys.itemsize * 2 + 8)
        if not len(keys) or self._bytes + size > self._most_bytes:
            return
        self._bytes += size
        order = np.argsort(keys[:, 0], kind="stable")
        at = np.searchsorted(self._keys[:, 0], keys[order, 0])
        self._keys = np.insert(self._keys, at, keys[order], axis=0)
        self._places = np.insert(self._places, at, self._starts[-1] + order)
        self._tables.append(results)
        self._starts.append(self._starts[-1] + len(keys))

    def results(self, numbers: np.ndarray) -> Any:
        """Return the results with these numbers, ascending, as a pyarrow table; None without any."""
        arrow = require_pyarrow("scoring tables")
        tables = np.searchsorted(self._starts, numbers, side="right") - 1
        found = [
            self._tables[table].take(arrow.array(numbers[tables == table] - self._starts[table]))
            for table in np.unique(tables)
        ]
        return arrow.concat_tables(found) if found else None
