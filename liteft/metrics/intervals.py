"""Confidence intervals of one model's metrics.

Accuracy on 872 texts has a standard error of about one point, so a metric means little without an interval. Shares of
texts get Wilson's interval; F1, which is not a mean over texts, gets a bootstrap over texts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from statistics import NormalDist

import numpy as np

from liteft.metrics.scores import f1_of_counts

__all__ = [
    "binomial_tail",
    "bootstrap_interval",
    "f1_intervals",
    "mean_interval",
    "named_intervals",
    "wilson_interval",
]

CHUNK_CELLS = 4_000_000  # bootstrap weights that are held in memory at once


def wilson_interval(successes: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return Wilson's score interval of the share ``successes / n``; (0, 1) if n is 0.

    Raises:
        ValueError: not 0 <= successes <= n.

    Source: Wilson 1927, JASA 22:209.
    """
    if not 0 <= successes <= n:
        raise ValueError(f"{successes} successes in {n}")
    if n == 0:
        return 0.0, 1.0
    z = _normal_quantile(confidence)
    share = successes / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    low = 0.0 if successes == 0 else max(0.0, centre - half)
    high = 1.0 if successes == n else min(1.0, centre + half)
    return low, high


def named_intervals(intervals: Mapping[str, Sequence[float]]) -> dict[str, list[float]]:
    """Return intervals as they are stored beside their metrics: "accuracy_interval" for "accuracy"."""
    return {f"{name}_interval": list(interval) for name, interval in intervals.items()}


def binomial_tail(successes: int, n: int, share: float) -> float:
    """Return the exact probability of ``successes`` or more in ``n`` trials of probability ``share`` each.

    Raises:
        ValueError: not 0 <= successes <= n, or not 0 <= share <= 1.
    """
    if not 0 <= successes <= n or not 0 <= share <= 1:
        raise ValueError(f"{successes} successes in {n} with probability {share}")
    if successes == 0 or share == 1:
        return 1.0
    if share == 0:
        return 0.0
    odds = (math.log(share), math.log1p(-share))
    ways = (math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1) for k in range(successes, n + 1))
    terms = (way + k * odds[0] + (n - k) * odds[1] for k, way in enumerate(ways, start=successes))
    return min(1.0, math.fsum(math.exp(term) for term in terms))


