"""The threshold of a task with several labels per text."""

from __future__ import annotations

import numpy as np
import pytest

from liteft.tasks import MULTI_LABEL, SINGLE_LABEL, fit_threshold


def drawn(shift: float) -> tuple[np.ndarray, np.ndarray]:
    """Return logits that separate rare labels from others at ``shift``, with some noise."""
    random = np.random.default_rng(0)
    gold = random.random((400, 5)) < 0.2
    return np.where(gold, 1.0, -1.0) + 0.6 * random.normal(size=gold.shape) + shift, gold


@pytest.mark.parametrize("shift", [-3.0, 0.0, 2.0])
def test_the_threshold_follows_the_logits(shift: float) -> None:
    logits, gold = drawn(shift)
    threshold, reached = fit_threshold(logits, gold, MULTI_LABEL)
    assert threshold == pytest.approx(shift, abs=0.5)
    assert reached == pytest.approx(MULTI_LABEL.score(logits - threshold, gold)["micro_f1"])
    assert all(reached >= MULTI_LABEL.score(logits - at, gold)["micro_f1"] for at in (0.0, shift - 1, shift + 1))


@pytest.mark.parametrize("seed", range(20))
def test_rounding_to_float32_changes_no_prediction(seed: int) -> None:
    random = np.random.default_rng(seed)
    gold = random.random((60, 3)) < 0.3
    coarse = np.round(random.normal(size=gold.shape) + gold, 1 if seed % 2 else 4)  # many equal logits, or few
    threshold, reached = fit_threshold(coarse.astype(np.float32), gold, MULTI_LABEL)
    folded = coarse.astype(np.float32) - np.float32(threshold)
    assert MULTI_LABEL.score(folded, gold)["micro_f1"] == pytest.approx(reached)


def test_logits_that_are_all_equal_have_no_threshold_between_them() -> None:
    gold = np.arange(12).reshape(6, 2) % 3 == 0
    assert fit_threshold(np.full((6, 2), -1.5), gold, MULTI_LABEL) == (0.0, 0.0)


def test_texts_with_a_label_unknown_in_training_count_as_missed() -> None:
    logits, gold = drawn(0.0)
    unseen = np.arange(400) % 2 == 0
    threshold, reached = fit_threshold(logits, gold, MULTI_LABEL, unseen_label=unseen)
    scores = MULTI_LABEL.score(logits - threshold, gold, unseen_label=unseen)
    assert reached == pytest.approx(scores["micro_f1"]) and reached < fit_threshold(logits, gold, MULTI_LABEL)[1]


def test_one_label_per_text_has_no_threshold() -> None:
    logits = np.array([[0.2, 0.1], [0.4, 3.0], [1.0, 0.0]])
    assert fit_threshold(logits, np.array([0, 1, 1]), SINGLE_LABEL) == (0.0, pytest.approx(2 / 3))


def test_a_split_without_any_label_keeps_the_usual_threshold() -> None:
    logits, gold = drawn(-1.0)
    threshold, _ = fit_threshold(logits, np.zeros_like(gold), MULTI_LABEL)
    assert threshold == 0.0
