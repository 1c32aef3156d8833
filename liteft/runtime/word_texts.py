"""Texts of words: which values are some, and their tokens.

A text is a string, whose words are found in it, or a tuple or list of words. A model of roles is asked about one word
of a text, the predicate: its values are (text or words, number of the word).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np

from liteft.errors import Hint, InputError
from liteft.privacy import quoted
from liteft.ragged import Ragged, offsets_of
from liteft.runtime.inputs import GIVE_NULL, as_text, is_collection, kind_of, list_hint, text_error
from liteft.runtime.scoring import Reader
from liteft.windows import WordTokenizer, WordWindows
from liteft.words import find_words, joined_places, misplaced

__all__ = [
    "WordReader",
    "WordText",
    "as_words",
    "checked_words",
    "in_windows",
    "is_one",
    "predicate_error",
    "words_error",
]

_WORDS = "a string, or a tuple of words"
_MANY = "a string or a tuple of words, or a list of texts, each a string or a list of words"
_ABOUT_ONE = "(text or words, number of the predicate's word)"
_WINDOW_CHARACTERS = 1 << 22  # a window of whole books must also fit into memory

Entry = TypeVar("Entry")


@dataclass(frozen=True, slots=True)
class WordText:
    """A text and where its words are.

    Attributes:
        text: the text; of words that were given, these with a space between.
        words: begin and end of each word in code points.
        predicate: the word that a model of roles is asked about; -1 for none.
    """

    text: str
    words: Sequence[tuple[int, int]]
    predicate: int = -1

    @property
    def characters(self) -> int:
        """Number of characters of the text."""
        return len(self.text)

    @property
    def empty(self) -> bool:
        """True if there are no words."""
        return not self.words


def is_one(inputs: Any) -> bool:
    """Return True for one text, a string or a tuple with strings; False for a collection of texts.

    Raises:
        InputError: ``inputs`` is neither.
    """
    if isinstance(inputs, str) or (isinstance(inputs, tuple) and (not inputs or any(map(_is_string, inputs)))):
        return True
    if isinstance(inputs, bytes | bytearray | Mapping | set | frozenset) or not is_collection(inputs):
        endless = isinstance(inputs, Iterable) and not isinstance(inputs, Collection)
        raise InputError(
            f"predict got {kind_of(inputs)}.",
            accepted={"inputs": _MANY},
            fix="stream(...) for a generator" if endless else list_hint(inputs),
        )
    return False


def as_words(value: Any, *, marked: bool) -> WordText | None:
    """Return a value as a text of words, or None if the model cannot read it: `words_error` says why."""
    if isinstance(value, WordText):
        return value
    if marked:
        if not _is_about_one(value):
            return None
        text = as_words(value[0], marked=False)
        return None if text is None or not 0 <= value[1] < len(text.words) else replace(text, predicate=int(value[1]))
    if isinstance(value, str):
        return None if as_text(value, paired=False) is None else WordText(str(value), find_words(value))
    if not isinstance(value, tuple | list) or not all(_is_string(word) and word.strip() for word in value):
        return None
    joined = " ".join(value)
    return None if as_text(joined, paired=False) is None else WordText(joined, joined_places(value))


def words_error(value: Any, *, marked: bool, name: str) -> InputError:
    """Return the error for a value that is not a text of words.

    Args:
        value: a value for which ``as_words`` returned None.
        marked: whether the model is one of roles.
        name: the value's name in the message, "text 17".
    """
    if marked:
        return _predicate_error(value, name)
    if isinstance(value, str):
        return text_error(value, paired=False, name=name)
    if isinstance(value, tuple | list):
        place = next(
            place for place, word in enumerate(value) if as_text(word, paired=False) is None or not str(word).strip()
        )
        if isinstance(value[place], str) and not value[place].strip():
            return InputError(
                f"word {place} of {name} is empty.",
                accepted={"a text": _WORDS},
                fix="leave out words without characters, or give the whole text as a string",
            )
        if isinstance(value[place], str):
            return text_error(value[place], paired=False, name=f"word {place} of {name}")
        return InputError(
            f"word {place} of {name} is {kind_of(value[place])}.",
            accepted={"a text": _WORDS},
            fix=[GIVE_NULL, "str(value), for a word"],
        )
    return InputError(f"{name} is {kind_of(value)}.", accepted={"a text": _WORDS}, fix=GIVE_NULL)


def _predicate_error(value: Any, name: str) -> InputError:
    """Return the error for a value that is not a text with its predicate."""
    if not (isinstance(value, tuple | list) and len(value) == 2) or isinstance(value[1], str):
        return InputError(
            f"{name} has no predicate, but this model finds the roles of one word.",
            accepted={"each text": _ABOUT_ONE},
            fix=Hint(
                "predict(words, predicate=2), or predict_roles(words, predicates=[2, 5])",
                "--predicate 2 for the third word, or --input FILE with a column of such numbers, predicate",
            ),
        )
    text = as_words(value[0], marked=False)
    return words_error(value[0], marked=False, name=name) if text is None else predicate_error(value[1], text, name)


def predicate_error(value: Any, text: WordText, name: str) -> InputError:
    """Return the error for a value that is not the number of one of a text's words; ``name`` is the text's."""
    number = isinstance(value, int | np.integer) and not isinstance(value, bool)
    shown = f"the predicate's number is {value}"
    if not number:
        shown = f"its predicate is {quoted(value)}, which is not a whole number"
    counted = f"{len(text.words):,} word{'s' if len(text.words) != 1 else ''}"
    return InputError(
        f"{name} has {counted}, and {shown}.",
        accepted={"predicate": f"0 to {len(text.words) - 1:,}" if text.words else "none: there are no words"},
        fix="count the words from 0",
    )


def checked_words(values: Iterable[Any], *, marked: bool) -> list[WordText]:
    """Return all values as texts of words.

    Raises:
        InputError: a value is none; the message says which.
    """
    texts = []
    for number, value in enumerate(values):
        text = as_words(value, marked=marked)
        if text is None:
            raise words_error(value, marked=marked, name=f"text {number}")
        texts.append(text)
    return texts


def in_windows(entries: Iterator[Entry], size: int) -> Iterator[list[Entry]]:
    """Cut an iterator into lists of at most ``size`` entries and a bounded number of characters; never read ahead."""
    window: list[Entry] = []
    characters = 0
    for entry in entries:
        window.append(entry)
        characters += getattr(entry, "characters", 0)
        if len(window) >= size or characters >= _WINDOW_CHARACTERS:
            yield window
            window, characters = [], 0
    if window:
        yield window


class WordReader:
    """How one model reads texts of words.

    Args:
        reader: of the model's texts.
        marked: whether the model is one of roles, and reads which word is the predicate.

    Raises:
        ModelError: the tokenizer does not suit texts in words.
    """

    def __init__(self, reader: Reader, *, marked: bool) -> None:
        self.marked = marked
        self._reader = reader
        self._tokenizer = WordTokenizer(reader.tokenizer, types=reader.token_types > 0)

    def encode(self, texts: Sequence[WordText]) -> WordWindows:
        """Return the tokens of texts."""
        spans = [span for text in texts for span in text.words]
        words = Ragged(np.array(spans, dtype=np.int32).reshape(-1, 2), offsets_of([len(text.words) for text in texts]))
        marked = np.array([text.predicate for text in texts], dtype=np.int64) if self.marked else None
        return self._tokenizer.encode([text.text for text in texts], words, marked=marked)

    def encode_split(self, texts: list[str], words: Ragged, marked: np.ndarray | None) -> WordWindows:
        """Return the tokens of texts whose words are known.

        Raises:
            InputError: a text is not one, or there are not words for each; or a predicate, for a model of roles.
        """
        for number, text in enumerate(texts):
            if as_text(text, paired=False) is None:
                raise text_error(text, paired=False, name=f"text {number}")
        marks = len(words) if marked is None else len(marked)
        if (len(words), marks) != (len(texts), len(texts)) or (marked is None) == self.marked:
            raise InputError(
                f"encode got {len(texts):,} texts and words of {len(words):,}.",
                accepted={"words": "those of each text", "marked": "a word of each, for a model of roles; else None"},
                fix="encode(split.texts, words=split.words, marked=split.marked)",
            )
        wrong = misplaced(texts, words, marked)
        if wrong:
            raise InputError(
                f"encode got {wrong}.",
                accepted={
                    "words": "places within their text, in order",
                    "marked": "the number of a word, or -1 for none",
                },
                fix="encode(split.texts, words=split.words, marked=split.marked)",
            )
        return self._tokenizer.encode(texts, words, marked=marked)

    def refusal(self, name: str, unknown: int | None) -> InputError:
        """Return the error for a text that was refused; as ``Reader.refusal``."""
        return self._reader.refusal(name, unknown)

    def refused(self, windows: WordWindows) -> dict[int, int | None]:
        """Return the texts that cannot be run, as ``Reader.refused``."""
        found = self._reader.refused(windows.encoded)
        rows = sorted(found, reverse=True)  # a text's first row wins
        texts = np.searchsorted(windows.text_rows, rows, side="right") - 1
        return {int(text): found[row] for text, row in zip(texts, rows, strict=True)}

    def refuse(self, windows: WordWindows, first: int = 0) -> None:
        """Raise InputError for the first text that cannot be run; texts are counted from ``first``."""
        refused = self.refused(windows)
        if refused:
            place = min(refused)
            raise self._reader.refusal(f"text {first + place}", refused[place])


def _is_string(value: Any) -> bool:
    return isinstance(value, str)


def _is_about_one(value: Any) -> bool:
    pair = isinstance(value, tuple | list) and len(value) == 2
    return pair and isinstance(value[1], int | np.integer) and not isinstance(value[1], bool)
