"""Ranges of activations: seen without padding, and cut by percentile or mean square error."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from liteft.encoded import Encoded
from liteft.errors import DataError
from liteft.exporting.blueprint import Blueprint
from liteft.exporting.calibration import calibrate_ranges, mse_range, observe, percentile_range
from liteft.exporting.sessions import new_session, token_batches
from tests.exporting.conftest import random_texts


def histogram(values: np.ndarray, bins: int = 4096) -> tuple[np.ndarray, float, float]:
    low, high = float(values.min()), float(values.max())
    return np.histogram(values, bins=bins, range=(low, high))[0], low, high


def test_a_percentile_leaves_out_its_share_at_each_end() -> None:
    values = np.arange(-1000, 3001) / 1000
    found = percentile_range(*histogram(values), 99.0)
    assert found.low == pytest.approx(-0.96, abs=0.002)
    assert found.high == pytest.approx(2.96, abs=0.002)
    whole = percentile_range(*histogram(values), 100.0)
    assert (whole.low, whole.high) == pytest.approx((-1, 3))


def test_zero_stays_in_a_range_of_positive_values() -> None:
    values = np.random.default_rng(0).uniform(5, 6, 1000)
    for found in (percentile_range(*histogram(values), 99.9), mse_range(*histogram(values))):
        assert found.low == 0
        assert found.high > 5


def test_the_mse_range_is_as_good_as_the_best_of_a_fine_search() -> None:
    generator = np.random.default_rng(0)
    values = np.concatenate([generator.normal(0, 1, 200_000), [60, -25]])

    def error(low: float, high: float) -> float:
        step = (high - low) / 255
        return float(((np.clip(np.round(values / step) * step, low, high) - values) ** 2).mean())

    found = mse_range(*histogram(values))
    shares = np.linspace(0.05, 1, 60)
    best = min(error(-25 * share, 60 * other) for share in shares for other in shares)
    assert error(found.low, found.high) < 1.05 * best
    assert error(found.low, found.high) < 0.8 * error(-25, 60)


def test_batches_hold_texts_of_one_length_and_every_text_once() -> None:
    lengths = [3, 1, 3, 7, 0, 1, 3]
    ids = [np.full(length, row, dtype=np.int32) for row, length in enumerate(lengths)]
    encoded = Encoded.of(ids)
    seen: list[int] = []
    for rows, feed in token_batches(encoded):
        assert {lengths[row] for row in rows} == {feed["input_ids"].shape[1]}
        assert feed["attention_mask"].all()
        assert (feed["input_ids"] == rows[:, None]).all()
        seen += rows.tolist()
    assert sorted(seen) == [0, 1, 2, 3, 5, 6]


def test_ranges_are_those_of_the_real_tokens(workshop: Any) -> None:
    """With every value kept a range is that of each text alone; padding, which would widen it, is nowhere."""
    loaded = workshop.loaded("bert")
    blueprint = Blueprint(loaded)
    encoded = loaded.tokenizer.encode(random_texts(30))
    model = blueprint.flat("fp32")
    seen = observe(model, blueprint.products, encoded)
    found = {product: each.cut("percentile", 100.0) for product, each in seen.items()}
    assert set(found) == set(blueprint.products)
    value = blueprint.products["layers.1.feed_forward.outer"]
    model.graph.output.append(type(model.graph.output[0])(name=value))
    session = new_session(model)
    alone = [
        session.run([value], {"input_ids": ids[None], "attention_mask": np.ones_like(ids[None])})
        for ids in (text.ids.astype(np.int64) for text in encoded)
    ]
    wanted = found["layers.1.feed_forward.outer"]
    assert min(array.min() for (array,) in alone) == pytest.approx(wanted.low, abs=1e-5)
    assert max(array.max() for (array,) in alone) == pytest.approx(wanted.high, abs=1e-5)


def test_too_few_texts_are_an_error_that_says_how_many_are_good(workshop: Any) -> None:
    loaded = workshop.loaded("bert")
    blueprint = Blueprint(loaded)
    encoded = loaded.tokenizer.encode(random_texts(3))
    with pytest.raises(DataError, match="3 texts are too few to calibrate on") as caught:
        calibrate_ranges(blueprint.flat("fp32"), blueprint.products, encoded, method="mse")
    assert "300 to 1,000 are good" in str(caught.value)
