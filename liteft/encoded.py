"""Texts as token ids: one after the other, unpadded, and padded only when a rectangle is needed.

This is what a tokenizer makes and an engine takes. Slices share the arrays of what they were cut from, so a queue may
cut and join the texts of its callers as it likes.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from liteft.errors import InputError

__all__ = ["Encoded"]

_LEAST, _MOST = -(1 << 31), (1 << 31) - 1


@dataclass(frozen=True, slots=True, eq=False)
class Encoded:
    """Token ids of a list of texts, or of pairs of texts, without padding.

    ``encoded[2:5]`` and ``encoded[[4, 0]]`` are some of the texts, ``encoded[3]`` is one alone, and
    ``for text in encoded`` goes through them: each is an Encoded. ``len(encoded)`` is the number of texts.

    Attributes:
        ids: int32, shape (tokens,): the ids of all texts, one text after the other, special tokens included.
        type_ids: int32, shape (tokens,): 0 for a text or the first text of a pair, 1 for the second.
        offsets: int64, shape (texts + 1,): text i is ``ids[offsets[i]:offsets[i + 1]]``.
        truncated: bool, shape (texts,): True where tokens were cut off, or a row of WordWindows has no marked word.
    """

    ids: np.ndarray
    type_ids: np.ndarray
    offsets: np.ndarray
    truncated: np.ndarray

    @classmethod
    def of(
        cls,
        ids: Sequence[Sequence[int] | np.ndarray],
        type_ids: Sequence[Sequence[int] | np.ndarray] | None = None,
        truncated: Sequence[bool] | None = None,
    ) -> Self:
        """Return an Encoded made of token ids.

        Args:
            ids: a list or array for each text, special tokens included.
            type_ids: as many for each text; None for 0 everywhere.
            truncated: whether tokens were cut off each text; None for none.

        Raises:
            InputError: an id is not an integer of 32 bits, there is not a list for each text, or there are not as many
                type ids as ids.
        """
        lengths = _lengths(ids, "ids")
        if type_ids is not None and lengths != _lengths(type_ids, "type_ids"):
            raise InputError(
                "the texts do not have as many type ids as ids.",
                accepted={"type_ids": "as many for each text as ids, or None"},
                fix="leave out type_ids, for 0 everywhere",
            )
        offsets = np.zeros(len(ids) + 1, dtype=np.int64)
        np.cumsum(lengths, out=offsets[1:])
        flat = _flat(ids, "token id")
        types = np.zeros_like(flat) if type_ids is None else _flat(type_ids, "type id")
        cut = np.zeros(len(ids), dtype=bool) if truncated is None else np.array(truncated, dtype=bool)
        if cut.shape != (len(ids),):
            raise InputError(
                f"{len(ids):,} texts have marks of truncation of shape {cut.shape}.",
                accepted={"truncated": "True or False for each text, or None"},
                fix="leave out truncated",
            )
        return cls(flat, types, offsets, cut)

    @classmethod
    def join(cls, parts: Iterable[Encoded]) -> Self:
        """Return the texts of all parts, in order."""
        parts = list(parts)
        if len(parts) == 1:
            return cls(parts[0].ids, parts[0].type_ids, parts[0].offsets, parts[0].truncated)
        offsets = np.zeros(sum(map(len, parts)) + 1, dtype=np.int64)
        if not parts:
            none = np.zeros(0, dtype=np.int32)
            return cls(none, none, offsets, np.zeros(0, dtype=bool))
        np.cumsum(np.concatenate([part.lengths for part in parts]), out=offsets[1:])
        return cls(
            np.concatenate([part.ids for part in parts]),
            np.concatenate([part.type_ids for part in parts]),
            offsets,
            np.concatenate([part.truncated for part in parts]),
        )

    @property
    def lengths(self) -> np.ndarray:
        """Token counts, int64, shape (texts,)."""
        counts: np.ndarray = self.offsets[1:] - self.offsets[:-1]  # a fifth of np.diff's time
        return counts

    def __len__(self) -> int:
        return len(self.truncated)

    def __iter__(self) -> Iterator[Encoded]:
        return (self[text] for text in range(len(self)))

    def __getitem__(self, texts: int | np.integer[Any] | slice | Sequence[int] | np.ndarray) -> Encoded:
        """Return one text, a slice, or the texts of these numbers; slices share memory with the whole."""
        if isinstance(texts, int | np.integer):
            place = range(len(self))[int(texts)]
            texts = slice(place, place + 1)
        if isinstance(texts, slice) and texts.step in (None, 1):
            start, stop, _ = texts.indices(len(self))
            offsets = self.offsets[start : max(start, stop) + 1]
            first, last = int(offsets[0]), int(offsets[-1])
            return Encoded(
                self.ids[first:last],
                self.type_ids[first:last],
                offsets - first if first else offsets,
                self.truncated[start:stop],
            )
        chosen = np.arange(len(self))[texts]
        lengths = self.lengths[chosen]
        offsets = np.zeros(len(chosen) + 1, dtype=np.int64)
        np.cumsum(lengths, out=offsets[1:])
        tokens = np.repeat(self.offsets[:-1][chosen] - offsets[:-1], lengths) + np.arange(offsets[-1])
        return Encoded(self.ids[tokens], self.type_ids[tokens], offsets, self.truncated[chosen])

    def padded(self, pad_id: int, dtype: Any = np.int64) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the texts as a rectangle, filled up on the right.

        Args:
            pad_id: fills the ids; type ids are filled with 0.
            dtype: of the three arrays.

        Returns:
            ids, mask (1 for a token, 0 for padding) and type ids, each of shape (texts, longest), at least 1 wide.
        """
        lengths = self.lengths
        real = np.arange(max(1, int(lengths.max(initial=1)))) < lengths[:, None]
        ids = np.full(real.shape, pad_id, dtype=dtype)
        types = np.zeros(real.shape, dtype=dtype)
        ids[real], types[real] = self.ids, self.type_ids
        return ids, real.astype(dtype), types


