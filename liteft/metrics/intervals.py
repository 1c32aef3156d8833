"""How sure the numbers are: intervals for one model and paired tests for two.

Accuracy on 872 texts has a standard error of about one point, so a number without an interval says little.
Shares get Wilson's interval; F1, which is no mean over texts, gets a bootstrap over texts. Two models scored on
the same texts are compared in pairs, which is far sharper than comparing their intervals; and two ways
of training are compared over several seeds, where both the texts and the seeds are samples.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from statistics import NormalDist

import numpy as np

from liteft.metrics.scores import Task, correct, decide, f1_of_counts, indicator_rows

__all__ = [
    "Estimate",
    "PairedTest",
    "bootstrap_interval",
    "f1_intervals",
    "macro_f1_interval",
    "mcnemar",
    "paired_f1_intervals",
    "paired_interval_over_seeds",
    "score_intervals",
    "wilson_interval",
]

EXACT_UP_TO = 1000
CHUNK_CELLS = 4_000_000


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value with its confidence interval."""

    value: float
    low: float
    high: float

    @property
    def excludes_zero(self) -> bool:
        """True where the whole interval lies on one side of zero."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True, slots=True)
class PairedTest:
    """McNemar's test of model b against model a on the same texts.

    Attributes:
        b: texts that only model a gets right.
        c: texts that only model b gets right.
        p_value: two-sided, of the hypothesis that both are right equally often.
        difference: share right of model b minus that of model a.
        low, high: its confidence interval.
    """

    b: int
    c: int
    p_value: float
    difference: float
    low: float
    high: float

    def to_dict(self) -> dict[str, float]:
        """Return the fields."""
        return asdict(self)


def wilson_interval(successes: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return Wilson's score interval for a share of ``successes`` in ``n``; (0, 1) when n is 0.

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
        arrays: one or more arrays whose first axis is texts; resampled together, so pairs stay pairs.
        resamples: how many samples with replacement.
        confidence: between 0 and 1.
        seed: the same seed gives the same interval.

    Raises:
        ValueError: no texts, or arrays of different length.

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
    return _percentiles(values, confidence)


def f1_intervals(
    logits: np.ndarray,
    labels: np.ndarray,
    *,
    task: Task,
    foreign: np.ndarray | None = None,
    threshold: float | np.ndarray = 0.5,
    resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> dict[str, tuple[float, float]]:
    """Return bootstrap intervals over texts of "micro_f1" and "macro_f1"; arguments as in `metrics.score`."""
    (samples,) = _f1_samples((logits,), labels, task, foreign, threshold, resamples, seed)
    return {name: _percentiles(values, confidence) for name, values in samples.items()}


def macro_f1_interval(
    logits: np.ndarray,
    labels: np.ndarray,
    *,
    task: Task,
    foreign: np.ndarray | None = None,
    resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> tuple[float, float]:
    """Return the bootstrap interval over texts of macro F1; arguments as in `metrics.score`."""
    return f1_intervals(
        logits, labels, task=task, foreign=foreign, resamples=resamples, confidence=confidence, seed=seed
    )["macro_f1"]


def paired_f1_intervals(
    logits_a: np.ndarray,
    logits_b: np.ndarray,
    labels: np.ndarray,
    *,
    task: Task,
    foreign: np.ndarray | None = None,
    threshold: float | np.ndarray = 0.5,
    resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> dict[str, tuple[float, float]]:
    """Return intervals of the difference, model b minus model a, in "micro_f1" and "macro_f1".

    Both models are scored on the same resampled texts (paired bootstrap).
    """
    first, second = _f1_samples((logits_a, logits_b), labels, task, foreign, threshold, resamples, seed)
    return {name: _percentiles(second[name] - first[name], confidence) for name in first}


def score_intervals(
    logits: np.ndarray,
    labels: np.ndarray,
    *,
    task: Task,
    foreign: np.ndarray | None = None,
    threshold: float | np.ndarray = 0.5,
    resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> dict[str, tuple[float, float]]:
    """Return intervals by metric: accuracy and macro_f1, or exact_match, micro_f1 and macro_f1.

    Arguments as in `metrics.score`. Shares are Wilson's, F1 a bootstrap over texts.
    """
    right = correct(logits, labels, task=task, foreign=foreign, threshold=threshold)
    share = wilson_interval(int(right.sum()), len(right), confidence)
    f1 = f1_intervals(
        logits,
        labels,
        task=task,
        foreign=foreign,
        threshold=threshold,
        resamples=resamples,
        confidence=confidence,
        seed=seed,
    )
    if task == "single_label":
        return {"accuracy": share, "macro_f1": f1["macro_f1"]}
    return {"exact_match": share} | f1


def mcnemar(correct_a: np.ndarray, correct_b: np.ndarray, confidence: float = 0.95) -> PairedTest:
    """Compare two models on the same texts.

    The p-value is the exact binomial one up to 1000 texts on which the models differ, above that the chi-square
    one with continuity correction. The interval of the difference is Newcombe's.

    Args:
        correct_a: bool, shape (texts,), where model a is right.
        correct_b: the same of model b.
        confidence: of the interval.

    Raises:
        ValueError: shapes that differ, or no texts.

    Source: McNemar 1947, Psychometrika 12:153; Newcombe 1998, Statistics in Medicine 17:2635, method 10.
    """
    if correct_a.shape != correct_b.shape or correct_a.ndim != 1 or len(correct_a) == 0:
        raise ValueError(f"a paired test of shapes {correct_a.shape} and {correct_b.shape}")
    first, second = correct_a.astype(bool), correct_b.astype(bool)
    only_a, only_b = int((first & ~second).sum()), int((second & ~first).sum())
    both, neither = int((first & second).sum()), int((~first & ~second).sum())
    low, high = _newcombe(both, only_b, only_a, neither, confidence)
    return PairedTest(
        b=only_a,
        c=only_b,
        p_value=_mcnemar_p(only_a, only_b),
        difference=(only_b - only_a) / len(first),
        low=low,
        high=high,
    )


def paired_interval_over_seeds(
    correct_a: Sequence[np.ndarray] | np.ndarray,
    correct_b: Sequence[np.ndarray] | np.ndarray,
    *,
    resamples: int = 10_000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Estimate:
    """Compare two ways of training, each run with several seeds and scored on the same texts.

    Args:
        correct_a: where the runs of side a are right: (seeds, texts), bool or any score a text.
        correct_b: the same of side b; the number of seeds may differ, the texts must be the same.
        resamples, confidence, seed: of the bootstrap.

    Returns:
        Mean share right of b minus that of a, with its interval.

    Raises:
        ValueError: no runs, no texts, or different numbers of texts.
    """
    raise NotImplementedError


def _normal_quantile(confidence: float) -> float:
    return NormalDist().inv_cdf(0.5 + confidence / 2)


def _percentiles(values: np.ndarray, confidence: float) -> tuple[float, float]:
    low, high = np.quantile(values, [0.5 - confidence / 2, 0.5 + confidence / 2])
    return float(low), float(high)


def _mcnemar_p(b: int, c: int) -> float:
    differing = b + c
    if differing == 0:
        return 1.0
    if differing > EXACT_UP_TO:
        statistic = max(abs(b - c) - 1, 0) ** 2 / differing
        return math.erfc(math.sqrt(statistic / 2))
    tail = sum(math.comb(differing, k) for k in range(min(b, c) + 1))
    return min(1.0, 2 * tail / 2**differing)


def _newcombe(both: int, first: int, second: int, neither: int, confidence: float) -> tuple[float, float]:
    """Interval of share(both + first) - share(both + second)."""
    n = both + first + second + neither
    share_1, share_2 = (both + first) / n, (both + second) / n
    low_1, high_1 = wilson_interval(both + first, n, confidence)
    low_2, high_2 = wilson_interval(both + second, n, confidence)
    spread = math.sqrt((both + first) * (second + neither) * (both + second) * (first + neither))
    product = both * neither - first * second
    if product > 0:
        product = max(product - n / 2, 0)
    phi = product / spread if spread else 0.0

    def half(one: float, other: float) -> float:
        return math.sqrt(max(one * one - 2 * phi * one * other + other * other, 0.0))

    difference = share_1 - share_2
    low = difference - half(share_1 - low_1, high_2 - share_2)
    high = difference + half(share_2 - low_2, high_1 - share_1)
    return max(low, -1.0), min(high, 1.0)


def _f1_samples(
    models: tuple[np.ndarray, ...],
    labels: np.ndarray,
    task: Task,
    foreign: np.ndarray | None,
    threshold: float | np.ndarray,
    resamples: int,
    seed: int,
) -> list[dict[str, np.ndarray]]:
    """Bootstrap samples of micro and macro F1, (resamples,), of several models on the same resampled texts.

    Texts with the same gold and predicted labels are interchangeable, so sampling texts is one multinomial draw over
    the distinct rows: four of them instead of 25,000 texts for two labels.
    """
    if len(labels) == 0:
        raise ValueError("there are no texts to score")
    columns = []
    for logits in models:
        decisions = decide(logits, task, threshold)
        gold, predicted, unknown = indicator_rows(
            decisions, labels, task=task, count=logits.shape[1], foreign=foreign
        )
        columns.append(predicted)
    width = gold.shape[1]
    rows = np.concatenate([unknown[:, None], gold, *columns], axis=1)
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
