"""The task of scores: its metrics beside scipy's and scikit-learn's, and what is the same and what is blind."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import mean_absolute_error, ndcg_score, root_mean_squared_error

from liteft.metrics import bootstrap_interval, paired_interval_over_seeds, query_metrics, spearman
from liteft.tasks import SCORES, rows_to_calibrate, task_of_labels


def drawn(texts: int, *, seed: int = 0, noise: float = 1.0, digits: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Return the logits of a model and gold scores, with ties in both."""
    generator = np.random.default_rng(seed)
    gold = generator.normal(size=texts).round(digits)
    return (gold + noise * generator.normal(size=texts)).round(digits)[:, None], gold


@pytest.mark.parametrize("digits", [0, 1, 9])
def test_metrics_are_those_of_scipy_and_scikit_learn(digits: int) -> None:
    logits, gold = drawn(300, digits=digits)
    found = SCORES.score(logits, gold)
    assert found["spearman"] == pytest.approx(stats.spearmanr(logits[:, 0], gold).statistic)
    assert found["pearson"] == pytest.approx(stats.pearsonr(logits[:, 0], gold).statistic)
    assert found["rmse"] == pytest.approx(root_mean_squared_error(gold, logits[:, 0]))
    assert found["mae"] == pytest.approx(mean_absolute_error(gold, logits[:, 0]))


def test_a_sigmoid_changes_the_scores_and_not_their_order() -> None:
    logits, gold = drawn(100)
    bounded = SCORES.activated("sigmoid")
    scores = bounded.decide(logits)
    assert bounded == SCORES and scores.min() > 0 and scores.max() < 1
    assert bounded.score(logits, gold)["spearman"] == pytest.approx(SCORES.score(logits, gold)["spearman"], abs=0.01)
    assert bounded.score(logits, scores)["rmse"] == 0.0
    with pytest.raises(ValueError, match="not softmax"):
        SCORES.activated("softmax")


@pytest.mark.parametrize(
    ("labels", "activation", "mean", "spread"),
    [
        ([0.0, 1.0, 1.0], "sigmoid", 0.0, 1.0),
        ([0.0, 2.0, 4.0], "none", 2.0, math.sqrt(8 / 3)),
        ([7.0], "none", 7.0, 1.0),
    ],
)
def test_the_range_of_the_training_scores_decides_how_they_are_learned(
    labels: list[float], activation: str, mean: float, spread: float
) -> None:
    task = SCORES.suited(np.array([*labels, np.nan]))
    assert (task.activation, task.mean, task.spread) == (activation, mean, pytest.approx(spread))
    assert task.suited(np.array([50.0, 60.0])) is task, "a part of the data decides nothing anew"


def test_unknown_scores_count_in_no_metric() -> None:
    logits, gold = drawn(50)
    some = gold.copy()
    some[::3] = np.nan
    known = ~np.isnan(some)
    assert SCORES.score(logits, some) == SCORES.score(logits[known], gold[known])
    parts = SCORES.contributions(logits, some)
    assert parts[~known].tolist() == [0.0] * 17
    assert parts.mean() == pytest.approx(SCORES.score(logits, some)["spearman"])
    with pytest.raises(ValueError, match="no texts with a known score"):
        SCORES.score(logits, np.full(50, np.nan))


def test_the_same_score_for_every_text_has_no_correlation_and_is_blind() -> None:
    _, gold = drawn(50)
    found = SCORES.score(np.full((50, 1), 0.3), gold)
    assert found["spearman"] == found["pearson"] == SCORES.blind(gold, 1) == 0.0
    assert SCORES.is_blind(found, gold, 1)
    assert not SCORES.is_blind(SCORES.score(*drawn(50)), gold, 1)
    assert math.isnan(SCORES.majority_share(gold))


def test_scores_are_the_same_up_to_a_fifth_of_a_deviation() -> None:
    logits, gold = drawn(200, digits=9)
    spread = logits.std()
    assert SCORES.agreement(logits, logits + 0.19 * spread) == 1.0
    assert SCORES.agreement(logits, logits + 0.21 * spread) == 0.0
    assert SCORES.agreement(logits[:1], 1.1 * logits[:1]) == 1.0
    noisy = logits + 0.1 * spread * np.random.default_rng(1).normal(size=logits.shape)
    assert 0.93 < SCORES.agreement(logits, noisy) < 0.97
    with pytest.raises(ValueError, match="not right or wrong"):
        SCORES.correct(logits, gold)


def test_intervals_are_those_of_a_bootstrap_that_ranks_every_sample() -> None:
    logits, gold = drawn(120)
    expected = bootstrap_interval(spearman, gold, logits[:, 0], seed=3)
    assert SCORES.intervals(logits, gold)["spearman"] == pytest.approx(expected, abs=0.02)
    same_seed = SCORES.intervals(logits, gold, resamples=50, seed=3)["spearman"]
    assert same_seed == pytest.approx(bootstrap_interval(spearman, gold, logits[:, 0], resamples=50, seed=3))


