"""The compiled normalization map of sentencepiece: a trie in a double array, and the replacement texts it points to.

The tokenizers library follows it without bounds checks, and an index outside the array ends in a panic.
So every index that it could reach is checked here, all at once.

Sources: https://github.com/google/sentencepiece (normalizer.cc), https://github.com/s-yata/darts-clone
"""

from __future__ import annotations

import base64
import binascii

import numpy as np

__all__ = ["check_charsmap"]

_LONGEST = 4 << 20
_LONGEST_TEXT = 256  # bytes that one character becomes; an Arabic ligature becomes 33
_LEAF, _HAS_LEAF, _EXTENDED = 1 << 31, 1 << 8, 1 << 9


def check_charsmap(text: str) -> None:
    """Refuse a map that points outside itself.

    Args:
        text: base64 of the trie's size in bytes, the trie, and texts that each end in a zero byte.

    Raises:
        ValueError: the map is invalid; the message says how.
    """
    if len(text) > _LONGEST:
        raise ValueError("its character map is longer than any known one")
    try:
        content = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("its character map is not base64") from None
    size = int.from_bytes(content[:4], "little")
    if len(content) < 8 or size % 4 or not 4 <= size <= len(content) - 4:
        raise ValueError("its character map is truncated or malformed")
    units = np.frombuffer(content, "<u4", count=size // 4, offset=4)
    _check_texts(content[4 + size :], units)
    _check_trie(units)


def _check_texts(texts: bytes, units: np.ndarray) -> None:
    """Refuse texts that are not UTF-8 or not terminated, and values that point outside them."""
    try:
        texts.decode("utf-8")
    except UnicodeDecodeError:
        raise ValueError("its character map contains texts that are not UTF-8") from None
    if not texts.endswith(b"\0"):
        raise ValueError("its character map contains an unterminated text")
    if np.diff(np.flatnonzero(np.frombuffer(texts, np.uint8) == 0), prepend=-1).max() > _LONGEST_TEXT:
        raise ValueError("its character map makes a character longer than any known one")
    places = (units & ~np.uint32(_LEAF))[units & _LEAF != 0]
    if places.size and places.max() >= len(texts):
        raise ValueError("its character map points past its texts")
    starts = np.frombuffer(texts, np.uint8)[places]
    if np.any((starts & 0xC0) == 0x80):
        raise ValueError("its character map points into the middle of a character")


def _check_trie(units: np.ndarray) -> None:
    """Refuse nodes whose children would be beyond the array, or that claim a value that they do not have."""
    nodes = np.flatnonzero(units & _LEAF == 0)
    found = units[nodes].astype(np.int64)
    children = nodes ^ ((found >> 10) << np.where(found & _EXTENDED, 8, 0))
    if np.any(children | 0xFF >= len(units)):
        raise ValueError("its character map points outside itself")
    values = units[children[found & _HAS_LEAF != 0]]
    if np.any(values & _LEAF == 0):
        raise ValueError("its character map has an invalid value")
