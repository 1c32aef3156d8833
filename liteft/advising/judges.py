"""Judges: quick classifiers that are fitted on some of the sampled texts and score others.

A judge is a function of row numbers, so that cross-validation and learning curves treat floors and probes alike.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from liteft.advising.sample import FOLDS, Sample
from liteft.finetuning.head import discriminants

__all__ = ["Judge", "Scored", "as_many_as_fitted", "cross_validate", "difference", "probing"]

Judge = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""From the rows to fit on and the rows to score, int64 (texts,) each, to logits, float32 (texts, labels)."""
_RESAMPLES = 200


@dataclass(frozen=True, slots=True, eq=False)
class Scored:
    """A judge's answers on every sampled text, each fitted without the text's fold.

    Attributes:
        logits: float32 (texts, labels).
        metrics: the headline metrics of the task, shares.
        intervals: their 95% intervals.
    """

    logits: np.ndarray
    metrics: dict[str, float]
    intervals: dict[str, tuple[float, float]]


def probing(features: np.ndarray, sample: Sample) -> Judge:
    """Return the judge that fits linear discriminants on features, float32 (texts, width)."""

    def judge(fitted: np.ndarray, scored: np.ndarray) -> np.ndarray:
        weight, bias = discriminants(features[fitted], sample.gold[fitted], count=len(sample.labels), task=sample.task)
        return as_many_as_fitted(features[scored] @ weight.T + bias, fitted, sample)

    return judge


def cross_validate(judge: Judge, sample: Sample, *, seed: int) -> Scored:
    """Return the judge's answers on all folds, and their metrics.

    Args:
        judge: fitted once per fold.
        sample: the texts.
        seed: of the bootstrap.
    """
    logits = np.zeros((len(sample), len(sample.labels)), dtype=np.float32)
    for fold in range(FOLDS):
        scored = np.flatnonzero(sample.folds == fold)
        if len(scored):
            logits[scored] = judge(np.flatnonzero(sample.folds != fold), scored)
    task = sample.task
    scores = task.score(logits, sample.gold)
    intervals = task.intervals(logits, sample.gold, resamples=_RESAMPLES, seed=seed)
    return Scored(logits, {name: scores[name] for name in task.headline_metrics}, intervals)


def as_many_as_fitted(logits: np.ndarray, fitted: np.ndarray, sample: Sample) -> np.ndarray:
    """Return logits of which as many are positive as the fitted texts have labels, if texts have any number of labels.

    Equal logits are all positive or none is, whichever is nearer to that number. At a probability of 0.5, judges of few
    texts hardly ever name a rare label, and F1 does not show what they know.

    Args:
        logits: float (texts, labels).
        fitted: the rows that the judge was fitted on.
        sample: the texts.
    """
    if not sample.task.several:
        return np.asarray(logits, dtype=np.float32)
    positive = round(sample.gold[fitted].sum() / len(fitted) * len(logits))
    values, equal = np.unique(logits, return_counts=True)
    above = np.concatenate([[0], np.cumsum(equal[::-1])])[::-1]  # logits above each cut, from the lowest cut on
    cuts = np.concatenate([[values[0] - 2], values, [values[-1] + 2]])
    place = int(np.abs(above - positive).argmin())
    return np.asarray(logits - (cuts[place] + cuts[place + 1]) / 2, dtype=np.float32)


def counts(logits: np.ndarray, gold: np.ndarray, sample: Sample) -> tuple[np.ndarray, np.ndarray]:
    """Return the parts of micro F1 of each text: twice the true positives, and those plus all mistakes.

    Sums over texts, divided by each other, are the primary metric: with one label per text, micro F1 is accuracy.
    """
    count = len(sample.labels)
    decided, right = sample.task.indicators(sample.task.decide(logits), count), sample.task.indicators(gold, count)
    hits = 2.0 * (decided & right).sum(axis=1)
    return hits, hits + (decided ^ right).sum(axis=1)


def difference(first: Scored, second: Scored, sample: Sample, *, seed: int) -> tuple[float, tuple[float, float]]:
    """Return the second's primary metric minus the first's, and its 95% interval by a paired bootstrap over texts."""
    parts = [counts(each.logits, sample.gold, sample) for each in (first, second)]
    weights = text_weights(sample, seed)
    one, two = ((weights @ hits) / np.maximum(weights @ whole, 1) for hits, whole in parts)
    low, high = np.quantile(two - one, [0.025, 0.975])
    metric = sample.task.primary_metric
    return second.metrics[metric] - first.metrics[metric], (float(low), float(high))


def text_weights(sample: Sample, seed: int, resamples: int = 1000) -> np.ndarray:
    """Return how often each text is in each bootstrap resample: float64 (resamples, texts).

    Texts that differ only in case or white space are drawn together: repeating a text makes nothing surer.
    """
    groups = sample.groups
    count = int(groups.max()) + 1
    drawn = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=resamples)
    return drawn.astype(np.float64)[:, groups]
