"""Scores against scikit-learn and against numbers worked out by hand."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference

from liteft import metrics
from liteft.errors import ModelError
from liteft.tasks import MULTI_LABEL, SINGLE_LABEL, Task


def random_case(texts: int, labels: int, seed: int, noise: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    gold = generator.integers(0, labels, texts)
    logits = generator.normal(size=(texts, labels)).astype(np.float32) * noise
    logits[np.arange(texts), gold] += 1
    return logits, gold


def random_multi(texts: int, labels: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    gold = generator.random((texts, labels)) < 0.3
    return (generator.normal(size=(texts, labels)) + 2 * gold - 1).astype(np.float32), gold


def test_softmax_by_hand_and_without_overflow() -> None:
    assert metrics.softmax(np.array([[0.0, math.log(3)]])) == pytest.approx(np.array([[0.25, 0.75]]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        large = metrics.softmax(np.array([[1e4, 0.0]], dtype=np.float32))
    assert large.tolist() == [[1.0, 0.0]]
    assert large.dtype == np.float32


def test_sigmoid_by_hand_and_without_overflow() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        values = metrics.sigmoid(np.array([-1e4, 0.0, math.log(3), 1e4], dtype=np.float32))
    assert values == pytest.approx([0.0, 0.5, 0.75, 1.0])
    assert values.dtype == np.float32


def test_half_precision_logits_are_raised_to_float32() -> None:
    assert metrics.softmax(np.ones((1, 2), dtype=np.float16)).dtype == np.float32


def test_decide_takes_the_first_of_equal_logits() -> None:
    decisions = SINGLE_LABEL.decide(np.array([[1.0, 1.0], [0.0, 2.0]]))
    assert decisions.tolist() == [0, 1]
    assert decisions.dtype == np.int64


def test_decide_multi_label_is_strictly_above_the_threshold() -> None:
    logits = np.array([[0.0, 0.1, -0.1]])
    assert MULTI_LABEL.decide(logits).tolist() == [[False, True, False]]
    each = np.array([0.4, 0.6, 0.4])
    assert MULTI_LABEL.decide(logits, each).tolist() == [[True, False, True]]


@pytest.mark.parametrize("labels", [2, 6, 150])
def test_single_label_scores_equal_scikit_learn(labels: int) -> None:
    logits, gold = random_case(600, labels, seed=labels)
    found = SINGLE_LABEL.score(logits, gold)
    decided = logits.argmax(axis=1)
    assert found["accuracy"] == pytest.approx(reference.accuracy_score(gold, decided))
    assert found["macro_f1"] == pytest.approx(reference.f1_score(gold, decided, average="macro"))
    probabilities = metrics.softmax(logits.astype(np.float64))
    assert found["log_loss"] == pytest.approx(reference.log_loss(gold, probabilities, labels=range(labels)), abs=1e-6)


def test_multi_label_scores_equal_scikit_learn() -> None:
    logits, gold = random_multi(400, 12, seed=1)
    found = MULTI_LABEL.score(logits, gold)
    decided = logits > 0
    assert found["exact_match"] == pytest.approx(reference.accuracy_score(gold, decided))
    assert found["micro_f1"] == pytest.approx(reference.f1_score(gold, decided, average="micro"))
    assert found["macro_f1"] == pytest.approx(reference.f1_score(gold, decided, average="macro"))
    assert found["label_accuracy"] == pytest.approx(1 - reference.hamming_loss(gold, decided))
    each = [reference.log_loss(gold[:, k], metrics.sigmoid(logits[:, k].astype(np.float64))) for k in range(12)]
    assert found["log_loss"] == pytest.approx(np.mean(each), abs=1e-6)


def test_macro_f1_leaves_out_labels_that_occur_nowhere() -> None:
    logits = np.eye(4)[[0, 1, 1]]
    gold = np.array([0, 1, 0])
    macro = SINGLE_LABEL.score(logits, gold)["macro_f1"]
    assert macro == pytest.approx(reference.f1_score(gold, [0, 1, 1], average="macro"))
    multi_gold = np.array([[True, False, False], [False, True, False]])
    multi = MULTI_LABEL.score(np.where(multi_gold, 1.0, -1.0), multi_gold)
    assert multi["macro_f1"] == 1.0


def test_rows_with_an_unknown_label_count_as_wrong() -> None:
    logits = np.array([[2.0, 0.0], [2.0, 0.0], [0.0, 2.0], [0.0, 2.0]])
    gold = np.array([0, -1, 1, -1])
    found = SINGLE_LABEL.score(logits, gold)
    assert found["accuracy"] == 0.5
    assert found["macro_f1"] == pytest.approx(2 / 3)  # each label: 1 hit, 1 gold, 2 predicted
    assert found["log_loss"] == pytest.approx(math.log(1 + math.exp(-2)))
    assert SINGLE_LABEL.correct(logits, gold).tolist() == [True, False, True, False]


def test_foreign_rows_of_a_multi_label_set_are_never_right() -> None:
    gold = np.array([[True, False], [False, False]])
    logits = np.where(gold, 1.0, -1.0)
    unseen_label = np.array([False, True])
    found = MULTI_LABEL.score(logits, gold, unseen_label=unseen_label)
    assert found["exact_match"] == 0.5
    assert found["micro_f1"] == pytest.approx(2 / 3)  # 1 hit, 1 label missed
    assert MULTI_LABEL.correct(logits, gold, unseen_label=unseen_label).tolist() == [True, False]


def test_all_rows_unknown_has_no_log_loss() -> None:
    found = SINGLE_LABEL.score(np.array([[1.0, 0.0]]), np.array([-1]))
    assert "log_loss" not in found
    assert found["accuracy"] == 0 and found["macro_f1"] == 0


def test_calibration_error_by_hand() -> None:
    probabilities = np.array([[0.9, 0.1], [0.9, 0.1], [0.4, 0.6], [0.4, 0.6]])
    gold = np.array([0, 1, 1, 1])
    # bin of 0.9: right 0.5, gap 0.4; bin of 0.6: right 1.0, gap 0.4
    assert metrics.calibration_error(probabilities, gold, bins=10) == pytest.approx(0.4)
    cells = np.array([[0.2, 0.8]])
    assert metrics.calibration_error(cells, np.array([[False, True]]), bins=2) == pytest.approx(0.2)


def test_calibration_error_is_zero_for_certain_and_right() -> None:
    assert metrics.calibration_error(np.eye(3), np.arange(3)) == 0.0


def test_agreement_counts_texts_with_the_same_decision() -> None:
    first, second = np.array([[1.0, 0], [0, 1]]), np.array([[5.0, 0], [1, 0]])
    assert SINGLE_LABEL.agreement(first, second) == 0.5
    assert MULTI_LABEL.agreement(first - 0.5, second - 0.5) == 0.5


def test_majority_share() -> None:
    assert SINGLE_LABEL.majority_share(np.array([0, 0, 1, -1, -1, -1])) == pytest.approx(1 / 3)
    multi = np.array([[True, False], [True, False], [False, False]])
    assert MULTI_LABEL.majority_share(multi) == pytest.approx(2 / 3)


def test_logits_that_are_not_finite_are_an_error_that_counts_them() -> None:
    logits = np.array([[np.nan, 0.0], [1.0, 0.0]])
    with pytest.raises(ModelError, match="not finite for 1 of 2 texts"):
        SINGLE_LABEL.score(logits, np.array([0, 0]))


@pytest.mark.parametrize(
    ("logits", "labels", "task"),
    [
        (np.zeros((2, 3)), np.zeros(3, dtype=int), SINGLE_LABEL),
        (np.zeros((2, 3)), np.zeros((2, 2), dtype=bool), MULTI_LABEL),
        (np.zeros((2, 3)), np.array([0, 3]), SINGLE_LABEL),
        (np.zeros(3), np.zeros(3, dtype=int), SINGLE_LABEL),
        (np.zeros((0, 3)), np.zeros(0, dtype=int), SINGLE_LABEL),
    ],
)
def test_shapes_that_do_not_fit_are_an_error(logits: np.ndarray, labels: np.ndarray, task: Task) -> None:
    with pytest.raises(ValueError):
        task.score(logits, labels)


@given(st.integers(1, 60), st.integers(2, 8), st.integers(0, 10_000))
@settings(max_examples=50, deadline=None)
def test_scores_are_shares_and_do_not_depend_on_the_order_of_texts(texts: int, labels: int, seed: int) -> None:
    logits, gold = random_case(texts, labels, seed, noise=3)
    gold[::5] = -1
    found = SINGLE_LABEL.score(logits, gold)
    order = np.random.default_rng(seed).permutation(texts)
    shuffled = SINGLE_LABEL.score(logits[order], gold[order])
    assert found == pytest.approx(shuffled)
    assert all(0 <= found[name] <= 1 for name in ("accuracy", "macro_f1", "calibration_error"))


@given(st.integers(1, 40), st.integers(2, 6), st.integers(0, 10_000))
@settings(max_examples=50, deadline=None)
def test_decisions_of_probabilities_equal_decisions_of_logits(texts: int, labels: int, seed: int) -> None:
    logits, _ = random_case(texts, labels, seed)
    assert (metrics.softmax(logits).argmax(1) == SINGLE_LABEL.decide(logits)).all()
    assert metrics.softmax(logits).sum(axis=1) == pytest.approx(np.ones(texts), abs=1e-5)
