"""The answers task: decisions, metrics and their intervals, and its label arrays."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

from liteft.answer_labels import AnswerLabels
from liteft.answer_spans import ALWAYS, BEGIN, END, MAX_ANSWER, START, STOP, pack
from liteft.errors import ModelError
from liteft.metrics import paired_interval_over_seeds
from liteft.ragged import Ragged, concatenated, offsets_of
from liteft.tasks import ANSWERS, TOKENS, task_named, task_of_labels
from liteft.tasks.answers import _overlapping
from liteft.words import find_words

CONTEXTS = ["Ada wrote the first program.", "It rained in Paris, again.", "No one knows.", "中文 的 答案 很 短。"]
ANSWERED = [[(0, 3)], [(13, 18), (10, 18)], [], [(5, 7)]]


def labelled(times: int = 1) -> AnswerLabels:
    return AnswerLabels.found(ANSWERED * times, CONTEXTS * times)


def logits_of(labels: AnswerLabels, *, right: np.ndarray, windows: int = 1, seed: int = 0) -> Ragged:
    """Return noisy logits that find the first right answer where ``right``; elsewhere no answer, or a wrong one."""
    generator = np.random.default_rng(seed)
    parts, lengths = [], []
    for text, (context, spans) in enumerate(zip(labels.texts, labels, strict=True)):
        rows = [
            (0.0, 0.0, -1, -1, MAX_ANSWER),
            *((0.0, 0.0, begin, stop, 1) for begin, stop in find_words(context)),
        ] * windows
        units = np.array(rows, dtype=np.float32)
        units[:, :BEGIN] = generator.normal(scale=0.1, size=(len(units), 2))
        if len(spans) > 0 and right[text]:
            units[units[:, BEGIN] == spans[0][0], START] += 5
            units[units[:, STOP] == spans[0][1], END] += 5
        elif len(spans) > 0 or right[text]:
            units[units[:, BEGIN] < 0, :BEGIN] += 5
        else:
            units[units[:, BEGIN] == 0, START] += 9
        parts.append(units)
        lengths.append(len(units))
    return pack(*np.concatenate(parts).T, offsets_of(lengths))


def test_answers_stay_with_their_contexts_wherever_rows_go() -> None:
    labels = labelled()
    assert labels.dtype == np.int64 and labels.shape == (4, 2)
    assert labels.strings == [["Ada"], ["Paris", "in Paris"], [], ["答案"]]
    chosen = labels[[3, 1]]
    assert isinstance(chosen, AnswerLabels) and chosen.strings == [["答案"], ["Paris", "in Paris"]]
    assert labels[labels.answered].texts == (CONTEXTS[0], CONTEXTS[1], CONTEXTS[3])
    assert labels[1].tolist() == [[13, 18], [10, 18]] and labels[1:2].texts == (CONTEXTS[1],)
    joined = concatenated([labels, chosen])
    assert isinstance(joined, AnswerLabels) and joined.strings == labels.strings + chosen.strings
    moved = labels.like(labels.values).astype(np.int32)
    assert isinstance(moved, AnswerLabels) and moved.strings == labels.strings and moved.dtype == np.int32


@pytest.mark.parametrize("span", [(-1, 2), (2, 2), (0, 99)])
def test_an_answer_that_is_not_within_its_context_is_no_label(span: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="an answer from"):
        AnswerLabels.found([[span]], ["short"])
    with pytest.raises(ValueError, match="1 questions with 2 contexts"):
        AnswerLabels.found([[]], ["one", "two"])


def test_the_task_is_known_by_its_name_and_its_labels() -> None:
    assert task_named("answers") is ANSWERS and task_of_labels(labelled()) is ANSWERS
    assert task_of_labels(Ragged.of([[0, 1]], np.int64)) is TOKENS
    for other in (copy.deepcopy(ANSWERS), pickle.loads(pickle.dumps(ANSWERS))):
        assert other == "answers" and type(other) is type(ANSWERS)
    assert ANSWERS.bound(("start", "end")) is ANSWERS


def test_what_labels_show_of_questions() -> None:
    labels = labelled()
    assert ANSWERS.counts(labels, 2).tolist() == [3, 3] and ANSWERS.bare(labels).tolist() == [False, False, True, False]
    assert ANSWERS.misfit(labels, 2) == "" and "two labels" in ANSWERS.misfit(labels, 3)
    assert ANSWERS.relabel(labels, np.array([0, 1]), 2) == (labels, None)
    assert ANSWERS.names_of(labels[1], ("start", "end")) == ("13-18", "10-18")
    assert ANSWERS.names_of(np.array([-1, -1]), ("start", "end")) == ("no answer",)
    assert ANSWERS.indicators(labels, 2)[:, 0].tolist() == [True, True, False, True]
    assert not ANSWERS.without_labels(3, 2).answered.any()


def test_scores_are_those_of_the_decided_strings() -> None:
    labels = labelled()
    logits = logits_of(labels, right=np.array([True, False, True, True]), windows=2)
    assert ANSWERS.decide(logits).tolist() == [[0, 3], [-1, -1], [-1, -1], [5, 7]]
    scores = ANSWERS.score(logits, labels)
    assert set(scores) == set(ANSWERS.metrics)
    assert scores["exact_match"] == 0.75 == ANSWERS.correct(logits, labels).mean()
    assert scores["f1"] == pytest.approx(ANSWERS.contributions(logits, labels).mean())
    assert scores["no_answer_accuracy"] == 1.0 and scores["has_answer_exact_match"] == pytest.approx(2 / 3)
    assert scores["answered"] == 0.5
    assert ANSWERS.score(logits, labels, threshold=ALWAYS)["answered"] == 1.0
    assert "no_answer_accuracy" not in ANSWERS.score(logits[:1], labels[:1])
    assert "has_answer_f1" not in ANSWERS.score(logits[2:3], labels[2:3])


def test_the_mean_of_contributions_and_intervals_are_those_of_f1() -> None:
    labels = labelled(40)
    generator = np.random.default_rng(1)
    first, second = (
        logits_of(labels, right=generator.random(160) < share, seed=seed) for seed, share in enumerate((0.6, 0.8))
    )
    intervals = ANSWERS.intervals(first, labels, resamples=200)
    score = ANSWERS.score(first, labels)
    assert set(intervals) == set(ANSWERS.headline_metrics)
    assert all(low < score[name] < high for name, (low, high) in intervals.items())
    found = ANSWERS.primary_difference(first, second, labels)
    parts = [ANSWERS.contributions(logits, labels)[None] for logits in (first, second)]
    expected = paired_interval_over_seeds(*parts)
    assert found == pytest.approx((expected.low, expected.high), abs=0.02) and found is not None and found[0] > 0
    equal = ANSWERS.primary_difference(first, first, labels)
    assert equal is not None and equal[0] < 0 < equal[1]


def test_answering_no_question_is_blind() -> None:
    labels = labelled(10)
    silent = logits_of(labels, right=np.tile([False, False, True, False], 10))
    scores = ANSWERS.score(silent, labels)
    assert ANSWERS.balanced(scores) == ANSWERS.blind(labels, 2) == ANSWERS.majority_share(labels) == 0.25
    assert ANSWERS.is_blind(scores, labels, 2)
    good = ANSWERS.score(logits_of(labels, right=np.ones(40, dtype=bool)), labels)
    assert not ANSWERS.is_blind(good, labels, 2)


def test_the_threshold_is_fitted_and_is_none_where_every_question_has_an_answer() -> None:
    labels = labelled(15)
    logits = logits_of(labels, right=np.ones(60, dtype=bool))
    shifted = logits.like(logits.values.copy())
    shifted.values[shifted.values[:, BEGIN] < 0, START] += 30.0  # no answer is far too likely
    assert ANSWERS.score(shifted, labels)["f1"] == 0.25
    threshold, reached = ANSWERS.fit_no_answer(shifted, labels)
    assert threshold < -20 and reached == pytest.approx(ANSWERS.score(shifted, labels, threshold=threshold)["f1"])
    assert reached == pytest.approx(ANSWERS.score(logits, labels)["f1"])
    has = labels.answered
    assert ANSWERS.fit_no_answer(shifted[has], labels[has])[0] == ALWAYS


def test_no_threshold_is_fitted_on_few_questions() -> None:
    labels = labelled(12)
    logits = logits_of(labels, right=np.ones(48, dtype=bool))
    logits.values[logits.values[:, BEGIN] < 0, START] += 30.0  # no answer is far too likely
    assert ANSWERS.too_few_to_fit(labels) and not ANSWERS.too_few_to_fit(labelled(13))
    assert ANSWERS.fit_no_answer(logits, labels) == (0.0, ANSWERS.score(logits, labels)["f1"])
    has = labels.answered
    assert not ANSWERS.too_few_to_fit(labels[has]) and ANSWERS.fit_no_answer(logits[has], labels[has])[0] == ALWAYS


def test_decisions_are_the_same_if_their_places_are() -> None:
    labels = labelled()
    logits = logits_of(labels, right=np.ones(4, dtype=bool))
    other = logits_of(labels, right=np.array([True, True, False, True]), seed=3)
    decided = ANSWERS.decide(logits)
    assert ANSWERS.same(decided, ANSWERS.decide(other)).tolist()[:3] == [True, True, False]
    assert ANSWERS.agreement(logits, logits) == 1.0 and ANSWERS.agreement(logits, other) < 1
    assert ANSWERS.agreement(logits, other) == 0.75
    assert ANSWERS.same(np.array([[0, 3], [10, 18], [-1, -1], [0, 2]]), labels).tolist() == [True, True, True, False]
    assert ANSWERS.same(labels, labels[[0, 1, 2, 3]]).all() and not ANSWERS.same(labels, labels[::-1])[0]


@pytest.mark.parametrize(
    ("second", "overlap"),
    [((10, 20), True), ((10, 30), True), ((10, 41), False), ((5, 15), True), ((4, 14), False), ((20, 30), False),
     ((-1, -1), False)],
)  # fmt: skip
def test_answers_agree_that_overlap_by_half(second: tuple[int, int], overlap: bool) -> None:
    one, other = np.array([[10, 20], [-1, -1]]), np.array([second, (-1, -1)])
    assert _overlapping(one, other).tolist() == [overlap, True]
    assert _overlapping(other, one).tolist() == [overlap, True]


def test_several_models_are_averaged_in_probabilities() -> None:
    labels = labelled()
    one, other = (logits_of(labels, right=np.ones(4, dtype=bool), windows=2, seed=seed) for seed in (0, 1))
    mean = ANSWERS.mean_logits([one, other])
    expected = (ANSWERS.probabilities(one).values + ANSWERS.probabilities(other).values) / 2
    assert ANSWERS.probabilities(mean).values == pytest.approx(expected, abs=1e-5)
    assert (mean.values[:, BEGIN:] == one.values[:, BEGIN:]).all() and mean.dtype == np.float32
    with pytest.raises(ValueError, match="different units"):
        ANSWERS.mean_logits([one[:2], other[1:3]])


def test_entropy_and_divergence_are_those_of_windows() -> None:
    labels = labelled()
    logits = logits_of(labels, right=np.ones(4, dtype=bool), windows=2)
    even = logits.like(np.where(np.arange(5) < BEGIN, 0, logits.values))
    words = np.array([len(find_words(context)) for context in CONTEXTS])
    assert ANSWERS.entropy(even) == pytest.approx(2 * np.log(1 + words))
    assert (ANSWERS.entropy(logits) < ANSWERS.entropy(even)).all()
    assert ANSWERS.divergence(logits, logits) == 0.0 < ANSWERS.divergence(even, logits)
    broken = logits.like(logits.values.copy())
    broken.values[1, 0] = np.nan
    assert ANSWERS.divergence(logits, broken) == np.inf
    with pytest.raises(ModelError, match="not finite for 1 of 4"):
        ANSWERS.score(broken, labels)


def test_logits_and_labels_of_other_tasks_are_refused() -> None:
    labels = labelled()
    logits = logits_of(labels, right=np.ones(4, dtype=bool))
    for wrong in (np.zeros((4, 2)), Ragged(np.zeros((4, 2)), np.arange(5))):
        with pytest.raises(ValueError, match="logits of answers are Ragged"):
            ANSWERS.score(wrong, labels)
    with pytest.raises(ValueError, match="as many AnswerLabels"):
        ANSWERS.score(logits, labels[:2])
    with pytest.raises(ValueError, match="no texts"):
        ANSWERS.score(logits[:0], labels[:0])
