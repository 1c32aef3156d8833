"""How good predictions are: decisions from logits, and the numbers computed from them.

Everything takes raw logits, because the two tasks decide differently: one label a text is the largest logit,
several labels a text are those whose sigmoid passes a threshold. Rows whose gold label was unknown in
training are never dropped: no prediction can be right for them, and they count as wrong.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from liteft.errors import ModelError

__all__ = [
    "Task",
    "agreement",
    "calibration_error",
    "correct",
    "decide",
    "f1_scores",
    "log_loss",
    "majority_share",
    "primary_metric",
    "score",
    "sigmoid",
    "softmax",
]

Task = Literal["single_label", "multi_label"]


def softmax(logits: np.ndarray) -> np.ndarray:
    """Return probabilities over the last axis; same shape, in float64 if given so and else float32."""
    values = _floating(logits)
    exponents = np.exp(values - values.max(axis=-1, keepdims=True))
    return np.asarray(exponents / exponents.sum(axis=-1, keepdims=True))


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """Return 1 / (1 + exp(-logits)) without overflow; same shape, float32 or float64 as given."""
    values = _floating(logits)
    exponents = np.exp(-np.abs(values))
    return np.asarray(np.where(values >= 0, 1, exponents) / (1 + exponents), dtype=values.dtype)


def decide(logits: np.ndarray, task: Task, threshold: float | np.ndarray = 0.5) -> np.ndarray:
    """Return the labels that the logits choose.

    Args:
        logits: float, shape (texts, labels).
        task: "single_label" or "multi_label".
        threshold: multi-label only: the sigmoid must be larger; one number, or shape (labels,).

    Returns:
        single_label: int64, shape (texts,), the first of equal logits; multi_label: bool, (texts, labels).
    """
    _check_logits(logits)
    if task == "single_label":
        return np.asarray(np.argmax(logits, axis=1), dtype=np.int64)
    return np.asarray(sigmoid(logits) > threshold)


def correct(
    logits: np.ndarray,
    labels: np.ndarray,
    *,
    task: Task,
    foreign: np.ndarray | None = None,
    threshold: float | np.ndarray = 0.5,
) -> np.ndarray:
    """Return which texts are wholly right: bool, shape (texts,).

    Args:
        logits: float, shape (texts, labels).
        labels: int64 (texts,), -1 for a label unknown in training; or bool (texts, labels).
        task: "single_label" or "multi_label" (there, every label of the text must be right).
        foreign: bool (texts,): rows with a label unknown in training; never right.
        threshold: as in `decide`.

    Raises:
        ValueError: the shapes do not fit together.
    """
    _check_labels(logits, labels, task, foreign)
    decisions = decide(logits, task, threshold)
    right = decisions == labels if task == "single_label" else (decisions == labels).all(axis=1)
    return np.asarray(right if foreign is None else right & ~foreign)


def score(
    logits: np.ndarray,
    labels: np.ndarray,
    *,
    task: Task,
    foreign: np.ndarray | None = None,
    threshold: float | np.ndarray = 0.5,
) -> dict[str, float]:
    """Return all metrics of a set of predictions, each a share between 0 and 1 except log_loss (nats).

    Arguments are those of `correct`.

    Returns:
        single_label: accuracy, macro_f1, log_loss (over rows with a known label; absent if there are none),
        calibration_error. multi_label: exact_match, micro_f1, macro_f1, label_accuracy, calibration_error.

    Raises:
        ValueError: no texts, or shapes that do not fit together.
        ModelError: logits that are not finite.
    """
    _check_labels(logits, labels, task, foreign)
    if len(logits) == 0:
        raise ValueError("there are no texts to score")
    broken = int((~np.isfinite(logits)).any(axis=1).sum())
    if broken:
        raise ModelError(
            f"the model's logits are not finite for {broken} of {len(logits)} texts.",
            fix="lower the learning rate, or train in fp32",
        )
    right = correct(logits, labels, task=task, foreign=foreign, threshold=threshold)
    decisions = decide(logits, task, threshold)
    micro, macro = f1_scores(decisions, labels, task=task, count=logits.shape[1], foreign=foreign)
    if task == "multi_label":
        return {
            "exact_match": float(right.mean()),
            "micro_f1": micro,
            "macro_f1": macro,
            "label_accuracy": float((decisions == labels).mean()),
            "calibration_error": calibration_error(sigmoid(logits), labels),
        }
    known = labels >= 0 if foreign is None else (labels >= 0) & ~foreign
    metrics = {"accuracy": float(right.mean()), "macro_f1": macro}
    if known.any():
        metrics["log_loss"] = log_loss(logits[known], labels[known])
    gold = np.where(known, labels, -1)
    return metrics | {"calibration_error": calibration_error(softmax(logits), gold)}


def primary_metric(task: Task) -> str:
    """Return the metric that choices are made by: "accuracy", or "micro_f1" for multi_label."""
    return "accuracy" if task == "single_label" else "micro_f1"


def log_loss(logits: np.ndarray, labels: np.ndarray) -> float:
    """Return the mean negative log-likelihood in nats; logits (texts, labels), labels int64 (texts,)."""
    values = logits.astype(np.float64)
    top = values.max(axis=1)
    normalizer = top + np.log(np.exp(values - top[:, None]).sum(axis=1))
    return float((normalizer - values[np.arange(len(labels)), labels]).mean())


def f1_scores(
    decisions: np.ndarray, labels: np.ndarray, *, task: Task, count: int, foreign: np.ndarray | None = None
) -> tuple[float, float]:
    """Return micro F1 and macro F1.

    Macro F1 is the mean over the labels that stand in the gold labels or in the predictions; a label in
    neither has no F1. A row with an unknown label adds one false negative to the micro count, and what was
    predicted for it counts as false positive (single_label) or is compared as usual (multi_label).

    Args:
        decisions: as `decide` returns them.
        labels: int64 (texts,), -1 for unknown; or bool (texts, labels).
        task: "single_label" or "multi_label".
        count: number of labels of the model.
        foreign: bool (texts,), or None.
    """
    gold, predicted, unknown = indicator_rows(decisions, labels, task=task, count=count, foreign=foreign)
    micro, macro = f1_of_counts(
        (gold & predicted).sum(axis=0)[None],
        gold.sum(axis=0)[None],
        predicted.sum(axis=0)[None],
        np.array([unknown.sum()]),
    )
    return float(micro[0]), float(macro[0])


def indicator_rows(
    decisions: np.ndarray, labels: np.ndarray, *, task: Task, count: int, foreign: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return gold and predicted labels as bool (texts, labels), and which rows lack one: bool (texts,)."""
    unknown = np.zeros(len(labels), dtype=bool) if foreign is None else foreign.astype(bool)
    if task == "multi_label":
        return labels.astype(bool), decisions.astype(bool), unknown
    unknown = unknown | (labels < 0)
    names = np.arange(count)
    return (labels[:, None] == names) & ~unknown[:, None], decisions[:, None] == names, unknown


