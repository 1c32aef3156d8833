"""Random numbers that are functions of what they are for: of a seed, an epoch, a text, a place in it.

There is no generator with a state that a resumed training would have to restore, and no order in which numbers have to
be drawn. The mixing function is that of SplitMix64.

Source: Steele, Lea and Flood 2014, section 3, doi:10.1145/2660193.2660195; a permutation by a Feistel network with
cycle walking: Black and Rogaway 2002, section 3, doi:10.1007/3-540-45760-7_9.
"""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["drawn", "permuted", "uniform"]

_STEP = np.uint64(0x9E3779B97F4A7C15)
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_ROUNDS = 6


def drawn(*parts: Any) -> np.ndarray:
    """Return random bits, uint64, that depend on all parts and on their order.

    Args:
        parts: non-negative integers, or arrays of them, of shapes that broadcast; the result has at least one axis.
    """
    bits: np.ndarray = np.zeros(1, dtype=np.uint64)
    for part in parts:
        bits = bits ^ np.atleast_1d(np.asarray(part).astype(np.uint64))
        bits = bits + _STEP
        bits = (bits ^ (bits >> np.uint64(30))) * _FIRST
        bits = (bits ^ (bits >> np.uint64(27))) * _SECOND
        bits = bits ^ (bits >> np.uint64(31))
    return bits


def uniform(bits: np.ndarray) -> np.ndarray:
    """Return random bits as numbers of [0, 1), float64."""
    numbers: np.ndarray = (bits >> np.uint64(11)).astype(np.float64) * 2.0**-53
    return numbers


def permuted(places: np.ndarray, count: int, *key: int) -> np.ndarray:
    """Return what a random permutation of 0 to count - 1 has at some places, int64; it is never stored as a whole.

    Args:
        places: int64, any shape, each below ``count``.
        count: number of elements.
        key: determines the permutation.
    """
    half = np.uint64(max(1, ((count - 1).bit_length() + 1) // 2))
    low = np.uint64((1 << int(half)) - 1)
    found = places.astype(np.uint64)
    outside = np.ones(found.shape, dtype=bool)
    while outside.any():
        values = found[outside]
        left, right = values >> half, values & low
        for each in range(_ROUNDS):
            left, right = right, left ^ (drawn(*key, each, right) & low)
        found[outside] = (left << half) | right
        outside = found >= np.uint64(count)
    return found.astype(np.int64)
