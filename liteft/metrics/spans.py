"""Spans of tagged words, and metrics of them: how many spans of each text are found whole and with the right type.

Two readings of tags are common. Strictly, a span begins with B- and an I- that continues none is no span (seqeval's
strict mode with IOB2); for CoNLL's script, conlleval, such an I- begins one.

Nothing is a share of words or texts here, so intervals are bootstrapped over texts, whose words are never apart. A word
whose true tag is unknown in training is a part of a span that no model can find: each run of them counts as one that
was missed.

Source: Tjong Kim Sang and De Meulder 2003, section 2.3, aclanthology.org/W03-0419.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from liteft.metrics.intervals import CHUNK_CELLS, percentile_interval, wilson_interval
from liteft.metrics.paired import mcnemar
from liteft.metrics.scores import f1_of_counts, ratio_contributions
from liteft.ragged import Ragged

__all__ = ["SpanCounts", "Spans", "find_spans", "paired_span_intervals", "span_intervals", "text_sums"]


@dataclass(frozen=True, slots=True, eq=False)
class Spans:
    """Spans of all texts, in order; words are counted over all texts.

    Attributes:
        starts, ends: the first word of each span, and the word after its last: int64 (spans,).
        types: number of each span's type: int64 (spans,).
        texts: the text of each span: int64 (spans,).
    """

    starts: np.ndarray
    ends: np.ndarray
    types: np.ndarray
    texts: np.ndarray


@dataclass(frozen=True, slots=True, eq=False)
class SpanCounts:
    """What is counted of each text.

    Attributes:
        hits: spans with the right words and type, by type: int32 (texts, types).
        gold: true spans by type: int32 (texts, types).
        predicted: predicted spans by type: int32 (texts, types).
        missed: true spans of tags that are unknown in training: int64 (texts,).
        right: words with the right tag: int64 (texts,).
        words: words: int64 (texts,).
    """

    hits: np.ndarray
    gold: np.ndarray
    predicted: np.ndarray
    missed: np.ndarray
    right: np.ndarray
    words: np.ndarray

    @classmethod
    def of(cls, predicted: Spans, gold: Spans, types: int, right: Ragged, missed: np.ndarray) -> Self:
        """Count.

        Args:
            predicted, gold: spans of the same texts.
            types: number of types.
            right: which words have the right tag: Ragged of bool.
            missed: as the attribute.
        """
        texts = len(right)
        found = _found(predicted, gold, len(right.values))
        hits, true, guessed = (
            np.bincount(spans.texts[which] * types + spans.types[which], minlength=texts * types)
            .reshape(texts, types)
            .astype(np.int32)
            for spans, which in ((predicted, found), (gold, slice(None)), (predicted, slice(None)))
        )
        return cls(hits, true, guessed, missed.astype(np.int64), text_sums(right), right.lengths)

    @property
    def all_right(self) -> np.ndarray:
        """Texts with every tag right: bool (texts,)."""
        return np.asarray((self.right == self.words) & (self.missed == 0))

    def scores(self) -> dict[str, float]:
        """Return f1, macro_f1, precision, recall (0 where nothing is counted) and accuracy, of words."""
        totals = _Totals(*(part[None] for part in _sums(self)))
        return {name: float(values[0]) for name, values in totals.scores().items()}

    def by_type(self) -> dict[str, np.ndarray]:
        """Return precision, recall and f1, float (types,), and the number of true spans, int64 (types,)."""
        hits, gold, predicted = (each.sum(axis=0) for each in (self.hits, self.gold, self.predicted))
        return {
            "precision": hits / np.maximum(predicted, 1),
            "recall": hits / np.maximum(gold, 1),
            "f1": 2 * hits / np.maximum(gold + predicted, 1),
            "spans": gold,
        }

    def contributions(self) -> np.ndarray:
        """Return each text's part in f1: float64 (texts,), with f1 as their mean; see ``micro_f1_contributions``."""
        sizes = self.gold.sum(axis=1) + self.predicted.sum(axis=1) + self.missed
        return ratio_contributions(2.0 * self.hits.sum(axis=1), sizes)


def find_spans(tags: Ragged, types: np.ndarray, begins: np.ndarray, opens: np.ndarray | None = None) -> Spans:
    """Return the spans of tagged words.

    Args:
        tags: number of each word's tag, -1 for an unknown one: Ragged of int.
        types: the type of each tag, -1 for one outside of spans; of one tag more, for -1: int64 (tags + 1,).
        begins: the tags that begin a span after any other, as B- does: bool (tags + 1,).
        opens: the tags that a span may begin with, others make none: bool (tags + 1,). None: any, as for conlleval.
    """
    found = types[tags.values]
    inside = found >= 0
    starts = inside & (begins[tags.values] | (found != before(tags, found, -1)))
    stops = np.append(np.flatnonzero(starts | ~inside), len(found))
    first = stops[:-1][starts[stops[:-1]]]
    ends = stops[1:][starts[stops[:-1]]]
    if opens is not None:
        whole = opens[tags.values[first]]
        first, ends = first[whole], ends[whole]
    return Spans(first, ends, found[first], np.searchsorted(tags.offsets, first, side="right") - 1)


def before(rows: Ragged, values: np.ndarray, first: Any) -> np.ndarray:
    """Return the value before each one in its row; ``first`` where there is none."""
    shifted = np.empty_like(values)
    shifted[1:] = values[:-1]
    shifted[rows.offsets[:-1][rows.lengths > 0]] = first
    return shifted


