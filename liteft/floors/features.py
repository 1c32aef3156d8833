"""Texts as sparse counts: of words and word pairs, or of characters where a script has no spaces.

A vocabulary is fitted on the training texts. Both texts of a pair are counted with the same vocabulary, side by side.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from liteft.data import Split

__all__ = ["Counts", "WeightedCounts", "without_spaces"]

_WORD = r"(?u)\b\w+\b"  # one-letter words too, which scikit-learn's own pattern leaves out
_LETTERS = re.compile(r"[^\W\d_]")
_NO_SPACES = re.compile(
    r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
)
_SHARE = 0.3  # of all letters
_LOOKED_AT = 2000  # texts
_MOST_CHARACTERS = 8_000_000  # of texts whose character n-grams are counted: about 20 s of one core


def without_spaces(texts: Sequence[str]) -> bool:
    """Return whether texts are in a script that does not put spaces between words, such as Chinese, Japanese or Thai.

    That is so if more than 30% of the letters belong to such a script, in 2,000 to 4,000 texts at even distances or in
    all of fewer.
    """
    sample = "".join(texts[:: max(1, len(texts) // _LOOKED_AT)])
    letters = len(_LETTERS.findall(sample))
    return len(_NO_SPACES.findall(sample)) > _SHARE * letters


class Counts:
    """Counts of word 1- and 2-grams, or of character 1- and 2-grams in a script without spaces.

    Args:
        train: the texts whose n-grams are counted from then on.
    """

    def __init__(self, train: Split) -> None:
        from sklearn.feature_extraction.text import CountVectorizer

        texts = _both(train)
        by_character = without_spaces(texts)
        self.description = f"{'character' if by_character else 'word'} 1-2-grams"
        self.notes: tuple[str, ...] = ()
        self._parts = _fitted([CountVectorizer(**_units(by_character))], texts)

    def __call__(self, split: Split) -> Any:
        """Return a sparse matrix (texts, features), with twice as many columns for pairs."""
        return _joined(self._parts, split)


class WeightedCounts:
    """TF-IDF with logarithmic counts, of the n-grams that `Counts` has and of character 2- to 5-grams within words.

    Character n-grams see stems and misspellings. On validation they gained 0.7 points on SST-2 and cost nothing
    elsewhere; on texts of more than 8 million characters they would take minutes and are left out.

    Args:
        train: the texts that are counted.
    """

    def __init__(self, train: Split) -> None:
        import numpy as np
        from sklearn.feature_extraction.text import TfidfVectorizer

        texts = _both(train)
        by_character = without_spaces(texts)
        settings: dict[str, Any] = {"sublinear_tf": True, "dtype": np.float32}
        parts = [TfidfVectorizer(**_units(by_character), **settings)]
        self.description = f"{'character' if by_character else 'word'} 1-2-grams"
        self.notes: tuple[str, ...] = ()
        characters = sum(map(len, texts))
        if by_character:
            pass
        elif characters <= _MOST_CHARACTERS:
            parts.append(TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), **settings))
            self.description += " and character 2-5-grams"
        else:
            self.notes = (f"TF-IDF has words only: {characters / 1e6:.0f} million characters are too many for n-grams",)
        self._parts = _fitted(parts, texts)

    def __call__(self, split: Split) -> Any:
        """Return a sparse matrix (texts, features), with twice as many columns for pairs."""
        return _joined(self._parts, split)


def _units(by_character: bool) -> dict[str, Any]:
    """Return the arguments of a vectorizer for 1- and 2-grams of characters or of words."""
    found: dict[str, Any] = {"ngram_range": (1, 2)}
    return found | ({"analyzer": "char"} if by_character else {"token_pattern": _WORD})


def _both(split: Split) -> list[str]:
    return split.texts if split.pairs is None else [*split.texts, *split.pairs]


def _fitted(vectorizers: list[Any], texts: Sequence[str]) -> list[Any]:
    """Return the vectorizers that found n-grams; texts of punctuation alone have no words.

    If none did, the last resort is every character.
    """
    from sklearn.feature_extraction.text import CountVectorizer

    found = []
    for each in vectorizers:
        try:
            found.append(each.fit(texts))
        except ValueError:  # an empty vocabulary
            continue
    return found or [CountVectorizer(analyzer=list).fit([*texts, "."])]


def _joined(vectorizers: list[Any], split: Split) -> Any:
    from scipy.sparse import hstack

    sides = [split.texts] if split.pairs is None else [split.texts, split.pairs]
    return hstack([each.transform(side) for side in sides for each in vectorizers]).tocsr()
