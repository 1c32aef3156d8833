"""Answers out of logits: the packed form of a question's logits, and the best spans in them.

**The packed form.** A model judges the words of a context, in one window of it or several, and before them the first
token, which stands for "no answer here". The logits of a list of questions are one Ragged of float32, (units, 5): a row
for each question, an entry for each unit of its windows, one window after the other. The columns are

    START, END     logits of the answer's first and last word; of unit 0 both are those of no answer
    BEGIN, STOP    where the word begins and ends in the context, in code points, STOP exclusive; -1 for unit 0
    TOKENS         number of the word's tokens; of unit 0 the most tokens of an answer, from its first to its last

Every window begins with its unit 0, and nothing else has a BEGIN of -1, so windows need no numbers. float32 counts code
points exactly up to 16.7 million. A model's threshold of no answer is added to the logits of unit 0 (`AnswerForm`). So
whoever has this form needs no tokenizer, window, text or setting of the model to find the answer's place.

**The best span** of a question has the largest sum of a START and an END logit, of two words of one window in order,
with at most as many tokens from first to last as unit 0 of the window says. All pairs are looked at, not only those of
the 20 best starts and ends. No answer has the smallest sum of the two logits of unit 0 over the windows, as in SQuAD
2.0: a window without the answer says nothing of the others.

Source: Rajpurkar et al. 2018, arXiv:1806.03822; Devlin et al. 2019, section 4.3, arXiv:1810.04805.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from liteft.ragged import Ragged

__all__ = [
    "ALWAYS",
    "BEGIN",
    "END",
    "MAX_ANSWER",
    "START",
    "STOP",
    "TOKENS",
    "AnswerForm",
    "Spans",
    "best_spans",
    "fit_no_answer",
    "log_totals",
    "no_answer_units",
    "pack",
    "top_spans",
    "window_offsets",
]

START, END, BEGIN, STOP, TOKENS = range(5)
MAX_ANSWER = 30
"""Tokens from an answer's first to its last."""
ALWAYS = -float("inf")
"""The threshold at which every question is answered."""
MAX_QUESTION = 64
"""Tokens of a question that are read."""
STRIDE = 128
"""Tokens that a window of a context shares with the one before it."""
_NEVER = -1e4  # each logit of no answer for a model that answers every question


@dataclass(frozen=True, slots=True)
class AnswerForm:
    """How a model reads questions and decides on answers.

    Attributes:
        max_answer: most tokens of an answer, from its first to its last.
        no_answer: by how much an answer's score must exceed that of no answer; None if every question is answered.
        stride: tokens that a window of a context shares with the one before it.
        max_question: tokens of a question that are read.
    """

    max_answer: int = MAX_ANSWER
    no_answer: float | None = 0.0
    stride: int = STRIDE
    max_question: int = MAX_QUESTION

    @property
    def undecided(self) -> AnswerForm:
        """The same without a threshold: the model's logits are as it gives them."""
        return replace(self, no_answer=0.0)

    def decided_by(self, threshold: float) -> AnswerForm:
        """The same with a threshold, -inf to answer every question."""
        return replace(self, no_answer=None if threshold == ALWAYS else float(threshold))

    def settled(self, logits: Ragged) -> Ragged:
        """Return a packed form of raw logits with this form's threshold and limit in it."""
        values, first = logits.values.copy(), no_answer_units(logits)
        values[first, TOKENS] = self.max_answer
        for side in (START, END):
            own = values[first, side]
            values[first, side] = _NEVER if self.no_answer is None else own + np.float32(self.no_answer / 2)
        return logits.like(values)


@dataclass(frozen=True, slots=True, eq=False)
class Spans:
    """The best span of each question, and what no answer has.

    Attributes:
        places: begin and end in the context, code points, ends exclusive: int64 (texts, 2); -1 where there is no span.
        scores: sum of the two logits: float64 (texts,); -inf where there is no span.
        nothing: the score of no answer: float64 (texts,).
    """

    places: np.ndarray
    scores: np.ndarray
    nothing: np.ndarray

    @property
    def margins(self) -> np.ndarray:
        """By how much the span exceeds no answer: float64 (texts,), -inf where there is no span."""
        return np.asarray(self.scores - self.nothing)

    def decided(self, threshold: float) -> np.ndarray:
        """Return the places, (-1, -1) for no answer where the margin does not exceed a threshold: int64 (texts, 2)."""
        return np.where((self.margins > threshold)[:, None], self.places, -1)