def text_sums(values: Ragged) -> np.ndarray:
    """Return the sum of each row of bool or integer values: int64 (texts,)."""
    sums = np.append(0, np.cumsum(values.values, dtype=np.int64))
    return np.asarray(sums[values.offsets[1:]] - sums[values.offsets[:-1]])


def span_intervals(
    counts: SpanCounts, *, resamples: int = 1000, confidence: float = 0.95, seed: int = 0
) -> dict[str, tuple[float, float]]:
    """Return bootstrap intervals over texts of "f1", "macro_f1" and "accuracy".

    Where all samples are the same, as without any error, Wilson's interval of the texts with every tag right takes
    their place; see ``f1_intervals``.

    Args:
        counts: of one model.
        resamples, confidence, seed: as for ``bootstrap_interval``.

    Raises:
        ValueError: there are no texts.
    """
    (samples,) = _samples([counts], resamples, seed)
    bound = wilson_interval(int(counts.all_right.sum()), len(counts.words), confidence)
    return {name: percentile_interval(values, confidence, otherwise=bound) for name, values in samples.items()}


def paired_span_intervals(
    first: SpanCounts, second: SpanCounts, *, resamples: int = 1000, confidence: float = 0.95, seed: int = 0
) -> dict[str, tuple[float, float]]:
    """Return intervals of the second model's "f1", "macro_f1" and "accuracy" minus the first's, on the same texts.

    Where the difference is the same in all samples, the interval is Newcombe's; see ``paired_f1_intervals``.

    Args:
        first, second: counts of two models.
        resamples, confidence, seed: as for ``bootstrap_interval``.

    Raises:
        ValueError: there are no texts.
    """
    one, other = _samples([first, second], resamples, seed)
    bound = mcnemar(first.all_right, second.all_right, confidence)
    return {
        name: percentile_interval(other[name] - one[name], confidence, otherwise=(bound.low, bound.high))
        for name in one
    }


def _found(predicted: Spans, gold: Spans, words: int) -> np.ndarray:
    """Return which predicted spans are true ones: bool (spans,)."""
    ends, types = np.full(words, -1), np.full(words, -1)
    ends[gold.starts], types[gold.starts] = gold.ends, gold.types
    return np.asarray((ends[predicted.starts] == predicted.ends) & (types[predicted.starts] == predicted.types))


@dataclass(frozen=True, slots=True)
class _Totals:
    """Sums over texts for each sample: (samples, types), and (samples,) from ``missed`` on."""

    hits: np.ndarray
    gold: np.ndarray
    predicted: np.ndarray
    missed: np.ndarray
    right: np.ndarray
    words: np.ndarray

    def headline(self) -> dict[str, np.ndarray]:
        micro, macro = f1_of_counts(self.hits, self.gold, self.predicted, self.missed)
        return {"f1": micro, "macro_f1": macro, "accuracy": self.right / np.maximum(self.words, 1)}

    def scores(self) -> dict[str, np.ndarray]:
        hits = self.hits.sum(axis=1)
        return self.headline() | {
            "precision": hits / np.maximum(self.predicted.sum(axis=1), 1),
            "recall": hits / np.maximum(self.gold.sum(axis=1) + self.missed, 1),
        }


def _sums(counts: SpanCounts) -> list[np.ndarray]:
    return [each.sum(axis=0) for each in _parts(counts)]


def _parts(counts: SpanCounts) -> tuple[np.ndarray, ...]:
    return counts.hits, counts.gold, counts.predicted, counts.missed, counts.right, counts.words


def _samples(models: Sequence[SpanCounts], resamples: int, seed: int) -> list[dict[str, np.ndarray]]:
    """Return bootstrap samples of the metrics of several models, all on the same resampled texts.

    Texts with equal counts are interchangeable, so a sample is one multinomial draw over the distinct ones. Weights
    are held for some samples at a time.
    """
    texts = len(models[0].words)
    if texts == 0:
        raise ValueError("there are no texts to score")
    rows = np.concatenate([_table(counts) for counts in models], axis=1)
    distinct, times = _distinct(rows)
    tables = [table.astype(np.float64) for table in np.split(distinct, len(models), axis=1)]
    generator = np.random.default_rng(seed)
    chunk = max(1, CHUNK_CELLS // len(distinct))
    samples: list[list[dict[str, np.ndarray]]] = [[] for _ in models]
    for start in range(0, resamples, chunk):
        size = min(chunk, resamples - start)
        weights = generator.multinomial(texts, times / texts, size=size).astype(np.float64)
        for kept, table in zip(samples, tables, strict=True):
            kept.append(_totals(weights @ table).headline())
    return [{name: np.concatenate([part[name] for part in parts]) for name in parts[0]} for parts in samples]


def _table(counts: SpanCounts) -> np.ndarray:
    """Return the counts side by side: int32 (texts, 3 * types + 3)."""
    return np.concatenate(
        [part.reshape(len(part), -1) for part in _parts(counts)], axis=1, dtype=np.int32, casting="unsafe"
    )


def _totals(table: np.ndarray) -> _Totals:
    """Return columns as those of `_table` by their names."""
    types = (table.shape[1] - 3) // 3
    parts = [table[:, at * types : (at + 1) * types] for at in range(3)]
    return _Totals(*parts, *table[:, 3 * types :].T)


def _distinct(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the distinct rows of a table, and how often each occurs; in an order that depends on the rows alone."""
    whole = np.ascontiguousarray(rows).view(np.dtype((np.void, rows.dtype.itemsize * rows.shape[1]))).ravel()
    _, first, times = np.unique(whole, return_index=True, return_counts=True)
    return rows[first], times
