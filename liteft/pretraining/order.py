"""Which sequences are held out to validate on, and the order in which the others are trained on.

Both are functions of the seed that are computed as they are needed: nothing here grows with the number of sequences.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from liteft.errors import DataError, option
from liteft.finetuning.batches import EpochSampler
from liteft.pretraining.draws import drawn, permuted
from liteft.pretraining.packing import Sequences

__all__ = ["CorpusOrder", "held_out"]

_MOST_TEXTS, _MOST_SEQUENCES = 2000, 4000
_WINDOW_BATCHES = 50
_BLOCK = 1 << 20
_HELD_OUT, _ORDER, _BATCHES = 0x68656C64, 0x6F726465, 0x62617463  # what numbers are drawn for


def held_out(sequences: Sequences, fraction: float, seed: int) -> np.ndarray:
    """Return the sequences to validate on, int64, ascending: all of the chosen texts, and of texts equal to these.

    Args:
        sequences: the corpus.
        fraction: of its texts; at most 2,000 are chosen, with at most 4,000 sequences, and at least one. Texts that
            occur so often that they would make it more than twice the fraction are left out, if there are others.
        seed: determines which.

    Raises:
        DataError: no sequence is left to train on.
    """
    count = max(1, min(_MOST_TEXTS, round(fraction * sequences.texts)))
    share = min(1.0, 2 * count / sequences.texts)
    while True:
        rows, ranks = _lowest(sequences, share, seed)
        distinct, lengths = np.unique(ranks, return_counts=True)
        if len(distinct) >= count or share == 1.0:
            break
        share = min(1.0, 4 * share)
    most = max(1.0, min(_MOST_SEQUENCES, 2 * count * len(sequences) / sequences.texts))
    few = lengths <= most  # else one text that is repeated thousands of times could be most of the corpus
    if not few.any():
        few = np.arange(len(distinct)) == lengths.argmin()
    within = int((np.cumsum(lengths[few])[:count] <= most).sum())
    chosen: np.ndarray = rows[np.isin(ranks, distinct[few][: max(1, within)])]
    if len(chosen) == len(sequences):
        raise DataError(
            f"none of {sequences.texts:,} texts is left to train on after some are held out to validate on.",
            accepted={"texts": "at least two different ones"},
            fix=["give more texts", option("validation_fraction", 0.01)],
        )
    return chosen


def _lowest(sequences: Sequences, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the sequences of about this share of the texts, drawn by their hashes, and the texts' ranks, uint64."""
    limit = np.uint64(min(2**64 - 1, int(share * 2**64)))
    rows, ranks = [], []
    for start in range(0, len(sequences), _BLOCK):
        drawn_here = drawn(seed, _HELD_OUT, sequences.hashes[start : start + _BLOCK])
        low = np.flatnonzero(drawn_here <= limit)
        rows.append(low + start)
        ranks.append(drawn_here[low])
    return np.concatenate(rows), np.concatenate(ranks)


class CorpusOrder(EpochSampler):
    """Yields (epoch, sequence) for every sequence that is not held out, so that batches have similar lengths.

    A random permutation is cut into windows of 50 batches; each window is sorted by length and cut into batches, which
    are shuffled. With ``group=False`` the permutation itself is yielded.

    Args:
        sequences: the corpus.
        validation: the sequences that are held out.
        batch_size: sequences per batch.
        seed: determines the order, together with the epoch.
        group: sort by length inside windows.
    """

    def __init__(
        self, sequences: Sequences, validation: np.ndarray, *, batch_size: int, seed: int, group: bool = True
    ) -> None:
        self.sequences = sequences
        self.validation = validation
        self.batch_size = batch_size
        self.seed = seed
        self.group = group
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order the next iteration yields."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.sequences) - len(self.validation)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        epoch = self.epoch
        for number, window in enumerate(self._windows(epoch)):
            for row in self._arranged(window, epoch, number).tolist():
                yield epoch, row

    def _windows(self, epoch: int) -> Iterator[np.ndarray]:
        """Yield the rows of each window, in the order of the permutation."""
        size, total = self.batch_size * _WINDOW_BATCHES, len(self.sequences)
        waiting = np.zeros(0, dtype=np.int64)
        for start in range(0, total, size):
            places = np.arange(start, min(start + size, total))
            rows = permuted(places, total, self.seed, _ORDER, epoch)
            waiting = np.concatenate([waiting, rows[~np.isin(rows, self.validation)]])
            if len(waiting) >= size:
                yield waiting[:size]
                waiting = waiting[size:]
        if len(waiting):
            yield waiting

    def _arranged(self, window: np.ndarray, epoch: int, number: int) -> np.ndarray:
        """Return the rows of a window batch by batch; only full batches move, so that a short one stays the last."""
        if not self.group:
            return window
        window = window[np.argsort(self.sequences.lengths(window), kind="stable")]
        full = len(window) // self.batch_size
        batches = window[: full * self.batch_size].reshape(full, self.batch_size)
        order = np.argsort(drawn(self.seed, _BATCHES, epoch, number, np.arange(full)), kind="stable")
        return np.concatenate([batches[order].reshape(-1), window[full * self.batch_size :]])
