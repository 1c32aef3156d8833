"""Finding texts that a scored text repeats, exactly or nearly, so that no student learns from what it is tested on.

Two texts are *equal* if they differ only in case, compatibility characters (NFKC), punctuation and white space. They
are *near-duplicates* if the Jaccard index of their sets of character n-grams, of the texts written without punctuation
and white space, is 0.8 or more; n is 5, and 10 for texts of 300 letters and more. So a text of 500 letters is found
with five letters changed, one of 100 with two, one of 50 with one, and a shorter one only with letters added or lost at
its ends. A pair of texts is compared as a whole.

The search is exact, not by chance as MinHash is: sets so alike have some of their rarest n-grams in common. Only the
rarest quarter of each set is looked up in an inverted index, and sets with too few of it in common are passed over.

Sources: shingles and their Jaccard index: Broder 1997, "On the resemblance and containment of documents", section 2;
the search: Bayardo, Ma and Srikant 2007, "Scaling up all pairs similarity search", section 3, and Xiao et al. 2008,
"Efficient similarity joins for near duplicate detection", section 3.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence

import numpy as np

__all__ = ["ALIKE", "NearDuplicates", "bare_text", "near_duplicates"]

ALIKE = 0.8
_LONG = 300  # letters, from which on a text is compared by the longer n-grams
_SHORT_GRAM, _LONG_GRAM = 5, 10
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)  # odd, of random bits: n-grams are told apart by 64 bits of a hash
_COMMON = 20  # one in so many n-grams, at least, must be common to the rarest ones of both sets
_CHUNK = 1 << 21  # characters that are looked up at a time
_PAIRS = 1 << 20  # candidates, or n-grams of them, that are looked at at a time


class _Kept(dict[int, int | None]):
    """A table for str.translate that deletes punctuation, white space and control characters."""

    def __missing__(self, point: int) -> int | None:
        category = unicodedata.category(chr(point))
        kept = None if category[0] in "PZC" or category == "Sk" else point
        self[point] = kept
        return kept


_KEPT = _Kept()


def bare_text(text: str, pair: str | None = None) -> str:
    """Return a text without case, compatibility forms, punctuation and white space, for comparing texts."""
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
    bare = text.casefold().translate(_KEPT)
    return bare if pair is None else f"{bare}\0{bare_text(pair)}"


def near_duplicates(bare: Sequence[str], scored: Sequence[str]) -> np.ndarray:
    """Return for each text a scored text that is nearly the same, or -1: int64, shape (texts,).

    Args:
        bare: texts as ``bare_text`` returns them.
        scored: those to compare them with, as ``bare_text`` returns them.
    """
    return NearDuplicates(scored).of(bare)


class NearDuplicates:
    """The scored texts, to compare any number of texts with, some at a time.

    Args:
        scored: as ``bare_text`` returns them.
    """

    def __init__(self, scored: Sequence[str]) -> None:
        self.scored = scored
        lengths = _lengths(scored)
        # An index of 0.8 leaves texts that differ more in length apart, up to repeated n-grams, so each has some room.
        self.compared = {
            _SHORT_GRAM: np.flatnonzero(lengths < 2 * _LONG),
            _LONG_GRAM: np.flatnonzero(lengths >= _LONG // 2),
        }
        self.made: dict[int, _Index] = {}

    def of(self, bare: Sequence[str]) -> np.ndarray:
        """Return for each text, as ``bare_text`` returns it, a scored text or -1: int64, shape (texts,)."""
        found = np.full(len(bare), -1, dtype=np.int64)
        lengths = _lengths(bare)
        for size, texts in (
            (_SHORT_GRAM, np.flatnonzero(lengths < _LONG)),
            (_LONG_GRAM, np.flatnonzero(lengths >= _LONG)),
        ):
            compared = self.compared[size]
            if len(texts) and len(compared):
                index = self._index(size)
                for rows in _chunks(texts, lengths):
                    nearest = index.nearest([bare[row] for row in rows.tolist()])
                    found[rows] = np.where(nearest >= 0, compared[nearest], -1)
        return found

    def _index(self, size: int) -> _Index:
        if size not in self.made:
            self.made[size] = _Index([self.scored[row] for row in self.compared[size].tolist()], size)
        return self.made[size]


def _lengths(texts: Sequence[str]) -> np.ndarray:
    return np.fromiter((len(text) for text in texts), dtype=np.int64, count=len(texts))


def _chunks(rows: np.ndarray, lengths: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the rows in parts of about ``_CHUNK`` letters."""
    part = np.cumsum(lengths[rows]) // _CHUNK
    yield from np.split(rows, np.flatnonzero(np.diff(part)) + 1)


