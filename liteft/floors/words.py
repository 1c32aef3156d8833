"""Words as sparse features: the word and its neighbours, and of roles where the marked word is and what is between.

What a word looks like is worked out once for each different word. The rows of a text's words are then gathered by
number, so a split of 200,000 words takes seconds, and a matrix has about 30 entries for each word.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from liteft.data import Split
from liteft.ragged import Ragged, gathered, offsets_of
from liteft.words import words_of_texts

__all__ = ["Neighbours", "SpellingIds", "words_of"]

_AFFIX = 4  # letters of the longest prefix and suffix
_AROUND = (-2, -1, 1, 2)
_FEWEST = 2  # words that have a feature; what a single word has tells it from all others and teaches nothing
_BETWEEN = 8  # words next to a word, of those between it and the marked one
_FARTHEST = 12
_CAPITAL, _SMALL, _DIGIT = re.compile(r"[A-Z]"), re.compile(r"[a-z]"), re.compile(r"\d")
_REPEATED = re.compile(r"(.)\1+")


def words_of(split: Split) -> Ragged:
    """Return where the words of each text are, as ``Split.words`` has them; those that are not given are found."""
    return words_of_texts(split.texts) if split.words is None else split.words


class SpellingIds:
    """The numbers of words: of each as it is written, and of its lower case; -1 for those that were not seen.

    Args:
        train: the texts whose words get numbers.
    """

    description = "the word, or else its lower case"
    notes: tuple[str, ...] = ()

    def __init__(self, train: Split) -> None:
        words = _spelt(train)
        self._written = _numbered(words)
        self._lower = _numbered(word.lower() for word in words)

    def __call__(self, split: Split) -> np.ndarray:
        """Return int64 (words, 2)."""
        numbers = [(self._written.get(word, -1), self._lower.get(word.lower(), -1)) for word in _spelt(split)]
        return np.array(numbers, dtype=np.int64).reshape(-1, 2)


class Neighbours:
    """A word, its prefixes, suffixes and shape, and the words and shapes of two to each side.

    If a word of each text is marked, also that word, on which side of it a word is and how far, and what is between.

    Args:
        train: the texts whose features are known from then on, those of two words at least.
    """

    notes: tuple[str, ...] = ()

    def __init__(self, train: Split) -> None:
        places, forms = _numbered_forms(train)
        self.description = "words and their neighbours" + ("" if train.marked is None else ", and the marked word")
        self._own = _Table(_own, forms, places.values)
        self._beside = [_Table(_beside, forms, _shifted(places, step)) for step in _AROUND]
        marks = None if train.marked is None else _Marks(places, train.marked)
        self._marked = None if marks is None else _Table(_spelling, forms, marks.words)
        self._between = None if marks is None else _Table(_spelling, forms, marks.between.values)

    def __call__(self, split: Split) -> Any:
        """Return a sparse matrix (words, features) of 0 and 1."""
        from scipy.sparse import hstack

        places, forms = _numbered_forms(split)
        parts = [self._own.rows(forms, places.values)]
        parts += [table.rows(forms, _shifted(places, step)) for table, step in zip(self._beside, _AROUND, strict=True)]
        if self._marked is not None and self._between is not None and split.marked is not None:
            marks = _Marks(places, split.marked)
            side = np.sign(marks.distances) + 1
            parts += [_one_hot(np.clip(marks.distances, -_FARTHEST, _FARTHEST) + _FARTHEST, 2 * _FARTHEST + 1)]
            parts += [_by_side(self._marked.rows(forms, marks.words), side)]
            parts += [_sums(self._between.rows(forms, marks.between.values), marks.between)]
        return hstack(parts, format="csr", dtype=np.float32)


class _Table:
    """The features of different words, with a column for each that training words have often enough.

    Args:
        features: of one word, None for the place beyond the end of a text.
        forms: the different words, None for that place.
        numbers: of the training words, into ``forms``: int64 (words,).
    """

    def __init__(
        self, features: Callable[[str | None], Iterator[str]], forms: Sequence[str | None], numbers: np.ndarray
    ) -> None:
        self._features = features
        counts: Counter[str] = Counter()
        for form, times in zip(forms, np.bincount(numbers, minlength=len(forms)).tolist(), strict=True):
            if times:
                for name in features(form):
                    counts[name] += times
        self._columns = _numbered(name for name, times in counts.items() if times >= _FEWEST)

    def rows(self, forms: Sequence[str | None], numbers: np.ndarray) -> Any:
        """Return the features of words, by their numbers into ``forms``: sparse (words, columns)."""
        from scipy.sparse import csr_matrix

        found = [[self._columns[name] for name in self._features(form) if name in self._columns] for form in forms]
        columns = np.fromiter(itertools.chain.from_iterable(found), dtype=np.int32)
        offsets = offsets_of([len(each) for each in found])
        ones = np.ones(len(columns), dtype=np.float32)
        return csr_matrix((ones, columns, offsets), shape=(len(forms), len(self._columns)))[numbers]


class _Marks:
    """Where the words of texts are from the marked one.

    Attributes:
        words: the number of the marked word, for each word: int64 (words,).
        distances: words from the marked one to each, negative before it: int64 (words,).
        between: the numbers of the words between, the nearest of them to the word: Ragged int64, a row for each word.
    """

    def __init__(self, places: Ragged, marked: np.ndarray) -> None:
        lengths, count = places.lengths, len(places.values)
        at = np.repeat(places.offsets[:-1] + np.where(lengths, marked, 0), lengths)
        self.words = places.values[at]
        self.distances = np.arange(count) - at
        sizes = np.clip(np.abs(self.distances) - 1, 0, _BETWEEN)
        first = np.where(self.distances > 0, np.arange(count) - sizes, np.arange(count) + 1)
        offsets = offsets_of(sizes)
        self.between = Ragged(places.values[gathered(first, offsets)], offsets)


def _spelt(split: Split) -> list[str]:
    """Return the words of all texts, as they are written."""
    words = words_of(split)
    bounds = zip(words.row_numbers.tolist(), words.values.tolist(), strict=True)
    return [split.texts[text][start:end] for text, (start, end) in bounds]


def _numbered_forms(split: Split) -> tuple[Ragged, list[str | None]]:
    """Return the number of each word, Ragged int64, and the different words; the first, None, is beyond a text."""
    words, place = _spelt(split), words_of(split)
    number: dict[str | None, int] = _numbered([None, *words])
    values = np.fromiter((number[word] for word in words), dtype=np.int64, count=len(words))
    return place.like(values), list(number)


def _numbered(keys: Any) -> dict[Any, int]:
    """Return a number for each different key, in the order in which they come."""
    return {key: number for number, key in enumerate(dict.fromkeys(keys))}


def _shifted(places: Ragged, step: int) -> np.ndarray:
    """Return the number of the word that is some steps from each; 0 beyond the text: int64 (words,)."""
    at = np.arange(len(places.values)) + step
    starts, ends = (np.repeat(each, places.lengths) for each in (places.offsets[:-1], places.offsets[1:]))
    inside = (at >= starts) & (at < ends)
    return np.where(inside, places.values[np.where(inside, at, 0)], 0) if len(at) else at


def _own(word: str | None) -> Iterator[str]:
    """Yield what is seen of a word itself."""
    if word is None:
        return
    lower = word.lower()
    yield from (f"w {word}", f"l {lower}", f"s {_shape(word)}", f"S {_pattern(word)}")
    for size in range(1, min(_AFFIX, len(lower) - 1) + 1):
        yield f"p {lower[:size]}"
        yield f"e {lower[-size:]}"
    yield "bias"


def _beside(word: str | None) -> Iterator[str]:
    """Yield what is seen of a word next to the one that is judged."""
    if word is None:
        yield "none"
    else:
        yield from (f"l {word.lower()}", f"S {_pattern(word)}")


def _spelling(word: str | None) -> Iterator[str]:
    if word is not None:
        yield word.lower()


def _shape(word: str) -> str:
    """Return a word with X for its capitals, x for its small letters and 0 for its digits: "Xxx0" for "Abc1"."""
    marked = _DIGIT.sub("0", _SMALL.sub("x", _CAPITAL.sub("X", word)))
    return marked if marked.isascii() else "".join(_letter(character) for character in marked)


def _pattern(word: str) -> str:
    """Return a word's shape with each character once where it is repeated: "Xx0" for "Abc1"."""
    return _REPEATED.sub(r"\1", _shape(word))


