"""A column of zeros and ones for each label, and columns that are not read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from liteft.data import Dataset, load_dataset
from liteft.errors import ConfigError, DataError

Write = Callable[..., Path]
WHOLE = {"validation_fraction": 0, "test_fraction": 0}


def _table(**columns: list[Any]) -> dict[str, list[Any]]:
    return {"text": [f"text {row}" for row in range(4)], **columns}


def _names(dataset: Dataset) -> list[list[str]]:
    assert dataset.train.labels is not None and dataset.task == "multi_label"
    return [[name for name, on in zip(dataset.labels, row, strict=True) if on] for row in dataset.train.labels]


@pytest.mark.parametrize("label", ["joy,anger", "joy, anger", ["joy", "anger"], ("joy", "anger")])
def test_columns_of_zeros_and_ones_are_labels(label: Any) -> None:
    dataset = load_dataset(_table(joy=[1, 0, 1, 0], anger=[0.0, 1.0, 1.0, 0.0]), label=label, **WHOLE)
    assert _names(dataset) == [["joy"], ["anger"], ["anger", "joy"], []]
    assert "2 columns of 0 and 1 are labels of a multi-label task: joy, anger" in dataset.notes


@pytest.mark.parametrize("bits", [("0", "1"), ("0.0", "1.0"), ("False", "True"), (False, True)])
def test_zeros_and_ones_of_any_spelling(bits: tuple[Any, Any]) -> None:
    no, yes = bits
    dataset = load_dataset(_table(joy=[yes, no, yes, no], anger=[no, yes, yes, no]), label="joy,anger", **WHOLE)
    assert _names(dataset) == [["joy"], ["anger"], ["anger", "joy"], []]


def test_dummies_of_a_frame_serve_a_single_label_task() -> None:
    frame = pd.get_dummies(pd.DataFrame(_table(kind=["a", "b", "a", "b"])), columns=["kind"])
    dataset = load_dataset(frame, label=["kind_a", "kind_b"], task="single_label", **WHOLE)
    assert dataset.labels == ("kind_a", "kind_b")


def test_columns_of_zeros_and_ones_are_found_and_the_hint_names_them(write: Write) -> None:
    path = write("a.csv", "text,joy,anger,fear\n" + "".join(f"text {n},{n % 2},{n % 3 // 2},0\n" for n in range(9)))
    with pytest.raises(DataError, match="3 hold only 0 and 1") as error:
        load_dataset(path)
    assert "try: label=['joy', 'anger', 'fear']" in str(error.value)
    assert "try: --label joy,anger,fear" in error.value.command_text()


def test_a_column_whose_name_has_a_comma_is_one_column() -> None:
    dataset = load_dataset({"text": ["a", "b"], "x,y": ["p", "q"]}, label="x,y", **WHOLE)
    assert dataset.labels == ("p", "q")


def test_one_column_in_a_list_is_that_column() -> None:
    assert load_dataset(_table(kind=["a", "b", "a", "b"]), label=["kind"], **WHOLE).task == "single_label"


@pytest.mark.parametrize("value", [2, "x"])
def test_another_value_is_named_by_row_and_column(value: Any) -> None:
    with pytest.raises(DataError, match=r"data, row 3: the column 'anger' holds .*, which is neither 0 nor 1"):
        load_dataset(_table(joy=[1, 0, 1, 0], anger=[0, 1, value, 0]), label="joy,anger", **WHOLE)


def test_a_row_with_none_of_them_has_no_label() -> None:
    table = _table(joy=[1, 0, None, 0], anger=[0, 1, None, 1])
    with pytest.raises(DataError, match="row 3: a row without a label"):
        load_dataset(table, label="joy,anger", **WHOLE)
    assert len(load_dataset(table, label="joy,anger", drop_empty=True, **WHOLE).train) == 3


def test_a_misspelt_one_gets_the_closest_name() -> None:
    with pytest.raises(DataError, match="has no column 'angr'") as error:
        load_dataset(_table(joy=[1, 0, 1, 0], anger=[0, 1, 0, 1]), label=["joy", "angr"])
    assert 'try: label="anger"' in str(error.value)


def test_a_split_that_lacks_one_of_them_is_an_error_and_one_that_lacks_all_has_no_labels() -> None:
    train = _table(joy=[1, 0, 1, 0], anger=[0, 1, 0, 1])
    with pytest.raises(DataError, match="has no column 'anger'"):
        load_dataset({"train": train, "test": {"text": ["x"], "joy": [1]}}, label="joy,anger", validation_fraction=0)
    dataset = load_dataset({"train": train, "test": {"text": ["x"]}}, label="joy,anger", validation_fraction=0)
    assert dataset.test.labels is None


def test_training_on_one_of_them_notes_the_others() -> None:
    notes = load_dataset(_table(joy=[1, 0, 1, 0], anger=[0, 1, 0, 1]), label="joy", **WHOLE).notes
    (note,) = [note for note in notes if "not read" in note]
    assert note == "1 other column of 0 and 1 not read; label=['joy', 'anger'] makes each a label"
    assert "--label joy,anger" in getattr(note, "command")  # noqa: B009


@pytest.mark.parametrize("settings", [{"label": 1}, {"label": []}, {"label": ["a", 2]}, {"text": ["a"]}, {"pair": 3}])
def test_what_cannot_name_a_column_is_an_error_in_three_parts(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"of type (int|list)") as error:
        load_dataset([("a", 1), ("b", 0)], **settings)
    assert error.value.accepted


@pytest.mark.parametrize(
    ("first", "second"),
    [("question", "context"), ("text", "answer"), ("text", "body_of_it"), ("sentence", "hypothesis")],
)
def test_a_column_that_looks_like_a_second_text_is_noted(first: str, second: str) -> None:
    rows = [{first: f"a text {n}", second: f"some more of words {n}", "label": n % 2} for n in range(8)]
    (note,) = [note for note in load_dataset(rows, **WHOLE).notes if "second text" in note]
    assert f'pair="{second}"' in note and f"--pair {second}" in getattr(note, "command")  # noqa: B009
    assert load_dataset(rows, pair=second, **WHOLE).paired
    assert not any("second text" in note for note in load_dataset(rows, pair="", **WHOLE).notes)


def test_short_and_repeated_columns_are_no_second_texts() -> None:
    same = "the same paper as ever"
    rows = [{"text": f"a text {n}", "id": f"x{n}", "source": same, "label": n % 2} for n in range(8)]
    assert not any("second text" in note for note in load_dataset(rows, **WHOLE).notes)
