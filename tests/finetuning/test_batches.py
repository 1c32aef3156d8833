"""The order of training batches, and their padding."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from liteft.encoded import Encoded
from liteft.finetuning.batches import Collator, LengthGroupedSampler, RowDataset, collate
from liteft.finetuning.reading import Reading


def encoded(lengths: list[int]) -> Encoded:
    """Return texts of these lengths; text number i consists of the id i + 1."""
    ids = [np.full(length, row + 1, dtype=np.int32) for row, length in enumerate(lengths)]
    types = [np.arange(length, dtype=np.int32) % 2 for length in lengths]
    return Encoded.of(ids, types)


def reading(lengths: list[int]) -> Reading:
    return Reading(encoded(lengths))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(1, 512), min_size=1, max_size=700),
    st.integers(1, 9),
    st.integers(0, 2**32 - 1),
    st.integers(0, 50),
    st.booleans(),
)
def test_an_order_is_a_permutation_and_a_function_of_seed_and_epoch(
    lengths: list[int], batch_size: int, seed: int, epoch: int, group: bool
) -> None:
    sampler = LengthGroupedSampler(np.array(lengths), batch_size=batch_size, seed=seed, group=group)
    order = sampler.order(epoch)
    assert sorted(order.tolist()) == list(range(len(lengths)))
    np.random.seed(epoch)  # neither the global generators nor what was drawn before decide anything
    torch.manual_seed(epoch)
    again = LengthGroupedSampler(np.array(lengths), batch_size=batch_size, seed=seed, group=group)
    again.order(epoch + 1)
    again.set_epoch(epoch)
    assert list(again) == order.tolist()
    assert len(again) == len(lengths)


def test_other_seeds_and_epochs_give_other_orders() -> None:
    lengths = np.arange(200) % 30
    orders = {
        tuple(LengthGroupedSampler(lengths, batch_size=4, seed=seed).order(epoch).tolist())
        for seed in range(3)
        for epoch in range(3)
    }
    assert len(orders) == 9


def test_texts_of_similar_length_share_a_batch() -> None:
    lengths = np.random.default_rng(0).integers(3, 512, 1000)
    padded = {}
    for group in (True, False):
        order = LengthGroupedSampler(lengths, batch_size=16, seed=0, group=group).order(0)
        batches = [order[start : start + 16] for start in range(0, len(order), 16)]
        padded[group] = sum(len(batch) * lengths[batch].max() for batch in batches) / lengths.sum()
    assert padded[True] < 1.05 < 1.5 < padded[False]


def test_batches_do_not_come_from_short_to_long() -> None:
    lengths = np.random.default_rng(0).integers(3, 512, 1600)
    order = LengthGroupedSampler(lengths, batch_size=16, seed=0).order(0)
    means = lengths[order].reshape(-1, 16).mean(axis=1)
    assert abs(np.corrcoef(means, np.arange(len(means)))[0, 1]) < 0.3


def test_only_the_last_batch_is_short() -> None:
    lengths = np.arange(1007) % 40
    order = LengthGroupedSampler(lengths, batch_size=10, seed=0).order(0)
    spans = [np.ptp(lengths[order[start : start + 10]]) for start in range(0, 1000, 10)]
    assert max(spans) <= 2, "a short batch in the middle shifts all batches behind it"


def test_a_batch_is_padded_to_its_longest_text_and_no_further() -> None:
    collator = Collator(reading([3, 5, 9]), np.array([2, 0, 1]), pad_id=77, types=True)
    batch = collator([1, 0])
    assert batch["input_ids"].tolist() == [[2, 2, 2, 2, 2], [1, 1, 1, 77, 77]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]]
    assert batch["token_type_ids"].tolist() == [[0, 1, 0, 1, 0], [0, 1, 0, 0, 0]]
    assert batch["labels"].tolist() == [0, 2]
    assert {tensor.dtype for tensor in batch.values()} == {torch.int64}


def test_a_batch_carries_extras_and_leaves_out_what_the_model_does_not_take() -> None:
    extras = {"teacher_logits": np.arange(6, dtype=np.float64).reshape(3, 2)}
    batch = Collator(reading([1, 1, 1]), None, pad_id=0, types=False, extras=extras)([2, 0])
    assert set(batch) == {"input_ids", "attention_mask", "teacher_logits"}
    assert batch["teacher_logits"].dtype == torch.float32
    assert batch["teacher_logits"].tolist() == [[4.0, 5.0], [0.0, 1.0]]


def test_rows_of_two_splits_are_never_mixed_up() -> None:
    train = Collator(reading([2, 2, 2, 2]), np.array([0, 1, 2, 3]), pad_id=0, types=False)
    validation = Collator(reading([4, 4]), np.array([8, 9]), pad_id=0, types=False)
    rows = RowDataset(validation, [1, 0])
    first = next(iter(DataLoader(RowDataset(train), batch_size=4, collate_fn=collate)))
    second = next(iter(DataLoader(rows, batch_size=2, collate_fn=collate)))
    assert first["labels"].tolist() == [0, 1, 2, 3]
    assert second["labels"].tolist() == [9, 8]
    assert second["input_ids"].tolist() == [[2] * 4, [1] * 4]


@pytest.mark.parametrize("group", [True, False])
def test_no_texts_give_an_empty_order(group: bool) -> None:
    assert not len(LengthGroupedSampler(np.zeros(0, dtype=int), batch_size=4, seed=0, group=group).order(0))
