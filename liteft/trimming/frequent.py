"""Tokens that occur in several different texts: a token of one text alone may be a name, and a vocabulary is published.

A token counts where a text is written with it. If one is removed, its words are written with shorter ones, which then
occur in more texts; so tokens are judged from the longest to the shortest, each by all texts that are written with it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence, Set

import numpy as np

from liteft.data import Split
from liteft.encoded import Encoded
from liteft.tokenization import TextTokenizer
from liteft.trimming.choosing import Word, cut_word

__all__ = ["frequent_tokens", "recut", "texts_of_words", "without_rare"]

_CHUNK = 4096


def texts_of_words(
    tokenizer: TextTokenizer, splits: Sequence[Split], *, prefix: str, most: int
) -> dict[Word, frozenset[int]]:
    """Return in which different texts each word occurs: its tokens -> numbers of up to ``most`` of them.

    So many are enough to know of any words together whether they occur in that many texts. Equal texts, and equal
    pairs, are one.

    Args:
        tokenizer: as of `count_words`.
        splits: the texts.
        prefix: the prefix of tokens that continue a word.
        most: numbers that are kept of a word.
    """
    found: defaultdict[Word, set[int]] = defaultdict(set)
    tokens = tokenizer.tokens()
    continues = np.array([token.startswith(prefix) and token != prefix for token in tokens])
    for number, text in enumerate(_different(tokenizer, splits)):
        starts = np.flatnonzero(~continues[text.ids])
        for ids in np.split(text.ids, starts[1:]):
            numbers = found[tuple(tokens[each] for each in ids.tolist())]
            if len(numbers) < most:
                numbers.add(number)
    return {word: frozenset(numbers) for word, numbers in found.items()}


def _different(tokenizer: TextTokenizer, splits: Sequence[Split]) -> Iterator[Encoded]:
    """Yield the tokens of each different text, or pair of texts, once."""
    seen: set[tuple[str, str | None]] = set()
    for split in splits:
        rows: list[int] = []
        for row, text in enumerate(split.texts):
            key = (text, None if split.pairs is None else split.pairs[row])
            if key not in seen:
                seen.add(key)
                rows.append(row)
        for start in range(0, len(rows), _CHUNK):
            some = split.take(np.array(rows[start : start + _CHUNK], dtype=np.int64))
            yield from tokenizer.encode(some.texts, some.pairs)


def frequent_tokens(texts: Mapping[Word, Set[int]], *, floor: Set[str], prefix: str, least: int) -> set[str]:
    """Return the tokens that occur in ``least`` different texts or more when no others are there, and the floor.

    Args:
        texts: of `texts_of_words`, with as many numbers.
        floor: tokens that stay in any case, single characters above all.
        prefix: the prefix of tokens that continue a word.
        least: number of texts.
    """
    kept = {token for word in texts for token in word} | floor
    lengths = sorted({len(token.removeprefix(prefix)) for token in kept}, reverse=True)
    for length in lengths:  # a long token's words may save a shorter one
        rare = rare_tokens(texts, kept, floor=floor, prefix=prefix, least=least)
        kept -= {token for token in rare if len(token.removeprefix(prefix)) == length}
    return without_rare(texts, kept, floor=floor, prefix=prefix, least=least)


def without_rare(
    texts: Mapping[Word, Set[int]], kept: Set[str], *, floor: Set[str], prefix: str, least: int
) -> set[str]:
    """Return chosen tokens without those that too few texts are written with, until none of these is left.

    The arguments are those of `frequent_tokens`.
    """
    found = set(kept)
    while rare := rare_tokens(texts, found, floor=floor, prefix=prefix, least=least):
        found -= rare
    return found


def rare_tokens(
    texts: Mapping[Word, Set[int]], kept: Set[str], *, floor: Set[str], prefix: str, least: int
) -> set[str]:
    """Return those of the kept tokens that fewer texts are written with, if all words are written with kept ones."""
    occurs: defaultdict[str, set[int]] = defaultdict(set)
    for word, numbers in texts.items():
        for token in word if kept >= set(word) else cut_word(word, kept, prefix=prefix):
            if len(occurs[token]) < least:
                occurs[token] |= numbers
    return {token for token in kept - floor if len(occurs[token]) < least}


def recut(words: Mapping[Word, int], tokens: Set[str], *, prefix: str) -> Counter[Word]:
    """Return counted words as they are written with some tokens alone."""
    found: Counter[Word] = Counter()
    for word, count in words.items():
        found[word if tokens >= set(word) else cut_word(word, tokens, prefix=prefix)] += count
    return found
