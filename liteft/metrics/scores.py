"""Probabilities from logits, and metrics of predictions.

`liteft.tasks` applies them to the labels of each task. Rows whose gold label was unknown in training are never
dropped: no prediction can be right for them, so they count as wrong.
"""

from __future__ import annotations

import numpy as np

__all__ = [
    "binary_log_loss",
    "calibration_error",
    "f1_scores",
    "log_loss",
    "micro_f1_contributions",
    "reliability_bins",
    "sigmoid",
    "softmax",
]


def softmax(logits: np.ndarray) -> np.ndarray:
    """Return probabilities over the last axis; same shape, float64 for float64 logits and float32 otherwise."""
    values = _floating(logits)
    exponents = np.exp(values - values.max(axis=-1, keepdims=True))
    return np.asarray(exponents / exponents.sum(axis=-1, keepdims=True))


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """Return 1 / (1 + exp(-logits)) without overflow; same shape, float64 for float64 logits and float32 otherwise."""
    values = _floating(logits)
    exponents = np.exp(-np.abs(values))
    return np.asarray(np.where(values >= 0, 1, exponents) / (1 + exponents), dtype=values.dtype)


def log_loss(logits: np.ndarray, labels: np.ndarray) -> float:
    """Return the mean negative log-likelihood in nats.

    Args:
        logits: float (texts, labels).
        labels: int64 (texts,), each between 0 and labels - 1.
    """
    values = logits.astype(np.float64)
    top = values.max(axis=1)
    normalizer = top + np.log(np.exp(values - top[:, None]).sum(axis=1))
    return float((normalizer - values[np.arange(len(labels)), labels]).mean())


def binary_log_loss(logits: np.ndarray, labels: np.ndarray) -> float:
    """Return the mean negative log-likelihood in nats of independent labels, over texts and labels.

    Args:
        logits: float (texts, labels).
        labels: bool (texts, labels).
    """
    values = logits.astype(np.float64)
    return float((np.logaddexp(0, values) - values * labels).mean())


def f1_scores(gold: np.ndarray, predicted: np.ndarray, unknown: np.ndarray) -> tuple[float, float]:
    """Return micro F1 and macro F1.

    Macro F1 is the mean over the labels that occur in the gold labels or in the predictions, since the F1 of a label in
    neither is undefined. A row with an unknown label adds one false negative to the micro counts, and its predictions
    count like any others.

    Args:
        gold, predicted: bool (texts, labels).
        unknown: bool (texts,), whether the row has a label that the model cannot predict.
    """
    micro, macro = f1_of_counts(
        (gold & predicted).sum(axis=0)[None],
        gold.sum(axis=0)[None],
        predicted.sum(axis=0)[None],
        np.array([unknown.sum()]),
    )
    return float(micro[0]), float(macro[0])


def micro_f1_contributions(gold: np.ndarray, predicted: np.ndarray, unknown: np.ndarray) -> np.ndarray:
    """Return for each text its part in micro F1: float64 (texts,), with micro F1 as their mean.

    Micro F1 is a ratio of two sums over texts. These are its linear approximation around the two sums, so that the
    variance of their mean is that of micro F1, and runs are compared by them as by texts that are right or wrong.

    Args:
        gold, predicted, unknown: as for `f1_scores`.

    Source: Cochran 1977, Sampling Techniques, section 2.11 (the variance of a ratio).
    """
    return ratio_contributions(2.0 * (gold & predicted).sum(axis=1), gold.sum(axis=1) + predicted.sum(axis=1) + unknown)


def ratio_contributions(parts: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Return each text's part in the ratio of two sums over texts: float64 (texts,), with the ratio as their mean.

    Args:
        parts, sizes: what the texts add to the numerator and to the denominator, (texts,).
    """
    total = max(1, int(sizes.sum()))
    ratio = parts.sum() / total
    return np.asarray(ratio + len(parts) * (parts - ratio * sizes) / total)


def f1_of_counts(
    hits: np.ndarray, gold: np.ndarray, predicted: np.ndarray, unknown: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return micro and macro F1 from counts, each of shape (samples,).

    F1 = 2 hits / (gold + predicted), which equals the harmonic mean of precision and recall; 0 if all counts are 0.

    Args:
        hits: number of texts with the label both in gold and predicted, (samples, labels).
        gold, predicted: number of texts with the label in gold, or predicted, (samples, labels).
        unknown: number of texts with a label that the model cannot predict, (samples,).
    """
    sizes = gold + predicted
    each = np.divide(2.0 * hits, sizes, out=np.zeros(sizes.shape), where=sizes > 0)
    present = (sizes > 0).sum(axis=1)
    macro = each.sum(axis=1) / np.maximum(present, 1)
    micro = 2.0 * hits.sum(axis=1) / np.maximum(sizes.sum(axis=1) + unknown, 1)
    return micro, macro


def calibration_error(probabilities: np.ndarray, labels: np.ndarray, bins: int = 15) -> float:
    """Return the expected calibration error over equal-width bins (m / bins, (m + 1) / bins].

    With int labels, the confidence of a text is its largest probability, and the label -1 is never right. With bool
    labels, every cell counts as one prediction whose confidence is the probability itself.

    Args:
        probabilities: float (texts, labels).
        labels: int (texts,) or bool (texts, labels).
        bins: number of bins.

    Raises:
        ValueError: there are no texts, or the numbers of rows differ.

    Source: Guo et al. 2017, section 2, arXiv:1706.04599.
    """
    confidence, right, index = _in_bins(probabilities, labels, bins)
    gaps = np.bincount(index, weights=right - confidence, minlength=bins)
    return float(np.abs(gaps).sum() / len(confidence))


def reliability_bins(
    probabilities: np.ndarray, labels: np.ndarray, bins: int = 15
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return what a reliability diagram shows, over the bins of `calibration_error`, whose arguments it takes.

    Returns:
        The number of predictions in each bin, int64 (bins,); their mean confidence and the share that is right, float64
        (bins,), NaN in empty bins.
    """
    confidence, right, index = _in_bins(probabilities, labels, bins)
    counts = np.bincount(index, minlength=bins)
    sums = [np.bincount(index, weights=each, minlength=bins) for each in (confidence, right)]
    means = [np.where(counts > 0, each / np.maximum(counts, 1), np.nan) for each in sums]
    return counts, means[0], means[1]


def _in_bins(probabilities: np.ndarray, labels: np.ndarray, bins: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return each prediction's confidence, whether it is right, and its bin."""
    if len(probabilities) == 0 or len(probabilities) != len(labels):
        raise ValueError(f"{len(probabilities)} rows of probabilities and {len(labels)} of labels")
    if labels.ndim == 2:
        confidence, right = probabilities.ravel(), labels.ravel()
    else:
        confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    confidence = confidence.astype(np.float64)
    edges = np.linspace(0, 1, bins + 1)
    return confidence, right, np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, bins - 1)


def _floating(values: np.ndarray) -> np.ndarray:
    return values if values.dtype in (np.float32, np.float64) else values.astype(np.float32)
