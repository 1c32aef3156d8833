"""Splits, data sets and their fingerprints."""

from __future__ import annotations

import dataclasses
import pickle
from typing import Any

import numpy as np
import pytest

from liteft.data import Dataset, Provenance, Split, check_dataset, load_dataset
from liteft.errors import DataError


def _dataset(**changes: object) -> Dataset:
    train = Split("train", ["a", "b"], None, np.array([0, 1]))
    settings = {
        "name": "d",
        "task": "single_label",
        "labels": ("x", "y"),
        "splits": {"train": train},
    } | changes
    return Dataset(**settings)  # type: ignore[arg-type]


def test_take_keeps_every_part_in_the_order_given() -> None:
    provenance = Provenance(("f.csv",), np.zeros(3, np.int32), np.array([2, 3, 4]), "line")
    labels, unseen_label = np.array([0, 1, -1]), np.array([False, False, True])
    split = Split("train", ["a", "b", "c"], ["1", "2", "3"], labels, unseen_label, provenance)
    taken = split.take([2, 0])
    assert (taken.texts, taken.pairs) == (["c", "a"], ["3", "1"])
    assert taken.labels is not None and taken.labels.tolist() == [-1, 0]
    assert taken.unseen_label is not None and taken.unseen_label.tolist() == [True, False]
    assert taken.where(0) == "f.csv, line 4"


@pytest.mark.parametrize(
    ("indices", "texts"),
    [
        ([], []),
        (slice(1, 3), ["b", "c"]),
        (np.array([True, False, True]), ["a", "c"]),
        (np.array([-1]), ["c"]),
    ],
)
def test_take_accepts_lists_slices_and_masks(indices: object, texts: list[str]) -> None:
    assert Split("test", ["a", "b", "c"]).take(indices).texts == texts  # type: ignore[arg-type]


def test_parts_of_different_length_are_an_error() -> None:
    with pytest.raises(DataError, match="3 texts but a different number of labels"):
        Split("train", ["a", "b", "c"], labels=np.array([0, 1]))


def test_a_missing_split_is_an_error_that_names_the_closest() -> None:
    dataset = _dataset(splits={"train": Split("train", ["a"]), "oos_test": Split("oos_test", ["b"])})
    with pytest.raises(DataError) as error:
        dataset.split("oos_tset")
    assert "has no split 'oos_tset'" in str(error.value)
    assert "try: --split oos_test" in error.value.command_text()
    with pytest.raises(DataError, match="no split 'test'"):
        _ = dataset.test
    assert dataset.extras == ("oos_test",)


def test_dev_means_the_validation_split_and_an_empty_split_is_found() -> None:
    dataset = _dataset(splits={"validation": Split("validation", [])})
    assert len(dataset.split("dev")) == 0
    assert dataset.split("val") is dataset.validation


def test_paired_when_a_split_has_pairs() -> None:
    assert not _dataset().paired
    assert _dataset(splits={"train": Split("train", ["a"], ["b"])}).paired


def test_fingerprint_depends_on_content_alone() -> None:
    base = _dataset()
    assert base.fingerprint == _dataset(name="other", notes=("read today",)).fingerprint
    assert len(base.fingerprint) == 64
    assert pickle.loads(pickle.dumps(base)).fingerprint == base.fingerprint


def test_fingerprint_changes_with_every_part() -> None:
    train = _dataset().train
    changed = [
        _dataset(labels=("x", "z")),
        _dataset(task="multi_label"),
        _dataset(splits={"test": train}),
        _dataset(splits={"train": dataclasses.replace(train, texts=["ab", ""])}),
        _dataset(splits={"train": dataclasses.replace(train, pairs=["", ""])}),
        _dataset(splits={"train": dataclasses.replace(train, labels=np.array([1, 0]))}),
        _dataset(splits={"train": dataclasses.replace(train, labels=None)}),
        _dataset(splits={"train": dataclasses.replace(train, unseen_label=np.array([False, True]))}),
        _dataset(splits={"train": dataclasses.replace(train, texts=["b", "a"])}),
    ]
    prints = {_dataset().fingerprint} | {dataset.fingerprint for dataset in changed}
    assert len(prints) == len(changed) + 1


def test_places_name_a_few_rows_and_count_the_rest() -> None:
    origin = Provenance(("a.csv", "b.csv"), np.array([0, 0, 0, 0, 1]), np.array([2, 3, 9, 10, 2]), "line")
    assert origin.places([1]) == "a.csv, line 3"
    assert origin.places([0, 1, 2]) == "a.csv, lines 2, 3, 9"
    assert origin.places([0, 1, 2, 3, 4]) == "a.csv, lines 2, 3, 9 and 2 more"
    assert origin.places([3, 4]) == "a.csv, line 10 and 1 more"


def test_the_check_of_a_data_set_is_shown_whole(reviews: list[dict[str, Any]]) -> None:
    dataset = load_dataset(reviews)
    assert len(repr(dataset)) < 100
    check = check_dataset(dataset)
    assert str(check) == check.render()
    assert len(repr(check)) < 100 and "\n" not in repr(check)
    assert check.to_dict()["name"] == "data"


def test_a_data_set_has_its_check(reviews: list[dict[str, Any]]) -> None:
    dataset = load_dataset(reviews)
    assert dataset.check.to_dict() == check_dataset(dataset).to_dict()