def bootstrap_interval(
    statistic: Callable[..., float],
    *arrays: np.ndarray,
    resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> tuple[float, float]:
    """Return the percentile bootstrap interval of a statistic over texts.

    Args:
        statistic: a function of the resampled arrays.
        arrays: one or more arrays whose first axis is texts; all are resampled with the same rows.
        resamples: number of samples, drawn with replacement.
        confidence: coverage of the interval, between 0 and 1.
        seed: the same seed gives the same interval.

    Raises:
        ValueError: there are no texts, or the arrays differ in length.

    Source: Efron and Tibshirani 1993, An Introduction to the Bootstrap, chapter 13.
    """
    count = len(arrays[0]) if arrays else 0
    if count == 0 or any(len(array) != count for array in arrays):
        raise ValueError("the bootstrap needs arrays of one length, with at least one text")
    generator = np.random.default_rng(seed)
    values = np.empty(resamples)
    for sample in range(resamples):
        rows = generator.integers(0, count, count)
        values[sample] = statistic(*(array[rows] for array in arrays))
    return percentile_interval(values, confidence)


def mean_interval(
    values: np.ndarray,
    *,
    resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
    otherwise: tuple[float, float] | None = None,
) -> tuple[float, float]:
    """Return the bootstrap interval of the mean of texts' values, or of their differences between two models.

    Args:
        values: of the texts, float (texts,).
        resamples, confidence, seed: as for `bootstrap_interval`.
        otherwise: what to widen the interval to where all samples have one mean, as for texts that are all right.

    Raises:
        ValueError: there are no texts.
    """
    if not len(values):
        raise ValueError("there are no texts")
    distinct, counts = np.unique(values, return_counts=True)
    generator = np.random.default_rng(seed)
    chunk = max(1, CHUNK_CELLS // len(distinct))
    means = [
        generator.multinomial(len(values), counts / len(values), size=min(chunk, resamples - start)) @ distinct
        for start in range(0, resamples, chunk)
    ]
    return percentile_interval(np.concatenate(means) / len(values), confidence, otherwise=otherwise)


def f1_intervals(
    gold: np.ndarray,
    predicted: np.ndarray,
    unknown: np.ndarray,
    *,
    resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> dict[str, tuple[float, float]]:
    """Return bootstrap intervals over texts of "micro_f1" and "macro_f1".

    Samples of texts without an error have none either, so all of them have an F1 of 1. An interval of no width would
    promise that there never is an error; in its place is Wilson's, of the share of texts with all labels right. So it
    is for texts that are all wrong.

    Args:
        gold, predicted, unknown: as for `f1_scores`.
        resamples, confidence, seed: as for `bootstrap_interval`.

    Raises:
        ValueError: there are no texts.
    """
    (samples,) = f1_samples(gold, (predicted,), unknown, resamples, seed)
    right = all_labels_right(gold, predicted, unknown)
    bound = wilson_interval(int(right.sum()), len(right), confidence)
    return {name: percentile_interval(values, confidence, otherwise=bound) for name, values in samples.items()}


def all_labels_right(gold: np.ndarray, predicted: np.ndarray, unknown: np.ndarray) -> np.ndarray:
    """Return the texts whose labels are all predicted and no others: bool (texts,); arguments as for `f1_scores`."""
    return np.asarray((gold == predicted).all(axis=1) & ~unknown)


def _normal_quantile(confidence: float) -> float:
    return NormalDist().inv_cdf(0.5 + confidence / 2)


def percentile_interval(
    values: np.ndarray, confidence: float, *, otherwise: tuple[float, float] | None = None
) -> tuple[float, float]:
    """Return the central interval that contains a share ``confidence`` of bootstrap values.

    Args:
        values: of the statistic, float (resamples,).
        confidence: coverage of the interval, between 0 and 1.
        otherwise: what to widen the interval to where all values are the same, which says nothing about their spread.
    """
    low, high = (float(found) for found in np.quantile(values, [0.5 - confidence / 2, 0.5 + confidence / 2]))
    if otherwise is None or np.ptp(values) > 1e-6:  # float32
        return low, high
    return min(low, otherwise[0]), max(high, otherwise[1])


def f1_samples(
    gold: np.ndarray, models: tuple[np.ndarray, ...], unknown: np.ndarray, resamples: int, seed: int
) -> list[dict[str, np.ndarray]]:
    """Return bootstrap samples of F1 for several models, all on the same resampled texts.

    Texts with the same gold and predicted labels are interchangeable, so sampling texts is one multinomial draw over
    the distinct rows: with two labels, over four rows instead of 25,000 texts.

    Args:
        gold, unknown: as for `f1_scores`.
        models: predictions of each model, bool (texts, labels).
        resamples, seed: as for `bootstrap_interval`.

    Returns:
        For each model "micro_f1" and "macro_f1", float (resamples,).

    Raises:
        ValueError: there are no texts.
    """
    if len(gold) == 0:
        raise ValueError("there are no texts to score")
    width = gold.shape[1]
    rows = np.concatenate([unknown[:, None], gold, *models], axis=1)
    packed, counts = np.unique(np.packbits(rows, axis=1), axis=0, return_counts=True)
    distinct = np.unpackbits(packed, axis=1, count=rows.shape[1]).astype(np.float32)
    unknown_rows, gold_rows = distinct[:, 0], distinct[:, 1 : 1 + width]
    generator = np.random.default_rng(seed)
    chunk = max(1, CHUNK_CELLS // len(distinct))
    samples: list[dict[str, list[np.ndarray]]] = [{"micro_f1": [], "macro_f1": []} for _ in models]
    for start in range(0, resamples, chunk):
        size = min(chunk, resamples - start)
        weights = generator.multinomial(len(rows), counts / len(rows), size=size).astype(np.float32)
        for number in range(len(models)):
            predicted_rows = distinct[:, 1 + width * (number + 1) : 1 + width * (number + 2)]
            micro, macro = f1_of_counts(
                weights @ (gold_rows * predicted_rows),
                weights @ gold_rows,
                weights @ predicted_rows,
                weights @ unknown_rows,
            )
            samples[number]["micro_f1"].append(micro)
            samples[number]["macro_f1"].append(macro)
    return [{name: np.concatenate(parts) for name, parts in one.items()} for one in samples]