def pack(
    start: np.ndarray, end: np.ndarray, begin: np.ndarray, stop: np.ndarray, tokens: np.ndarray, offsets: np.ndarray
) -> Ragged:
    """Return the packed form from its columns, (units,) each, and the offsets of the questions."""
    return Ragged(np.stack([start, end, begin, stop, tokens], axis=1).astype(np.float32), offsets)


def window_offsets(logits: Ragged) -> tuple[np.ndarray, np.ndarray]:
    """Return where the windows of a packed form are.

    Returns:
        Units before each window, int64 (windows + 1,); windows before each question, int64 (texts + 1,).

    Raises:
        ValueError: a question does not begin with a window's unit 0, or is without units.
    """
    first = logits.values[:, BEGIN] < 0
    bounds = logits.offsets
    if (logits.lengths < 1).any() or not first[bounds[:-1]].all():
        raise ValueError("the logits of a question do not begin with those of no answer")
    firsts = np.flatnonzero(first)
    return np.append(firsts, len(first)), np.searchsorted(firsts, bounds)


def no_answer_units(logits: Ragged) -> np.ndarray:
    """Return the places of the units 0 in a packed form: int64 (windows,)."""
    return np.flatnonzero(logits.values[:, BEGIN] < 0)


def best_spans(logits: Ragged, max_answer: int | None = None) -> Spans:
    """Return the best span of each question, the earliest and shortest of equal ones.

    Args:
        logits: the packed form, (units, 5) for each question.
        max_answer: most tokens of an answer, 1 or more; None for what the packed form says.

    Raises:
        ValueError: the logits do not have this form.
    """
    _check(logits)
    places, scores = _best(logits, logits.values[:, BEGIN] >= 0, max_answer)
    return Spans(places, scores, _no_answer(logits))