def _letter(character: str) -> str:
    return "X" if character.isupper() else "x" if character.isalpha() else character


def _one_hot(numbers: np.ndarray, count: int) -> Any:
    """Return a 1 in the column of each number: sparse (words, count)."""
    from scipy.sparse import csr_matrix

    ones = np.ones(len(numbers), dtype=np.float32)
    return csr_matrix((ones, numbers, np.arange(len(numbers) + 1)), shape=(len(numbers), count))


def _by_side(rows: Any, side: np.ndarray) -> Any:
    """Return the rows with columns of their own for words before (0), at (1) and after (2) the marked one."""
    from scipy.sparse import csr_matrix

    entries = np.repeat(side, np.diff(rows.indptr))
    columns = rows.indices + entries * rows.shape[1]
    return csr_matrix((rows.data, columns, rows.indptr), shape=(rows.shape[0], 3 * rows.shape[1]))


def _sums(rows: Any, of: Ragged) -> Any:
    """Return which columns any of a word's rows has: sparse (words, columns) of 0 and 1."""
    from scipy.sparse import csr_matrix

    ones = np.ones(len(of.values), dtype=np.float32)
    found = csr_matrix((ones, np.arange(len(of.values)), of.offsets), shape=(len(of), len(of.values))) @ rows
    found.data[:] = 1
    return found
