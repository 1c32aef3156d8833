"""Learning curves: how a judge improves with labels, and what twice as many labels would add.

A judge is fitted on 1/8, 1/4, 1/2 and all of the texts outside a fold and scores the fold; smaller parts are drawn
several times. The curve is extended by one doubling: in the logit of the metric, the last doubling is repeated. An
inverse power law with a free limit predicts worse, a line through all sizes about as well: `bench/advise.py` has each
predict the largest size from the others. The interval is a bootstrap over texts and draws, times a random factor that
stands for the error of the form: in trials, the bootstrap alone was too sure.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from liteft.advising.judges import Judge, Scored, counts, text_weights
from liteft.advising.sample import FOLDS, Sample

__all__ = ["FITS", "Curve", "CurvePoints", "extrapolate", "learning_curve", "measure_points"]

PARTS = (8, 4, 2)  # 1/8, 1/4 and 1/2 of the texts outside a fold; all of them are the cross-validation itself
_DRAWS = 3
_RESAMPLES = 500
_TRUE, _SPREAD = 0.9, 0.3  # true gains over predicted ones: their mean and standard deviation


@dataclass(frozen=True, slots=True, eq=False)
class CurvePoints:
    """Bootstrap samples of a metric at several numbers of labelled texts.

    Attributes:
        sizes: mean number of texts that the judge was fitted on, ascending.
        values: the metric at each size, shares.
        samples: float64 (resamples, sizes).
    """

    sizes: tuple[int, ...]
    values: tuple[float, ...]
    samples: np.ndarray


@dataclass(frozen=True, slots=True)
class Curve:
    """The learning curve of a judge.

    Attributes:
        name: of the judge.
        sizes: numbers of labelled texts that it was fitted on, ascending.
        values: the primary metric at each size, a share.
        labelled: number of sampled texts, of which folds leave four fifths to fit on.
        now: the metric with all of them, a share, extrapolated.
        gain: what twice as many would add, in shares.
        interval: 95% interval of the gain.
    """

    name: str
    sizes: tuple[int, ...]
    values: tuple[float, ...]
    labelled: int
    now: float
    gain: float
    interval: tuple[float, float]


def learning_curve(name: str, judge: Judge, whole: Scored, sample: Sample, *, seed: int) -> Curve:
    """Return the learning curve of a judge, extended to twice the sampled texts.

    Args:
        name: of the judge.
        judge: fitted on parts of the sample.
        whole: its cross-validated answers.
        sample: the texts.
        seed: of the draws and the bootstrap.
    """
    points = measure_points(judge, whole, sample, seed=seed)
    ahead = (len(sample), 2 * len(sample))
    now, twice = extrapolate(points.sizes, np.array([points.values]), ahead)[0]
    resampled = extrapolate(points.sizes, points.samples, ahead)
    true = np.maximum(np.random.default_rng(seed).normal(_TRUE, _SPREAD, len(resampled)), 0)
    low, high = np.quantile(true * (resampled[:, 1] - resampled[:, 0]), [0.025, 0.975])
    return Curve(
        name=name,
        sizes=points.sizes,
        values=points.values,
        labelled=len(sample),
        now=float(now),
        gain=float(twice - now),
        interval=(float(low), float(high)),
    )


def measure_points(
    judge: Judge, whole: Scored, sample: Sample, *, seed: int, parts: Sequence[int] = PARTS
) -> CurvePoints:
    """Return the primary metric of a judge fitted on parts of the texts outside each fold.

    Args:
        judge, whole, sample, seed: as for ``learning_curve``.
        parts: the parts besides the whole, the smallest first: 8 stands for an eighth.
    """
    random = np.random.default_rng(seed)
    found = np.zeros((len(parts) + 1, _DRAWS, 2, len(sample)))
    sizes = np.zeros(len(parts) + 1)
    for fold in range(FOLDS):
        scored, others = np.flatnonzero(sample.folds == fold), np.flatnonzero(sample.folds != fold)
        if not len(scored):
            continue
        sizes[-1] += len(others) * len(scored) / len(sample)
        for draw in range(_DRAWS):
            order = random.permutation(others)
            for place, part in enumerate(parts):
                fitted = np.sort(order[: max(2, len(others) // part)])
                found[place, draw][:, scored] = counts(judge(fitted, scored), sample.gold[scored], sample)
                sizes[place] += len(fitted) * len(scored) / len(sample) / _DRAWS
    found[-1] = counts(whole.logits, sample.gold, sample)
    weights = np.concatenate([np.ones((1, len(sample))), text_weights(sample, seed, _RESAMPLES)])
    # the metric of each resample of texts, for each size and draw: (resamples + 1, sizes, draws)
    ratios = np.einsum("bt,sdct->bsdc", weights, found, optimize=True)
    metric = ratios[..., 0] / np.maximum(ratios[..., 1], 1)
    values = metric[0].mean(axis=1)
    picked = random.integers(0, _DRAWS, (_RESAMPLES, len(sizes), _DRAWS))
    samples = np.take_along_axis(metric[1:], picked, axis=2).mean(axis=2)
    return CurvePoints(tuple(int(size) for size in sizes.round()), tuple(map(float, values)), samples)


def extrapolate(
    sizes: tuple[int, ...], values: np.ndarray, ahead: tuple[int, ...], *, fit: str = "doubling"
) -> np.ndarray:
    """Return a metric at other sizes, float64 (curves, ahead).

    Args:
        sizes: numbers of labelled texts, ascending.
        values: the metric there, shares, float64 (curves, sizes).
        ahead: the numbers of labelled texts to extend the curves to.
        fit: a key of ``FITS``.
    """
    return FITS[fit](np.asarray(sizes, dtype=np.float64), values, np.asarray(ahead, dtype=np.float64))


def _last_doubling(sizes: np.ndarray, values: np.ndarray, ahead: np.ndarray) -> np.ndarray:
    """The line through the two largest sizes, as below."""
    return _in_logits(sizes[-2:], values[:, -2:], ahead)


def _in_logits(sizes: np.ndarray, values: np.ndarray, ahead: np.ndarray) -> np.ndarray:
    """A line in the logit of the metric over the logarithm of the size, which never falls."""
    bounded = np.clip(values, 1e-3, 1 - 1e-3)
    middle, slope, heights = _line(np.log(sizes), np.log(bounded / (1 - bounded)))
    heights = heights[:, None] + np.maximum(slope, 0)[:, None] * (np.log(ahead) - middle)
    return np.asarray(1 / (1 + np.exp(-heights)))


def _of_power(sizes: np.ndarray, values: np.ndarray, ahead: np.ndarray) -> np.ndarray:
    """The inverse power law a - b * size^-c with a at most 1, b at least 0 and c of a grid; the least squares of it."""
    best = np.full(len(values), np.inf)
    found = np.zeros((len(values), len(ahead)))
    for power in np.arange(0.1, 1.55, 0.1):
        x = sizes**-power
        middle, slope, heights = _line(x, values)
        slope = np.minimum(slope, 0)
        over = heights - slope * middle > 1  # then the limit is 1, and the line goes through it
        slope = np.where(over, np.minimum(((values - 1) * x).sum(axis=1) / (x * x).sum(), 0), slope)
        limit = np.where(over, 1.0, heights - slope * middle)
        loss = ((limit[:, None] + slope[:, None] * x - values) ** 2).sum(axis=1)
        better = loss < best
        best = np.where(better, loss, best)
        found = np.where(better[:, None], limit[:, None] + slope[:, None] * ahead**-power, found)
    return found


def _line(x: np.ndarray, y: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """Return the mean of x, and of each row of y the slope over x and the mean."""
    middle = float(x.mean())
    slope = (y - y.mean(axis=1, keepdims=True)) @ (x - middle) / ((x - middle) ** 2).sum()
    return middle, slope, y.mean(axis=1)


FITS: dict[str, Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]] = {
    "doubling": _last_doubling,
    "logit": _in_logits,
    "power": _of_power,
}
"""The forms of a curve, by name."""
