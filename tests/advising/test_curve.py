"""Learning curves: fits of known curves, bounds, and what a judge's points are."""

from __future__ import annotations

import numpy as np
import pytest

from liteft.advising.curve import FITS, extrapolate, learning_curve, measure_points
from liteft.advising.judges import cross_validate, probing
from liteft.advising.sample import Sample, draw
from liteft.data import Dataset, Split

SIZES = (100, 200, 400, 800)


@pytest.fixture(scope="module")
def clouds() -> tuple[np.ndarray, Sample]:
    """Features of 300 texts, two overlapping clouds, and the sample that they belong to."""
    random = np.random.default_rng(0)
    labels = np.arange(300) % 2
    features = random.normal(size=(300, 12)) + 0.6 * labels[:, None]
    train = Split("train", [f"text {number}" for number in range(300)], None, labels)
    sample = draw(Dataset("clouds", "single_label", ("a", "b"), {"train": train}), most=300, seed=0)
    return features.astype(np.float32), sample


def test_a_line_in_logits_is_extended_exactly() -> None:
    def line(size: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(-(0.7 * np.log(size) - 3)))

    found = extrapolate(SIZES, line(np.array(SIZES, dtype=float))[None], (1600, 3200), fit="logit")
    assert found[0] == pytest.approx(line(np.array([1600.0, 3200.0])))


def test_an_inverse_power_law_is_extended_closely() -> None:
    values = 0.9 - 2.0 * np.array(SIZES, dtype=float) ** -0.5
    found = extrapolate(SIZES, values[None], (1600,), fit="power")
    assert found[0, 0] == pytest.approx(0.9 - 2.0 * 1600**-0.5, abs=1e-6)


@pytest.mark.parametrize("fit", sorted(FITS))
def test_no_curve_falls_or_leaves_zero_to_one(fit: str) -> None:
    random = np.random.default_rng(1)
    values = np.clip(random.uniform(0, 1.1, size=(200, 4)), 0, 1)
    found = extrapolate(SIZES, values, (800, 1600, 10**7), fit=fit)
    assert (found >= -1e-9).all() and (found <= 1 + 1e-9).all()
    assert (np.diff(found, axis=1) >= -1e-9).all()


def test_a_judge_gets_better_with_labels_and_its_interval_holds_the_gain(clouds: tuple[np.ndarray, Sample]) -> None:
    features, sample = clouds
    judge = probing(features, sample)
    whole = cross_validate(judge, sample, seed=0)
    points = measure_points(judge, whole, sample, seed=0)
    assert points.sizes == (30, 60, 120, 240)
    assert points.values[-1] == whole.metrics["accuracy"] > points.values[0]
    curve = learning_curve("probe", judge, whole, sample, seed=0)
    assert curve.labelled == 300 and 0 <= curve.interval[0] <= curve.gain <= curve.interval[1] < 0.2
    assert curve == learning_curve("probe", judge, whole, sample, seed=0)


def test_judges_never_see_the_texts_that_they_score(clouds: tuple[np.ndarray, Sample]) -> None:
    _, sample = clouds
    seen = []

    def judge(fitted: np.ndarray, scored: np.ndarray) -> np.ndarray:
        seen.append(not set(sample.folds[fitted]) & set(sample.folds[scored]))
        return np.zeros((len(scored), 2), dtype=np.float32)

    measure_points(judge, cross_validate(judge, sample, seed=0), sample, seed=0)
    assert len(seen) > 5 and all(seen)
