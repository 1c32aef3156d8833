"""Splits that are made: partition, strata, duplicates on one side, the same seed the same split."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from liteft.data import Dataset, carve, load_dataset, normalised
from liteft.errors import ConfigError, DataError

Write = Callable[..., Path]
ANY_MACHINE = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # also one with other work
HALF = {"validation": 0.2, "test": 0.2}

_rows = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 3)), min_size=30, max_size=120)


def _carve(rows: list[tuple[int, int]], seed: int = 0) -> dict[str, np.ndarray]:
    return carve([str(key) for key, _ in rows], [(str(label),) for _, label in rows], HALF, seed=seed)


@given(rows=_rows, seed=st.integers(0, 5))
def test_parts_are_a_partition_with_duplicates_on_one_side(rows: list[tuple[int, int]], seed: int) -> None:
    try:
        parts = _carve(rows, seed)
    except DataError:
        assume(False)
    together = np.concatenate(list(parts.values()))
    assert sorted(together.tolist()) == list(range(len(rows)))
    assert all(part.dtype == np.int64 and (np.diff(part) > 0).all() and len(part) for part in parts.values())
    homes: dict[int, set[str]] = {}
    for name, part in parts.items():
        for row in part:
            homes.setdefault(rows[row][0], set()).add(name)
    assert all(len(names) == 1 for names in homes.values())


@given(rows=_rows, seed=st.integers(0, 5))
def test_no_label_leaves_train_and_the_same_seed_gives_the_same_parts(rows: list[tuple[int, int]], seed: int) -> None:
    try:
        parts = _carve(rows, seed)
    except DataError:
        assume(False)
    assert {rows[row][1] for row in parts["train"]} == {label for _, label in rows}
    again = _carve(rows, seed)
    assert all((parts[name] == again[name]).all() for name in parts)


@settings(ANY_MACHINE, max_examples=40)
@given(
    sizes=st.lists(st.integers(5, 80), min_size=2, max_size=6),
    fraction=st.floats(0.05, 0.4),
    seed=st.integers(0, 3),
)
def test_parts_are_stratified(sizes: list[int], fraction: float, seed: int) -> None:
    labels = [(str(label),) for label, size in enumerate(sizes) for _ in range(size)]
    parts = carve([str(row) for row in range(len(labels))], labels, {"test": fraction}, seed=seed)
    chosen = Counter(labels[row][0] for row in parts["test"])
    for label, size in enumerate(sizes):
        assert abs(chosen[str(label)] - fraction * size) <= 1
    assert len(parts["test"]) == pytest.approx(max(1, fraction * len(labels)), abs=0.5 + 1e-9)


@ANY_MACHINE
@given(rows=st.lists(st.tuples(st.integers(0, 60), st.frozensets(st.integers(0, 5))), min_size=40, max_size=90))
def test_no_label_of_several_leaves_train(
    rows: list[tuple[int, frozenset[int]]],
) -> None:
    labels = [tuple(str(label) for label in sorted(chosen)) for _, chosen in rows]
    try:
        parts = carve([str(key) for key, _ in rows], labels, HALF, seed=0)
    except DataError:
        assume(False)
    kept = {name for row in parts["train"] for name in labels[row]}
    assert kept == {name for names in labels for name in names}


def test_another_seed_gives_another_split() -> None:
    rows = [(row, row % 2) for row in range(200)]
    assert _carve(rows, 0)["test"].tolist() != _carve(rows, 1)["test"].tolist()


def test_many_labels_with_few_rows_still_give_a_split_of_the_asked_size() -> None:
    rows = [(row, row % 150) for row in range(600)]
    parts = carve([str(key) for key, _ in rows], [(str(label),) for _, label in rows], {"test": 0.1}, seed=0)
    assert len(parts["test"]) == 60


def test_texts_of_a_given_split_are_never_drawn() -> None:
    rows = [(row, row % 2) for row in range(100)]
    held = {str(row) for row in range(80)}
    keys, labels = [str(key) for key, _ in rows], [(str(label),) for _, label in rows]
    parts = carve(keys, labels, {"validation": 0.05, "test": 0.1}, seed=0, held=held)
    assert {name: len(part) for name, part in parts.items()} == {"train": 85, "validation": 5, "test": 10}
    assert not {rows[row][0] for name in HALF for row in parts[name]} & set(range(80))


@pytest.mark.parametrize("fractions", [{"test": 0.0}, {"test": 1.0}, {"a": 0.5, "b": 0.5}, {"test": -0.1}])
def test_fractions_that_leave_nothing(fractions: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="must each be between 0 and 1"):
        carve(["a", "b"], [("x",), ("y",)], fractions, seed=0)


def test_too_few_texts_for_a_split() -> None:
    with pytest.raises(DataError, match="data has too few texts to make a validation split: 2 different") as error:
        load_dataset([("a", 0), ("b", 1), ("A", 0)])
    assert error.value.fix == ("give a validation file", "add more texts")
    assert "validation_fraction" not in str(error.value)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("Great  film!", " great film! ", True),
        ("ﬁne Ｆｉｌｍ", "fine film", True),
        ("Straße", "STRASSE", True),
        ("great film", "great films", False),
        ("cafe", "café", False),
    ],
)
def test_which_texts_count_as_one(one: str, other: str, same: bool) -> None:
    assert (normalised(one) == normalised(other)) is same


def test_pairs_count_as_one_only_together() -> None:
    assert normalised("a", "b") == normalised("A ", " b")
    assert normalised("a", "b") != normalised("a b")
    assert normalised("a", "b") != normalised("b", "a")


def _splits(dataset: Dataset) -> dict[str, list[str]]:
    return {name: split.texts for name, split in dataset.splits.items()}


def test_a_single_file_becomes_three_splits(write: Write, reviews: list[dict[str, Any]]) -> None:
    path = write("a.jsonl", reviews)
    dataset = load_dataset(path, validation_fraction=0.2, test_fraction=0.1, seed=3)
    assert {name: len(split) for name, split in dataset.splits.items()} == {
        "train": 28,
        "validation": 8,
        "test": 4,
    }
    assert dataset.test.labels is not None and dataset.test.labels.sum() == 2
    assert _splits(dataset) == _splits(load_dataset(path, validation_fraction=0.2, test_fraction=0.1, seed=3))
    assert any(note.startswith("validation made from train: 8 rows (20% asked for)") for note in dataset.notes)
    texts = [text for split in dataset.splits.values() for text in split.texts]
    assert sorted(texts) == sorted(row["text"] for row in reviews)


def test_rows_of_made_splits_keep_their_places(write: Write, reviews: list[dict[str, Any]]) -> None:
    dataset = load_dataset(write("a.jsonl", reviews))
    for split in dataset.splits.values():
        for row, text in enumerate(split.texts):
            assert split.where(row).endswith(f"line {int(text.split()[1]) + 1}")


def test_a_given_split_is_never_touched(write: Write, reviews: list[dict[str, Any]]) -> None:
    write("train.jsonl", reviews)
    folder = write("dev.jsonl", [*reviews[:4], {"text": "new", "label": "pos"}]).parent
    dataset = load_dataset(folder, test_fraction=0.4)
    assert dataset.validation.texts == [row["text"] for row in reviews[:4]] + ["new"]
    assert not set(dataset.test.texts) & set(dataset.validation.texts)
    assert not set(dataset.test.texts) & set(dataset.train.texts)


def test_a_fraction_of_zero_makes_no_split(reviews: list[dict[str, Any]]) -> None:
    dataset = load_dataset(reviews, test_fraction=0)
    assert set(dataset.splits) == {"train", "validation"}
    assert set(load_dataset(reviews, test_fraction=0, validation_fraction=0).splits) == {"train"}


@pytest.mark.parametrize("share", [1, 1.5, -0.1, "a tenth", None, float("nan")])
def test_a_share_out_of_range_is_refused_even_where_the_split_exists(share: Any) -> None:
    splits = {name: [("good", "a"), ("bad", "b")] for name in ("train", "validation", "test")}
    for name in ("validation_fraction", "test_fraction"):
        with pytest.raises(ConfigError, match=f"^{name} must be a number from 0 to below 1, got ") as caught:
            load_dataset(splits, **{name: share})
        assert f"try: {name}=0.1" in str(caught.value)


def test_duplicates_in_other_spelling_stay_together() -> None:
    rows = [(f"text {row}" if row < 100 else f" TEXT  {row - 100}", row % 2) for row in range(200)]
    dataset = load_dataset(rows, validation_fraction=0.2, test_fraction=0.2)
    keys = [{normalised(text) for text in split.texts} for split in dataset.splits.values()]
    assert not keys[0] & keys[1] and not keys[1] & keys[2] and not keys[0] & keys[2]
