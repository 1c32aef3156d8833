"""How a classifier reads a split: as rows of tokens, one for each text or, where words are judged, for each window.

Questions are read with windows of their contexts, in `answers`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from liteft.answer_labels import AnswerLabels
from liteft.answer_spans import AnswerForm
from liteft.answer_windows import AnswerTokenizer, AnswerWindows
from liteft.data import Split
from liteft.encoded import Encoded
from liteft.errors import ConfigError, DataError, leave_out, option
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
        answers: where the words of the contexts are in them, of questions.
    """

    encoded: Encoded
    windows: WordWindows | None = None
    answers: AnswerWindows | None = None

    @property
    def judged(self) -> Callable[[np.ndarray], Ragged] | None:
        """A function from the logits of all tokens to what the task judges; None where whole texts are judged."""
        if self.answers is not None:
            return self.answers.of_texts
        return None if self.windows is None else self.windows.of_texts

    def by_row(self, values: Any) -> Any:
        """Return values of the texts, or of their words, for each row: an array, or a Ragged.

        Of answers these are the units that each row is to find, int64 (rows, 2); of a packed form (`answer_spans`) the
        logits of each row's units, a Ragged.

        Raises:
            ConfigError: the packed form is one of other rows.
        """
        if self.answers is not None and values is not None:
            return _of_answers(self.answers, values)
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
        DataError: a text holds a token that the model has no row for, the texts are pairs and words are judged, or
            they are no pairs and answers are looked for.
        ModelError: the tokenizer does not write pairs as a question needs it.
    """
    if loaded.settings.answers is not None:
        if split.pairs is None:
            raise DataError(
                f"split {split.name!r} has no contexts, and this model answers questions from one.",
                fix=option("pair", "COLUMN", note=", the column of the contexts"),
            )
        answers = answer_tokenizer(loaded.tokenizer, loaded.settings.answers).encode(split.texts, split.pairs)
        reading = Reading(answers.encoded, answers=answers)
    elif not loaded.settings.task.per_word:
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


def _of_answers(windows: AnswerWindows, values: Any) -> Any:
    if isinstance(values, AnswerLabels):
        return windows.targets(values)
    if not isinstance(values, Ragged):
        return values[windows.text_of_row]
    found = windows.taught(values)
    if found is None:
        raise ConfigError(
            "the teacher reads questions and contexts in other tokens than the student, so their logits do not fit.",
            accepted={"teacher and student": "one tokenizer and one max_tokens, for answers to questions"},
            fix=["a student cut out of the teacher: size=LAYERS", "a teacher with the student's tokenizer"],
        )
    return Ragged(found, windows.row_units)


@functools.lru_cache(maxsize=8)
def answer_tokenizer(tokenizer: TextTokenizer, form: AnswerForm) -> AnswerTokenizer:
    """Return the tokenizer of questions and contexts that a tokenizer makes, kept as `word_tokenizer` is."""
    return AnswerTokenizer(tokenizer, form)


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
    if reading.answers is not None:
        return np.ones(len(split), dtype=bool)  # a question without a context has no answer
    if reading.windows is None:
        return np.asarray(reading.encoded.lengths > 0)
    return np.asarray(reading.windows.text_rows[1:] > reading.windows.text_rows[:-1])
