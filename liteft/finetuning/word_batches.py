"""Words in training batches: rectangles that Trainer can gather, and the flat arrays that losses take.

A model gives logits for every token. Judged are those of the first token of each word, so a batch says in which column
of its row each word begins. Trainer joins the labels and logits of all batches and processes, which takes rectangles;
a loss takes one entry for each word and does not know of texts.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from liteft.ragged import Ragged, Rows, offsets_of
from liteft.windows import WordWindows

__all__ = ["COLUMNS", "NO_WORD", "flat_words", "rectangle", "rows_of_rectangle", "word_columns", "word_logits"]

COLUMNS = "word_columns"
"""Key of a batch: the column of each word's first token, int64 (rows, words), -100 where a row has no more words."""
NO_WORD = -100
"""What fills rectangles of words; Trainer fills up with the same number."""


def rectangle(values: Rows) -> Tensor:
    """Return values of rows as a tensor; a Ragged is filled up with -100 on the right, at least one word wide."""
    if not isinstance(values, Ragged):
        return torch.from_numpy(np.ascontiguousarray(values))
    width = max(1, int(values.lengths.max(initial=1)))
    filled = np.full((len(values), width, *values.shape[1:]), NO_WORD, dtype=values.dtype)
    filled[np.arange(width) < values.lengths[:, None]] = values.values
    return torch.from_numpy(filled)


def rows_of_rectangle(values: np.ndarray, known: np.ndarray) -> Ragged:
    """Return what `rectangle` filled up.

    Args:
        values: (rows, words, ...).
        known: a rectangle of the same rows that is -100 where there is no word, (rows, words).
    """
    words = known != NO_WORD
    return Ragged(values[words], offsets_of(words.sum(axis=1)))


def word_columns(windows: WordWindows, rows: np.ndarray) -> Tensor:
    """Return the column of each word's first token, `COLUMNS`."""
    _, places, columns = windows.in_rows(rows)
    return rectangle(Ragged(columns, offsets_of(np.bincount(places, minlength=len(rows)))))


def word_logits(logits: Tensor, columns: Tensor) -> Tensor:
    """Return the logits of words, one row for each, (words, labels).

    Args:
        logits: of tokens, (rows, tokens, labels); several times the rows of the batch for several passes over it.
        columns: of the batch, `COLUMNS`.
    """
    places, words = torch.nonzero(columns != NO_WORD, as_tuple=True)
    chosen = columns[places, words]
    return torch.cat([part[places, chosen] for part in logits.split(len(columns))])


def flat_words(batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return a batch whose labels and further values are one entry for each word; what the model reads is unchanged."""
    words = batch[COLUMNS] != NO_WORD
    flat = dict(batch)
    for name, values in batch.items():
        if name in _READ:
            continue
        per_word = values.dim() > 1 and values.shape[:2] == words.shape
        flat[name] = values[words] if per_word else values.repeat_interleave(words.sum(dim=1), dim=0)
    return flat


_READ = ("input_ids", "attention_mask", "token_type_ids", COLUMNS)
