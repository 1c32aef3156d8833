"""Metrics of scores: how well their order, and their values, are those of the gold scores.

Correlations get a bootstrap over texts. A sample is a weight for each text, the number of times that it was drawn, and
ranks follow from cumulative weights: so no sample has to be sorted.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from liteft.metrics.intervals import percentile_interval

__all__ = [
    "correlation_intervals",
    "mean_correlation_intervals",
    "mean_ranks",
    "paired_correlation_intervals",
    "pearson",
    "spearman",
]

_Z = 1.96  # of the interval where all samples are the same


def mean_ranks(values: np.ndarray) -> np.ndarray:
    """Return the ranks of values, from 1; equal ones have the mean of their ranks: float64 (texts,)."""
    _, group, counts = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(counts) - (counts - 1) / 2)[group])


def pearson(first: np.ndarray, second: np.ndarray) -> float:
    """Return Pearson's correlation of two float arrays (texts,); 0 if one of them is constant."""
    return _correlation(first.astype(np.float64), second.astype(np.float64))


def spearman(first: np.ndarray, second: np.ndarray) -> float:
    """Return Spearman's correlation of two float arrays (texts,), with mean ranks for ties; 0 if one is constant."""
    return pearson(mean_ranks(first), mean_ranks(second))


def correlation_intervals(
    gold: np.ndarray, found: np.ndarray, *, resamples: int = 1000, confidence: float = 0.95, seed: int = 0
) -> dict[str, tuple[float, float]]:
    """Return bootstrap intervals over texts of "spearman" and "pearson".

    Args:
        gold, found: float (texts,), at least one text.
        resamples, confidence, seed: as for ``metrics.bootstrap_interval``.
    """
    return mean_correlation_intervals([(gold, found)], resamples=resamples, confidence=confidence, seed=seed)


def mean_correlation_intervals(
    parts: Sequence[tuple[np.ndarray, np.ndarray]],
    *,
    resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> dict[str, tuple[float, float]]:
    """Return intervals of the means of correlations over parts, by their numbers of texts, which are drawn in each.

    Args:
        parts: gold and found of each, as for ``correlation_intervals``.
        resamples, confidence, seed: as for ``metrics.bootstrap_interval``.
    """
    drawn = [_samples(gold, (found,), resamples, seed + number)[0] for number, (gold, found) in enumerate(parts)]
    weights = [len(gold) for gold, _ in parts]
    means = {name: np.average([samples[name] for samples in drawn], axis=0, weights=weights) for name in drawn[0]}
    return {name: percentile_interval(values, confidence) for name, values in means.items()}


def paired_correlation_intervals(
    gold: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
    *,
    resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> dict[str, tuple[float, float]]:
    """Return intervals of the second model's "spearman" and "pearson" minus the first's, on the same samples of texts.

    If all samples have the same difference, as those of equal models do, the interval is that of two shares of texts
    that are both 1: as many texts can tell no smaller differences apart.

    Args:
        gold, first, second: float (texts,), at least one text.
        resamples, confidence, seed: as for ``metrics.bootstrap_interval``.
    """
    one, other = _samples(gold, (first, second), resamples, seed)
    bound = _Z**2 / (len(gold) + _Z**2)
    return {name: percentile_interval(other[name] - one[name], confidence, otherwise=(-bound, bound)) for name in one}


def _samples(gold: np.ndarray, models: Sequence[np.ndarray], resamples: int, seed: int) -> list[dict[str, np.ndarray]]:
    """Return for each model bootstrap samples of "spearman" and "pearson", float (resamples,), on the same texts."""
    if len(gold) == 0:
        raise ValueError("there are no texts to score")
    generator = np.random.default_rng(seed)
    texts = len(gold)
    values = [each.astype(np.float64) - each.mean(dtype=np.float64) for each in (gold, *models)]
    groups = [np.unique(each, return_inverse=True)[1] for each in values]
    moments = [np.stack([each, each**2, values[0], values[0] ** 2, each * values[0]], axis=1) for each in values[1:]]
    found = [{name: np.empty(resamples) for name in ("spearman", "pearson")} for _ in models]
    for sample in range(resamples):
        weights = np.bincount(generator.integers(0, texts, texts), minlength=texts).astype(np.float64)
        (ranks, spread), *others = (_weighted_ranks(group, weights) for group in groups)
        drawn = weights * ranks
        for each, (other, width), moment in zip(found, others, moments, strict=True):
            each["spearman"][sample] = _ratio(float(drawn @ other), spread * width)
            one, square, two, squared, product = (weights @ moment).tolist()
            variances = max(square - one**2 / texts, 0.0) * max(squared - two**2 / texts, 0.0)
            each["pearson"][sample] = _ratio(product - one * two / texts, variances)
    return found


def _weighted_ranks(group: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, float]:
    """Return the mean ranks of texts that occur ``weights`` times, minus their mean, and the sum of their squares.

    Args:
        group: numbers of the texts' values, the least first.
        weights: whole numbers, which sum to the number of texts.
    """
    counts = np.bincount(group, weights=weights)
    ranks = np.cumsum(counts) - counts / 2 - len(group) / 2
    return np.asarray(ranks[group]), float(counts @ ranks**2)


def _ratio(product: float, variances: float) -> float:
    """Return a correlation from the sum of products and the product of sums of squares; 0 if there is no spread."""
    return min(1.0, max(-1.0, product / variances**0.5)) if variances > 0 else 0.0


def _correlation(first: np.ndarray, second: np.ndarray) -> float:
    one, other = (each - each.mean() for each in (first, second))
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return 0.0
    return _ratio(float(one @ other), float(one @ one) * float(other @ other))
