"""How a classifier reads a split: as rows of tokens, one for each text or, where words are judged, for each window."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np

from liteft.data import Split
from liteft.encoded import Encoded
from liteft.errors import DataError, leave_out
from liteft.finetuning.known_ids import check_ids
from liteft.finetuning.model import TorchClassifier, uses_type_ids
from liteft.ragged import Ragged
from liteft.tokenization import TextTokenizer
from liteft.windows import WordTokenizer, WordWindows
from liteft.words import words_of_texts

__all__ = ["Reading", "read_split", "read_texts"]


@dataclass(frozen=True, slots=True)
class Reading:
    """The rows of tokens of a split.

    Attributes:
        encoded: the rows.
        windows: where the words of the texts are in them; None where whole texts are judged, each of them one row.
    """

    encoded: Encoded
    windows: WordWindows | None = None

    def by_row(self, values: Any) -> Any:
        """Return values of the texts, or of their words, for each row: an array, or a Ragged."""
        if self.windows is None or values is None:
            return values
        if isinstance(values, Ragged):
            return Ragged(values.values, self.windows.row_words)
        return values[self.windows.text_of_row]


def read_split(loaded: TorchClassifier, split: Split, *, name: str | None = None) -> Reading:
    """Return the tokens of a split.

    Args:
        loaded: the classifier, which decides whether words are judged.
        split: the texts; where they have no words yet, they are found.
        name: what to call the texts in errors; None for the split's name.

    Raises:
        DataError: a text holds a token that the model has no row for, or the texts are pairs and words are judged.
    """
    if not loaded.settings.task.per_word:
        reading = Reading(loaded.tokenizer.encode(split.texts, split.pairs))
    else:
        if split.pairs is not None:
            raise DataError(
                f"split {split.name!r} has pairs of texts, and words of one text are judged.", fix=leave_out("pair")
            )
        words = words_of_texts(split.texts) if split.words is None else split.words
        windows = word_tokenizer(loaded.tokenizer, uses_type_ids(loaded.config)).encode(
            split.texts, words, marked=split.marked
        )
        reading = Reading(windows.encoded, windows)
    check_ids(loaded, reading.encoded, f"split {split.name!r}" if name is None else name)
    return reading


@functools.lru_cache(maxsize=8)
def word_tokenizer(tokenizer: TextTokenizer, types: bool) -> WordTokenizer:
    """Return the tokenizer of words that a tokenizer makes; its dictionary of frequent words lives as long as it."""
    return WordTokenizer(tokenizer, types=types)


def read_texts(loaded: TorchClassifier, split: Split) -> np.ndarray:
    """Return which texts are read at all, as they have a token or, where words are judged, a word: bool (texts,).

    Raises:
        DataError: as for `read_split`.
    """
    reading = read_split(loaded, split)
    if reading.windows is None:
        return np.asarray(reading.encoded.lengths > 0)
    return np.asarray(reading.windows.text_rows[1:] > reading.windows.text_rows[:-1])
