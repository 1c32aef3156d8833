"""The choice of the WordPiece tokens to keep: those whose removal would change the tokens of the texts least.

If a token is removed, its words are split into smaller tokens, which are then used more often. So tokens are removed in
rounds, the rarest first, and after each round the affected words are tokenized and counted again. Frequency alone
decides: weighting a token by the number of tokens that replace it kept fewer tokens of held-out text.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence, Set

import numpy as np

from liteft.data import Split
from liteft.tokenization import TextTokenizer

__all__ = ["choose_tokens", "count_words", "cut_word", "fill_tokens"]

Word = tuple[str, ...]
_CHUNK = 4096
_SHARE = 4  # each round removes a quarter of the tokens that are too many


def count_words(tokenizer: TextTokenizer, splits: Sequence[Split], *, prefix: str) -> Counter[Word]:
    """Return how often each word occurs in the texts: its tokens -> count.

    Texts are truncated to ``max_tokens``, so what a classifier does not read does not count.

    Args:
        tokenizer: the tokenizer with the whole vocabulary.
        splits: the texts.
        prefix: the prefix of tokens that continue a word, usually "##".
    """
    tokens = tokenizer.tokens()
    continues = np.array([token.startswith(prefix) and token != prefix for token in tokens])
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
                words[(tokens[number],)] += int(count)
            long = ends - starts > 1
            for first, last in zip(starts[long], ends[long], strict=True):
                words[tuple(tokens[number] for number in ids[first:last])] += 1
    return words


def choose_tokens(
    words: Mapping[Word, int], ids: Mapping[str, int], *, floor: Set[str], prefix: str, most: int
) -> set[str]:
    """Return the tokens to keep: the floor, and as many of the tokens that the words use as fit.

    Args:
        words: tokens of a word -> count, from `count_words`.
        ids: token -> id in the whole vocabulary; of two equally frequent tokens the one with the lower id is kept.
        floor: tokens that are kept in any case, single characters above all.
        prefix: the prefix of tokens that continue a word.
        most: maximum number of tokens, including the floor; not smaller than the floor.
    """
    current = {word: word for word in words}
    kept = {token for word in words for token in word if token in ids} | floor
    while len(kept) > most:
        counts: Counter[str] = Counter()
        for word, cut in current.items():
            for token in cut:
                counts[token] += words[word]
        ranked = sorted(kept - floor, key=lambda token: (counts[token], -ids[token]))
        gone = set(ranked[: -(-(len(kept) - most) // _SHARE)])
        kept -= gone
        for word, cut in current.items():
            if not gone.isdisjoint(cut):
                current[word] = cut_word(word, kept, prefix=prefix)
    return kept


def fill_tokens(kept: Set[str], ids: Mapping[str, int], *, most: int) -> set[str]:
    """Return the chosen tokens, filled up to ``most`` with the first other tokens of the vocabulary.

    Vocabularies, BERT's in particular, are ordered by the frequency of their tokens in the corpus that they were made
    from, so the first tokens are those that an unseen text is most likely to need. Reserved tokens are left out.

    Args:
        kept: the tokens that were chosen.
        ids: token -> id in the whole vocabulary.
        most: number of tokens to return, if there are as many.
    """
    spare = [token for token in ids if token and token not in kept and not token.startswith("[unused")]
    return {*kept, *sorted(spare, key=ids.__getitem__)[: max(0, most - len(kept))]}


def cut_word(word: Word, tokens: Set[str], *, prefix: str) -> Word:
    """Return the tokens into which WordPiece splits a word: from the left, always the longest possible one.

    Args:
        word: the word as tokens of any vocabulary.
        tokens: the vocabulary; it must have each of the word's characters, all but the first with the prefix.
        prefix: the prefix of tokens that continue a word.
    """
    text = word[0] + "".join(token.removeprefix(prefix) for token in word[1:])
    found: list[str] = []
    start = 0
    while start < len(text):
        begin = prefix if start else ""
        end = next(end for end in range(len(text), start, -1) if begin + text[start:end] in tokens)
        found.append(begin + text[start:end])
        start = end
    return tuple(found)
