"""Where a model is wrong: how sure it is then, what it takes for what, and at which lengths. No texts are kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from liteft import metrics
from liteft.data import Split
from liteft.ragged import Ragged, Rows
from liteft.tasks import Task
from liteft.tasks.base import entries
from liteft.text_tables import metric_words

__all__ = ["ByLength", "Confusion", "Diagnosis", "Reliability", "ScorePairs", "diagnose"]

BINS = 15
"""Bins of confidence, those of the expected calibration error."""
_LENGTH_BINS = 8
_FEWEST = 20  # texts of a bin of lengths
_NOTHING = "(nothing)"


@dataclass(frozen=True, slots=True)
class Reliability:
    """How often answers of a confidence are right.

    Attributes:
        of: what is counted: "texts", "words", or "labels of texts", each a yes or no.
        counts: answers in each bin (m / 15, (m + 1) / 15], int64 (15,).
        confidence: mean confidence of each bin, float64 (15,), NaN where it is empty.
        right: share of right answers of each bin, float64 (15,), NaN where it is empty.
        error: the expected calibration error, a share.

    Source: Guo et al. 2017, section 2, arXiv:1706.04599.
    """

    of: str
    counts: np.ndarray
    confidence: np.ndarray
    right: np.ndarray
    error: float

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers as plain data; empty bins have None."""
        return {
            "of": self.of,
            "counts": self.counts.tolist(),
            "confidence": _listed(self.confidence),
            "right": _listed(self.right),
            "calibration_error": self.error,
        }


@dataclass(frozen=True, slots=True)
class Confusion:
    """What a model takes for what.

    Attributes:
        of: what is counted: "texts", "labels of texts", "words" or "questions".
        names: of the rows and columns.
        counts: int64 (names, names): true in rows, predicted in columns.
    """

    of: str
    names: tuple[str, ...]
    counts: np.ndarray

    def most_confused(self, count: int = 10) -> list[tuple[str, str, int]]:
        """Return the most frequent mistakes: the true name, the predicted one, and how often."""
        wrong = self.counts * (1 - np.eye(len(self.names), dtype=np.int64))
        order = np.argsort(-wrong, axis=None, kind="stable")[:count]
        rows, columns = np.unravel_index(order, wrong.shape)
        pairs = zip(rows.tolist(), columns.tolist(), strict=True)
        return [
            (self.names[row], self.names[column], int(wrong[row, column]))
            for row, column in pairs
            if wrong[row, column]
        ]

    def part(self, most: int) -> Confusion:
        """Return the rows and columns of at most so many names, those of the most frequent mistakes."""
        if len(self.names) <= most:
            return self
        chosen: list[str] = []
        for true, predicted, _ in self.most_confused(self.counts.size):
            new = [name for name in (true, predicted) if name not in chosen]
            if len(chosen) + len(new) > most:
                break
            chosen += new
        places = [place for place, name in enumerate(self.names) if name in chosen] or list(range(most))
        return Confusion(self.of, tuple(self.names[place] for place in places), self.counts[np.ix_(places, places)])

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers as plain data: cells that are not 0, as [row, column, count]."""
        rows, columns = np.nonzero(self.counts)
        cells = [
            [int(row), int(column), int(self.counts[row, column])] for row, column in zip(rows, columns, strict=True)
        ]
        return {
            "of": self.of,
            "names": list(self.names),
            "cells": cells,
            "most_confused": [list(each) for each in self.most_confused()],
        }


@dataclass(frozen=True, slots=True)
class ByLength:
    """The main metric by the length of a text.

    Attributes:
        metric: its name; of scores "absolute_error", a mean in the labels' units.
        unit: of lengths: "characters", "words", or "characters of the context".
        edges: lengths that bound the bins, int64 (bins + 1,); a bin holds its lower edge, the last one both.
        counts: texts of each bin, int64 (bins,).
        values: the metric in each bin, float64 (bins,).
        intervals: 95% intervals, float64 (bins, 2), NaN where there are none.
    """

    metric: str
    unit: str
    edges: np.ndarray
    counts: np.ndarray
    values: np.ndarray
    intervals: np.ndarray

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers as plain data."""
        return {
            "metric": self.metric,
            "unit": self.unit,
            "edges": self.edges.tolist(),
            "counts": self.counts.tolist(),
            "values": _listed(self.values),
            "intervals": [_listed(each) for each in self.intervals],
        }


