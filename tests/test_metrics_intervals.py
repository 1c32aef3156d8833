"""Intervals and paired tests against published examples, scipy and simulation."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from liteft import metrics
from liteft.metrics.paired import student_quantile
from liteft.tasks import MULTI_LABEL, SINGLE_LABEL, Task


@given(st.integers(1, 5000), st.floats(0, 1), st.sampled_from([0.8, 0.95, 0.99]))
@settings(max_examples=100, deadline=None)
def test_wilson_equals_scipy_and_contains_the_share(n: int, share: float, confidence: float) -> None:
    successes = round(share * n)
    low, high = metrics.wilson_interval(successes, n, confidence)
    expected = stats.binomtest(successes, n).proportion_ci(confidence, method="wilson")
    assert (low, high) == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert 0 <= low <= successes / n <= high <= 1


def test_wilson_edges() -> None:
    assert metrics.wilson_interval(0, 0) == (0.0, 1.0)
    with pytest.raises(ValueError):
        metrics.wilson_interval(3, 2)


@given(n=st.integers(1, 3000), successes=st.floats(0, 1), share=st.floats(0, 1))
def test_the_binomial_tail_equals_scipy(n: int, successes: float, share: float) -> None:
    count = round(successes * n)
    expected = stats.binom.sf(count - 1, n, share)
    assert metrics.binomial_tail(count, n, share) == pytest.approx(expected, rel=1e-6, abs=1e-12)


def test_the_binomial_tail_at_its_ends() -> None:
    assert metrics.binomial_tail(0, 5, 0.0) == metrics.binomial_tail(5, 5, 1.0) == 1.0
    assert metrics.binomial_tail(1, 5, 0.0) == 0.0
    with pytest.raises(ValueError):
        metrics.binomial_tail(6, 5, 0.5)


def counts_to_vectors(both: int, only_a: int, only_b: int, neither: int) -> tuple[np.ndarray, np.ndarray]:
    first = np.repeat([True, True, False, False], [both, only_a, only_b, neither])
    second = np.repeat([True, False, True, False], [both, only_a, only_b, neither])
    return first, second


def test_mcnemar_interval_equals_newcombes_published_example() -> None:
    # Newcombe 1998, table II: 36, 12, 2, 0 of 50 gives +0.0569 to +0.3404 for the first minus the second.
    test = metrics.mcnemar(*counts_to_vectors(36, 12, 2, 0))
    assert (test.b, test.c) == (12, 2)
    assert test.difference == pytest.approx(-0.2)
    assert (-test.high, -test.low) == pytest.approx((0.0569, 0.3404), abs=5e-5)


@given(st.integers(0, 300), st.integers(0, 300))
@settings(max_examples=60, deadline=None)
def test_mcnemar_p_value_is_the_exact_binomial_one(only_a: int, only_b: int) -> None:
    test = metrics.mcnemar(*counts_to_vectors(50, only_a, only_b, 7))
    differing = only_a + only_b
    expected = stats.binomtest(only_a, differing, 0.5).pvalue if differing else 1.0
    assert test.p_value == pytest.approx(expected, rel=1e-9)


def test_mcnemar_of_many_differences_stays_near_the_exact_value() -> None:
    test = metrics.mcnemar(*counts_to_vectors(9000, 700, 620, 100))
    assert test.p_value == pytest.approx(stats.binomtest(700, 1320, 0.5).pvalue, rel=0.01)


@given(st.lists(st.integers(0, 60), min_size=4, max_size=4).filter(sum))
@settings(max_examples=100, deadline=None)
def test_mcnemar_is_antisymmetric_and_contains_the_difference(counts: list[int]) -> None:
    first, second = counts_to_vectors(*counts)
    forward, backward = metrics.mcnemar(first, second), metrics.mcnemar(second, first)
    assert forward.p_value == backward.p_value
    assert (forward.low, forward.high) == pytest.approx((-backward.high, -backward.low), abs=1e-12)
    assert -1 <= forward.low <= forward.difference <= forward.high <= 1


def test_mcnemar_of_equal_models_sees_no_difference() -> None:
    first, _ = counts_to_vectors(80, 0, 0, 20)
    test = metrics.mcnemar(first, first)
    assert test.p_value == 1.0 and test.difference == 0.0 and test.low <= 0 <= test.high
    with pytest.raises(ValueError):
        metrics.mcnemar(first, first[:3])


def test_bootstrap_of_a_mean_is_near_its_standard_error() -> None:
    right = np.repeat([1.0, 0.0], [800, 200])
    low, high = metrics.bootstrap_interval(np.mean, right, resamples=2000, seed=3)
    half = 1.96 * math.sqrt(0.8 * 0.2 / 1000)
    assert (low, high) == pytest.approx((0.8 - half, 0.8 + half), abs=0.004)
    assert metrics.bootstrap_interval(np.mean, right, seed=3) == metrics.bootstrap_interval(np.mean, right, seed=3)


def test_bootstrap_keeps_arrays_together() -> None:
    values = np.arange(50.0)
    low, high = metrics.bootstrap_interval(lambda a, b: float(np.abs(a - b).max()), values, values)
    assert (low, high) == (0.0, 0.0)
    with pytest.raises(ValueError):
        metrics.bootstrap_interval(np.mean, values, values[:3])


@pytest.mark.parametrize("task", [SINGLE_LABEL, MULTI_LABEL])
def test_f1_interval_equals_the_plain_bootstrap_over_texts(task: Task) -> None:
    generator = np.random.default_rng(0)
    logits = generator.normal(size=(300, 4)).astype(np.float32)
    gold = generator.integers(0, 4, 300) if task == SINGLE_LABEL else generator.random((300, 4)) < 0.4
    unseen_label = generator.random(300) < 0.05

    def macro(rows: np.ndarray) -> float:
        return task.score(logits[rows], gold[rows], unseen_label=unseen_label[rows])["macro_f1"]

    plain = metrics.bootstrap_interval(macro, np.arange(300), resamples=3000)
    fast = task.f1_intervals(logits, gold, unseen_label=unseen_label, resamples=3000)["macro_f1"]
    assert fast == pytest.approx(plain, abs=0.006)


def test_score_intervals_contain_the_scores() -> None:
    generator = np.random.default_rng(5)
    gold = generator.random((200, 5)) < 0.3
    logits = (generator.normal(size=(200, 5)) + gold).astype(np.float32)
    found = MULTI_LABEL.score(logits, gold)
    intervals = MULTI_LABEL.intervals(logits, gold)
    assert set(intervals) == {"exact_match", "micro_f1", "macro_f1"}
    assert all(low < found[name] < high for name, (low, high) in intervals.items())
    single = SINGLE_LABEL.intervals(logits, gold.argmax(axis=1))
    assert set(single) == {"accuracy", "macro_f1"}


def test_paired_f1_interval_is_narrower_than_the_two_apart() -> None:
    generator = np.random.default_rng(6)
    gold = generator.random((500, 5)) < 0.3
    first = generator.normal(size=(500, 5)) + gold
    second = first + generator.normal(size=(500, 5)) * 0.1
    low, high = MULTI_LABEL.paired_f1_intervals(first, second, gold)["micro_f1"]
    alone = MULTI_LABEL.f1_intervals(first, gold)["micro_f1"]
    assert high - low < (alone[1] - alone[0]) / 2


def test_f1_of_a_few_texts_without_an_error_has_no_interval_of_zero_width() -> None:
    gold = np.array([0, 1, 0, 1, 0])
    logits = np.eye(2)[gold]
    found = SINGLE_LABEL.f1_intervals(logits, gold)
    assert found["macro_f1"] == found["micro_f1"] == metrics.wilson_interval(5, 5)
    assert SINGLE_LABEL.f1_intervals(-logits, gold)["macro_f1"] == metrics.wilson_interval(0, 5)
    right = np.ones(5, dtype=bool)
    bound = metrics.mcnemar(right, right)
    same = SINGLE_LABEL.paired_f1_intervals(logits, logits, gold)
    assert same["macro_f1"] == (bound.low, bound.high) and bound.low < 0 < bound.high


@pytest.mark.parametrize("freedom", [1, 1.7, 2, 4.3, 30, 2000, 20_000])
def test_student_quantile_equals_scipy(freedom: float) -> None:
    assert student_quantile(0.975, freedom) == pytest.approx(stats.t.ppf(0.975, freedom), rel=1e-4)


INTERVALS = pytest.mark.parametrize(
    "interval", [metrics.paired_interval_over_seeds, metrics.paired_interval_over_subsets]
)


@INTERVALS
def test_one_run_a_side_gives_the_paired_t_interval_over_scores_of_texts(interval: Callable[..., Any]) -> None:
    generator = np.random.default_rng(7)
    first, second = generator.random(400), generator.random(400) + 0.1
    found = interval([first], [second])
    expected = stats.ttest_rel(second, first).confidence_interval()
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-6)
    assert found.value == pytest.approx(second.mean() - first.mean())


@INTERVALS
def test_one_run_a_side_has_the_interval_of_two_models_if_texts_are_right_or_wrong(
    interval: Callable[..., Any],
) -> None:
    student, control = np.ones(50, dtype=bool), np.ones(50, dtype=bool)
    student[:12], control[:8] = False, False
    found, test = interval([student], [control]), metrics.mcnemar(student, control)
    assert test.p_value == 0.125
    assert (found.value, found.low, found.high) == (test.difference, test.low, test.high)
    assert not found.excludes_zero


def test_seeds_that_differ_widen_the_interval() -> None:
    generator = np.random.default_rng(8)
    control = generator.random((3, 1000)) < 0.8
    steady = generator.random((3, 1000)) < 0.88
    shaky = generator.random((3, 1000)) < np.array([[0.80], [0.88], [0.96]])
    narrow = metrics.paired_interval_over_seeds(control, steady)
    wide = metrics.paired_interval_over_seeds(control, shaky)
    assert narrow.excludes_zero and not wide.excludes_zero
    assert wide.high - wide.low > 2 * (narrow.high - narrow.low)


@INTERVALS
@pytest.mark.parametrize("count", [1, 3])
def test_equal_runs_have_an_interval_with_a_width(count: int, interval: Callable[..., Any]) -> None:
    runs = np.ones((count, 5), dtype=bool)
    found = interval(runs, runs)
    assert (found.low, found.high) == pytest.approx((-0.434, 0.434), abs=5e-4)
    assert found.value == 0.0


def test_unpaired_texts_are_refused() -> None:
    runs = np.ones((2, 5), dtype=bool)
    with pytest.raises(ValueError):
        metrics.paired_interval_over_seeds(runs, runs[:, :4])


def test_interval_over_three_seeds_covers_the_truth() -> None:
    generator = np.random.default_rng(9)
    covered = 0
    for _ in range(300):
        difficulty = generator.normal(size=500) * 1.5 + 2.2

        def runs(difficulty: np.ndarray = difficulty) -> np.ndarray:
            noise = generator.normal(size=(3, 500)) * 0.6 + generator.normal(size=(3, 1)) * 0.1
            return difficulty + noise > 0

        found = metrics.paired_interval_over_seeds(runs(), runs())
        covered += found.low <= 0 <= found.high
    assert covered >= 0.93 * 300
