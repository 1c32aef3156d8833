"""Labels of a split and of a model meet by name."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from liteft.data import Dataset, Split
from liteft.data.relabeling import meet_labels, relabeled
from liteft.errors import DataError


def split_of(labels: list[object], *names: str) -> Split:
    return Split("validation", ["a text"] * len(labels), labels=np.array(labels), label_names=names)


def test_indices_follow_their_names() -> None:
    moved = relabeled(split_of([0, 1, 2, -1], "a", "b", "c"), ("c", "a", "d"))
    assert moved.labels is not None and moved.labels.tolist() == [1, -1, 0, -1]
    assert (moved.label_names, moved.unseen_label) == (("c", "a", "d"), None)


def test_columns_follow_their_names_and_rows_with_a_lost_one_are_foreign() -> None:
    given = split_of([[True, False, True], [False, True, False], [False, False, True]], "a", "b", "c")
    moved = relabeled(given, ("c", "a", "d"))
    assert moved.labels is not None and moved.unseen_label is not None
    assert moved.labels.tolist() == [[True, True, False], [False, False, False], [True, False, False]]
    assert moved.unseen_label.tolist() == [False, True, False]
    kept = relabeled(given, ("c", "b", "a"))
    assert kept.labels is not None and kept.unseen_label is None
    assert kept.labels[:, ::-1].tolist() == given.labels.tolist()  # type: ignore[union-attr]


def test_more_labels_than_names_are_refused() -> None:
    with pytest.raises(DataError, match="has the label 2, and names for 2"):
        split_of([0, 2], "a", "b")
    with pytest.raises(DataError, match="has columns for 2 labels, and names for 3"):
        split_of([[True, False]], "a", "b", "c")


def test_the_splits_of_a_data_set_are_named_as_it_names_its_labels() -> None:
    dataset = Dataset("d", "single_label", ("blue", "red"), {"train": split_of([0, 1], "x", "y")})
    assert dataset.train.label_names == ("blue", "red")
    assert replace(dataset, labels=("blau", "rot")).train.label_names == ("blau", "rot")


@pytest.mark.parametrize(
    ("labels", "said"),
    [(["a", "b"], "are not an array of integers, booleans or scores"), ([0.5, 1.0], "one score for each text")],
)
def test_labels_of_another_kind_are_refused_where_they_are_named(labels: list[object], said: str) -> None:
    with pytest.raises(DataError, match=said):
        split_of(labels, "a", "b")


def test_labels_in_order_already_and_none_at_all_stay_as_they_are() -> None:
    given = split_of([0, 1], "a", "b")
    assert relabeled(given, ("a", "b")) is given
    assert meet_labels(given, ["a", "b"], own=True) == (given, ())
    bare = Split("validation", ["a text"])
    assert relabeled(bare, ("a",)) is bare


def test_rows_whose_label_the_model_lacks_are_counted_once_each() -> None:
    moved, notes = meet_labels(split_of([0, 1, 1, -1], "a", "x"), ("a", "b"), own=True)
    assert moved.labels is not None and moved.labels.tolist() == [0, -1, -1, -1]
    assert notes == ("2 texts have a label that the models lack (x) and can only be wrong there",)


@pytest.mark.parametrize("own", [True, False])
def test_no_label_in_common_is_an_error_with_what_can_be_done(own: bool) -> None:
    with pytest.raises(DataError, match="no label in common") as caught:
        meet_labels(split_of([0, 1], "x", "y"), ("a", "b"), own=own)
    assert any("--labels" in hint for hint in caught.value.command_hints()) is not own
    assert any("--label " in hint for hint in caught.value.command_hints())
