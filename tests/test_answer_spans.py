"""Best spans of questions, compared with a search through all pairs, and the threshold of no answer."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from liteft.answer_spans import (
    ALWAYS,
    BEGIN,
    END,
    START,
    STOP,
    TOKENS,
    AnswerForm,
    best_spans,
    fit_no_answer,
    log_totals,
    pack,
    top_spans,
    window_offsets,
)
from liteft.ragged import Ragged, offsets_of

Window = list[tuple[float, float, int, int, int]]


def packed(texts: list[list[Window]]) -> Ragged:
    """Return the packed form of windows of (start, end, begin, stop, tokens)."""
    units = np.array([unit for windows in texts for window in windows for unit in window], dtype=np.float32)
    return pack(*units.reshape(-1, 5).T, offsets_of([sum(map(len, windows)) for windows in texts]))


@st.composite
def questions(draw: st.DrawFn) -> list[list[Window]]:
    """Return questions with windows of one context each, some of them without words; logits have ties."""
    logit = st.integers(-4, 4).map(float)
    texts = []
    for _ in range(draw(st.integers(1, 4))):
        words = draw(st.integers(0, 7))
        sizes = [draw(st.integers(1, 3)) for _ in range(words)]
        windows = []
        for _ in range(draw(st.integers(1, 3))):
            first = draw(st.integers(0, words))
            last = draw(st.integers(first, words))
            own = [(draw(logit), draw(logit), 4 * word, 4 * word + 3, sizes[word]) for word in range(first, last)]
            windows.append([(draw(logit), draw(logit), -1, -1, 1), *own])
        texts.append(windows)
    return texts


def all_spans(windows: list[Window], most: int) -> list[tuple[float, int, int]]:
    """Return score, begin and end of every span that is short enough, first words first, shorter ones first."""
    found = []
    for window in windows:
        for first in range(1, len(window)):
            for last in range(first, len(window)):
                if sum(unit[TOKENS] for unit in window[first : last + 1]) <= most:
                    found.append((window[first][START] + window[last][END], window[first][BEGIN], window[last][STOP]))
    return found


@settings(max_examples=200, deadline=None)
@given(questions(), st.integers(1, 9))
def test_the_best_span_is_that_of_a_search_through_all_pairs(texts: list[list[Window]], most: int) -> None:
    found = best_spans(packed(texts), most)
    for text, windows in enumerate(texts):
        spans = all_spans(windows, most)
        assert found.nothing[text] == min(window[0][START] + window[0][END] for window in windows)
        if not spans:
            assert found.places[text].tolist() == [-1, -1] and found.scores[text] == -np.inf
            continue
        best = max(spans, key=lambda span: span[0])  # the first of equal ones
        assert (found.scores[text], *found.places[text].tolist()) == best


@settings(max_examples=200, deadline=None)
@given(questions(), st.integers(1, 9), st.integers(1, 4))
def test_the_next_best_spans_share_no_word_with_those_before(texts: list[list[Window]], most: int, count: int) -> None:
    places, scores = top_spans(packed(texts), count, most)
    for text, windows in enumerate(texts):
        spans = all_spans(windows, most)
        for turn in range(count):
            if not spans:
                assert places[text, turn].tolist() == [-1, -1] and scores[text, turn] == -np.inf
                continue
            best = max(spans, key=lambda span: span[0])
            assert (scores[text, turn], *places[text, turn].tolist()) == best
            spans = [span for span in spans if span[2] <= best[1] or span[1] >= best[2]]


def test_a_window_without_the_answer_does_not_say_that_there_is_none() -> None:
    sure = [(-3.0, -3.0, -1, -1, 1), (4.0, 4.0, 0, 2, 1)]
    other = [(5.0, 5.0, -1, -1, 1), (0.0, 0.0, 9, 11, 1)]
    spans = best_spans(packed([[sure, other], [other]]))
    assert spans.nothing.tolist() == [-6.0, 10.0]
    assert spans.decided(0.0).tolist() == [[0, 2], [-1, -1]]
    assert spans.decided(ALWAYS).tolist() == [[0, 2], [9, 11]]


def test_a_form_puts_its_threshold_and_its_limit_into_the_logits() -> None:
    raw = packed([[[(1.0, 1.0, -1, -1, 1), (2.0, 0.0, 0, 2, 1), (0.0, 3.0, 3, 5, 1)]]])
    for threshold, answered in ((0.0, True), (2.5, True), (3.5, False), (None, True)):
        settled = AnswerForm(max_answer=2, no_answer=threshold).settled(raw)
        found = best_spans(settled)
        assert found.decided(0.0).tolist() == [[0, 5] if answered else [-1, -1]]
        assert np.isfinite(settled.values).all() and raw.values[0].tolist() == [1, 1, -1, -1, 1]
        if threshold is not None:
            assert found.margins.tolist() == [5 - 2 - threshold]
    assert best_spans(AnswerForm(max_answer=1).settled(raw)).places.tolist() == [[3, 5]]
    assert AnswerForm().decided_by(ALWAYS).no_answer is None and AnswerForm(no_answer=2.0).undecided == AnswerForm()


@settings(max_examples=100, deadline=None)
@given(questions(), st.integers(1, 9))
def test_probabilities_of_all_spans_and_of_no_answer_add_up_to_one(texts: list[list[Window]], most: int) -> None:
    logits = AnswerForm(max_answer=most).settled(packed(texts))
    totals, nothing = log_totals(logits), best_spans(logits).nothing
    for text, windows in enumerate(texts):
        scores = [score for score, *_ in all_spans(windows, most)] + [nothing[text]]
        assert totals[text] == pytest.approx(np.logaddexp.reduce(scores))


def test_no_threshold_finds_an_answer_in_a_context_without_words() -> None:
    spans = best_spans(packed([[[(0.0, 0.0, -1, -1, 1)]]]))
    assert spans.decided(ALWAYS).tolist() == [[-1, -1]]


def test_windows_are_found_by_their_first_units() -> None:
    empty: Window = [(0.0, 0.0, -1, -1, 1)]
    logits = packed([[empty, [*empty, (0.0, 0.0, 0, 1, 1)]], [empty]])
    windows, texts = window_offsets(logits)
    assert windows.tolist() == [0, 1, 3, 4] and texts.tolist() == [0, 2, 3]
    assert [each.tolist() for each in window_offsets(logits[:0])] == [[0], [0]]
    assert best_spans(logits[:0]).places.shape == (0, 2)


def test_logits_that_do_not_begin_with_those_of_no_answer_are_refused() -> None:
    with pytest.raises(ValueError, match="do not begin"):
        best_spans(packed([[[(0.0, 0.0, 0, 1, 1)]]]))
    with pytest.raises(ValueError, match="shape"):
        best_spans(Ragged(np.zeros((1, 2), dtype=np.float32), np.array([0, 1])))


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.tuples(st.integers(-3, 3), st.sampled_from([0.0, 0.5, 1.0]), st.booleans()), min_size=1, max_size=12)
)
def test_the_threshold_has_the_best_score_that_any_threshold_has(rows: list[tuple[int, float, bool]]) -> None:
    margins = np.array([margin for margin, *_ in rows], dtype=np.float64)
    silent = np.array([empty for *_, empty in rows], dtype=np.float64)
    answered = np.array([0.0 if empty else score for _, score, empty in rows])
    threshold, reached = fit_no_answer(margins, answered, silent)
    tried = [float(np.where(margins > cut, answered, silent).mean()) for cut in np.arange(-4, 4.5, 0.5)]
    assert reached == pytest.approx(max(tried))
    assert reached == pytest.approx(np.where(margins > threshold, answered, silent).mean())


def test_the_threshold_is_0_where_no_other_is_better() -> None:
    assert fit_no_answer(np.array([-np.inf]), np.zeros(1), np.ones(1)) == (0.0, 1.0)
    assert fit_no_answer(np.array([2.0, -2.0]), np.array([1.0, 0.0]), np.array([0.0, 1.0])) == (0.0, 1.0)
    with pytest.raises(ValueError, match="no questions"):
        fit_no_answer(np.zeros(0), np.zeros(0), np.zeros(0))
