"""How long texts are, in tokens if there is a tokenizer, and which of them are excessively long.

Every text is measured, unless a split is so large that the tokenizer would take long (over 10 million
characters; all of IMDB takes 28 s): then 5,000 evenly spaced texts are, and the longest 20, which matter most.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from liteft.data.split import Split

if TYPE_CHECKING:
    from liteft.tokenization import TextTokenizer

__all__ = ["Lengths", "measure"]

ENDLESS_CHARS = 50_000
ENDLESS_TOKENS = 10_000
COUNTED_CHARS = 10_000_000
COUNTED_ROWS = 5_000
_IDEOGRAPHS = "\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
_WORD = re.compile(rf"[{_IDEOGRAPHS}]|[^\s{_IDEOGRAPHS}]+")


@dataclass(frozen=True)
class Lengths:
    """How long a split's texts are; the two texts of a pair count together.

    Attributes:
        unit: "tokens" (special tokens included), or "words" without a tokenizer; an ideograph is a word.
        min, median, mean, p95, max: of the lengths before truncation.
        longest: place of the longest text.
        truncated: share of rows that the tokenizer will truncate, 0 to 1; None without a tokenizer.
        sampled: number of rows that were measured, if not all: evenly spaced ones and the longest 20; else None.
    """

    unit: str
    min: int
    median: float
    mean: float
    p95: float
    max: int
    longest: str
    truncated: float | None
    sampled: int | None = None


def measure(split: Split, tokenizer: TextTokenizer | None) -> tuple[Lengths, dict[str, int]]:
    """Return the lengths of a split's texts, and place -> length of the 20 longest endless ones, the longest first.

    A text is endless if it has over 10,000 tokens or 50,000 characters. Where words are labelled they are counted, and
    no text is truncated: a long one is read in several windows.
    """
    if split.words is not None:
        tokenizer = None
    characters = _characters(split)
    counted = _counted(split, characters, tokenizer)
    counts = _counts(split.take(counted), tokenizer)
    summary = _summary(split, counted, counts, tokenizer)
    return summary, _endless(split, characters, counted, counts, tokenizer)


def _counts(split: Split, tokenizer: TextTokenizer | None) -> np.ndarray:
    if tokenizer is not None:
        return tokenizer.count(split.texts, split.pairs)
    if split.words is not None:
        return split.words.lengths
    counts = np.fromiter((_words(text) for text in split.texts), dtype=np.int64, count=len(split))
    if split.pairs is not None:
        counts += np.fromiter((_words(pair) for pair in split.pairs), dtype=np.int64, count=len(split))
    return counts


def _words(text: str) -> int:
    return len(text.split()) if text.isascii() else len(_WORD.findall(text))


def _characters(split: Split) -> np.ndarray:
    characters = np.fromiter((len(text) for text in split.texts), dtype=np.int64, count=len(split))
    if split.pairs is not None:
        characters += np.fromiter((len(pair) for pair in split.pairs), dtype=np.int64, count=len(split))
    return characters


def _counted(split: Split, characters: np.ndarray, tokenizer: TextTokenizer | None) -> np.ndarray:
    """Return the rows whose lengths are measured, ascending: all, unless that would take long."""
    rows = np.arange(len(split), dtype=np.int64)
    if tokenizer is None or characters.sum() <= COUNTED_CHARS or len(rows) <= COUNTED_ROWS:
        return rows
    even = np.linspace(0, len(rows) - 1, COUNTED_ROWS, dtype=np.int64)
    longest = np.argsort(-characters, kind="stable")[:20]
    return np.union1d(even, longest)


def _summary(split: Split, counted: np.ndarray, counts: np.ndarray, tokenizer: TextTokenizer | None) -> Lengths:
    unit = "words" if tokenizer is None else "tokens"
    if not len(counts):
        return Lengths(unit, 0, 0.0, 0.0, 0.0, 0, "", None if tokenizer is None else 0.0)
    return Lengths(
        unit=unit,
        min=int(counts.min()),
        median=float(np.median(counts)),
        mean=round(float(counts.mean()), 2),
        p95=round(float(np.quantile(counts, 0.95)), 1),
        max=int(counts.max()),
        longest=split.where(int(counted[counts.argmax()])),
        truncated=None if tokenizer is None else float((counts > tokenizer.max_tokens).mean()),
        sampled=len(counted) if len(counted) < len(split) else None,
    )


def _endless(
    split: Split,
    characters: np.ndarray,
    counted: np.ndarray,
    counts: np.ndarray,
    tokenizer: TextTokenizer | None,
) -> dict[str, int]:
    long = characters[counted] > ENDLESS_CHARS
    if tokenizer is not None:
        long |= counts > ENDLESS_TOKENS
    found = np.flatnonzero(long)
    found = found[np.argsort(-counts[found], kind="stable")][:20]
    return {split.where(int(counted[index])): int(counts[index]) for index in found}
