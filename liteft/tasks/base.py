"""The interface of a task: everything that depends on what labels mean, as methods of one value.

A task is a string with methods, like a member of a StrEnum. Recipes, manifests, run.json and config.json store
"single_label", "multi_label", "tokens", "scores" or "answers", `task_named` returns the task of that name, and nothing
outside this package compares names. The parts that need torch (losses, class weights, the head's first weights) are in
`liteft.finetuning.task_training`, so that the code that runs artifacts does not import them.

`encode_labels` and `names_of` convert between names and arrays; `decide`, `probabilities` and `cells` turn logits into
answers and table columns; `score`, `intervals`, `primary_metric` and `correct` compute metrics. `correct` has one value
for each unit that a paired test counts: a text, also where each of its words has a label.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol, Self

import numpy as np

from liteft.errors import ModelError
from liteft.metrics import calibration_error, f1_intervals, paired_f1_intervals, wilson_interval
from liteft.ragged import Ragged, Rows, concatenated

__all__ = ["NOT_IN_TRAIN", "Answer", "Judged", "Task"]

NOT_IN_TRAIN = "(not in train)"
_ABOVE_BLIND = 0.05  # of the balanced score: more than chance gives
_SMALLEST = 1e-12  # smallest probability whose logarithm is taken
Threshold = float | np.ndarray
Interval = tuple[float, float]


class Answer(Protocol):
    """A model's answer for one text, as far as table columns need it; see ``liteft.runtime.Prediction``."""

    @property
    def label(self) -> str:
        """The label with the highest score."""

    @property
    def score(self) -> float:
        """The score of that label."""

    @property
    def labels(self) -> tuple[str, ...]:
        """The predicted labels."""

    @property
    def top(self) -> tuple[tuple[str, float], ...]:
        """Labels with their scores, the highest score first."""


@dataclass(frozen=True, slots=True)
class Judged:
    """The judgement of predictions; see ``Task.judge_folds``.

    Attributes:
        scores: metric -> value, as of ``Task.score``.
        intervals: metric -> 95% interval, as of ``Task.intervals``.
        contributions: of the texts, fold after fold, as of ``Task.contributions``.
    """

    scores: dict[str, float]
    intervals: dict[str, Interval]
    contributions: np.ndarray


