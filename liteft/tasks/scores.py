"""The scores task: a text, or a pair of texts, has a number; similarity, relevance, quality.

A model has one logit for a text. Its score is the logit itself or, where all scores to learn are from 0 to 1, the
sigmoid of the logit. Scores are near to others or far from them, not right or wrong, so models are compared by
correlations alone, and two models give the same score to a text where theirs are a fifth of a standard deviation apart
or less.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Self

import numpy as np

from liteft.metrics import (
    bootstrap_interval,
    correlation_intervals,
    mean_correlation_intervals,
    mean_ranks,
    paired_correlation_intervals,
    pearson,
    query_metrics,
    sigmoid,
    spearman,
)
from liteft.ragged import Ragged
from liteft.tasks.base import Answer, Interval, Judged, Task, Threshold, check_logits, need_shape

__all__ = ["SCORES"]

_NEAR = 0.2  # standard deviations: two such models correlate at .98 or more
_UNKNOWN = "(unknown)"


class Scores(Task):
    """A text has a score; label arrays are float64 (texts,), NaN for an unknown one, which no metric counts.

    Attributes:
        mean, spread: of the scores in train, in whose units a model without activation learns; 0 and 1 until a data set
            is known.
    """

    name = "scores"
    description = "a score for every text"
    several = False
    numeric = True
    judged_by_difference = True
    alike = "score that differs from the model's by a fifth of the standard deviation at most"
    fewest_labels = 1
    label_dtype = np.float64
    activation: Literal["softmax", "sigmoid", "none"] = "none"
    primary_metric = "spearman"
    text_metric = "spearman"
    headline_metrics = ("spearman", "pearson")
    judged_by = ("spearman", "pearson")
    metrics = (*headline_metrics, "rmse", "mae")
    metrics_in_units = ("rmse", "mae")
    metrics_of_queries = ("ndcg_10", "mrr")
    paired_units = ""
    columns = {"prediction": "number"}  # noqa: RUF012
    mean: float = 0.0
    spread: float = 1.0
    _suited = False

    @property
    def problem_type(self) -> str:
        """What transformers calls it."""
        return "regression"

    def activated(self, name: str) -> Self:
        if name not in ("none", "sigmoid"):
            raise ValueError(f"scores have the activation none or sigmoid, not {name}")
        found = type(self)()
        found.__dict__.update(self.__dict__)
        found.activation = "sigmoid" if name == "sigmoid" else "none"
        return found

    def suited(self, labels: np.ndarray) -> Self:
        known = labels[self.known(labels)]
        if self._suited or not len(known):
            return self
        whole = known.min() >= 0 and known.max() <= 1
        found = self.activated("sigmoid" if whole else "none")
        if not whole:
            found.mean, found.spread = float(known.mean()), float(known.std()) or 1.0
        found._suited = True
        return found

    # Labels

    def check_names(self, names: Sequence[str]) -> None:
        if len(names) != 1:
            raise ValueError(f"a list of {len(names)} values, but each text has one score")

    def encode_labels(self, rows: Sequence[tuple[str, ...]], index: Mapping[str, int]) -> np.ndarray:
        return np.fromiter((float(row[0]) if row else math.nan for row in rows), dtype=np.float64, count=len(rows))

    def names_of(self, row: Any, labels: Sequence[str]) -> tuple[str, ...]:
        value = float(row)
        return (_UNKNOWN if math.isnan(value) else f"{value:.6g}",)

    def without_labels(self, texts: int, labels: int, words: Ragged | None = None) -> np.ndarray:
        return np.full(texts, math.nan)

    def known(self, labels: np.ndarray) -> np.ndarray:
        return np.asarray(~np.isnan(labels))

    def bare(self, labels: np.ndarray) -> np.ndarray:
        return np.zeros(len(labels), dtype=bool)

    def counts(self, labels: np.ndarray, count: int) -> np.ndarray:
        return np.array([np.count_nonzero(self.known(labels))], dtype=np.int64)

    def label_count(self, labels: np.ndarray) -> int:
        return 1

    def misfit(self, labels: np.ndarray, count: int) -> str:
        return "" if count == 1 else "one score for each text"

    def relabel(self, labels: np.ndarray, place: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray | None]:
        return labels, None

    def indicators(self, labels: np.ndarray, count: int) -> np.ndarray:
        return self.known(labels)[:, None]

    # Answers

    def probabilities(self, logits: np.ndarray) -> np.ndarray:
        """Return the scores of logits, same shape: they are no probabilities where there is no activation."""
        return sigmoid(logits) if self.activation == "sigmoid" else np.asarray(logits)

    def choose(self, scores: np.ndarray, threshold: Threshold) -> np.ndarray:
        return np.asarray(scores[:, 0])

    def decide(self, logits: np.ndarray, threshold: Threshold = 0.5) -> np.ndarray:
        check_logits(logits)
        return self.choose(self.probabilities(logits), threshold)

    def same(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Return for which texts the scores are a fifth of the standard deviation apart or less: bool (texts,).

        The deviation is the first scores'; of a single text it is the score itself.
        """
        known = first[self.known(first)].astype(np.float64)
        spread = float(known.std()) if len(known) > 1 else float(np.abs(known).sum())
        return np.asarray(np.abs(first - second) <= _NEAR * spread)

    def cells(self, answer: Answer) -> list[Any]:
        return [answer.score]

    def chance_loss(self, labels: int) -> float:
        """Return the loss of the same score for every text: of the mean, in the units of training, or of 0.5."""
        return math.log(2) if self.activation == "sigmoid" else 1.0

    # Numbers

    def score(
        self,
        logits: np.ndarray,
        labels: np.ndarray,
        *,
        unseen_label: np.ndarray | None = None,
        threshold: Threshold = 0.5,
    ) -> dict[str, float]:
        gold, found = self._known(logits, labels, unseen_label)
        return {
            "spearman": spearman(gold, found),
            "pearson": pearson(gold, found),
            "rmse": float(np.sqrt(np.mean((found - gold) ** 2))),
            "mae": float(np.abs(found - gold).mean()),
        }

    def score_queries(
        self, logits: np.ndarray, labels: np.ndarray, queries: Sequence[str]
    ) -> tuple[dict[str, float], dict[str, Interval]]:
        known = self.known(labels)
        asked = [queries[row] for row in np.flatnonzero(known).tolist()]
        found = query_metrics(labels[known], self.decide(logits)[known].astype(np.float64), asked)
        found = {name: values for name, values in found.items() if len(values)}
        intervals = {name: bootstrap_interval(lambda each: float(each.mean()), each) for name, each in found.items()}
        return {name: float(values.mean()) for name, values in found.items()}, intervals

    def correct(
        self,
        logits: np.ndarray,
        labels: np.ndarray,
        *,
        unseen_label: np.ndarray | None = None,
        threshold: Threshold = 0.5,
    ) -> np.ndarray:
        raise ValueError("scores are near or far, not right or wrong")

    def contributions(
        self, logits: np.ndarray, labels: np.ndarray, *, unseen_label: np.ndarray | None = None
    ) -> np.ndarray:
        gold, found = (_standard(mean_ranks(each)) for each in self._known(logits, labels, unseen_label))
        parts = np.zeros(len(labels))
        parts[self.known(labels)] = gold * found * len(labels) / len(gold)
        return parts

    def judge_folds(self, parts: Sequence[tuple[np.ndarray, np.ndarray]]) -> Judged:
        """Return the judgement of folds; correlations are their means over folds, by their numbers of texts.

        Two models' scores may be apart by more than the texts of one are, so a correlation over both says little.
        """
        errors = self.score(*(np.concatenate([part[place] for part in parts]) for place in (0, 1)))
        known = [self._known(logits, labels, None) for logits, labels in parts]
        each = [self.score(logits, labels) for logits, labels in parts]
        weights = [len(gold) for gold, _ in known]
        means = {name: float(np.average([one[name] for one in each], weights=weights)) for name in self.judged_by}
        contributions = np.concatenate([self.contributions(logits, labels) for logits, labels in parts])
        return Judged(errors | means, mean_correlation_intervals(known), contributions)

    def primary_difference(
        self, first: np.ndarray, second: np.ndarray, labels: np.ndarray, *, unseen_label: np.ndarray | None = None
    ) -> Interval | None:
        return self.paired_f1_intervals(first, second, labels, unseen_label=unseen_label)[self.primary_metric]

    def intervals(
        self,
        logits: np.ndarray,
        labels: np.ndarray,
        *,
        unseen_label: np.ndarray | None = None,
        threshold: Threshold = 0.5,
        **bootstrap: Any,
    ) -> dict[str, Interval]:
        return correlation_intervals(*self._known(logits, labels, unseen_label), **bootstrap)

    def f1_intervals(
        self,
        logits: np.ndarray,
        labels: np.ndarray,
        *,
        unseen_label: np.ndarray | None = None,
        threshold: Threshold = 0.5,
        **bootstrap: Any,
    ) -> dict[str, Interval]:
        """Return the same as `intervals`: scores have no F1."""
        return self.intervals(logits, labels, unseen_label=unseen_label, **bootstrap)

    def paired_f1_intervals(
        self,
        first: np.ndarray,
        second: np.ndarray,
        labels: np.ndarray,
        *,
        unseen_label: np.ndarray | None = None,
        threshold: Threshold = 0.5,
        **bootstrap: Any,
    ) -> dict[str, Interval]:
        """Return intervals of the second model's "spearman" and "pearson" minus the first's; see the base."""
        gold, one = self._known(first, labels, unseen_label)
        _, other = self._known(second, labels, unseen_label)
        return paired_correlation_intervals(gold, one, other, **bootstrap)

    def calibration_error(self, logits: np.ndarray, labels: np.ndarray) -> float:
        """Return NaN: scores are not compared with frequencies."""
        return math.nan

    def majority_share(self, labels: np.ndarray) -> float:
        """Return NaN: no constant score is right."""
        return math.nan

    def blind(self, labels: np.ndarray, count: int) -> float:
        return 0.0

    def mean_logits(self, parts: Sequence[np.ndarray]) -> np.ndarray:
        """Return the means of several models' logits, float32 (texts, 1)."""
        return np.asarray(np.mean([part.astype(np.float64) for part in parts], axis=0), dtype=np.float32)

    def divergence(self, reference: np.ndarray, logits: np.ndarray) -> float:
        """Return the mean squared difference in variances of the reference; infinite if logits are not finite."""
        if not np.isfinite(logits).all():
            return math.inf
        square = (reference.astype(np.float64) - logits) ** 2
        return float(square.mean() / max(float(reference.var()), 1e-12)) if len(reference) else 0.0

    # Parts of the methods above

    def _known(
        self, logits: np.ndarray, labels: np.ndarray, unseen_label: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the gold and the predicted scores of texts with a known one, float64 (known,)."""
        self.check_scored(logits, labels, unseen_label)
        known = self.known(labels)
        if not known.any():
            raise ValueError("there are no texts with a known score")
        return labels[known].astype(np.float64), self.decide(logits)[known].astype(np.float64)

    def _outcomes(self, logits: np.ndarray) -> list[np.ndarray]:
        raise ValueError("scores have no probabilities")

    def _log_outcomes(self, logits: np.ndarray) -> list[np.ndarray]:
        raise ValueError("scores have no probabilities")

    def _check_shape(self, logits: np.ndarray, labels: np.ndarray) -> None:
        if logits.shape[1] != 1:
            raise ValueError(f"scores have one logit, not {logits.shape[1]}")
        need_shape(self, logits, labels, logits.shape[:1])


def _standard(values: np.ndarray) -> np.ndarray:
    """Return values with mean 0 and deviation 1; zeros if they are all the same."""
    return np.asarray((values - values.mean()) / (float(values.std()) or 1.0))


SCORES = Scores()