def f1_of_counts(
    hits: np.ndarray, gold: np.ndarray, predicted: np.ndarray, unknown: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return micro and macro F1, each (samples,), of counts (samples, labels) and unknown (samples,).

    F1 = 2 hits / (gold + predicted), which equals the harmonic mean of precision and recall; 0 where a sample
    has nothing to count.
    """
    sizes = gold + predicted
    each = np.divide(2.0 * hits, sizes, out=np.zeros(sizes.shape), where=sizes > 0)
    present = (sizes > 0).sum(axis=1)
    macro = each.sum(axis=1) / np.maximum(present, 1)
    micro = 2.0 * hits.sum(axis=1) / np.maximum(sizes.sum(axis=1) + unknown, 1)
    return micro, macro


def calibration_error(probabilities: np.ndarray, labels: np.ndarray, bins: int = 15) -> float:
    """Return the expected calibration error over equal-width bins (m / bins, (m + 1) / bins].

    With int labels (texts,) the confidence is the largest probability of the text and -1 is never right; with
    bool labels (texts, labels) every cell is one prediction and its confidence the probability itself.

    Args:
        probabilities: shape (texts, labels).
        labels: int (texts,) or bool (texts, labels).
        bins: how many.

    Raises:
        ValueError: no texts, or shapes that do not fit together.

    Source: Guo et al. 2017, section 2, arXiv:1706.04599.
    """
    if len(probabilities) == 0 or len(probabilities) != len(labels):
        raise ValueError(f"{len(probabilities)} rows of probabilities and {len(labels)} of labels")
    if labels.ndim == 2:
        confidence, right = probabilities.ravel(), labels.ravel()
    else:
        confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    confidence = confidence.astype(np.float64)
    edges = np.linspace(0, 1, bins + 1)
    index = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, bins - 1)
    gaps = np.bincount(index, weights=right - confidence, minlength=bins)
    return float(np.abs(gaps).sum() / len(confidence))


def agreement(logits_a: np.ndarray, logits_b: np.ndarray, task: Task, threshold: float | np.ndarray = 0.5) -> float:
    """Return the share of texts for which both models decide the same (multi_label: on every label).

    Raises:
        ValueError: the shapes differ, or there are no texts.
    """
    if logits_a.shape != logits_b.shape or len(logits_a) == 0:
        raise ValueError(f"logits of shapes {logits_a.shape} and {logits_b.shape}")
    same = decide(logits_a, task, threshold) == decide(logits_b, task, threshold)
    return float((same if same.ndim == 1 else same.all(axis=1)).mean())


def majority_share(labels: np.ndarray, *, task: Task) -> float:
    """Return the share of texts that the best constant answer gets wholly right.

    Args:
        labels: int64 (texts,), where -1 is never right; or bool (texts, labels).
        task: "single_label" or "multi_label" (the most frequent set of labels).
    """
    if len(labels) == 0:
        return 0.0
    known = labels[labels >= 0] if task == "single_label" else labels
    _, counts = np.unique(known, axis=0, return_counts=True)
    return float(counts.max(initial=0) / len(labels))


def _floating(values: np.ndarray) -> np.ndarray:
    return values if values.dtype in (np.float32, np.float64) else values.astype(np.float32)


def _check_logits(logits: np.ndarray) -> None:
    if logits.ndim != 2 or logits.shape[1] == 0:
        raise ValueError(f"logits must have shape (texts, labels), not {logits.shape}")


def _check_labels(logits: np.ndarray, labels: np.ndarray, task: Task, foreign: np.ndarray | None) -> None:
    _check_logits(logits)
    expected = logits.shape if task == "multi_label" else logits.shape[:1]
    if labels.shape != expected:
        raise ValueError(f"{task} logits of shape {logits.shape} need labels of shape {expected}, not {labels.shape}")
    if task == "single_label" and len(labels) and int(labels.max()) >= logits.shape[1]:
        raise ValueError(f"label {int(labels.max())} is beyond the model's {logits.shape[1]} labels")
    if foreign is not None and foreign.shape != logits.shape[:1]:
        raise ValueError(f"foreign must have shape {logits.shape[:1]}, not {foreign.shape}")
