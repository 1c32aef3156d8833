"""Training a Unigram vocabulary: pieces with probabilities, so that texts are likely under their best splits.

It starts from the pieces that byte-pair merges make, several times as many as wanted. In rounds, words are split into
their most probable pieces, these are counted, and the counts become probabilities (hard expectation maximization); then
the pieces go without which words lose the least. All counts are whole numbers, so no order of adding them up matters.

Source: Kudo 2018, section 3.2, arXiv:1804.10959, with the most probable split in place of the expectation over all.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

__all__ = ["train_unigram"]

_SEEDS = 4  # times as many pieces at the start
_KEPT = 0.75  # share that a round keeps
_LONGEST = 16  # characters of a piece
_ROUNDS = 2  # of counting before pieces go
_UNSEEN = 0.5  # count of a piece that no word uses
_UNKNOWN = "\0"


def train_unigram(words: Mapping[str, int], letters: Sequence[str], size: int) -> list[tuple[str, float]]:
    """Return pieces and the logarithms of their probabilities, the most probable first.

    Args:
        words: word -> how often it occurs.
        letters: single characters, which are always kept.
        size: number of pieces.
    """
    spelt = sorted(words)
    counts = np.array([words[word] for word in spelt], dtype=np.int64)
    pieces = _seeds(spelt, counts, letters, _SEEDS * size)
    scores = [math.log(1 / (rank + 2)) for rank in range(len(pieces))]
    fixed = set(letters)
    while True:
        for _ in range(_ROUNDS):
            used = _used(pieces, scores, spelt, counts)
            total = float(np.maximum(used, _UNSEEN).sum())
            scores = [math.log(max(_UNSEEN, count) / total) for count in used.tolist()]
        if len(pieces) <= size:
            break
        known = dict(zip(pieces, scores, strict=True))
        losses = [
            math.inf if piece in fixed else count * (score - _without(piece, known))
            for piece, score, count in zip(pieces, scores, used.tolist(), strict=True)
        ]
        order = sorted(range(len(pieces)), key=lambda place: (-losses[place], place))
        kept = sorted(order[: max(size, int(_KEPT * len(pieces)))])
        pieces, scores = [pieces[place] for place in kept], [scores[place] for place in kept]
    return sorted(zip(pieces, scores, strict=True), key=lambda entry: (-entry[1], entry[0]))


def _seeds(spelt: Sequence[str], counts: np.ndarray, letters: Sequence[str], size: int) -> list[str]:
    """Return the letters, and the pieces that byte-pair merges make of words, in the order of merging."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Split("\n", "removed")
    trainer = trainers.BpeTrainer(
        vocab_size=size + len(letters),
        initial_alphabet=list(letters),
        limit_alphabet=len(letters),
        max_token_length=_LONGEST,
        show_progress=False,
    )
    repeated = ("\n".join([word] * min(count, 1000)) for word, count in zip(spelt, counts.tolist(), strict=True))
    tokenizer.train_from_iterator(repeated, trainer)
    ids = tokenizer.get_vocab()
    return sorted(ids, key=lambda piece: ids[piece])


def _used(pieces: Sequence[str], scores: Sequence[float], spelt: Sequence[str], counts: np.ndarray) -> np.ndarray:
    """Return how often the words' most probable splits use each piece: int64 (pieces,)."""
    tokenizer = Tokenizer(models.Unigram([(_UNKNOWN, 0.0), *zip(pieces, scores, strict=True)], 0, False))
    used = np.zeros(len(pieces) + 1, dtype=np.int64)
    for start in range(0, len(spelt), 4096):
        found = [each.ids for each in tokenizer.encode_batch_fast(list(spelt[start : start + 4096]))]
        lengths = [len(ids) for ids in found]
        ids = np.fromiter((number for each in found for number in each), dtype=np.int64, count=sum(lengths))
        np.add.at(used, ids, np.repeat(counts[start : start + 4096], lengths))
    return used[1:]


def _without(piece: str, scores: Mapping[str, float]) -> float:
    """Return the score of a piece's best split into two or more others; of a letter that is missing, that of none."""
    best = [0.0] + [-math.inf] * len(piece)
    for stop in range(1, len(piece) + 1):
        for start in range(stop):
            part = piece[start:stop]
            if part != piece and part in scores:
                best[stop] = max(best[stop], best[start] + scores[part])
    return best[-1]
