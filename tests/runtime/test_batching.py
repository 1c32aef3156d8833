from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from liteft.runtime.batching import plan_batches

LENGTHS = st.lists(st.integers(1, 600), min_size=1, max_size=60).map(lambda x: np.array(x, dtype=np.int64))


def cost(lengths: np.ndarray, batches: list[np.ndarray], run_price: int) -> int:
    return sum(int(lengths[batch].max()) * len(batch) + run_price for batch in batches)


@given(lengths=LENGTHS, token_budget=st.integers(1, 3000), run_price=st.integers(0, 500))
def test_every_text_stands_in_exactly_one_batch(lengths: np.ndarray, token_budget: int, run_price: int) -> None:
    batches = plan_batches(lengths, token_budget=token_budget, run_price=run_price)
    assert sorted(np.concatenate(batches).tolist()) == list(range(len(lengths)))


@given(lengths=LENGTHS, token_budget=st.integers(1, 3000), run_price=st.integers(0, 500))
def test_padded_tokens_stay_within_the_budget_unless_one_text_alone_is_longer(
    lengths: np.ndarray, token_budget: int, run_price: int
) -> None:
    for batch in plan_batches(lengths, token_budget=token_budget, run_price=run_price):
        padded = int(lengths[batch].max()) * len(batch)
        assert padded <= token_budget or len(batch) == 1


@given(
    lengths=st.lists(st.integers(1, 40), min_size=1, max_size=9).map(lambda x: np.array(x, dtype=np.int64)),
    token_budget=st.integers(40, 200),
    run_price=st.integers(0, 60),
)
def test_no_other_cut_of_the_sorted_texts_is_cheaper(lengths: np.ndarray, token_budget: int, run_price: int) -> None:
    ascending = np.sort(lengths)
    cheapest = min(
        total
        for chosen in itertools.product((False, True), repeat=len(ascending) - 1)
        if (total := _cost_of_cuts(ascending, chosen, token_budget, run_price)) is not None
    )
    batches = plan_batches(lengths, token_budget=token_budget, run_price=run_price)
    assert cost(lengths, batches, run_price) == cheapest


def _cost_of_cuts(ascending: np.ndarray, chosen: tuple[bool, ...], token_budget: int, run_price: int) -> int | None:
    edges = [0, *(n + 1 for n, cut in enumerate(chosen) if cut), len(ascending)]
    total = 0
    for start, stop in itertools.pairwise(edges):
        padded = int(ascending[stop - 1]) * (stop - start)
        if padded > token_budget and stop - start > 1:
            return None
        total += padded + run_price
    return total


def test_the_widest_batch_comes_first() -> None:
    lengths = np.array([3, 90, 4, 88, 5], dtype=np.int64)
    batches = plan_batches(lengths, token_budget=1000, run_price=10)
    assert [int(lengths[batch].max()) for batch in batches] == [90, 5]


def test_no_texts_make_no_batch() -> None:
    assert plan_batches(np.zeros(0, dtype=np.int64), token_budget=10, run_price=1) == []


def test_texts_of_real_lengths_are_hardly_padded() -> None:
    lengths = np.random.default_rng(0).gamma(2, 12, size=1024).astype(np.int64) + 3
    batches = plan_batches(lengths, token_budget=2048, run_price=32)
    padded = cost(lengths, batches, 0)
    assert 1 - lengths.sum() / padded < 0.03


@pytest.mark.parametrize("price", [0, 32])
def test_equal_lengths_share_a_batch_up_to_the_budget(price: int) -> None:
    batches = plan_batches(np.full(10, 7, dtype=np.int64), token_budget=35, run_price=price)
    assert sorted(len(batch) for batch in batches)[-1] <= 5
    assert len(batches) == 2 if price else len(batches) >= 2