@dataclass(frozen=True, slots=True)
class ScorePairs:
    """Predicted scores beside the true ones, both float64 (texts,)."""

    true: np.ndarray
    predicted: np.ndarray

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers as plain data."""
        return {"true": self.true.tolist(), "predicted": self.predicted.tolist()}


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Where a model is wrong.

    Attributes:
        by_length: the main metric by length.
        reliability: None for scores and answers, which have no probability of being right.
        confusion: None for scores.
        scores: None but for scores.
    """

    by_length: ByLength
    reliability: Reliability | None = None
    confusion: Confusion | None = None
    scores: ScorePairs | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers as plain data, ready for JSON."""
        parts = {"reliability": self.reliability, "confusion": self.confusion, "scores": self.scores}
        return {"by_length": self.by_length.to_dict()} | {
            name: None if each is None else each.to_dict() for name, each in parts.items()
        }


def diagnose(task: Task, logits: Rows, split: Split, labels: Sequence[str]) -> Diagnosis:
    """Return where a model is wrong.

    Args:
        task: of the model.
        logits: float (texts, labels) of the split, or of its words.
        split: texts with gold labels.
        labels: their names, in the order of the logits.
    """
    gold, unseen = split.labels, split.unseen_label
    assert gold is not None
    by_length = _by_length(task, logits, split)
    if task.numeric:
        known = task.known(gold)
        pairs = ScorePairs(
            entries(gold[known]).astype(np.float64), entries(task.decide(logits)[known]).astype(np.float64)
        )
        return Diagnosis(by_length, scores=pairs)
    if task.extractive:
        return Diagnosis(by_length, confusion=_of_answers(task, logits, gold))
    return Diagnosis(
        by_length, _reliability(task, logits, gold, unseen), _confusion(task, logits, gold, unseen, labels)
    )


def _reliability(task: Task, logits: Rows, gold: Rows, unseen: np.ndarray | None) -> Reliability:
    probabilities, right = entries(task.probabilities(logits)), entries(gold)
    if unseen is not None and not task.several and not task.per_word:
        right = np.where(unseen, -1, right)
    counts, confidence, share = metrics.reliability_bins(probabilities, right, BINS)
    of = "words" if task.per_word else "labels of texts" if task.several else "texts"
    return Reliability(of, counts, confidence, share, metrics.calibration_error(probabilities, right, BINS))


def _confusion(task: Task, logits: Rows, gold: Rows, unseen: np.ndarray | None, labels: Sequence[str]) -> Confusion:
    decided = task.decide(logits)
    if isinstance(gold, Ragged):
        scheme = task.scheme  # type: ignore[attr-defined]  # of words
        names = (*scheme.type_names, "outside")
        known = gold.values >= 0
        true, found = (scheme.types[entries(each)[known]] for each in (gold, decided))
        places = [np.where(types < 0, len(names) - 1, types) for types in (true, found)]
        return Confusion("words", names, _counted(places[0], places[1], len(names)))
    if not task.several:
        known = task.known(gold) if unseen is None else task.known(gold) & ~unseen
        return Confusion("texts", tuple(labels), _counted(gold[known], decided[known], len(labels)))
    return _of_sets(np.asarray(gold, dtype=bool), np.asarray(decided, dtype=bool), labels)


def _of_sets(gold: np.ndarray, decided: np.ndarray, labels: Sequence[str]) -> Confusion:
    """Return the confusion of several labels: each missed one beside each wrong one of its text, or beside nothing."""
    missed, wrong = gold & ~decided, decided & ~gold
    missed = np.column_stack([missed, ~missed.any(axis=1)]).astype(np.int64)
    wrong = np.column_stack([wrong, ~wrong.any(axis=1)]).astype(np.int64)
    counts = missed.T @ wrong
    counts[-1, -1] = 0
    hits = (gold & decided).sum(axis=0)
    counts[np.arange(len(labels)), np.arange(len(labels))] = hits
    return Confusion("labels of texts", (*labels, _NOTHING), counts)


def _of_answers(task: Task, logits: Rows, gold: Rows) -> Confusion:
    answered = task.decide(logits)[:, 0] >= 0
    true = ~task.bare(gold)
    return Confusion(
        "questions", ("answer", "no answer"), _counted((~true).astype(np.int64), (~answered).astype(np.int64), 2)
    )


def _counted(gold: np.ndarray, decided: np.ndarray, names: int) -> np.ndarray:
    flat = np.bincount(gold.astype(np.int64) * names + decided.astype(np.int64), minlength=names * names)
    return flat.reshape(names, names).astype(np.int64)


def _by_length(task: Task, logits: Rows, split: Split) -> ByLength:
    gold, unseen = split.labels, split.unseen_label
    assert gold is not None
    unit, lengths = _lengths(task, split)
    edges = _edges(lengths)
    place = np.clip(np.searchsorted(edges, lengths, side="right") - 1, 0, len(edges) - 2)
    metric = "absolute_error" if task.numeric else task.primary_metric
    found = []
    for number in range(len(edges) - 1):
        rows = np.flatnonzero(place == number)
        part = (logits[rows], gold[rows])
        theirs = None if unseen is None else unseen[rows]
        if task.numeric:
            known = task.known(part[1])
            value = float(np.abs(task.decide(part[0])[known] - part[1][known]).mean()) if known.any() else np.nan
            found.append((value, np.nan, np.nan))
        else:
            value = task.score(*part, unseen_label=theirs)[metric]
            found.append((value, *task.intervals(*part, unseen_label=theirs).get(metric, (np.nan, np.nan))))
    values = np.array(found, dtype=np.float64)
    return ByLength(metric, unit, edges, np.bincount(place, minlength=len(edges) - 1), values[:, 0], values[:, 1:])


def _lengths(task: Task, split: Split) -> tuple[str, np.ndarray]:
    """Return the unit and the length of each text; of questions that of the context, of words their number."""
    if task.extractive:
        return "characters of the context", np.array([len(text) for text in split.pairs or ()], dtype=np.int64)
    if isinstance(split.labels, Ragged):
        return "words", split.labels.lengths
    second = split.pairs or [""] * len(split)
    return "characters", np.array([len(text) + len(more) for text, more in zip(split.texts, second, strict=True)])


def _edges(lengths: np.ndarray) -> np.ndarray:
    """Return bounds of bins that hold about as many texts each, 20 at least; one bin if there are few."""
    bins = max(1, min(_LENGTH_BINS, len(lengths) // _FEWEST))
    edges = np.unique(np.quantile(lengths, np.linspace(0, 1, bins + 1), method="lower"))
    return np.asarray(edges if len(edges) > 1 else [edges[0], edges[0] + 1], dtype=np.int64)


def _listed(values: np.ndarray) -> list[float | None]:
    return [None if np.isnan(value) else float(value) for value in values]


def length_words(found: ByLength) -> str:
    """Return the metric of a `ByLength` in words, for an axis."""
    return "mean absolute error" if found.metric == "absolute_error" else f"{metric_words(found.metric)}, %"
