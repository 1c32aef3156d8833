"""What a task is: everything that depends on what labels mean, as methods of one value.

A task is its name with behaviour, as the members of a StrEnum are: recipes, manifests, run.json and config.json hold
"single_label" or "multi_label", and `task_named` makes of it the value whose methods are called. Nothing outside this
package compares names. What needs torch (losses, class weights, the head's first weights) is one value a task
in `liteft.finetuning.task_training`, so that what runs an artifact imports none of it.

The methods below are the seams for tasks whose labels are not those of a text: `encode_labels` and `names_of` are the
way from names to arrays and back; `decide`, `probabilities` and `cells` that from logits to what is answered and
written into a table; `score`, `intervals`, `primary_metric` and `correct` (one value a unit that a paired test counts:
a text here) that to numbers.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, Protocol, Self

import numpy as np

from liteft.errors import ModelError
from liteft.metrics import calibration_error, f1_intervals, paired_f1_intervals, wilson_interval

__all__ = ["NOT_IN_TRAIN", "Answer", "Task"]

NOT_IN_TRAIN = "(not in train)"
_SMALLEST = 1e-12  # probability whose logarithm is taken
Threshold = float | np.ndarray
Interval = tuple[float, float]


class Answer(Protocol):
    """What a model answers for one text, as far as a table's columns need it; see ``liteft.runtime.Prediction``."""

    @property
    def label(self) -> str:
        """The label with the highest score."""

    @property
    def score(self) -> float:
        """Its score."""

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels that were chosen."""

    @property
    def top(self) -> tuple[tuple[str, float], ...]:
        """Labels with their scores, the best first."""


class Task(str, ABC):
    """What labels mean, and all that follows from it. Equal to its name; without state.

    Attributes:
        name: what is stored, and what users write.
        description: for cards.
        several: a text has any number of labels, none included.
        fewest_labels: of a data set or model.
        label_dtype: of a label array.
        activation: from logits to probabilities; the manifest names it.
        primary_metric: what choices are made by.
        text_metric: the share of texts that are wholly right.
        headline_metrics: what tables show.
        metrics: all that `score` gives; those of the headline first.
        paired_units: what McNemar's paired test counts, in words.
        columns: what a scored table gets, column -> kind as the row formats know it.
    """

    name: ClassVar[str]
    description: ClassVar[str]
    several: ClassVar[bool]
    fewest_labels: ClassVar[int]
    label_dtype: ClassVar[type]
    activation: ClassVar[Literal["softmax", "sigmoid"]]
    primary_metric: ClassVar[str]
    text_metric: ClassVar[str]
    headline_metrics: ClassVar[tuple[str, ...]]
    metrics: ClassVar[tuple[str, ...]]
    paired_units: ClassVar[str]
    columns: ClassVar[Mapping[str, str]]

    def __new__(cls, *_: str) -> Self:
        """Return a task, whose only value is its name: a copy or an unpickled one equals it."""
        return super().__new__(cls, cls.name)

    def __repr__(self) -> str:
        return repr(self.name)

    @property
    def problem_type(self) -> str:
        """What transformers calls it, in config.json."""
        return f"{self.name}_classification"

    # Labels

    @abstractmethod
    def check_names(self, names: Sequence[str]) -> None:
        """Raise ValueError where a row's list of label names is not what a row of this task has."""

    @abstractmethod
    def encode_labels(self, rows: Sequence[tuple[str, ...]], index: Mapping[str, int]) -> np.ndarray:
        """Return label names as an array; a name that ``index`` lacks is -1, or in no column.

        Args:
            rows: the names of each text.
            index: name -> its number.

        Returns:
            single_label: int64 (texts,). multi_label: bool (texts, labels).
        """

    @abstractmethod
    def names_of(self, row: Any, labels: Sequence[str]) -> tuple[str, ...]:
        """Return the names of one text's labels or decision, a row of a label array; -1 is "(not in train)"."""

    @abstractmethod
    def without_labels(self, texts: int, labels: int) -> np.ndarray:
        """Return the label array of texts whose labels nobody knows: -1, or none of the columns."""

    @abstractmethod
    def known(self, labels: np.ndarray) -> np.ndarray:
        """Return which texts have a label that training knows, as far as the array shows it: bool (texts,)."""

    @abstractmethod
    def bare(self, labels: np.ndarray) -> np.ndarray:
        """Return which texts have no label at all where this is allowed: bool (texts,)."""

    @abstractmethod
    def counts(self, labels: np.ndarray, count: int) -> np.ndarray:
        """Return how many texts have each of ``count`` labels: int64 (labels,)."""

    @abstractmethod
    def label_count(self, labels: np.ndarray) -> int:
        """Return how many labels there are at least, by a label array with a text in it."""

    @abstractmethod
    def misfit(self, labels: np.ndarray, count: int) -> str:
        """Return in words what of a label array does not fit ``count`` labels; "" where it fits."""

    @abstractmethod
    def relabel(self, labels: np.ndarray, place: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray | None]:
        """Return labels as numbers or columns of other labels, and which texts lost one that the array hides.

        Args:
            labels: a label array.
            place: int64, for each label its number among the others, -1 where they lack it.
            count: how many others there are.

        Returns:
            A label array, and bool (texts,); None where the array itself shows it, as -1.
        """

    @abstractmethod
    def indicators(self, labels: np.ndarray, count: int) -> np.ndarray:
        """Return labels or decisions as bool (texts, labels)."""

    # Answers

    @abstractmethod
    def probabilities(self, logits: np.ndarray) -> np.ndarray:
        """Return the activation's values: same shape as logits (texts, labels), float32 or float64 as given."""

    @abstractmethod
    def choose(self, scores: np.ndarray, threshold: Threshold) -> np.ndarray:
        """Return the labels that scores (texts, labels) choose, in the form of `decide`."""

    @abstractmethod
    def decide(self, logits: np.ndarray, threshold: Threshold = 0.5) -> np.ndarray:
        """Return the labels that the logits choose.

        Args:
            logits: float, shape (texts, labels).
            threshold: multi-label only: the sigmoid must be larger; one number, or shape (labels,).

        Returns:
            single_label: int64, shape (texts,), the first of equal logits; multi_label: bool, (texts, labels).

        Raises:
            ValueError: not two axes, or no labels.
        """

    @abstractmethod
    def same(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Return for which texts two label arrays or decisions are the same: bool (texts,)."""

    @abstractmethod
    def cells(self, answer: Answer) -> list[Any]:
        """Return the values of `columns` for an answer. One whose task takes several labels has all scores in top."""

    @abstractmethod
    def chance_loss(self, labels: int) -> float:
        """Return the loss, in nats, of a guess that knows nothing of ``labels`` labels."""

    # Numbers

    @abstractmethod
    def score(
        self,
        logits: np.ndarray,
        labels: np.ndarray,
        *,
        unseen_label: np.ndarray | None = None,
        threshold: Threshold = 0.5,
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

    @abstractmethod
    def primary_difference(
        self, first: np.ndarray, second: np.ndarray, labels: np.ndarray, *, unseen_label: np.ndarray | None = None
    ) -> Interval | None:
        """Return the 95% interval of the second model's primary metric minus the first's, by a paired bootstrap.

        None where the primary metric is the share that McNemar's test compares: that test says it better.

        Args:
            first, second: logits (texts, labels) of two models.
            labels, unseen_label: as of `correct`.
        """

    def divergence(self, reference: np.ndarray, logits: np.ndarray) -> float:
        """Return the mean Kullback-Leibler divergence from the reference's probabilities, in nats.

        Of several labels it is the sum. Logits that are not numbers are infinitely far.

        Args:
            reference, logits: float, shape (texts, labels).
        """
        if not np.isfinite(logits).all():
            return float("inf")
        outcomes = (self._outcomes(each.astype(np.float64)) for each in (reference, logits))
        total = np.zeros(len(reference))
        for there, here in zip(*outcomes, strict=True):
            there, here = np.maximum(there, _SMALLEST), np.maximum(here, _SMALLEST)
            total += (there * np.log(there / here)).sum(axis=1)
        return float(total.mean())

    def correct(
        self,
        logits: np.ndarray,
        labels: np.ndarray,
        *,
        unseen_label: np.ndarray | None = None,
        threshold: Threshold = 0.5,
    ) -> np.ndarray:
        """Return which texts are wholly right: bool, shape (texts,).

        Args:
            logits: float, shape (texts, labels).
            labels: int64 (texts,), -1 for a label unknown in training; or bool (texts, labels), all of which must be
                right.
            unseen_label: bool (texts,): rows with a label unknown in training; never right.
            threshold: as in `decide`.

        Raises:
            ValueError: the shapes do not fit together.
        """
        self._check(logits, labels, unseen_label)
        right = self.same(self.decide(logits, threshold), labels)
        return np.asarray(right if unseen_label is None else right & ~unseen_label)

    def intervals(
        self,
        logits: np.ndarray,
        labels: np.ndarray,
        *,
        unseen_label: np.ndarray | None = None,
        threshold: Threshold = 0.5,
        **bootstrap: Any,
    ) -> dict[str, Interval]:
        """Return intervals of `headline_metrics`: Wilson's of shares of texts, of F1 a bootstrap over texts.

        Args:
            logits, labels, unseen_label, threshold: as of `correct`.
            bootstrap: resamples, confidence and seed, as of ``metrics.f1_intervals``.
        """
        right = self.correct(logits, labels, unseen_label=unseen_label, threshold=threshold)
        found = {self.text_metric: wilson_interval(int(right.sum()), len(right), bootstrap.get("confidence", 0.95))}
        found |= self.f1_intervals(logits, labels, unseen_label=unseen_label, threshold=threshold, **bootstrap)
        return {name: interval for name, interval in found.items() if name in self.headline_metrics}

    def f1_intervals(
        self,
        logits: np.ndarray,
        labels: np.ndarray,
        *,
        unseen_label: np.ndarray | None = None,
        threshold: Threshold = 0.5,
        **bootstrap: Any,
    ) -> dict[str, Interval]:
        """Return bootstrap intervals over texts of "micro_f1" and "macro_f1"; arguments as of `intervals`."""
        return f1_intervals(*self._counted(self.decide(logits, threshold), labels, logits, unseen_label), **bootstrap)

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
        """Return intervals of the second model's "micro_f1" and "macro_f1" minus the first's, on the same texts.

        Args:
            first, second: logits (texts, labels) of two models.
            labels, unseen_label, threshold, bootstrap: as of `intervals`.
        """
        gold, before, unknown = self._counted(self.decide(first, threshold), labels, first, unseen_label)
        after = self.indicators(self.decide(second, threshold), second.shape[1])
        return paired_f1_intervals(gold, before, after, unknown, **bootstrap)

    def calibration_error(self, logits: np.ndarray, labels: np.ndarray) -> float:
        """Return the expected calibration error of the probabilities; see ``metrics.calibration_error``."""
        return calibration_error(self.probabilities(logits), labels)

    def agreement(self, first: np.ndarray, second: np.ndarray, threshold: Threshold = 0.5) -> float:
        """Return the share of texts for which two models' logits decide the same, on every label.

        Raises:
            ValueError: the shapes differ, or there are no texts.
        """
        if first.shape != second.shape or len(first) == 0:
            raise ValueError(f"logits of shapes {first.shape} and {second.shape}")
        return float(self.same(self.decide(first, threshold), self.decide(second, threshold)).mean())

    def majority_share(self, labels: np.ndarray) -> float:
        """Return the share of texts that the best constant answer gets wholly right; -1 is never right."""
        if len(labels) == 0:
            return 0.0
        _, counts = np.unique(labels[self.known(labels)], axis=0, return_counts=True)
        return float(counts.max(initial=0) / len(labels))

    # What the above is made of

    @abstractmethod
    def _gold(self, labels: np.ndarray, count: int, unseen_label: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        """Gold labels as bool (texts, labels), and which texts lack one that the model could give: bool (texts,)."""

    @abstractmethod
    def _outcomes(self, logits: np.ndarray) -> list[np.ndarray]:
        """Probabilities (texts, labels) of everything that may be so: those of each distribution sum to 1."""

    def _counted(
        self, decisions: np.ndarray, labels: np.ndarray, logits: np.ndarray, unseen_label: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Gold and predicted labels as bool (texts, labels), and which texts lack one: bool (texts,)."""
        gold, unknown = self._gold(labels, logits.shape[1], unseen_label)
        return gold, self.indicators(decisions, logits.shape[1]), unknown

    def _check(self, logits: np.ndarray, labels: np.ndarray, unseen_label: np.ndarray | None) -> None:
        check_logits(logits)
        self._check_shape(logits, labels)
        if unseen_label is not None and unseen_label.shape != logits.shape[:1]:
            raise ValueError(f"unseen_label must have shape {logits.shape[:1]}, not {unseen_label.shape}")

    @abstractmethod
    def _check_shape(self, logits: np.ndarray, labels: np.ndarray) -> None:
        """Raise ValueError where labels are not those of the logits."""

    def _check_scored(self, logits: np.ndarray, labels: np.ndarray, unseen_label: np.ndarray | None) -> None:
        self._check(logits, labels, unseen_label)
        if len(logits) == 0:
            raise ValueError("there are no texts to score")
        broken = int((~np.isfinite(logits)).any(axis=1).sum())
        if broken:
            raise ModelError(
                f"the model's logits are not finite for {broken} of {len(logits)} texts.",
                fix="lower the learning rate, or train in fp32",
            )


def check_logits(logits: np.ndarray) -> None:
    """Raise ValueError where logits are not (texts, labels), with a label at least."""
    if logits.ndim != 2 or logits.shape[1] == 0:
        raise ValueError(f"logits must have shape (texts, labels), not {logits.shape}")


def need_shape(task: Task, logits: np.ndarray, labels: np.ndarray, expected: tuple[int, ...]) -> None:
    """Raise ValueError where labels have another shape than ``expected``."""
    if labels.shape != expected:
        raise ValueError(f"{task} logits of shape {logits.shape} need labels of shape {expected}, not {labels.shape}")
