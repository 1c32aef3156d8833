"""The best legal tags of texts, by Viterbi's algorithm where the likeliest tags of the words are not legal.

A tag that continues a span must follow a tag of that span; all others may follow any tag. So before a word whose
likeliest tag may follow any, a text falls into pieces that hardly depend on each other: the best tags of a piece alone
are at least as good as those that it has in the best tags of the text. If they do not continue a span of the piece
before, they are those. So only pieces with an illegal tag are searched, all at once, and a piece whose best tags
continue a span of the piece before is searched again together with pieces before it. The steps that follow one another
are as many as the longest piece has words, and not the longest text.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from liteft.ragged import Ragged, gathered, offsets_of

__all__ = ["with_legal_tags"]


def with_legal_tags(logits: Ragged, found: Ragged, stray: np.ndarray, after: np.ndarray) -> Ragged:
    """Return the legal tags with the largest sum of logits.

    Args:
        logits: float (words, tags) for each text.
        found: the tag with the largest logit of each word, int64.
        stray: the words whose tag may not stand where it does: bool (words,).
        after: for a tag that needs a span to continue, the tag that begins one; -1 for others: int64 (tags + 1,).
    """
    tags = found.values.copy()
    firsts = np.zeros(len(tags), dtype=bool)  # first words of texts
    firsts[found.offsets[:-1][found.lengths > 0]] = True
    cuts = np.append(np.flatnonzero(firsts | (after[tags] < 0)), len(tags))  # where pieces begin, and the end
    opening = firsts[cuts[:-1]]
    first_piece = np.maximum.accumulate(np.where(opening, np.arange(len(opening)), 0))  # of each piece's text
    joined = np.zeros(len(opening), dtype=bool)  # pieces that are searched together with the one before
    pieces = np.searchsorted(cuts, np.flatnonzero(stray), side="right") - 1
    while len(pieces):
        heads = np.flatnonzero(~joined)
        groups = np.unique(np.searchsorted(heads, pieces, side="right") - 1)
        head = heads[groups]
        starts = cuts[head]
        offsets = offsets_of(cuts[np.append(heads, len(opening))[groups + 1]] - starts)
        words = gathered(starts, offsets)
        tags[words] = _search(Ragged(logits.values[words], offsets), opening[head], after)
        going_back = ~opening[head] & (after[tags[starts]] >= 0)
        pieces = head[going_back]
        # As many words are joined as were searched, so that all searches together take about twice the last one.
        reached = np.searchsorted(cuts, (starts - (offsets[1:] - offsets[:-1]))[going_back], side="right")
        far = np.maximum(first_piece[pieces] + 1, reached)
        joined[gathered(far, offsets_of(pieces - far + 1))] = True
    return found.like(tags)


@dataclass(frozen=True)
class _Continuing:
    """Of ``count`` tags those that need a span to continue; the lower and the higher of the two that each follows."""

    count: int
    tags: np.ndarray
    low: np.ndarray
    high: np.ndarray


def _search(logits: Ragged, opening: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Return the best legal tags of pieces, over all at once: int64 (words,).

    A tag is reached best from any tag, or, if it continues a span, from the better of two. So a step is linear in the
    number of tags. Pieces are taken in the order of their lengths, so that those not yet at their end are the first
    ones.

    Args:
        logits: of the pieces, each with a word at least.
        opening: the pieces that begin a text, where no span can continue: bool (pieces,).
        after: as for ``with_legal_tags``.
    """
    inner = np.flatnonzero(after[:-1] >= 0)
    continuing = _Continuing(len(after) - 1, inner, np.minimum(inner, after[inner]), np.maximum(inner, after[inner]))
    order = np.argsort(-logits.lengths, kind="stable")
    starts, lengths = logits.offsets[:-1][order], logits.lengths[order]
    longer = np.searchsorted(-lengths, -np.arange(lengths[0]), side="left")  # pieces with more words than this
    best_before = np.zeros(len(logits.values), dtype=np.int64)
    from_high = np.zeros((len(logits.values), len(inner)), dtype=bool)
    sums = logits.values[starts].astype(np.float64)
    sums[np.ix_(np.flatnonzero(opening[order]), inner)] = -np.inf
    last = np.empty(len(logits), dtype=np.int64)
    for step in range(1, int(lengths[0])):
        going = longer[step]
        last[going : len(sums)] = sums[going:].argmax(axis=1)
        sums, words = sums[:going], starts[:going] + step
        best = sums.argmax(axis=1)
        lower, higher = sums[:, continuing.low], sums[:, continuing.high]
        best_before[words], from_high[words] = best, higher > lower
        reached = np.repeat(sums[np.arange(going), best][:, None], sums.shape[1], axis=1)
        reached[:, inner] = np.maximum(lower, higher)
        sums = reached + logits.values[words]
    last[: len(sums)] = sums.argmax(axis=1)
    return _way_back(continuing, starts, longer, last, best_before, from_high)


def _way_back(
    continuing: _Continuing,
    starts: np.ndarray,
    longer: np.ndarray,
    last: np.ndarray,
    best_before: np.ndarray,
    from_high: np.ndarray,
) -> np.ndarray:
    """Return the tags that lead to the last one of each piece.

    Args:
        continuing: the tags that need a span to continue.
        starts: the first words of the pieces, the longest piece first; so are the other arguments over pieces.
        longer: pieces with more words than 0, 1, ...
        last: the last tag of each piece.
        best_before: the best tag before each word, for tags that may follow any.
        from_high: for each word and continuing tag, whether the higher of its two tags is the one before it.
    """
    place = np.full(continuing.count, -1)
    place[continuing.tags] = np.arange(len(continuing.tags))
    found = np.empty(len(best_before), dtype=np.int64)
    tags = last.copy()
    for step in range(len(longer) - 1, -1, -1):
        words = starts[: longer[step]] + step
        now = tags[: longer[step]]
        found[words] = now
        at = place[now]
        continued = np.where(from_high[words, at], continuing.high[at], continuing.low[at])
        tags[: longer[step]] = np.where(at >= 0, continued, best_before[words])
    return found