class Task(str, ABC):
    """What labels mean: a string equal to the task's name, with methods.

    A task has no state but the names of labels that it is bound to.

    Attributes:
        name: the name that files store and users write.
        description: the task in words, for model cards.
        several: whether a text has any number of labels, including none.
        per_word: whether each word of a text has a label. Label arrays, logits and decisions are Ragged then: a row for
            each text, with an entry for each word.
        extractive: whether a text is a question that a part of its pair answers. Label arrays are AnswerLabels then,
            and logits the packed form of `liteft.answer_spans`.
        numeric: whether a label is a number. Answers are then near or far, not right or wrong, so no test counts the
            texts that are right.
        judged_by_difference: whether an export is judged by the paired interval of its main metric.
        judged: what each decision is about, in the plural.
        least_agreement: the share of these that an export must keep, beyond chance.
        alike: what is counted for the agreement of two models, in words.
        fewest_labels: the smallest number of labels that a data set or model may have.
        label_dtype: dtype of a label array.
        activation: the function from logits to probabilities, or to scores, named in the manifest.
        primary_metric: the metric by which checkpoints and candidates are chosen.
        text_metric: the metric that is the share of texts that are entirely right; for numbers the main metric.
        headline_metrics: the metrics that tables show.
        judged_by: the main metric and macro F1. The accuracy of word counts is no gain, and neither is an accuracy that
            is paid for by the rare labels.
        metrics: all metrics of `score`, the headline metrics first.
        metrics_in_units: those of them that are no shares, in the units of the labels.
        metrics_of_queries: the metrics of `score_queries`.
        paired_units: what McNemar's paired test counts, in words.
        columns: the columns that are added to a scored table: name -> kind, as in the row formats.
    """

    name: ClassVar[str]
    description: ClassVar[str]
    several: ClassVar[bool]
    per_word: ClassVar[bool] = False
    extractive: ClassVar[bool] = False
    numeric: ClassVar[bool] = False
    judged_by_difference: ClassVar[bool] = False
    judged: ClassVar[str] = "texts"
    least_agreement: ClassVar[float] = 0.98
    alike: ClassVar[str] = "same answer as the model"
    fewest_labels: ClassVar[int]
    label_dtype: ClassVar[type]
    activation: Literal["softmax", "sigmoid", "none"]
    primary_metric: ClassVar[str]
    text_metric: ClassVar[str]
    headline_metrics: ClassVar[tuple[str, ...]]
    judged_by: ClassVar[tuple[str, ...]]
    metrics: ClassVar[tuple[str, ...]]
    metrics_in_units: ClassVar[tuple[str, ...]] = ()
    metrics_of_queries: ClassVar[tuple[str, ...]] = ()
    paired_units: ClassVar[str]
    columns: ClassVar[Mapping[str, str]]

    def __new__(cls, *_: str) -> Self:
        """Return the string; copies and unpickled tasks are equal to it."""
        return super().__new__(cls, cls.name)

    def __repr__(self) -> str:
        return repr(self.name)

    @property
    def problem_type(self) -> str | None:
        """The value of "problem_type" in transformers' config.json; None for tasks that it has no word for."""
        return f"{self.name}_classification"

    @property
    def of_whole_texts(self) -> bool:
        """Whether a model has one answer for a text or pair, and pools what it reads; not one for each word."""
        return not (self.per_word or self.extractive)

    @property
    def of_labels(self) -> bool:
        """Whether texts or words have labels out of a list, rather than numbers or answers."""
        return not (self.numeric or self.extractive)

    def bound(self, labels: Sequence[str]) -> Task:
        """Return the task for a list of labels, where their names have a meaning; otherwise the task itself."""
        return self

    def activated(self, name: str) -> Task:
        """Return the task of a model with an activation, where models differ in it; otherwise the task itself."""
        return self

    def suited(self, labels: Rows) -> Task:
        """Return the task for the label array of a training split, whose range matters to scores; or itself."""
        return self

    # Labels

    @abstractmethod
    def check_names(self, names: Sequence[str]) -> None:
        """Check the label names of one text.

        Raises:
            ValueError: a text of this task cannot have this number of labels.
        """

    @abstractmethod
    def encode_labels(self, rows: Sequence[tuple[str, ...]], index: Mapping[str, int]) -> Rows:
        """Return label names as a label array; a name that is not in ``index`` becomes -1, or sets no column.

        Args:
            rows: the label names of each text.
            index: label name -> its number.

        Returns:
            single_label: int64 (texts,). multi_label: bool (texts, labels). tokens: Ragged int64, (words,) for each
            text. scores: float64 (texts,), of names that are numbers.
        """

    @abstractmethod
    def names_of(self, row: Any, labels: Sequence[str]) -> tuple[str, ...]:
        """Return the label names of one row of a label array or of decisions; -1 becomes "(not in train)"."""

    @abstractmethod
    def without_labels(self, texts: int, labels: int, words: Ragged | None = None) -> Rows:
        """Return the label array of texts without known labels: all -1, or all False.

        Args:
            texts: number of texts.
            labels: number of labels.
            words: the words of each text, which tasks per word need.
        """

    @abstractmethod
    def known(self, labels: Rows) -> np.ndarray:
        """Return which texts have labels that training knows: bool (texts,); a multi-label array always does.

        A text whose words have labels has one known one at least.
        """

    @abstractmethod
    def bare(self, labels: Rows) -> np.ndarray:
        """Return which texts have no label at all, if the task allows that: bool (texts,)."""

    @abstractmethod
    def counts(self, labels: Rows, count: int) -> np.ndarray:
        """Return how many texts have each of ``count`` labels: int64 (labels,)."""

    @abstractmethod
    def label_count(self, labels: Rows) -> int:
        """Return the smallest number of labels that fits a label array, which must not be empty."""

    @abstractmethod
    def misfit(self, labels: Rows, count: int) -> str:
        """Return in words why a label array does not fit ``count`` labels; "" if it does."""

    @abstractmethod
    def relabel(self, labels: Rows, place: np.ndarray, count: int) -> tuple[Rows, np.ndarray | None]:
        """Convert a label array to another list of labels.

        Args:
            labels: a label array.
            place: int64 (labels,): each label's number in the other list, -1 if it is not in it.
            count: number of labels in the other list.

        Returns:
            The label array for the other list; and which texts have a label that is not in it, bool (texts,), or None
            if the array shows that itself, as -1.
        """

    @abstractmethod
    def indicators(self, labels: Rows, count: int) -> Rows:
        """Return a label array or decisions as bool (texts, labels); per word: (words, labels) for each text."""

    def present(self, labels: Rows, count: int) -> np.ndarray:
        """Return which labels each text has, on any of its words: bool (texts, labels)."""
        return np.asarray(self.indicators(labels, count))

    def shown(self, row: Any, labels: Sequence[str]) -> str:
        """Return one row of a label array or of decisions in words, for tables and errors."""
        return " + ".join(self.names_of(row, labels)) or "no label"

    def units(self, logits: Any) -> int:
        """Return how many decisions logits are: one for each text, or each word."""
        return len(logits)

    # Answers

    @abstractmethod
    def probabilities(self, logits: Rows) -> Rows:
        """Return the probabilities of logits (texts, labels): same shape, float64 for float64 and float32 otherwise."""

    @abstractmethod
    def choose(self, scores: Rows, threshold: Threshold) -> Rows:
        """Return the predicted labels from scores (texts, labels), in the form of `decide`."""

    @abstractmethod
    def decide(self, logits: Rows, threshold: Threshold = 0.5) -> Rows:
        """Return the predicted labels.

        Args:
            logits: float (texts, labels).
            threshold: for multi-label tasks, the value that the sigmoid must exceed; one number, or float (labels,).

        Returns:
            single_label: int64 (texts,), the first of equal logits. multi_label: bool (texts, labels). tokens: int64
            (words,) for each text, the best tags of which none continues a span that there is not. scores: float
            (texts,).

        Raises:
            ValueError: the logits do not have two axes, there are no labels, or their names are not known.
        """

    @abstractmethod
    def same(self, first: Rows, second: Rows) -> np.ndarray:
        """Return for which texts two label arrays or decisions are equal: bool (texts,)."""

    @abstractmethod
    def cells(self, answer: Answer) -> list[Any]:
        """Return the values of `columns` for an answer; for multi-label tasks ``top`` must have all labels."""

    @abstractmethod
    def chance_loss(self, labels: int) -> float:
        """Return the loss in nats of equal probabilities for ``labels`` labels (multi-label: 0.5 for each)."""

    # Numbers

    @abstractmethod
    def score(
        self,
        logits: Rows,
        labels: Rows,
        *,
        unseen_label: np.ndarray | None = None,
        threshold: Threshold = 0.5,
    ) -> dict[str, float]:
        """Return all metrics of predictions, each a share between 0 and 1 except log_loss (in nats).

        The arguments are those of `correct`.

        Returns:
            single_label: accuracy, macro_f1, log_loss (over rows with a known label; absent if there are none),
            calibration_error. multi_label: exact_match, micro_f1, macro_f1, label_accuracy, log_loss (a mean over
            texts and labels), calibration_error. tokens: f1, macro_f1, precision and recall of spans, conlleval_f1,
            accuracy, log_loss and calibration_error of words, exact_match. scores: the correlations spearman and
            pearson, and rmse and mae in the units of the labels.

        Raises:
            ValueError: there are no texts, or the shapes do not fit together.
            ModelError: logits are not finite.
        """

    def by_label(
        self, logits: Rows, labels: Rows, *, unseen_label: np.ndarray | None = None
    ) -> dict[str, dict[str, float]]:
        """Return metrics of each label by their names; {} for a task that has none. Arguments as for `score`."""
        return {}

    def score_queries(
        self, logits: Rows, labels: Rows, queries: Sequence[str]
    ) -> tuple[dict[str, float], dict[str, Interval]]:
        """Return metrics of rankings with their 95% intervals over queries, where pairs are queries with candidates.

        Args:
            logits, labels: as for `correct`.
            queries: the first text of each pair.
        """
        return {}, {}

    @abstractmethod
    def primary_difference(
        self, first: Rows, second: Rows, labels: Rows, *, unseen_label: np.ndarray | None = None
    ) -> Interval | None:
        """Return the 95% interval of the second model's primary metric minus the first's, by a paired bootstrap.

        None if the primary metric is a share of texts, which McNemar's test compares better.

        Args:
            first, second: logits of two models, float (texts, labels).
            labels, unseen_label: as for `correct`.
        """

    def mean_logits(self, parts: Sequence[Rows]) -> Rows:
        """Return logits whose probabilities are the means over several models' probabilities, float32 (texts, labels).

        Args:
            parts: logits of each model, float (texts, labels).
        """
        logs = [self._log_outcomes(entries(part).astype(np.float64)) for part in parts]
        outcomes = [np.logaddexp.reduce(outcome, axis=0) - np.log(len(parts)) for outcome in zip(*logs, strict=True)]
        means = np.asarray(outcomes[0] - outcomes[1] if len(outcomes) == 2 else outcomes[0], dtype=np.float32)
        return parts[0].like(means) if isinstance(parts[0], Ragged) else means

    def entropy(self, logits: Rows) -> np.ndarray:
        """Return the entropy of each text's probabilities in nats, float64 (texts,); for multi-label tasks summed.

        That of tags is a mean over the text's words.

        Args:
            logits: float (texts, labels).
        """
        logs = self._log_outcomes(entries(logits).astype(np.float64))
        return np.asarray(-np.sum([(np.exp(log) * log).sum(axis=1) for log in logs], axis=0))

    def divergence(self, reference: Rows, logits: Rows) -> float:
        """Return the Kullback-Leibler divergence from the reference's probabilities, as a mean over texts in nats.

        For multi-label tasks it is the sum over labels, for tags the mean over words. It is infinite if logits are not
        finite.

        Args:
            reference, logits: float (texts, labels).
        """
        pair = [entries(each) for each in (reference, logits)]
        if not np.isfinite(pair[1]).all():
            return float("inf")
        outcomes = (self._outcomes(each.astype(np.float64)) for each in pair)
        total = np.zeros(len(pair[0]))
        for expected, found in zip(*outcomes, strict=True):
            p, q = np.maximum(expected, _SMALLEST), np.maximum(found, _SMALLEST)
            total += (p * np.log(p / q)).sum(axis=1)
        return float(total.mean()) if len(total) else 0.0

    def correct(
        self,
        logits: Rows,
        labels: Rows,
        *,
        unseen_label: np.ndarray | None = None,
        threshold: Threshold = 0.5,
    ) -> np.ndarray:
        """Return which texts are entirely right: bool (texts,).

        Args:
            logits: float (texts, labels).
            labels: int64 (texts,), -1 for a label unknown in training; or bool (texts, labels), all of which must be
                right.
            unseen_label: bool (texts,), texts with a label unknown in training, which are never right; or None.
            threshold: as for `decide`.

        Raises:
            ValueError: the shapes do not fit together.
        """
        self._check(logits, labels, unseen_label)
        right = self.same(self.decide(logits, threshold), labels)
        return np.asarray(right if unseen_label is None else right & ~unseen_label)

    @abstractmethod
    def contributions(self, logits: Rows, labels: Rows, *, unseen_label: np.ndarray | None = None) -> np.ndarray:
        """Return each text's part in the primary metric: float64 (texts,), with the metric as their mean.

        By them ways of training are compared over seeds and texts (``metrics.paired_interval_over_seeds``).

        Args:
            logits, labels, unseen_label: as for `correct`.
        """

    def judge_folds(self, parts: Sequence[tuple[Rows, Rows]]) -> Judged:
        """Return the judgement of texts in folds, each of which was predicted by a model of its own.

        Args:
            parts: logits and labels of each fold.
        """
        logits, labels = (concatenated([part[place] for part in parts]) for place in (0, 1))
        return Judged(self.score(logits, labels), self.intervals(logits, labels), self.contributions(logits, labels))

    def intervals(
        self,
        logits: Rows,
        labels: Rows,
        *,
        unseen_label: np.ndarray | None = None,
        threshold: Threshold = 0.5,
        **bootstrap: Any,
    ) -> dict[str, Interval]:
        """Return confidence intervals of `headline_metrics`: Wilson's for shares of texts, a bootstrap for F1.

        Args:
            logits, labels, unseen_label, threshold: as for `correct`.
            bootstrap: resamples, confidence and seed, as for ``metrics.f1_intervals``.
        """
        right = self.correct(logits, labels, unseen_label=unseen_label, threshold=threshold)
        found = {self.text_metric: wilson_interval(int(right.sum()), len(right), bootstrap.get("confidence", 0.95))}
        found |= self.f1_intervals(logits, labels, unseen_label=unseen_label, threshold=threshold, **bootstrap)
        return {name: interval for name, interval in found.items() if name in self.headline_metrics}

    def f1_intervals(
        self,
        logits: Rows,
        labels: Rows,
        *,
        unseen_label: np.ndarray | None = None,
        threshold: Threshold = 0.5,
        **bootstrap: Any,
    ) -> dict[str, Interval]:
        """Return bootstrap intervals over texts of "micro_f1" and "macro_f1"; arguments as for `intervals`."""
        return f1_intervals(*self._counted(self.decide(logits, threshold), labels, logits, unseen_label), **bootstrap)

    def paired_f1_intervals(
        self,
        first: Rows,
        second: Rows,
        labels: Rows,
        *,
        unseen_label: np.ndarray | None = None,
        threshold: Threshold = 0.5,
        **bootstrap: Any,
    ) -> dict[str, Interval]:
        """Return intervals of the second model's "micro_f1" and "macro_f1" minus the first's, on the same texts.

        Args:
            first, second: logits of two models, float (texts, labels).
            labels, unseen_label, threshold, bootstrap: as for `intervals`.
        """
        gold, first_labels, unknown = self._counted(self.decide(first, threshold), labels, first, unseen_label)
        second_labels = self.indicators(self.decide(second, threshold), second.shape[1])
        return paired_f1_intervals(gold, first_labels, second_labels, unknown, **bootstrap)

    def calibration_error(self, logits: Rows, labels: Rows) -> float:
        """Return the expected calibration error of the probabilities; see ``metrics.calibration_error``."""
        if self.per_word and not len(entries(logits)):
            return 0.0  # texts without words
        return calibration_error(entries(self.probabilities(logits)), entries(labels))

    def agreement(self, first: Rows, second: Rows, threshold: Threshold = 0.5) -> float:
        """Return the share of texts for which two models predict the same, on every label.

        Args:
            first, second: logits of two models, float (texts, labels).
            threshold: as for `decide`.

        Raises:
            ValueError: the shapes differ, or there are no texts.
        """
        if first.shape != second.shape or len(first) == 0:
            raise ValueError(f"logits of shapes {first.shape} and {second.shape}")
        return float(self.same(self.decide(first, threshold), self.decide(second, threshold)).mean())

    def majority_share(self, labels: Rows) -> float:
        """Return the share of texts that the best constant answer gets entirely right; -1 is never right."""
        if len(labels) == 0:
            return 0.0
        _, counts = np.unique(labels[self.known(labels)], axis=0, return_counts=True)
        return float(counts.max(initial=0) / len(labels))

    def balanced(self, scores: Mapping[str, float]) -> float:
        """Return the mean of the metrics of `judged_by`, which chooses the weights that a training keeps."""
        return float(np.mean([scores.get(name, 0.0) for name in self.judged_by]))

    @abstractmethod
    def blind(self, labels: Rows, count: int) -> float:
        """Return the `balanced` score, nearly the best, of answers that do not depend on the text.

        Args:
            labels: as for `correct`.
            count: number of the model's labels.
        """

    def is_blind(self, scores: Mapping[str, float], labels: Rows, count: int) -> bool:
        """Return whether predictions are no better than answers that do not depend on the text.

        They are if neither more texts are right than by the most frequent answer, nor the balanced score is above that
        of blind answers: a model that finds rare labels may be less often right than one that never names them.

        Args:
            scores: of `score`.
            labels, count: as for `blind`.
        """
        right = not self.numeric and scores[self.text_metric] > self.majority_share(labels)
        return not right and self.balanced(scores) <= self.least_balanced(labels, count)

    def least_balanced(self, labels: Rows, count: int) -> float:
        """Return the `balanced` score up to which predictions are no better than blind answers; see `is_blind`."""
        return self.blind(labels, count) + _ABOVE_BLIND

    # Parts of the methods above

    def _gold(self, labels: Rows, count: int, unseen_label: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        """Return gold labels as bool (texts, labels), and which texts have one that the model lacks: bool (texts,)."""
        raise NotImplementedError

    @abstractmethod
    def _outcomes(self, logits: np.ndarray) -> list[np.ndarray]:
        """Return the probabilities of all outcomes: arrays (texts, labels) which together sum to 1 per distribution.

        single_label has one distribution per text, multi_label one per text and label (label present or absent).
        """

    @abstractmethod
    def _log_outcomes(self, logits: np.ndarray) -> list[np.ndarray]:
        """Return the logarithms of `_outcomes`, exact for tiny probabilities too."""

    def _counted(
        self, decisions: Rows, labels: Rows, logits: Rows, unseen_label: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the arguments of ``metrics.f1_scores``: gold and predicted labels, and texts with an unknown label."""
        gold, unknown = self._gold(labels, logits.shape[1], unseen_label)
        return gold, self.indicators(decisions, logits.shape[1]), unknown

    def _check(self, logits: Rows, labels: Rows, unseen_label: np.ndarray | None) -> None:
        """Raise ValueError if the shapes do not fit together."""
        check_logits(logits)
        self._check_shape(logits, labels)
        if unseen_label is not None and unseen_label.shape != logits.shape[:1]:
            raise ValueError(f"unseen_label must have shape {logits.shape[:1]}, not {unseen_label.shape}")

    @abstractmethod
    def _check_shape(self, logits: Rows, labels: Rows) -> None:
        """Raise ValueError if the labels do not fit the logits."""

    def check_scored(self, logits: Rows, labels: Rows, unseen_label: np.ndarray | None) -> None:
        """Raise an error if the shapes do not fit, there are no texts, or logits are not finite."""
        self._check(logits, labels, unseen_label)
        if len(logits) == 0:
            raise ValueError("there are no texts to score")
        broken = int((~np.isfinite(entries(logits))).any(axis=1).sum())
        if broken:
            unit = "words" if self.per_word else "texts"
            raise ModelError(
                f"the model's logits are not finite for {broken} of {len(entries(logits))} {unit}.",
                fix="lower the learning rate, or train in fp32",
            )


def entries(rows: Rows) -> np.ndarray:
    """Return what has one answer each: rows for texts, the entries of all rows for words."""
    return rows.values if isinstance(rows, Ragged) else np.asarray(rows)


def check_logits(logits: Rows) -> None:
    """Raise ValueError if logits do not have the shape (texts, labels) with at least one label."""
    if logits.ndim != 2 or logits.shape[1] == 0:
        raise ValueError(f"logits must have shape (texts, labels), not {logits.shape}")


def need_shape(task: Task, logits: Rows, labels: Rows, expected: tuple[int, ...]) -> None:
    """Raise ValueError if the shape of labels is not ``expected``."""
    if labels.shape != expected:
        raise ValueError(f"{task} logits of shape {logits.shape} need labels of shape {expected}, not {labels.shape}")