def top_spans(logits: Ragged, count: int, max_answer: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Return the best spans of each question: each the best of those that share no word with the ones before it.

    Args:
        logits, max_answer: as for `best_spans`.
        count: number of spans.

    Returns:
        Their places, int64 (texts, count, 2), -1 where there are no more; their scores, float64 (texts, count), -inf
        there.
    """
    _check(logits)
    begin, stop, text = logits.values[:, BEGIN], logits.values[:, STOP], logits.row_numbers
    free = begin >= 0
    places = np.full((len(logits), count, 2), -1, dtype=np.int64)
    scores = np.full((len(logits), count), -np.inf)
    for turn in range(count):
        places[:, turn], scores[:, turn] = _best(logits, free, max_answer)
        taken = places[:, turn][text]
        free = free & ~((begin < taken[:, 1]) & (stop > taken[:, 0]))  # in all windows that have these words
    return places, scores


def log_totals(logits: Ragged) -> np.ndarray:
    """Return the logarithm of the sum of exp(score) over all spans of each question and no answer: float64 (texts,).

    exp(score - this) is the probability of a span, or of no answer, among all of them.

    Args:
        logits: the packed form, (units, 5) for each question.

    Raises:
        ValueError: the logits do not have this form.
    """
    _check(logits)
    if not len(logits):
        return np.zeros(0)
    values, text = logits.values.astype(np.float64), logits.row_numbers
    free = values[:, BEGIN] >= 0
    sides = [np.where(free, values[:, side], -np.inf) for side in (START, END)]
    most = [np.maximum(np.maximum.reduceat(side, logits.offsets[:-1]), -1e300) for side in sides]
    start, end = (np.exp(side - top[text]) for side, top in zip(sides, most, strict=True))
    before = np.concatenate([[0.0], np.cumsum(end)])
    farthest = _farthest(free, values[:, TOKENS], _limits(logits))
    each = start * np.maximum(before[farthest + 1] - before[:-1], 0.0)  # a span of no words has none
    with np.errstate(divide="ignore"):
        spans = np.log(np.add.reduceat(each, logits.offsets[:-1])) + most[0] + most[1]
    return np.asarray(np.logaddexp(spans, _no_answer(logits)))


def fit_no_answer(margins: np.ndarray, answered: np.ndarray, silent: np.ndarray) -> tuple[float, float]:
    """Return the threshold of the margin above which questions are best answered, and the mean score there.

    Tried are 0 and the middles between all margins that occur, as well as answering none and all.

    Args:
        margins: of `Spans`, float (texts,).
        answered: each question's score if its span is the answer, float (texts,).
        silent: its score if there is no answer, float (texts,).

    Raises:
        ValueError: there are no questions.
    """
    if not len(margins):
        raise ValueError("there are no questions to fit a threshold on")
    order = np.argsort(-margins, kind="stable")
    ordered = margins[order].astype(np.float64)
    ordered = ordered[np.isfinite(ordered)]  # a context without words cannot be answered
    gains = (answered - silent)[order][: len(ordered)]
    totals = silent.sum() + np.concatenate([[0.0], np.cumsum(gains)])  # with the first 0, 1, 2, ... answered
    if not len(ordered):
        return 0.0, float(totals[0] / len(margins))
    outer = np.concatenate([[ordered[0] + 1], ordered, [ordered[-1] - 1]])
    cuts = np.flatnonzero(outer[:-1] > outer[1:])
    zero = int((ordered > 0).sum())
    best = cuts[int(totals[cuts].argmax())]
    if totals[zero] >= totals[best] - 1e-9:
        return 0.0, float(totals[zero] / len(margins))
    return float((outer[best] + outer[best + 1]) / 2), float(totals[best] / len(margins))


def _best(logits: Ragged, free: np.ndarray, max_answer: int | None) -> tuple[np.ndarray, np.ndarray]:
    """Return the places and scores of the best spans of free words, bool (units,), as in `Spans`."""
    values = logits.values
    if not len(logits):
        return np.zeros((0, 2), dtype=np.int64), np.zeros(0)
    start, end = values[:, START].astype(np.float64), values[:, END].astype(np.float64)
    limits = _limits(logits) if max_answer is None else np.full(len(values), max_answer)
    farthest = _farthest(free, values[:, TOKENS], limits)
    score = start + _most_within(end, farthest)
    score[np.isnan(score)] = -np.inf
    most = np.maximum.reduceat(score, logits.offsets[:-1])
    hits = np.flatnonzero(score == np.repeat(most, logits.lengths))
    first = hits[np.searchsorted(hits, logits.offsets[:-1])]
    last = first.copy()
    for _ in range(int((farthest[first] - first).max())):  # to the first word that gives this score
        last += (start[first] + end[last] != most) & (last < farthest[first])
    places = np.stack([values[first, BEGIN], values[last, STOP]], axis=1).astype(np.int64)
    places[np.isneginf(most)] = -1
    return places, most


def _limits(logits: Ragged) -> np.ndarray:
    """Return the most tokens of an answer from each unit on, as its window says: int64 (units,)."""
    windows, _ = window_offsets(logits)
    return np.repeat(logits.values[windows[:-1], TOKENS].astype(np.int64), windows[1:] - windows[:-1])


def _farthest(free: np.ndarray, tokens: np.ndarray, limits: np.ndarray) -> np.ndarray:
    """Return the last word of the longest span from each word: int64 (units,); the one before it if there is none.

    Args:
        free: words that may be in a span: bool (units,).
        tokens: of each unit: float32 (units,).
        limits: most tokens of a span from each unit on: int64 (units,).
    """
    units = np.arange(len(free))
    before = np.concatenate([[0], np.cumsum(tokens, dtype=np.int64)])
    longest = np.searchsorted(before, before[:-1] + limits, side="right") - 2
    blocked = np.minimum.accumulate(np.where(free, len(free), units)[::-1])[::-1]  # the next word that is not free
    return np.asarray(np.minimum(longest, blocked - 1))


def _most_within(values: np.ndarray, farthest: np.ndarray) -> np.ndarray:
    """Return the largest of the values from each place to its farthest one: (units,), -inf where that is before it.

    A range is covered by two of the largest power of two that fits; those of twice the size are made of two.
    """
    most = np.full(len(values), -np.inf)
    lengths = farthest - np.arange(len(values)) + 1
    left = np.flatnonzero(lengths > 0)
    covered, size = values.copy(), 1  # the largest of ``size`` values from each place
    while len(left):
        fits = lengths[left] < 2 * size
        now = left[fits]
        most[now] = np.fmax(covered[now], covered[farthest[now] - size + 1])
        left = left[~fits]
        covered[:-size] = np.fmax(covered[:-size], covered[size:])
        size *= 2
    return most


def _no_answer(logits: Ragged) -> np.ndarray:
    """Return the score of no answer: float64 (texts,)."""
    windows, texts = window_offsets(logits)
    if not len(logits):
        return np.zeros(0)
    first = logits.values[windows[:-1], :BEGIN].astype(np.float64).sum(axis=1)
    return np.asarray(np.minimum.reduceat(first, texts[:-1]))


def _check(logits: Ragged) -> None:
    if logits.shape[1:] != (TOKENS + 1,):
        raise ValueError(f"logits of answers have shape (units, {TOKENS + 1}) for each text, not {logits.shape[1:]}")
    window_offsets(logits)