def _grams(texts: Sequence[str], size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a hash of each n-gram of all texts, uint64, and its text, int64: shape (n-grams,), with repetitions."""
    points = np.frombuffer("".join(texts).encode("utf-32-le", "surrogatepass"), dtype=np.uint32).astype(np.uint64)
    lengths = _lengths(texts)
    last = size - 1
    if len(points) <= last:
        return np.zeros(0, dtype=np.uint64), np.zeros(0, dtype=np.int64)
    hashed = np.zeros(len(points) - last, dtype=np.uint64)
    for place in range(size):
        hashed = (hashed ^ points[place : place + len(hashed)]) * _MULTIPLIER
        hashed ^= hashed >> np.uint64(29)
    owner = np.repeat(np.arange(len(texts)), lengths)
    inside = owner[:-last] == owner[last:]
    return hashed[inside], owner[:-last][inside]


class _Index:
    """The rarest n-grams of the scored texts, and the texts that have them."""

    def __init__(self, scored: Sequence[str], size: int) -> None:
        self.size = size
        grams, owner = _grams(scored, size)
        self.known, number = np.unique(grams, return_inverse=True)
        owner, number = np.divmod(_unique(owner * len(self.known) + number)[0], max(1, len(self.known)))
        by_rarity = np.argsort(np.bincount(number, minlength=len(self.known)), kind="stable")
        self.rank = np.empty_like(by_rarity)
        self.rank[by_rarity] = np.arange(len(by_rarity))
        owner, self.ranks = _sorted_sets(owner, self.rank[number])
        self.sizes = np.bincount(owner, minlength=len(scored))
        self.starts = np.concatenate([[0], np.cumsum(self.sizes)])
        first = np.arange(len(owner)) - self.starts[owner] < _prefix(self.sizes)[owner]
        order = np.argsort(self.ranks[first], kind="stable")
        self.postings = owner[first][order]
        counts = np.bincount(self.ranks[first], minlength=len(self.known))
        self.posting_starts = np.concatenate([[0], np.cumsum(counts)])

    def nearest(self, texts: Sequence[str]) -> np.ndarray:
        """Return for each text the scored text of the highest index, if that is 0.8 or more, else -1."""
        best = np.full(len(texts), -1, dtype=np.int64)
        grams, owner = _grams(texts, self.size)
        if not len(grams) or not len(self.known):
            return best
        distinct, number = np.unique(grams, return_inverse=True)  # sorted values are looked up much faster
        place = np.minimum(np.searchsorted(self.known, distinct), len(self.known) - 1)
        place, here = place[number], (self.known[place] == distinct)[number]
        unknown = _distinct(owner[~here], grams[~here], len(texts))
        keys, _ = _unique(owner[here] * len(self.known) + self.rank[place[here]])
        owner, ranks = np.divmod(keys, len(self.known))
        known = np.bincount(owner, minlength=len(texts))
        sizes = known + unknown
        hopeful = known >= ALIKE * sizes
        starts = np.concatenate([[0], np.cumsum(known)])
        probes = (np.arange(len(owner)) - starts[owner] < (_prefix(sizes) - unknown)[owner]) & hopeful[owner]
        owner, ranks = owner[probes], ranks[probes]
        for rows in _blocks(owner, np.diff(self.posting_starts)[ranks]):
            text, other = self._candidates(owner[rows], ranks[rows], sizes)
            shared = self._shared(keys, text, other)
            index = shared / (sizes[text] + self.sizes[other] - shared)
            alike = index >= ALIKE
            order = np.lexsort((-other[alike], index[alike]))  # the last one written stays: the highest, then the first
            best[text[alike][order]] = other[alike][order]
        return best

    def _candidates(self, owner: np.ndarray, ranks: np.ndarray, sizes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return pairs of a text and a scored text of a similar size that share rare n-grams, each pair once."""
        first, counts = self.posting_starts[ranks], np.diff(self.posting_starts)[ranks]
        text = np.repeat(owner, counts)
        within = np.arange(len(text)) - np.repeat(np.cumsum(counts) - counts, counts)
        other = self.postings[np.repeat(first, counts) + within]
        near = (self.sizes[other] >= ALIKE * sizes[text]) & (sizes[text] >= ALIKE * self.sizes[other])
        pairs, common = _unique(text[near] * len(self.sizes) + other[near])
        text, other = np.divmod(pairs, len(self.sizes))
        enough = common >= np.minimum(_needed(sizes[text]), _needed(self.sizes[other]))
        return text[enough], other[enough]

    def _shared(self, keys: np.ndarray, text: np.ndarray, other: np.ndarray) -> np.ndarray:
        """Return how many n-grams each pair has in common: int64, shape (pairs,)."""
        shared = np.zeros(len(text), dtype=np.int64)
        ends = np.cumsum(self.sizes[other])
        start = 0
        while start < len(text):
            done = ends[start - 1] if start else 0
            end = max(start + 1, int(np.searchsorted(ends, done + _PAIRS, side="right")))
            sizes = self.sizes[other[start:end]]
            pair = np.repeat(np.arange(start, end), sizes)
            within = np.arange(len(pair)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
            wanted = text[pair] * len(self.known) + self.ranks[self.starts[other[pair]] + within]
            place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
            shared[start:end] = np.bincount(pair[keys[place] == wanted] - start, minlength=end - start)
            start = end
        return shared


def _blocks(owner: np.ndarray, counts: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the probes in parts with about ``_PAIRS`` candidates each, all probes of a text in one of them.

    Args:
        owner: the text of each probe, ascending.
        counts: how many scored texts each probe finds.
    """
    before = np.cumsum(counts) - counts
    first = np.searchsorted(owner, owner)  # the first probe of the same text
    yield from np.split(np.arange(len(owner)), np.flatnonzero(np.diff(before[first] // _PAIRS)) + 1)


def _sorted_sets(owner: np.ndarray, ranks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    order = np.lexsort((ranks, owner))
    return owner[order], ranks[order]


def _unique(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the different values, ascending, and how often each occurs: sorted, much faster than np.unique."""
    ordered = np.sort(values)
    first = np.flatnonzero(np.concatenate([np.ones(min(1, len(ordered)), dtype=bool), ordered[1:] != ordered[:-1]]))
    return ordered[first], np.diff(first, append=len(ordered))


def _distinct(owner: np.ndarray, grams: np.ndarray, texts: int) -> np.ndarray:
    """Return how many different n-grams each text has: int64, shape (texts,)."""
    low = np.uint64(40)  # bits of the hash, above them the text: one number that sorts fast
    keys, _ = _unique((owner.astype(np.uint64) << low) | (grams >> np.uint64(64 - 40)))
    return np.bincount((keys >> low).astype(np.int64), minlength=texts)


def _needed(sizes: np.ndarray) -> np.ndarray:
    """Return how many of the rarest n-grams two sets must have in common to be alike, at least."""
    return 1 + sizes // _COMMON


def _prefix(sizes: np.ndarray) -> np.ndarray:
    """Return how many of the rarest n-grams of a set must be looked up, so that as many are found as are needed."""
    return np.where(sizes > 0, sizes - np.ceil(ALIKE * sizes - 1e-9).astype(np.int64) + _needed(sizes), 0)
