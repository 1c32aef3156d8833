"""Which pieces stay: those whose loss would change the fewest tokens of the texts.

Without a piece, its words fall into smaller ones, which are then used more often. So pieces leave in rounds, the
rarest first, and after each round the words that lost one are cut anew and counted again. Frequency alone decides:
weighing a piece by the number of pieces that it falls into kept fewer tokens of held-out text.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence, Set

import numpy as np

from liteft.data import Split
from liteft.tokenization import TextTokenizer

__all__ = ["choose_pieces", "count_words", "cut_word", "fill_pieces"]

Word = tuple[str, ...]
_CHUNK = 4096
_SHARE = 4  # of the pieces that are too many, a quarter a round


def count_words(tokenizer: TextTokenizer, splits: Sequence[Split], *, prefix: str) -> Counter[Word]:
    """Return how often each word stands in the texts, as the pieces that it is cut into.

    What a classifier does not read does not count: texts are cut at ``max_tokens``.

    Args:
        tokenizer: with the whole vocabulary.
        splits: the texts.
        prefix: of pieces that go on with a word.
    """
    pieces = tokenizer.tokens()
    continues = np.array([piece.startswith(prefix) and piece != prefix for piece in pieces])
    words: Counter[Word] = Counter()
    for split in splits:
        for start in range(0, len(split), _CHUNK):
            rows = slice(start, start + _CHUNK)
            encoded = tokenizer.encode(split.texts[rows], None if split.pairs is None else split.pairs[rows])
            ids = encoded.ids
            starts = np.flatnonzero(~continues[ids])
            ends = np.append(starts[1:], len(ids))
            single = ids[starts[ends - starts == 1]]
            for number, count in zip(*np.unique(single, return_counts=True), strict=True):
                words[(pieces[number],)] += int(count)
            long = ends - starts > 1
            for first, last in zip(starts[long], ends[long], strict=True):
                words[tuple(pieces[number] for number in ids[first:last])] += 1
    return words


def choose_pieces(
    words: Mapping[Word, int], ids: Mapping[str, int], *, floor: Set[str], prefix: str, most: int
) -> set[str]:
    """Return the pieces to keep: the floor, and of the pieces that the words use as many as fit.

    Args:
        words: count by word.
        ids: of the whole vocabulary; of two pieces that are used as often the one with the lower id stays.
        floor: pieces that stay whatever they count, single characters above all.
        prefix: of pieces that go on with a word.
        most: pieces, those of the floor included; at least as many as those.
    """
    current = {word: word for word in words}
    kept = {piece for word in words for piece in word if piece in ids} | floor
    while len(kept) > most:
        counts: Counter[str] = Counter()
        for word, cut in current.items():
            for piece in cut:
                counts[piece] += words[word]
        ranked = sorted(kept - floor, key=lambda piece: (counts[piece], -ids[piece]))
        gone = set(ranked[: -(-(len(kept) - most) // _SHARE)])
        kept -= gone
        for word, cut in current.items():
            if not gone.isdisjoint(cut):
                current[word] = cut_word(word, kept, prefix=prefix)
    return kept


def fill_pieces(kept: Set[str], ids: Mapping[str, int], *, most: int) -> set[str]:
    """Return pieces to keep, and of the others the first ones of the vocabulary, until there are as many as may be.

    Vocabularies stand in the order of how often their pieces were used where they were made, BERT's above all, so the
    first ones are those that a text not seen yet needs most. What is reserved for later stays out.

    Args:
        kept: what was chosen.
        ids: of the whole vocabulary.
        most: pieces.
    """
    spare = [piece for piece in ids if piece and piece not in kept and not piece.startswith("[unused")]
    return {*kept, *sorted(spare, key=ids.__getitem__)[: max(0, most - len(kept))]}


def cut_word(word: Word, pieces: Set[str], *, prefix: str) -> Word:
    """Return the pieces that WordPiece cuts a word into: from the left, the longest that there is.

    Args:
        word: the word, in any pieces.
        pieces: the vocabulary; must hold each of the word's characters, the first as it is and others with the prefix.
        prefix: of pieces that go on with a word.
    """
    text = word[0] + "".join(piece.removeprefix(prefix) for piece in word[1:])
    found: list[str] = []
    start = 0
    while start < len(text):
        begin = prefix if start else ""
        end = next(end for end in range(len(text), start, -1) if begin + text[start:end] in pieces)
        found.append(begin + text[start:end])
        start = end
    return tuple(found)
