"""bench/fairness.py: what a round says, and when the promise is kept."""

from __future__ import annotations

from types import ModuleType

import pytest

from tests.bench.conftest import load_script


@pytest.fixture(scope="module")
def fairness() -> ModuleType:
    return load_script("fairness")


def a_round(fairness: ModuleType, *, beside: float, rate: float = 990.0) -> object:
    return fairness.Round([0.001] * 100, [0.1] * 5, [beside] * 100, rate_alone=1000.0, rate_beside=rate)


@pytest.mark.parametrize(("beside", "kept"), [(0.002, True), (0.1, True), (0.102, False)])
def test_the_promise_is_the_own_time_and_one_batch(fairness: ModuleType, beside: float, kept: bool) -> None:
    found = fairness.summarize([a_round(fairness, beside=beside)])
    assert found["promise_kept"] is kept
    assert found["short_beside_p99_ms"] == pytest.approx(1e3 * beside)
    assert found["wait_in_batches"] == pytest.approx((beside - 0.001) / 0.1)


def test_rows_are_medians_of_rounds(fairness: ModuleType) -> None:
    seen = ((0.002, 990.0), (9.0, 10.0), (0.004, 980.0))
    found = fairness.summarize([a_round(fairness, beside=beside, rate=rate) for beside, rate in seen])
    assert found["short_beside_p99_ms"] == pytest.approx(4)
    assert found["throughput_kept"] == 0.98
    assert found["promise_kept"]
