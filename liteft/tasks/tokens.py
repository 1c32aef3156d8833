"""The tokens task: every word of a text has a tag, and tags that begin with B- and I- make spans, such as entities.

Label arrays, decisions and logits are `Ragged`: a row for each text, an entry for each of its words. Word by word they
are those of the single-label task, whose methods are used here. What a tag means stands in its name, so decisions and
metrics are those of a task that is `bound` to the names.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np

from liteft.metrics import SpanCounts, log_loss, paired_span_intervals, span_intervals, wilson_interval
from liteft.metrics.spans import before, text_sums
from liteft.ragged import Ragged, offsets_of
from liteft.tasks.base import NOT_IN_TRAIN, Interval, Task, Threshold, check_logits
from liteft.tasks.single_label import SINGLE_LABEL
from liteft.tasks.tagging import TagScheme, scheme_of

__all__ = ["TOKENS"]


class Tokens(Task):
    """A word has one tag; label arrays are Ragged int64, an entry for each word, -1 for a tag unknown in training.

    Attributes:
        tags: names of the tags, in the order of the labels; () for a task that is not bound to any.
    """

    name = "tokens"
    description = "a tag for every word"
    several = False
    per_word = True
    judged_by_difference = True
    judged = "words"
    alike = "same tag as the model"
    fewest_labels = 2
    label_dtype = np.int64
    activation = "softmax"
    primary_metric = "f1"
    text_metric = "exact_match"
    headline_metrics = ("f1", "macro_f1", "accuracy", "exact_match")
    judged_by = ("f1", "macro_f1")
    metrics = (*headline_metrics, "precision", "recall", "conlleval_f1", "log_loss", "calibration_error")
    paired_units = "texts with every tag right"
    columns = {"predicted_spans": "spans"}  # noqa: RUF012
    tags: tuple[str, ...] = ()

    def bound(self, labels: Sequence[str]) -> Self:
        found = type(self)()
        found.tags = tuple(labels)
        return found

    @property
    def scheme(self) -> TagScheme:
        """What the tags mean.

        Raises:
            ValueError: the task is not bound to names.
        """
        if not self.tags:
            raise ValueError("the tokens task needs the names of its tags: TOKENS.bound(labels)")
        return scheme_of(self.tags)

    @property
    def problem_type(self) -> None:
        """None: transformers' problem types are those of whole texts."""
        return None

    # Labels

    def check_names(self, names: Sequence[str]) -> None:
        pass

    def encode_labels(self, rows: Sequence[tuple[str, ...]], index: Mapping[str, int]) -> Ragged:
        lengths = offsets_of([len(names) for names in rows])
        each = (index.get(name, -1) for name in itertools.chain.from_iterable(rows))
        return Ragged(np.fromiter(each, dtype=np.int64, count=int(lengths[-1])), lengths)

    def names_of(self, row: Any, labels: Sequence[str]) -> tuple[str, ...]:
        return tuple(labels[number] if number >= 0 else NOT_IN_TRAIN for number in np.asarray(row).tolist())

    def without_labels(self, texts: int, labels: int, words: Ragged | None = None) -> Ragged:
        if words is None or len(words) != texts:
            raise ValueError(f"{texts} texts without tags need the words of each")
        return words.like(np.full(len(words.values), -1))

    def known(self, labels: Ragged) -> np.ndarray:
        return text_sums(labels.like(labels.values >= 0)) > 0

    def bare(self, labels: Ragged) -> np.ndarray:
        return np.asarray(labels.lengths == 0)

    def counts(self, labels: Ragged, count: int) -> np.ndarray:
        return SINGLE_LABEL.counts(labels.values, count)

    def label_count(self, labels: Ragged) -> int:
        return int(labels.values.max(initial=-1)) + 1

    def misfit(self, labels: Ragged, count: int) -> str:
        return SINGLE_LABEL.misfit(labels.values, count) if len(labels.values) else ""

    def relabel(self, labels: Ragged, place: np.ndarray, count: int) -> tuple[Ragged, np.ndarray | None]:
        return labels.like(SINGLE_LABEL.relabel(labels.values, place, count)[0]), None

    def indicators(self, labels: Ragged, count: int) -> Ragged:
        return labels.like(SINGLE_LABEL.indicators(labels.values, count))

    def present(self, labels: Ragged, count: int) -> np.ndarray:
        known = labels.values >= 0
        cells = labels.row_numbers[known] * count + labels.values[known]
        return np.asarray(np.bincount(cells, minlength=len(labels) * count).reshape(-1, count) > 0)

    def shown(self, row: Any, labels: Sequence[str]) -> str:
        return " ".join(self.names_of(row, labels))

    def units(self, logits: Ragged) -> int:
        return len(logits.values)

    # Answers

    def probabilities(self, logits: Ragged) -> Ragged:
        return logits.like(SINGLE_LABEL.probabilities(logits.values))

    def choose(self, scores: Ragged, threshold: Threshold) -> Ragged:
        smallest = np.finfo(scores.dtype).tiny  # a probability of 0 would make no sum of logits better than another
        return self.decide(scores.like(np.log(np.maximum(scores.values, smallest))))

    def decide(self, logits: Ragged, threshold: Threshold = 0.5) -> Ragged:
        check_logits(logits)
        if self.scheme.types.shape[0] != logits.shape[1] + 1:
            raise ValueError(f"logits of {logits.shape[1]} tags for a task of {len(self.tags)}")
        return self.scheme.decode(logits)

    def beginnings(self, logits: Ragged) -> tuple[int, int]:
        """Return how many spans begin with I-X and with B-X among the tags of the largest logits, legal or not."""
        return self.scheme.beginnings(logits.like(np.asarray(logits.values.argmax(axis=1), dtype=np.int64)))

    def same(self, first: Ragged, second: Ragged) -> np.ndarray:
        if not first.fits(second):
            raise ValueError("the texts have other numbers of words")
        return np.asarray(text_sums(first.like(first.values != second.values)) == 0)

    def cells(self, answer: Any) -> list[Any]:
        return [[span.to_dict() for span in answer.spans]]

    def chance_loss(self, labels: int) -> float:
        return SINGLE_LABEL.chance_loss(labels)

    # Numbers

    def score(
        self,
        logits: Ragged,
        labels: Ragged,
        *,
        unseen_label: np.ndarray | None = None,
        threshold: Threshold = 0.5,
    ) -> dict[str, float]:
        self.check_scored(logits, labels, unseen_label)
        decided = self.decide(logits)
        counts = self._count(decided, labels, unseen_label)
        known = labels.values >= 0
        metrics = counts.scores() | {
            "exact_match": float(counts.all_right.mean()),
            "conlleval_f1": self._count(decided, labels, unseen_label, strict=False).scores()["f1"],
            "calibration_error": self.calibration_error(logits, labels),
        }
        if known.any():
            metrics["log_loss"] = log_loss(logits.values[known], labels.values[known])
        return {name: metrics[name] for name in self.metrics if name in metrics}

    def by_label(
        self, logits: Ragged, labels: Ragged, *, unseen_label: np.ndarray | None = None
    ) -> dict[str, dict[str, float]]:
        """Return for each type of span its precision, recall and f1, and "spans", the number of true ones.

        Args:
            logits, labels, unseen_label: as for `score`.
        """
        self.check_scored(logits, labels, unseen_label)
        found = self._count(self.decide(logits), labels, unseen_label).by_type()
        return {
            name: {metric: values[number].item() for metric, values in found.items()}
            for number, name in enumerate(self.scheme.type_names)
        }

    def entropy(self, logits: Ragged) -> np.ndarray:
        sums = np.bincount(logits.row_numbers, weights=SINGLE_LABEL.entropy(logits.values), minlength=len(logits))
        return np.asarray(sums / np.maximum(logits.lengths, 1))

    def contributions(self, logits: Ragged, labels: Ragged, *, unseen_label: np.ndarray | None = None) -> np.ndarray:
        return self._counts_of(logits, labels, unseen_label).contributions()

    def primary_difference(
        self, first: Ragged, second: Ragged, labels: Ragged, *, unseen_label: np.ndarray | None = None
    ) -> Interval | None:
        return self.paired_f1_intervals(first, second, labels, unseen_label=unseen_label)[self.primary_metric]

    def intervals(
        self,
        logits: Ragged,
        labels: Ragged,
        *,
        unseen_label: np.ndarray | None = None,
        threshold: Threshold = 0.5,
        **bootstrap: Any,
    ) -> dict[str, Interval]:
        counts = self._counts_of(logits, labels, unseen_label)
        right = counts.all_right
        whole = wilson_interval(int(right.sum()), len(right), bootstrap.get("confidence", 0.95))
        return {**span_intervals(counts, **bootstrap), self.text_metric: whole}

    def f1_intervals(
        self,
        logits: Ragged,
        labels: Ragged,
        *,
        unseen_label: np.ndarray | None = None,
        threshold: Threshold = 0.5,
        **bootstrap: Any,
    ) -> dict[str, Interval]:
        """Return bootstrap intervals over texts of "f1", "macro_f1" and "accuracy"; arguments as for `intervals`."""
        return span_intervals(self._counts_of(logits, labels, unseen_label), **bootstrap)

    def paired_f1_intervals(
        self,
        first: Ragged,
        second: Ragged,
        labels: Ragged,
        *,
        unseen_label: np.ndarray | None = None,
        threshold: Threshold = 0.5,
        **bootstrap: Any,
    ) -> dict[str, Interval]:
        """Return intervals of the second model's "f1", "macro_f1" and "accuracy" minus the first's; see the base."""
        one, other = (self._counts_of(logits, labels, unseen_label) for logits in (first, second))
        return paired_span_intervals(one, other, **bootstrap)

    def agreement(self, first: Ragged, second: Ragged, threshold: Threshold = 0.5) -> float:
        """Return the share of words to which two models give the same tag; see the base."""
        if not first.fits(second) or first.shape != second.shape or len(first.values) == 0:
            raise ValueError(f"logits of shapes {first.shape} and {second.shape}, {len(first.values):,} words")
        return float((self.decide(first).values == self.decide(second).values).mean())

    def majority_share(self, labels: Ragged) -> float:
        if len(labels) == 0:
            return 0.0
        empty = labels.lengths == 0
        first = labels.values[labels.offsets[:-1][~empty]]
        differing = labels.like(labels.values != np.repeat(first, labels.lengths[~empty]))
        constant = first[(text_sums(differing) == 0)[~empty] & (first >= 0)]
        return float((np.bincount(constant, minlength=1).max() + empty.sum()) / len(labels))

    def blind(self, labels: Ragged, count: int) -> float:
        gold, words = self.scheme.spans(labels), max(1, len(labels.values))
        types = len(self.scheme.type_names)
        spans = np.bincount(gold.types, minlength=types)
        single = np.bincount(gold.types[gold.ends - gold.starts == 1], minlength=types)  # all that one can guess
        total = max(1, int(spans.sum() + _missed(labels, None).sum()))
        occurring = max(1, int(np.count_nonzero(spans)))
        one_type = 2 * single / (words + total) + 2 * single / (words + spans) / occurring  # a span in each word
        proportional = float((spans * single).sum() / total + single.sum() / occurring) / words
        return max(float(one_type.max(initial=0)), proportional) / 2

    # Parts of the methods above

    def _counts_of(self, logits: Ragged, labels: Ragged, unseen_label: np.ndarray | None) -> SpanCounts:
        self._check(logits, labels, unseen_label)
        return self._count(self.decide(logits), labels, unseen_label)

    def _count(
        self, decided: Ragged, labels: Ragged, unseen_label: np.ndarray | None, *, strict: bool = True
    ) -> SpanCounts:
        """Return what is counted of each text; ``strict`` as for ``TagScheme.spans``."""
        scheme = self.scheme
        return SpanCounts.of(
            scheme.spans(decided, strict=strict),
            scheme.spans(labels, strict=strict),
            len(scheme.type_names),
            labels.like(decided.values == labels.values),
            _missed(labels, unseen_label),
        )

    def _outcomes(self, logits: np.ndarray) -> list[np.ndarray]:
        return SINGLE_LABEL._outcomes(logits)

    def _log_outcomes(self, logits: np.ndarray) -> list[np.ndarray]:
        return SINGLE_LABEL._log_outcomes(logits)

    def _check_shape(self, logits: Ragged, labels: Ragged) -> None:
        if not isinstance(labels, Ragged) or labels.ndim != 1 or not logits.fits(labels):
            raise ValueError(f"{self} logits need a label for each of their words")
        if self.label_count(labels) > logits.shape[1]:
            raise ValueError(f"label {self.label_count(labels) - 1} is beyond the model's {logits.shape[1]} labels")


def _missed(labels: Ragged, unseen_label: np.ndarray | None) -> np.ndarray:
    """Return how many spans of each text no model can find: runs of unknown tags, int64 (texts,).

    A text with an unknown label has one at least.
    """
    unknown = labels.values < 0
    runs = text_sums(labels.like(unknown & ~before(labels, unknown, False)))
    return runs if unseen_label is None else np.maximum(runs, unseen_label.astype(np.int64))


TOKENS = Tokens()
