"""What tags mean: which begin a span, which continue one, and which are outside of spans; and the best legal tags.

Tags "O", "B-PER", "I-PER" are those of spans (scheme "bio"). If any tag is named otherwise, each word is a span of its
own, with its tag as the type (scheme "plain"); "O", if there is one, is outside.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np

from liteft.metrics import Spans, find_spans
from liteft.metrics.spans import before
from liteft.ragged import Ragged
from liteft.tasks.viterbi import with_legal_tags

__all__ = ["OUTSIDE", "TagScheme", "scheme_of"]

OUTSIDE = "O"


@dataclass(frozen=True, eq=False)
class TagScheme:
    """Tags in the order of a model's labels. Arrays over tags have an entry more, which the number -1 stands for.

    Attributes:
        labels: the tags.
        name: "bio" or "plain".
        type_names: the types of spans, in the order in which they first occur among the tags.
        types: number of each tag's type, -1 outside: int64 (tags + 1,).
        begins: tags that begin a span after any other tag: bool (tags + 1,).
        after: for a tag that needs a span to continue, I-X beside B-X, the number of B-X; -1 for tags that may follow
            any other and stand first: int64 (tags + 1,).
    """

    labels: tuple[str, ...]
    name: Literal["bio", "plain"]
    type_names: tuple[str, ...]
    types: np.ndarray
    begins: np.ndarray
    after: np.ndarray

    def spans(self, tags: Ragged, *, strict: bool = True) -> Spans:
        """Return the spans of tagged words.

        Args:
            tags: number of each word's tag, -1 for an unknown one.
            strict: an I-X that continues no span is none itself; otherwise it begins one, as for conlleval.
        """
        return find_spans(tags, self.types, self.begins, self.after < 0 if strict else None)

    def legal(self, tags: Ragged) -> np.ndarray:
        """Return for which texts every I-X continues a span: bool (texts,)."""
        return ~_texts_with(tags, self._stray(tags))

    def decode(self, logits: Ragged) -> Ragged:
        """Return the legal tags with the largest sum of logits: int64.

        Of equal sums the tags win of which the last is the lower number, then the one before it, and so on. If the
        largest logit of every word makes legal tags, these are the result, and nothing is searched.

        Args:
            logits: float (words, tags) for each text.
        """
        found = logits.like(np.asarray(logits.values.argmax(axis=1), dtype=np.int64))
        stray = self._stray(found)
        return with_legal_tags(logits, found, stray, self.after) if stray.any() else found

    def beginnings(self, tags: Ragged) -> tuple[int, int]:
        """Return how many spans begin with an I-X, though there is a B-X, and with a B-X right behind no other X."""
        types = self.types[tags.values]
        first = self.begins[tags.values] & (types != before(tags, types, -1))
        return int(self._stray(tags).sum()), int(first.sum())

    def _stray(self, tags: Ragged) -> np.ndarray:
        """Return the words whose I-X continues no span: bool (words,)."""
        types = self.types[tags.values]
        return np.asarray((self.after[tags.values] >= 0) & (types != before(tags, types, -1)))


@lru_cache(maxsize=64)
def scheme_of(labels: tuple[str, ...]) -> TagScheme:
    """Return what tags mean, from their names."""
    parts = [tag.partition("-") for tag in labels]
    spans = [tag != OUTSIDE for tag in labels]
    bio = all(not own or (kind in ("B", "I") and name) for own, (kind, _, name) in zip(spans, parts, strict=True))
    if not bio or not any(spans):
        return _plain(labels)
    types = [name if own else None for own, (_, _, name) in zip(spans, parts, strict=True)]
    begins = np.array([own and kind == "B" for own, (kind, _, _) in zip(spans, parts, strict=True)] + [False])
    first = {name: number for number, (kind, _, name) in enumerate(parts) if kind == "B"}
    after = [first.get(name, -1) if kind == "I" else -1 for kind, _, name in parts]
    return _scheme(labels, "bio", types, begins, np.array([*after, -1]))


def _plain(labels: tuple[str, ...]) -> TagScheme:
    """Return the scheme in which every word is a span of its own."""
    types = [None if tag == OUTSIDE else tag for tag in labels]
    begins = np.array([*(tag is not None for tag in types), False])
    return _scheme(labels, "plain", types, begins, np.full(len(labels) + 1, -1))


def _scheme(
    labels: tuple[str, ...],
    name: Literal["bio", "plain"],
    types: Sequence[str | None],
    begins: np.ndarray,
    after: np.ndarray,
) -> TagScheme:
    """Return a scheme, with a type for each tag, None outside."""
    names = tuple(dict.fromkeys(each for each in types if each is not None))
    number = {each: at for at, each in enumerate(names)}
    numbers = [-1 if each is None else number[each] for each in types]
    return TagScheme(labels, name, names, np.array([*numbers, -1]), begins, after)


def _texts_with(tags: Ragged, words: np.ndarray) -> np.ndarray:
    """Return the texts with any of the words: bool (texts,)."""
    return np.bincount(tags.row_numbers[words], minlength=len(tags)) > 0
