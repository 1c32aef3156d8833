"""Training batches: texts of similar length together, in an order that is a function of seed and epoch alone.

Trainer's own grouping by length draws from a generator whose state a resumed run cannot restore. Here the
order of an epoch depends only on (seed, epoch), so a run that is killed and restarted sees the
same batches. Ids are kept unpadded and padded per batch to its longest text.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from liteft.encoded import Encoded
from liteft.finetuning.answer_batches import UNITS, unit_columns
from liteft.finetuning.logits import pad_batch
from liteft.finetuning.reading import Reading
from liteft.finetuning.word_batches import COLUMNS, rectangle, word_columns
from liteft.ragged import Rows
from liteft.recipes import TrainingRecipe

__all__ = ["Collator", "EpochSampler", "LengthGroupedSampler", "RowDataset", "collate", "model_inputs"]

_WINDOW_BATCHES = 50


class EpochSampler(Sampler[Any]):
    """A sampler whose order is a function of an epoch."""

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order the next iteration yields."""
        raise NotImplementedError


class RowDataset(Dataset["tuple[Collator, int]"]):
    """The rows of a collator. Each item carries its collator, so that training and validation rows never mix.

    Trainer fetches the training batch that follows an evaluation while the model is still in evaluation mode:
    so the model's mode does not tell where a row comes from.
    """

    def __init__(self, collator: Collator, rows: Sequence[int] | np.ndarray | None = None) -> None:
        self.collator = collator
        self.rows = np.arange(len(collator.encoded)) if rows is None else np.asarray(rows, dtype=np.int64)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> tuple[Collator, int]:
        return self.collator, int(self.rows[index])


def model_inputs(batch: dict[str, Tensor]) -> dict[str, Any]:
    """Return the part of a batch that a model reads."""
    return {name: batch[name] for name in ("input_ids", "attention_mask", "token_type_ids") if name in batch}


def collate(items: Sequence[tuple[Collator, int]]) -> dict[str, Tensor]:
    """Return the batch of items of one RowDataset."""
    return items[0][0]([row for _, row in items])


class LengthGroupedSampler(EpochSampler):
    """Yields every index once per epoch, so that consecutive runs of ``batch_size`` have similar lengths.

    A random permutation is cut into windows of 50 batches; each window is sorted by length, cut into batches, and
    all batches are shuffled. With ``group=False`` the permutation itself is yielded.

    Args:
        lengths: token counts, shape (texts,).
        batch_size: texts per batch.
        seed: determines the order, together with the epoch.
        group: sort by length inside windows.
    """

    def __init__(self, lengths: np.ndarray, *, batch_size: int, seed: int, group: bool = True) -> None:
        self.lengths = np.asarray(lengths)
        self.batch_size = batch_size
        self.seed = seed
        self.group = group
        self.epoch = 0

    @classmethod
    def of(cls, rows: Collator, recipe: TrainingRecipe) -> LengthGroupedSampler:
        """Return the sampler of a training's rows that its recipe asks for."""
        return cls(rows.encoded.lengths, batch_size=recipe.batch_size, seed=recipe.seed, group=recipe.group_by_length)

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order the next iteration yields."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.lengths)

    def __iter__(self) -> Iterator[int]:
        return iter(self.order(self.epoch).tolist())

    def order(self, epoch: int) -> np.ndarray:
        """Return the order of one epoch: a permutation, int64, shape (texts,)."""
        random = np.random.default_rng([self.seed, epoch])
        permutation = random.permutation(len(self.lengths))
        if not self.group:
            return permutation
        window = self.batch_size * _WINDOW_BATCHES
        batches: list[np.ndarray] = []
        for start in range(0, len(permutation), window):
            part = permutation[start : start + window]
            part = part[np.argsort(self.lengths[part], kind="stable")]
            batches += [part[at : at + self.batch_size] for at in range(0, len(part), self.batch_size)]
        # Only full batches move: a short one in the middle would shift every batch boundary after it.
        full = [batch for batch in batches if len(batch) == self.batch_size]
        short = [batch for batch in batches if len(batch) < self.batch_size]
        shuffled = [full[index] for index in random.permutation(len(full))]
        return np.concatenate(shuffled + short) if batches else permutation


class Collator:
    """Turns row numbers into a padded batch with labels, and any further arrays of the rows.

    Args:
        reading: the tokens of all rows: of texts, or of windows whose words are judged.
        labels: for each row: int64 (texts,), bool (texts, labels), a Ragged of words, or the units of answers, int64
            (rows, 2); or None.
        pad_id: fills the batch.
        types: pass token_type_ids.
        extras: name -> values for each row: an array whose first axis is rows, or a Ragged of words; a batch gets them
            as float32.
        gold: the labels of the texts, where they are not those of the rows.
    """

    def __init__(
        self,
        reading: Reading,
        labels: Rows | None,
        *,
        pad_id: int,
        types: bool,
        extras: dict[str, Rows] | None = None,
        gold: Rows | None = None,
    ) -> None:
        self.gold = gold
        self.reading = reading
        self.labels = labels
        self.pad_id = pad_id
        self.types = types
        self.extras = extras or {}

    @property
    def encoded(self) -> Encoded:
        """The tokens of all rows."""
        return self.reading.encoded

    def __call__(self, rows: list[int]) -> dict[str, Tensor]:
        """Return input_ids, attention_mask, token_type_ids where used, labels and the extras.

        Values of words become rectangles, (rows, words, ...), whose places without a word `word_batches` knows.
        """
        batch = pad_batch(self.encoded, rows, pad_id=self.pad_id, types=self.types)
        if self.labels is not None:
            batch["labels"] = rectangle(self.labels[rows])
        if self.reading.windows is not None:
            batch[COLUMNS] = word_columns(self.reading.windows, np.asarray(rows))
        if self.reading.answers is not None:
            batch[UNITS] = unit_columns(self.reading.answers, np.asarray(rows))
        for name, values in self.extras.items():
            batch[name] = rectangle(values[rows]).float()
        return batch
