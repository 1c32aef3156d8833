"""Labels: spellings, order, several to a text, missing ones, ones that training lacks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from liteft.data import Dataset, load_dataset
from liteft.errors import ConfigError, DataError


def _load(labels: list[Any], *, test: list[Any] | None = None, **settings: Any) -> Dataset:
    data = {"train": {"text": [f"text {row}" for row in range(len(labels))], "label": labels}}
    if test is not None:
        data["test"] = {"text": [f"test {row}" for row in range(len(test))], "label": test}
    return load_dataset(data, **{"validation_fraction": 0, "test_fraction": 0} | settings)


def _names(dataset: Dataset, split: str = "train") -> list[Any]:
    labels = dataset.split(split).labels
    assert labels is not None
    if dataset.task == "multi_label":
        return [[name for name, on in zip(dataset.labels, row, strict=True) if on] for row in labels]
    return [dataset.labels[label] if label >= 0 else None for label in labels]


@pytest.mark.parametrize(
    ("given", "labels"),
    [
        (["b", "a", "b"], ("a", "b")),
        ([10, 9, -1], ("-1", "9", "10")),
        (["10", "9", "2"], ("2", "9", "10")),
        ([1.0, 0.0, 1.0], ("0", "1")),
        (["1.0", "0.0", "1"], ("0", "1")),
        ([True, False, True], ("False", "True")),
        ([np.int64(3), 1, "2"], ("1", "2", "3")),
        ([" a ", "b", "a"], ("a", "b")),
        (["1.0", "2.5.1", "1"], ("1", "1.0", "2.5.1")),
        (["None", "nan", "NA"], ("NA", "None", "nan")),
        (["Zoo", "ärger", "apfel"], ("Zoo", "apfel", "ärger")),
    ],
)
def test_labels_are_names_in_a_fixed_order(given: list[Any], labels: tuple[str, ...]) -> None:
    dataset = _load(given)
    assert (dataset.labels, dataset.task) == (labels, "single_label")
    assert dataset.train.labels is not None and dataset.train.labels.dtype == np.int64


def test_each_row_keeps_its_label() -> None:
    assert _names(_load([10, 9, 2, 9])) == ["10", "9", "2", "9"]


@pytest.mark.parametrize(
    ("value", "what"),
    [
        (0.5, "0.5, which is not a whole number"),
        ({"slot": 1}, "an object"),
        ([["a"]], "a list of lists"),
        ([None], "a list with a missing entry"),
        (b"a", "of type bytes"),
        (float("inf"), "inf, which is not a whole number"),
        (np.array(1), "of type ndarray"),
    ],
)
def test_what_cannot_be_a_label_is_named_by_row(value: Any, what: str) -> None:
    with pytest.raises(DataError, match=f"row 2: the label is {what}") as error:
        _load(["a", value, "b"])
    assert "a string, an integer or a boolean" in str(error.value)


def test_lists_make_a_multi_label_task() -> None:
    dataset = _load([["b", "a"], [], ["b", "b"]])
    assert (dataset.task, dataset.labels) == ("multi_label", ("a", "b"))
    assert dataset.train.labels is not None and dataset.train.labels.dtype == bool
    assert _names(dataset) == [["a", "b"], [], ["b"]]


def test_integers_in_lists_are_sorted_by_value() -> None:
    assert _load([[27], [3, 10], np.array([4])]).labels == ("3", "4", "10", "27")


def test_a_separator_makes_a_multi_label_task() -> None:
    dataset = _load(["joy | love", "joy", "", "|fear|"], label_separator="|")
    assert _names(dataset) == [["joy", "love"], ["joy"], [], ["fear"]]


@pytest.mark.parametrize("cells", [["[4, 27]", "[2]", "[]"], ["['a', 'b']", "['c']", "[]"]])
def test_lists_that_pandas_wrote_as_text_are_lists(cells: list[str]) -> None:
    dataset = _load(cells)
    assert dataset.task == "multi_label" and len(dataset.labels) == 3
    assert "labels are lists written as text" in dataset.notes


def test_brackets_that_are_no_lists_belong_to_the_names() -> None:
    assert _load(["[POS]", "[NEG]", "[POS]"]).labels == ("[NEG]", "[POS]")
    assert _load(["[1]", "b", "[1]"]).labels == ("[1]", "b")


@pytest.mark.parametrize("broken", ["['a', 'b'", "a, b", "[a, b]"])
def test_a_broken_list_among_lists_is_named_by_row(broken: str) -> None:
    with pytest.raises(DataError, match=r"row 3: the label .* is not a list, where most labels are lists") as error:
        _load(["['a']", "['a', 'b']", broken, "['b']", "['b', 'a']"])
    assert repr(broken) in error.value.message


def test_lists_of_one_serve_a_single_label_task_and_longer_ones_do_not() -> None:
    assert _names(_load([["a"], ["b"]], task="single_label")) == ["a", "b"]
    with pytest.raises(DataError, match="row 2: the label is a list of 2 labels, but each text has one label"):
        _load([["a"], ["b", "c"]], task="single_label")


def test_a_multi_label_task_without_a_separator_shows_the_likely_one() -> None:
    with pytest.raises(DataError, match=r'label_separator="\|"'):
        _load(["joy|love", "joy", "fear"], task="multi_label")
    assert _load(["joy", "love", "joy"], task="multi_label").labels == ("joy", "love")


@pytest.mark.parametrize("settings", [{"task": "single_label", "label_separator": "|"}, {"label_separator": ""}])
def test_a_separator_that_makes_no_sense(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="a label separator needs a multi-label task"):
        _load(["a", "b"], **settings)


def test_an_unknown_task_gets_the_closest() -> None:
    with pytest.raises(ConfigError, match="there is no task 'multilabel'") as error:
        _load(["a", "b"], task="multilabel")
    assert "try: --task multi_label" in error.value.command_text()


@pytest.mark.parametrize("missing", [None, float("nan"), "", "  "])
def test_a_missing_label_is_named_and_can_be_left_out(missing: Any) -> None:
    labels = ["a", missing, "b", "a"]
    with pytest.raises(DataError, match=r"data\['train'\], row 2: a row without a label in the column 'label'"):
        _load(labels)
    dataset = _load(labels, drop_empty=True)
    assert _names(dataset) == ["a", "b", "a"] and dataset.train.texts[1] == "text 2"
    assert "train: 1 row without a label left out" in dataset.notes


def test_many_missing_labels_are_counted() -> None:
    with pytest.raises(DataError, match="rows 1, 3, 4 and 2 more: 5 rows without a label"):
        _load([None, "a", None, None, None, None, "b"])


def test_a_missing_label_in_test_is_an_error_unless_all_are() -> None:
    with pytest.raises(DataError, match=r"data\['test'\], row 1: a row without a label"):
        _load(["a", "b"], test=[None, "a"])
    for withheld in ([None, None], [-1, -1]):
        dataset = _load(["a", "b"], test=withheld)
        assert dataset.test.labels is None and len(dataset.test) == 2
        assert "test: no labels: predicted, but not scored" in dataset.notes


def test_minus_one_is_a_label_where_training_has_it() -> None:
    assert _names(_load([-1, 0, 1], test=[-1, -1]), "test") == ["-1", "-1"]


def test_labels_that_training_lacks_are_foreign_and_no_error() -> None:
    dataset = _load(["a", "b", "a"], test=["b", "oos", "oos", "zzz"])
    assert dataset.labels == ("a", "b")
    assert _names(dataset, "test") == ["b", None, None, None]
    assert dataset.test.unseen_label is not None and dataset.test.unseen_label.tolist() == [False, True, True, True]
    assert dataset.unseen == {"test": {"oos": 2, "zzz": 1}}
    assert dataset.train.unseen_label is None


def test_a_foreign_label_beside_a_known_one() -> None:
    dataset = _load([["a"], ["b"]], test=[["a", "new"], ["b"]])
    assert _names(dataset, "test") == [["a"], ["b"]]
    assert dataset.test.unseen_label is not None and dataset.test.unseen_label.tolist() == [True, False]


def test_one_label_only() -> None:
    with pytest.raises(DataError, match="holds only the label 'a' in all 3 rows") as error:
        _load(["a", "a", "a"])
    assert "try: --label NAME" in error.value.command_text()
    with pytest.raises(DataError, match="holds no labels at all"):
        _load([[], [], []])


def test_a_label_of_its_own_for_every_row() -> None:
    with pytest.raises(DataError, match="each of the 12 rows has a different label"):
        _load([f"id {row}" for row in range(12)])
