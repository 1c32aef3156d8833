"""The temperature that makes probabilities as sure as they are right."""

from __future__ import annotations

import numpy as np
import pytest

from liteft.metrics import log_loss
from liteft.tasks import MULTI_LABEL, SINGLE_LABEL, Task, fit_temperature, rows_to_calibrate

BOTH = pytest.mark.parametrize("task", [SINGLE_LABEL, MULTI_LABEL])


def drawn(task: Task, rows: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    """Return logits that are exactly as sure as they are right, and labels drawn from their probabilities."""
    random = np.random.default_rng(1)
    logits = 2 * random.normal(size=(rows, 3))
    probabilities = task.probabilities(logits)
    if task is MULTI_LABEL:
        return logits, random.random(logits.shape) < probabilities
    return logits, (random.random((rows, 1)) < probabilities.cumsum(axis=1)).argmax(axis=1)


@BOTH
@pytest.mark.parametrize("factor", [0.5, 1.0, 3.0])
def test_logits_that_were_multiplied_get_that_factor_as_their_temperature(task: Task, factor: float) -> None:
    logits, labels = drawn(task)
    assert fit_temperature(factor * logits, labels, task) == pytest.approx(factor, rel=0.08)


def test_no_other_temperature_makes_the_labels_likelier() -> None:
    logits, labels = drawn(SINGLE_LABEL)
    found = fit_temperature(3 * logits, labels, SINGLE_LABEL)
    best = log_loss(3 * logits / found, labels)
    assert best < min(log_loss(3 * logits / (found * change), labels) for change in (0.95, 1.05))


@BOTH
def test_a_temperature_stays_between_a_quarter_and_eight(task: Task) -> None:
    logits, labels = drawn(task)
    assert fit_temperature(100 * logits, labels, task) == 8.0
    assert fit_temperature(0.01 * logits, labels, task) == 0.25


@BOTH
def test_a_flawless_validation_split_does_not_ask_for_endless_certainty(task: Task) -> None:
    _, labels = drawn(task, 100)
    logits = 6.0 * (2 * task.indicators(labels, 3) - 1)
    assert 1 < fit_temperature(logits, labels, task) < 3


def test_rows_with_a_label_unknown_in_training_are_left_out_and_few_rows_are_none() -> None:
    labels = np.arange(60) % 3
    assert len(rows_to_calibrate(labels, SINGLE_LABEL)) == 60
    assert rows_to_calibrate(np.where(np.arange(60) < 5, -1, labels), SINGLE_LABEL).tolist() == [*range(5, 60)]
    assert len(rows_to_calibrate(labels[:49], SINGLE_LABEL)) == 0
    unseen = np.arange(60) < 11
    assert len(rows_to_calibrate(labels, SINGLE_LABEL, unseen_label=unseen)) == 0