def _lengths(rows: Sequence[Sequence[int] | np.ndarray], name: str) -> list[int]:
    """Return the number of ids of each text. Raises InputError for anything but lists of ids."""
    try:
        lengths = list(map(len, rows))
        if not lengths or not isinstance(rows[0], str | bytes):
            return lengths
    except TypeError:  # one list of ids, or a generator
        pass
    raise InputError(
        f"{name} is not a list with the ids of each text.",
        accepted={name: "a list of lists of integers"},
        fix=[f"[{name}] for one text", "classifier.encode(texts) for texts"],
    )


def _flat(rows: Sequence[Sequence[int] | np.ndarray], name: str) -> np.ndarray:
    """Return the ids of all texts, int32. Raises InputError for one that int32 does not hold; ``name`` is its name."""
    try:
        arrays = len(rows) and isinstance(rows[0], np.ndarray)
        ids = np.concatenate(rows) if arrays else np.array(list(itertools.chain.from_iterable(rows)))
        fits = ids.dtype.kind in "iu" and ids.ndim == 1 and (ids.dtype == np.int32 or _within(ids))
        if fits or not ids.size:
            return ids.astype(np.int32, copy=False)
    except (OverflowError, TypeError, ValueError):
        pass
    raise _not_an_id(rows, name)


def _within(ids: np.ndarray) -> bool:
    return not ids.size or (int(ids.min()) >= _LEAST and int(ids.max()) <= _MOST)


def _not_an_id(rows: Sequence[Sequence[int] | np.ndarray], name: str) -> InputError:
    """Return the error for the first value that is not an integer of 32 bits."""
    for place, row in enumerate(rows):
        for value in row:
            integer = isinstance(value, int | np.integer) and _LEAST <= value <= _MOST
            if not integer:
                return InputError(
                    f"text {place} has the {name} {str(value)[:80]}.",
                    accepted={f"a {name}": "an integer of 32 bits"},
                    fix="classifier.encode(texts), for the ids of an artifact's tokenizer",
                )
    return InputError(
        f"the {name}s are of types that do not fit together.",
        accepted={f"{name}s": "a list or an array of integers for each text"},
        fix="lists for all texts, or arrays for all",
    )
