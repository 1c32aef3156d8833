"""The answers task: a question is answered by a part of its context, or has no answer there.

Label arrays are `AnswerLabels`: the right answers of each question and its context. Logits are the packed form of
`liteft.answer_spans`, Ragged (units, 5), in which every word of a context has its logits and its place, so decisions
are places, int64 (texts, 2), and need no tokenizer. (-1, -1) decides that there is no answer.

A question is answered if the logits of an answer exceed those of no answer, as in SQuAD 2.0. By how much they must for
a model, `Answers.fit_no_answer` finds on validation; the packed form has it in its logits (`answer_spans.AnswerForm`).
Where every question is known to have an answer it is `liteft.answer_spans.ALWAYS`, which such a validation split gives.
``threshold`` is on top of that, so it is 0 except where a threshold is looked for.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from liteft.answer_labels import AnswerLabels
from liteft.answer_spans import ALWAYS, BEGIN, END, START, STOP, TOKENS, Spans, best_spans, window_offsets
from liteft.answer_spans import fit_no_answer as fit_margin
from liteft.errors import ModelError
from liteft.metrics import AnswerScores, answer_scores, is_chinese_text, mcnemar, mean_interval, wilson_interval
from liteft.ragged import Ragged, Rows
from liteft.tasks.base import Interval, Task, Threshold
from liteft.tasks.temperature import FEWEST_TO_CALIBRATE

__all__ = ["ANSWERS"]

_WIDTH = TOKENS + 1


class Answers(Task):
    """A question has an answer in its context or none; label arrays are AnswerLabels, int64 (answers, 2) for each."""

    name = "answers"
    description = "a part of a second text that answers the first"
    several = False
    extractive = True
    judged_by_difference = True
    judged = "questions"
    least_agreement = 0.95  # where a model hesitates between two parts of a context, rounding decides
    alike = "answer that overlaps the model's by half or more"
    fewest_labels = 2
    label_dtype = np.int64
    activation = "softmax"
    primary_metric = "f1"
    text_metric = "exact_match"
    headline_metrics = ("f1", "exact_match")
    judged_by = ("f1", "exact_match")
    metrics = (*headline_metrics, "has_answer_f1", "has_answer_exact_match", "no_answer_accuracy", "answered")
    paired_units = "questions with exactly the right answer"
    columns = {"answer": "text", "score": "number", "start": "place", "end": "place"}  # noqa: RUF012

    @property
    def problem_type(self) -> None:
        """None: transformers' problem types are those of whole texts."""
        return None

    # Labels

    def check_names(self, names: Sequence[str]) -> None:
        raise ValueError(f"{len(names)} labels, but an answer is a part of the context and has no name")

    def encode_labels(self, rows: Sequence[tuple[str, ...]], index: Mapping[str, int]) -> AnswerLabels:  # type: ignore[override]
        raise ValueError("answers are places in a context and have no names; AnswerLabels.found makes a label array")

    def names_of(self, row: Any, labels: Sequence[str]) -> tuple[str, ...]:
        spans = np.asarray(row).reshape(-1, 2)
        found = tuple(f"{begin}-{end}" for begin, end in spans.tolist() if begin >= 0)
        return found or ("no answer",)

    def without_labels(self, texts: int, labels: int, words: Ragged | None = None) -> AnswerLabels:  # type: ignore[override]
        return AnswerLabels.found([()] * texts, [""] * texts)

    def known(self, labels: Rows) -> np.ndarray:
        return np.ones(len(labels), dtype=bool)

    def bare(self, labels: Rows) -> np.ndarray:
        return np.asarray(~labels.answered)

    def counts(self, labels: Rows, count: int) -> np.ndarray:
        """Return how many questions have a first and a last word of an answer: int64 (labels,)."""
        return np.full(count, int(labels.answered.sum()))

    def label_count(self, labels: Rows) -> int:
        return 2

    def misfit(self, labels: Rows, count: int) -> str:
        if labels.shape[1:] != (2,):
            return f"answers of shape {labels.shape[1:]} instead of a begin and an end"
        return "" if count == 2 else "begins and ends of answers, two labels"

    def relabel(self, labels: Rows, place: np.ndarray, count: int) -> tuple[Rows, np.ndarray | None]:
        return labels, None  # places do not depend on what begin and end are called

    def indicators(self, labels: Rows, count: int) -> np.ndarray:
        has = labels.answered if isinstance(labels, AnswerLabels) else np.asarray(labels)[:, 0] >= 0
        return np.repeat(has[:, None], count, axis=1)

    # Answers

    def spans(self, logits: Rows) -> Spans:
        """Return the best span of each question and the score of no answer."""
        return best_spans(logits)

    def probabilities(self, logits: Rows) -> Rows:
        """Return the packed form with probabilities in place of logits, each summing to 1 over a window's units."""
        values = logits.values.astype(np.result_type(logits.dtype, np.float32))
        values[:, [START, END]] = np.exp(np.stack(self._log_outcomes(logits), axis=1))
        return logits.like(values)

    def choose(self, scores: Rows, threshold: Threshold) -> np.ndarray:
        return self.spans(scores).decided(float(threshold))

    def decide(self, logits: Rows, threshold: Threshold = 0.0) -> np.ndarray:
        """Return begin and end of the answers in their contexts: int64 (texts, 2), (-1, -1) for no answer.

        Args:
            logits: the packed form, Ragged (units, 5).
            threshold: by how much an answer's score must exceed that of no answer.
        """
        return self.choose(logits, threshold)

    def same(self, first: Rows, second: Rows) -> np.ndarray:
        """Return for which questions two decisions are equal, or a decision and one of the right answers."""
        if isinstance(first, AnswerLabels):
            first, second = second, first
        if not isinstance(second, AnswerLabels):
            return np.asarray((first == second).all(axis=1))
        if isinstance(first, AnswerLabels):
            return np.array([one.tobytes() == other.tobytes() for one, other in zip(first, second, strict=True)], bool)
        found = np.where(second.answered, False, first[:, 0] < 0)
        equal = (second.values == first[second.row_numbers]).all(axis=1)
        found[second.row_numbers[equal]] = True
        return found

    def cells(self, answer: Any) -> list[Any]:
        return [answer.text, answer.score, answer.start, answer.end]

    def chance_loss(self, labels: int) -> float:
        return math.log(256)  # of a usual window's words, since nothing is known here of the windows

    def too_few_to_fit(self, labels: Rows) -> bool:
        """Return whether some questions have no answer, and all are too few to fit a threshold on, which stays 0."""
        return len(labels) < FEWEST_TO_CALIBRATE and not bool(labels.answered.all())

    def fit_no_answer(self, logits: Rows, labels: Rows) -> tuple[float, float]:
        """Return the threshold with the best F1, and that F1; ALWAYS where every question has an answer.

        With `too_few_to_fit` questions it would be mostly chance, and is 0.

        Args:
            logits: of questions that were not trained on, the packed form.
            labels: their answers, of one question at least.

        Source: Rajpurkar et al. 2018, arXiv:1806.03822, whose evaluate-v2.0.py looks for it in the same way.
        """
        self.check_scored(logits, labels, None)
        spans = self.spans(logits)
        answered = self._compared(spans.decided(ALWAYS), labels).f1
        if labels.answered.all():
            return ALWAYS, float(answered.mean())
        if self.too_few_to_fit(labels):
            return 0.0, float(self._compared(spans.decided(0.0), labels).f1.mean())
        silent = self._compared(np.full((len(labels), 2), -1), labels).f1
        return fit_margin(spans.margins, answered, silent)

    # Numbers

    def scores(self, logits: Rows, labels: Rows, threshold: Threshold = 0.0) -> AnswerScores:
        """Return exact match and F1 of each question; arguments as for `decide` and `correct`."""
        self._check(logits, labels, None)
        return self._compared(self.decide(logits, threshold), labels)

    def score(
        self,
        logits: Rows,
        labels: Rows,
        *,
        unseen_label: np.ndarray | None = None,
        threshold: Threshold = 0.0,
    ) -> dict[str, float]:
        """Return `metrics`, each a share between 0 and 1; arguments as for `correct`.

        Returns:
            f1, exact_match; has_answer_f1 and has_answer_exact_match of questions with an answer, and
            no_answer_accuracy of those without, absent if there are none; answered, the share that is given an answer.
        """
        self.check_scored(logits, labels, unseen_label)
        decisions = self.decide(logits, threshold)
        found = self._compared(decisions, labels)
        has = labels.answered
        metrics = {"f1": float(found.f1.mean()), "exact_match": float(found.exact.mean())}
        if has.any():
            metrics["has_answer_f1"] = float(found.f1[has].mean())
            metrics["has_answer_exact_match"] = float(found.exact[has].mean())
        if not has.all():
            metrics["no_answer_accuracy"] = float(found.exact[~has].mean())
        return metrics | {"answered": float((decisions[:, 0] >= 0).mean())}

    def correct(
        self,
        logits: Rows,
        labels: Rows,
        *,
        unseen_label: np.ndarray | None = None,
        threshold: Threshold = 0.0,
    ) -> np.ndarray:
        """Return which questions have exactly a right answer, as strings are compared: bool (texts,)."""
        return self.scores(logits, labels, threshold).exact

    def contributions(
        self, logits: Rows, labels: Rows, *, unseen_label: np.ndarray | None = None, threshold: Threshold = 0.0
    ) -> np.ndarray:
        return self.scores(logits, labels, threshold).f1

    def f1_intervals(
        self,
        logits: Rows,
        labels: Rows,
        *,
        unseen_label: np.ndarray | None = None,
        threshold: Threshold = 0.0,
        **bootstrap: Any,
    ) -> dict[str, Interval]:
        intervals = self.intervals(logits, labels, threshold=threshold, **bootstrap)
        return {"f1": intervals["f1"]}

    def paired_f1_intervals(
        self,
        first: Rows,
        second: Rows,
        labels: Rows,
        *,
        unseen_label: np.ndarray | None = None,
        threshold: Threshold = 0.0,
        **bootstrap: Any,
    ) -> dict[str, Interval]:
        one, other = (self.scores(logits, labels, threshold) for logits in (first, second))
        bound = mcnemar(one.exact, other.exact, bootstrap.get("confidence", 0.95))
        return {"f1": mean_interval(other.f1 - one.f1, otherwise=(bound.low, bound.high), **bootstrap)}

    def intervals(
        self,
        logits: Rows,
        labels: Rows,
        *,
        unseen_label: np.ndarray | None = None,
        threshold: Threshold = 0.0,
        **bootstrap: Any,
    ) -> dict[str, Interval]:
        found = self.scores(logits, labels, threshold)
        bound = wilson_interval(int(found.exact.sum()), len(found.exact), bootstrap.get("confidence", 0.95))
        return {"f1": mean_interval(found.f1, otherwise=bound, **bootstrap), "exact_match": bound}

    def primary_difference(
        self, first: Rows, second: Rows, labels: Rows, *, unseen_label: np.ndarray | None = None
    ) -> Interval | None:
        return self.paired_f1_intervals(first, second, labels)["f1"]

    def mean_logits(self, parts: Sequence[Rows]) -> Rows:
        """Return the packed form whose probabilities are the means over several models' probabilities.

        Args:
            parts: the packed form of each model, of the same units.

        Raises:
            ValueError: the units differ, as those of models with different tokenizers do.
        """
        first = parts[0]
        if any(not first.fits(part) or not _same_units(first, part) for part in parts):
            raise ValueError("the models judge different units, which have no mean")
        values = first.values.astype(np.float32)
        for column, logs in enumerate(zip(*map(self._log_outcomes, parts), strict=True)):
            values[:, column] = np.logaddexp.reduce(logs, axis=0) - np.log(len(parts))
        return first.like(values)

    def entropy(self, logits: Rows) -> np.ndarray:
        """Return the entropy of first and last words in nats, a mean over each question's windows: float64 (texts,)."""
        logs = self._log_outcomes(logits)
        return _mean_of_windows(logits, -sum(np.exp(log) * log for log in logs))  # type: ignore[operator]

    def divergence(self, reference: Rows, logits: Rows) -> float:
        """Return the divergence of first and last words together, a mean over windows and then over questions."""
        if not np.isfinite(logits.values).all():
            return float("inf")
        pairs = zip(self._log_outcomes(reference), self._log_outcomes(logits), strict=True)
        each = sum(np.exp(log) * (log - other) for log, other in pairs)
        return float(_mean_of_windows(logits, np.asarray(each)).mean())

    def calibration_error(self, logits: Rows, labels: Rows) -> float:
        raise NotImplementedError("a question's answers are too many to have calibrated probabilities")

    def agreement(self, first: Rows, second: Rows, threshold: Threshold = 0.0) -> float:
        """Return the share of questions to which two models give answers that overlap by half, or none both; see base.

        Where a model hesitates between two ends of an answer, rounding decides: of places that are exactly the same,
        models that are equally good have few.
        """
        if len(first) != len(second) or len(first) == 0:
            raise ValueError(f"logits of {len(first):,} and {len(second):,} questions")
        return float(_overlapping(self.decide(first, threshold), self.decide(second, threshold)).mean())

    def majority_share(self, labels: Rows) -> float:
        """Return the share of questions that no answer is right for, the only answer that may be right for several."""
        return float((~labels.answered).mean()) if len(labels) else 0.0

    def blind(self, labels: Rows, count: int) -> float:
        """Return the balanced score of answering no question."""
        return self.majority_share(labels)

    def _compared(self, decisions: np.ndarray, labels: AnswerLabels) -> AnswerScores:
        """Return the scores of decided places, int64 (texts, 2), as strings."""
        placed = zip(labels.texts, decisions.tolist(), strict=True)
        strings = [text[begin:end] if begin >= 0 else "" for text, (begin, end) in placed]
        known = {text: is_chinese_text(text) for text in set(labels.texts)}
        return answer_scores(strings, labels.strings, characters=[known[text] for text in labels.texts])

    def _gold(self, labels: Rows, count: int, unseen_label: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        return self.indicators(labels, count), np.zeros(len(labels), dtype=bool)

    def _outcomes(self, logits: Rows) -> list[np.ndarray]:
        return [np.exp(log) for log in self._log_outcomes(logits)]

    def _log_outcomes(self, logits: Rows) -> list[np.ndarray]:
        """Return the log-probabilities of first and of last words within their windows: float64 (units,) each."""
        windows, _ = window_offsets(logits)
        return [_log_softmax(logits.values[:, column].astype(np.float64), windows) for column in (START, END)]

    def _check(self, logits: Rows, labels: Rows, unseen_label: np.ndarray | None) -> None:
        if not isinstance(logits, Ragged) or logits.shape[1:] != (_WIDTH,):
            raise ValueError(f"logits of answers are Ragged, (units, {_WIDTH}) for each text")
        self._check_shape(logits, labels)

    def _check_shape(self, logits: Rows, labels: Rows) -> None:
        if not isinstance(labels, AnswerLabels) or len(labels) != len(logits):
            raise ValueError(f"logits of {len(logits):,} questions need as many AnswerLabels")

    def check_scored(self, logits: Rows, labels: Rows, unseen_label: np.ndarray | None) -> None:
        self._check(logits, labels, unseen_label)
        if len(logits) == 0:
            raise ValueError("there are no texts to score")
        broken = len(np.unique(logits.row_numbers[~np.isfinite(logits.values).all(axis=1)]))
        if broken:
            raise ModelError(
                f"the model's logits are not finite for {broken} of {len(logits)} texts.",
                fix="lower the learning rate, or train in fp32",
            )


def _overlapping(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return for which questions the characters of two places have an F1 of one half at least, or both are no answer.

    Args:
        first, second: begin and end, exclusive: int64 (texts, 2).

    Returns:
        bool (texts,).
    """
    shared = np.minimum(first[:, 1], second[:, 1]) - np.maximum(first[:, 0], second[:, 0])
    both = (first[:, 1] - first[:, 0]) + (second[:, 1] - second[:, 0])
    return np.asarray((first == second).all(axis=1) | ((shared > 0) & (4 * shared >= both)))


def _log_softmax(values: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Return the logarithms of a softmax over parts of an array, none of them empty: float64 (units,)."""
    if not len(values):
        return values
    lengths = offsets[1:] - offsets[:-1]
    shifted = values - np.repeat(np.maximum.reduceat(values, offsets[:-1]), lengths)
    return np.asarray(shifted - np.repeat(np.log(np.add.reduceat(np.exp(shifted), offsets[:-1])), lengths))


def _mean_of_windows(logits: Ragged, units: np.ndarray) -> np.ndarray:
    """Return the sums of units' values over each window as means over the windows of each question: (texts,)."""
    windows, texts = window_offsets(logits)
    if not len(logits):
        return np.zeros(0)
    sums = np.add.reduceat(units, windows[:-1])
    return np.asarray(np.add.reduceat(sums, texts[:-1]) / (texts[1:] - texts[:-1]))


def _same_units(first: Ragged, second: Ragged) -> bool:
    words = first.values[:, BEGIN] >= 0
    same = np.array_equal(first.values[:, BEGIN], second.values[:, BEGIN])
    return same and np.array_equal(first.values[words, STOP:], second.values[words, STOP:])


ANSWERS = Answers()