def test_a_better_model_is_told_from_a_worse_one_on_the_same_texts() -> None:
    worse, gold = drawn(300)
    better = gold[:, None] + 0.5 * (worse - gold[:, None])
    interval = SCORES.primary_difference(worse, better, gold)
    assert interval is not None and 0 < interval[0] < interval[1]
    parts = [SCORES.contributions(logits, gold)[None] for logits in (worse, better)]
    found = paired_interval_over_seeds(*parts)
    assert found.value == pytest.approx(spearman(gold, better[:, 0]) - spearman(gold, worse[:, 0]))
    assert found.low > 0


def test_scores_have_no_temperature_and_no_probabilities() -> None:
    logits, gold = drawn(200)
    assert not len(rows_to_calibrate(gold, SCORES)) and task_of_labels(gold) is SCORES
    assert np.array_equal(SCORES.probabilities(logits), logits)
    assert SCORES.mean_logits([logits, 3 * logits]) == pytest.approx(2 * logits)
    assert (
        SCORES.divergence(logits, logits) == 0.0 and SCORES.divergence(logits, np.full_like(logits, np.nan)) == np.inf
    )
    with pytest.raises(ValueError, match="no probabilities"):
        SCORES.entropy(logits)


def test_ndcg_is_that_of_scikit_learn_and_mrr_counts_the_irrelevant_ones_before() -> None:
    generator = np.random.default_rng(0)
    gold, found = generator.integers(0, 4, (20, 15)).astype(float), generator.normal(size=(20, 15)).round(1)
    queries = [f"query {row}" for row in range(20) for _ in range(15)]
    metrics = query_metrics(gold.ravel(), found.ravel(), queries)
    expected = [ndcg_score(gold[row : row + 1], found[row : row + 1], k=10) for row in range(20)]
    assert metrics["ndcg_10"] == pytest.approx(expected)
    relevant = np.array([0.0, 0.0, 1.0, 0.0, 1.0])
    ranks = query_metrics(relevant, np.array([3.0, 2.0, 2.0, 1.0, 0.0]), ["q"] * 5)["mrr"]
    assert ranks.tolist() == [1 / 3], "an irrelevant one with the same score goes before"
    assert query_metrics(relevant - 1, np.arange(5.0), ["q"] * 5)["ndcg_10"].tolist() == [
        pytest.approx(ndcg_score(relevant[None], np.arange(5.0)[None], k=10))
    ]


def test_texts_that_only_occur_twice_are_no_queries() -> None:
    generator = np.random.default_rng(0)
    gold, found = generator.normal(size=20), generator.normal(size=20)
    assert query_metrics(gold, found, [f"text {row}" for row in range(20)]) == {}
    assert query_metrics(gold, found, ["the same", "the same", *(f"text {row}" for row in range(18))]) == {}
    assert query_metrics(np.zeros(20), found, ["q"] * 20) == {}, "all candidates are alike"
    assert set(query_metrics(gold, found, [f"query {row // 4}" for row in range(20)])) == {"ndcg_10", "mrr"}


def test_metrics_of_queries_are_means_with_intervals_over_queries() -> None:
    logits, gold = drawn(200)
    queries = [f"query {row // 5}" for row in range(200)]
    found, intervals = SCORES.score_queries(logits, gold, queries)
    assert set(found) == set(intervals) == set(SCORES.metrics_of_queries)
    for name, value in found.items():
        assert intervals[name][0] < value < intervals[name][1]
    assert SCORES.score_queries(logits, gold, [str(row) for row in range(200)]) == ({}, {})


def test_folds_are_judged_by_the_correlations_of_each_model_alone() -> None:
    generator = np.random.default_rng(0)
    gold = [generator.normal(size=count) for count in (30, 60)]
    logits = [
        (labels + 0.3 * generator.normal(size=len(labels)) + shift)[:, None].astype(np.float32)
        for labels, shift in zip(gold, (0.0, 5.0), strict=True)
    ]
    judged = SCORES.judge_folds(list(zip(logits, gold, strict=True)))
    each = [SCORES.score(found, labels) for found, labels in zip(logits, gold, strict=True)]
    for name in ("spearman", "pearson"):
        assert judged.scores[name] == pytest.approx((each[0][name] + 2 * each[1][name]) / 3)
        low, high = judged.intervals[name]
        assert 0.8 < low < judged.scores[name] < high <= 1.0
    together = SCORES.score(np.concatenate(logits), np.concatenate(gold))
    assert together["spearman"] < 0.7 and judged.scores["rmse"] == pytest.approx(together["rmse"])
    assert judged.contributions.mean() == pytest.approx(judged.scores["spearman"])
    alone = SCORES.judge_folds([(logits[0], gold[0])])
    assert alone.scores == SCORES.score(logits[0], gold[0])
    assert alone.intervals == SCORES.intervals(logits[0], gold[0])
