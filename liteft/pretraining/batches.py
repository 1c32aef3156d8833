"""Batches of a corpus: sequences with their special tokens, padded to the longest, and masked where that is learned."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from liteft.pretraining.masking import Masking
from liteft.pretraining.packing import Sequences

__all__ = ["EVALUATION", "CorpusBatches", "CorpusRows", "MaskedBatches"]


@dataclass(frozen=True)
class CorpusBatches:
    """Turns numbers of sequences into batches.

    Attributes:
        sequences: the corpus.
        prefix, suffix: ids of the special tokens before and after each sequence.
        pad_id: fills the batch.
        types: pass token_type_ids, all 0.
    """

    sequences: Sequences
    prefix: tuple[int, ...]
    suffix: tuple[int, ...]
    pad_id: int
    types: bool

    def __call__(self, rows: Sequence[int], epoch: int) -> dict[str, Tensor]:
        """Return a batch.

        Returns:
            input_ids, attention_mask and, where used, token_type_ids, int64 (sequences, longest); and ``labels``, int64
            (sequences,), the number of tokens: Trainer evaluates only batches that have labels.
        """
        chosen = np.asarray(rows, dtype=np.int64)
        batch = self.padded(self.sequences.read(chosen)[0], self.sequences.lengths(chosen))
        batch["labels"] = batch["attention_mask"].sum(axis=1)
        return {name: torch.from_numpy(values) for name, values in batch.items()}

    def columns(self, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return where each token of some sequences is in their batch: its sequence and its column, int64 (tokens,)."""
        sequence = np.repeat(np.arange(len(lengths)), lengths)
        return sequence, len(self.prefix) + np.arange(len(sequence)) - np.repeat(np.cumsum(lengths) - lengths, lengths)

    def padded(self, ids: np.ndarray, lengths: np.ndarray) -> dict[str, np.ndarray]:
        """Return the model's inputs for sequences whose ids are given one after the other."""
        before, after = len(self.prefix), len(self.suffix)
        shape = (len(lengths), int(lengths.max()) + before + after)
        padded = np.full(shape, self.pad_id, dtype=np.int64)
        padded[:, :before] = self.prefix
        padded[self.columns(lengths)] = ids
        ends = before + lengths
        for place, token in enumerate(self.suffix):
            padded[np.arange(len(lengths)), ends + place] = token
        real = np.arange(shape[1]) < (ends + after)[:, None]
        batch = {"input_ids": padded, "attention_mask": real.astype(np.int64)}
        return batch | ({"token_type_ids": np.zeros_like(padded)} if self.types else {})

    def evaluated(self, rows: np.ndarray, batch_size: int) -> Iterator[dict[str, Tensor]]:
        """Yield the batches of validation rows, in their order."""
        for start in range(0, len(rows), batch_size):
            yield self(rows[start : start + batch_size].tolist(), EVALUATION)

    def collate(self, items: Sequence[tuple[int, int]]) -> dict[str, Tensor]:
        """Return the batch of (epoch, sequence) pairs of one epoch."""
        return self([row for _, row in items], items[0][0])


@dataclass(frozen=True, kw_only=True)
class MaskedBatches(CorpusBatches):
    """Batches in which tokens are masked.

    Attributes:
        masking: what is masked.
    """

    masking: Masking

    def __call__(self, rows: Sequence[int], epoch: int) -> dict[str, Tensor]:
        """Return a batch.

        Returns:
            The inputs as `CorpusBatches` has them; ``places``, int64 (masked,), the masked tokens by their number in
            the flattened input_ids; and ``labels``, int64 (masked,), what stood there.
        """
        chosen = np.asarray(rows, dtype=np.int64)
        ids, begins = self.sequences.read(chosen)
        lengths = self.sequences.lengths(chosen)
        masked = self.masking(ids, begins, lengths, chosen, epoch=epoch)
        batch = self.padded(masked.ids, lengths)
        sequence, column = self.columns(lengths)
        places = (sequence * batch["input_ids"].shape[1] + column)[masked.chosen]
        batch |= {"places": places, "labels": ids[masked.chosen]}
        return {name: torch.from_numpy(values) for name, values in batch.items()}


class CorpusRows(Dataset["tuple[int, int]"]):
    """What Trainer asks for rows: the sampler's (epoch, sequence) as it is; without a sampler, rows in their order.

    Args:
        rows: the sequences, int64; None for as many as ``count`` says, which a sampler names.
        count: number of rows.
    """

    def __init__(self, rows: np.ndarray | None, count: int) -> None:
        self.rows = rows
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int | tuple[int, int]) -> tuple[int, int]:
        if isinstance(index, tuple):
            return index
        assert self.rows is not None
        return EVALUATION, int(self.rows[index])


EVALUATION = 1 << 32
"""In the place of an epoch, for validation: the same words are masked at each evaluation."""
