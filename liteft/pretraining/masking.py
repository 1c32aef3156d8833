"""Masked language modelling: which words of a text are to be guessed, and what stands in their places.

Each word is chosen with the same probability, all of its tokens together; a text in which none is chosen gets the one
that came nearest. Of the chosen tokens, 80% become the mask token, 10% a random token and 10% stay. What is drawn is a
function of seed, epoch, sequence and place, so each epoch masks other words, and a resumed training the same ones.

Source: 15% and 80/10/10: Devlin et al. 2019, section 3.1, arXiv:1810.04805; whole words: google-research/bert, README,
May 2019, and for Chinese Cui et al. 2019, arXiv:1906.08101; other words in each epoch: Liu et al. 2019, section 4.1,
arXiv:1907.11692.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from liteft.pretraining.draws import drawn, uniform

__all__ = ["MaskedTokens", "Masking"]

_MASKED, _RANDOM = 0.8, 0.9  # below the first the mask token, below the second a random one, else the token itself
_WORD, _FATE, _OTHER = 0x776F7264, 0x66617465, 0x6F746872  # what numbers are drawn for


@dataclass(frozen=True)
class MaskedTokens:
    """Tokens as the model reads them, and which of them it has to guess.

    Attributes:
        ids: int64 (tokens,).
        chosen: bool (tokens,).
    """

    ids: np.ndarray
    chosen: np.ndarray


@dataclass(frozen=True)
class Masking:
    """How tokens are masked.

    Attributes:
        seed: determines all that is drawn.
        share: probability of each word, of (0, 1).
        mask_id: id of the mask token.
        special: ids that are never chosen, int64.
        others: ids that may stand in for a token, int64.
    """

    seed: int
    share: float
    mask_id: int
    special: np.ndarray
    others: np.ndarray

    def __call__(
        self, ids: np.ndarray, begins: np.ndarray, lengths: np.ndarray, rows: np.ndarray, *, epoch: int
    ) -> MaskedTokens:
        """Return the tokens of some sequences, masked.

        Args:
            ids: of all of them, one after the other: int64 (tokens,).
            begins: where words begin: bool (tokens,).
            lengths: tokens of each sequence, at least 1: int64 (sequences,).
            rows: number of each sequence in the corpus: int64 (sequences,).
            epoch: what is drawn depends on it.
        """
        starts = np.cumsum(lengths) - lengths
        sequence = np.repeat(np.arange(len(lengths)), lengths)
        keys = drawn(self.seed, epoch, rows[sequence], np.arange(len(ids)) - starts[sequence])
        first = begins.copy()
        first[starts] = True
        words = np.flatnonzero(first)
        draws = uniform(drawn(keys[words], _WORD))
        special = np.isin(ids, self.special)  # one may stand inside a word: Unigram's unk
        draws[special[words]] = 1.0
        chosen = draws < self.share
        chosen |= _nearest(
            draws, sequence[words], len(lengths), ~np.isin(np.arange(len(lengths)), sequence[words[chosen]])
        )
        masked = chosen[np.cumsum(first) - 1] & ~special
        fate = uniform(drawn(keys, _FATE))
        changed = np.where(masked & (fate < _MASKED), self.mask_id, ids)
        other = self.others[(uniform(drawn(keys, _OTHER)) * len(self.others)).astype(np.int64)]
        return MaskedTokens(np.where(masked & (fate >= _MASKED) & (fate < _RANDOM), other, changed), masked)


def _nearest(draws: np.ndarray, sequence: np.ndarray, count: int, wanted: np.ndarray) -> np.ndarray:
    """Return the word with the lowest draw of each wanted sequence, bool (words,); none where all words are special."""
    lowest = np.full(count, np.inf)
    np.minimum.at(lowest, sequence, draws)
    found: np.ndarray = wanted[sequence] & (draws == lowest[sequence]) & (draws < 1.0)
    return found
