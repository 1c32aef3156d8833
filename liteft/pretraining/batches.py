"""Batches of a corpus: sequences with their special tokens, masked and padded to the longest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from liteft.pretraining.masking import Masking
from liteft.pretraining.packing import Sequences

__all__ = ["CorpusRows", "MaskedBatches"]


@dataclass(frozen=True)
class MaskedBatches:
    """Turns numbers of sequences into batches.

    Attributes:
        sequences: the corpus.
        masking: what is masked.
        prefix, suffix: ids of the special tokens before and after each sequence.
        pad_id: fills the batch.
        types: pass token_type_ids, all 0.
    """

    sequences: Sequences
    masking: Masking
    prefix: tuple[int, ...]
    suffix: tuple[int, ...]
    pad_id: int
    types: bool

    def __call__(self, rows: Sequence[int], epoch: int) -> dict[str, Tensor]:
        """Return a batch.

        Returns:
            input_ids, attention_mask and, where used, token_type_ids, int64 (sequences, longest); ``places``, int64
            (masked,), the masked tokens by their number in the flattened input_ids; and ``labels``, int64 (masked,),
            what stood there.
        """
        chosen = np.asarray(rows, dtype=np.int64)
        ids, begins = self.sequences.read(chosen)
        lengths = self.sequences.lengths(chosen)
        masked = self.masking(ids, begins, lengths, chosen, epoch=epoch)
        before, after = len(self.prefix), len(self.suffix)
        shape = (len(chosen), int(lengths.max()) + before + after)
        padded = np.full(shape, self.pad_id, dtype=np.int64)
        padded[:, :before] = self.prefix
        sequence = np.repeat(np.arange(len(chosen)), lengths)
        column = before + np.arange(len(ids)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        padded[sequence, column] = masked.ids
        ends = before + lengths
        for place, token in enumerate(self.suffix):
            padded[np.arange(len(chosen)), ends + place] = token
        real = np.arange(shape[1]) < (ends + after)[:, None]
        places = (sequence * shape[1] + column)[masked.chosen]
        batch = {"input_ids": padded, "attention_mask": real.astype(np.int64)}
        batch |= {"token_type_ids": np.zeros_like(padded)} if self.types else {}
        batch |= {"places": places, "labels": ids[masked.chosen]}
        return {name: torch.from_numpy(values) for name, values in batch.items()}

    def collate(self, items: Sequence[tuple[int, int]]) -> dict[str, Tensor]:
        """Return the batch of (epoch, sequence) pairs of one epoch."""
        return self([row for _, row in items], items[0][0])


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
