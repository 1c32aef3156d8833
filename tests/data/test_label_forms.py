"""Several labels to a text, in the forms that people have them: vectors, lists as text, objects, joined names."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from liteft.data import Dataset, load_dataset
from liteft.errors import ConfigError, DataError

Write = Callable[..., Path]
VECTORS = [[1, 0, 0], [0, 1, 1], [0, 0, 1], [1, 1, 0]]
NAMED = [["a"], ["b", "c"], ["c"], ["a", "b"]]


def _load(labels: list[Any], **settings: Any) -> Dataset:
    rows = [{"text": f"text {row}", "labels": label} for row, label in enumerate(labels)]
    return load_dataset(rows, **{"validation_fraction": 0, "test_fraction": 0} | settings)


def _names(dataset: Dataset) -> list[list[str]]:
    assert dataset.train.labels is not None and dataset.task == "multi_label"
    return [[name for name, on in zip(dataset.labels, row, strict=True) if on] for row in dataset.train.labels]


def _spelt(kind: str) -> list[Any]:
    kinds: dict[str, Callable[[list[int]], Any]] = {
        "ints": list,
        "floats": lambda row: [float(one) for one in row],
        "booleans": lambda row: [bool(one) for one in row],
        "digits": lambda row: [str(one) for one in row],
        "arrays": np.array,
        "tuples": tuple,
        "json text": str,
        "numpy text": lambda row: str(np.array(row)),
        "numpy floats": lambda row: str(np.array(row, dtype=np.float32)),
        "numpy repr": lambda row: repr(np.array(row)),
        "tensor repr": lambda row: f"tensor([{', '.join(f'{one}.' for one in row)}])",
        "tuple text": lambda row: str(tuple(row)),
    }
    return [kinds[kind](row) for row in VECTORS]


SPELLINGS = [
    "ints", "floats", "booleans", "digits", "arrays", "tuples", "json text", "numpy text", "numpy floats",
    "numpy repr", "tensor repr", "tuple text",
]  # fmt: skip


@pytest.mark.parametrize("kind", SPELLINGS)
def test_vectors_of_zeros_and_ones_are_read_with_names(kind: str) -> None:
    dataset = _load(_spelt(kind), label_names=["a", "b", "c"])
    assert dataset.labels == ("a", "b", "c") and _names(dataset) == NAMED
    assert "labels are vectors of 3 zeros and ones: a, b, c" in dataset.notes


@pytest.mark.parametrize("kind", SPELLINGS)
def test_vectors_without_names_are_asked_about_and_never_named_0_and_1(kind: str) -> None:
    with pytest.raises(
        DataError, match="vectors of 3 zeros and ones, but nothing says what each position means"
    ) as error:
        _load(_spelt(kind))
    assert "try: label_names=['name1', 'name2', 'name3']" in str(error.value)
    assert "try: --label-names name1,name2,name3" in error.value.command_text()


def test_vectors_are_seen_in_files(write: Write, tmp_path: Path) -> None:
    rows = [{"text": f"text {row}", "labels": label} for row, label in enumerate(VECTORS)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    lines = "".join(f'text {row},"{label}"\n' for row, label in enumerate(VECTORS))
    paths = [write("a.jsonl", rows), write("a.csv", f"text,labels\n{lines}"), tmp_path / "a.parquet"]
    frame = pd.read_parquet(tmp_path / "a.parquet")  # arrays in its cells
    for source in (*paths, frame):
        dataset = load_dataset(source, label_names="a, b, c", validation_fraction=0, test_fraction=0)
        assert _names(dataset) == NAMED


def test_names_of_vectors_come_from_a_file_beside_them(write: Write) -> None:
    path = write("d/train.jsonl", [{"text": f"t {row}", "labels": label} for row, label in enumerate(VECTORS)])
    write("d/labels.txt", "a\nb\nc\n")
    for source in (path, path.parent):
        dataset = load_dataset(source, validation_fraction=0, test_fraction=0)
        assert _names(dataset) == NAMED
        assert "the names of the 3 label positions are read from labels.txt" in dataset.notes
    write("d/labels.txt", "a\nb\n")
    with pytest.raises(DataError, match="nothing says what each position means"):
        load_dataset(path)
    write("d/classes.json", json.dumps(["a", "b", "c"]))
    assert load_dataset(path, validation_fraction=0, test_fraction=0).labels == ("a", "b", "c")


def test_other_numbers_of_names_than_positions_are_refused() -> None:
    with pytest.raises(DataError, match="vectors of 3 zeros and ones, and there are 2 names"):
        _load(VECTORS, label_names=["a", "b"])


def test_two_labels_in_every_list_are_vectors_and_asked_about() -> None:
    both = [[0, 1], [1, 0], [0, 1]]
    with pytest.raises(DataError, match="vectors of 2 zeros and ones"):
        _load(both)
    assert _names(_load(both, label_names=["no", "yes"])) == [["yes"], ["no"], ["yes"]]


def test_lists_of_the_ids_0_and_1_are_ids_where_lengths_differ() -> None:
    dataset = _load([[0], [1], [0, 1]])
    assert dataset.labels == ("0", "1") and _names(dataset) == [["0"], ["1"], ["0", "1"]]
    assert _load([[0], [1], [0, 1]], label_names=["no", "yes"]).labels == ("no", "yes")


def test_vectors_of_several_lengths_are_an_error_that_names_two() -> None:
    with pytest.raises(DataError, match=r"data, row 2: .* holds 2 in a list of zeros and ones, and 3 at data, row 1"):
        _load([[0, 0, 1], [1, 0]])


def test_vectors_of_other_splits_must_be_vectors() -> None:
    train = {"text": ["a", "b", "c", "d"], "labels": VECTORS}
    source = {"train": train, "test": {"text": ["e", "f"], "labels": [[1, 0, 0], ["a"]]}}
    with pytest.raises(DataError, match=r"data\['test'\], row 2: the label is not a vector of 3 zeros and ones"):
        load_dataset(source, label_names=["a", "b", "c"], validation_fraction=0)


def test_a_position_that_train_never_has_is_noted_and_no_label() -> None:
    dataset = _load([[1, 0, 0], [0, 1, 0], [1, 1, 0]], label_names=["a", "b", "never"])
    assert (
        dataset.labels == ("a", "b")
        and "train has no text with 'never'; the model will not have it as a label" in dataset.notes
    )


def test_exclusive_vectors_serve_a_single_label_task() -> None:
    dataset = _load(["[1 0 0]", "[0 1 0]", "[0 0 1]"], label_names="a,b,c", task="single_label")
    assert dataset.train.labels is not None and dataset.train.labels.tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    "cells",
    [
        ["['joy' 'anger']", "['joy']", "[]"],
        ["array(['joy', 'anger'], dtype=object)", "array(['joy'], dtype=object)", "array([], dtype=object)"],
        ["('joy', 'anger')", "('joy',)", "()"],
        ["{'joy', 'anger'}", "{'joy'}", "[]"],
    ],
)
def test_lists_that_numpy_and_python_wrote_as_text_are_lists(cells: list[str]) -> None:
    dataset = _load(cells)
    assert _names(dataset) == [["anger", "joy"], ["joy"], []]
    assert "labels are lists written as text" in dataset.notes


def test_a_list_that_numpy_cut_in_printing_is_refused() -> None:
    with pytest.raises(DataError, match=r"row 1: the label, \[0 0 \.\.\. 1 0\], is a list that numpy abbreviated"):
        _load(["[0 0 ... 1 0]", "[0 1 ... 1 0]"])


def test_objects_of_zeros_and_ones_are_labels() -> None:
    dataset = _load([{"x": 1.0, "y": 0.0}, {"x": 1.0, "y": 1.0}, {"x": 0.0, "y": 1.0}])
    assert _names(dataset) == [["x"], ["x", "y"], ["y"]]
    alone = _load([{"cats": {"x": 1, "y": 0}}, {"cats": {"x": 0, "y": 1}}])
    assert alone.task == "single_label" and alone.labels == ("x", "y")
    assert 'each text has one label; task="multi_label" if it may have several' in alone.notes
    assert _load([{"x": 1, "y": 0}, {"x": 0, "y": 1}], task="multi_label").task == "multi_label"


def test_an_object_with_another_number_is_refused_by_row() -> None:
    with pytest.raises(DataError, match=r"row 2: the label is an object, in which 'x' is 2"):
        _load([{"x": 1, "y": 0}, {"x": 2, "y": 0}])


@pytest.mark.parametrize("mark", [";", "|", ",", "#", "/", "+"])
@pytest.mark.parametrize("empty", [[], [""]])
def test_joined_names_are_asked_about_with_the_separator(mark: str, empty: list[str]) -> None:
    cells = ["joy", f"joy{mark}anger", "anger", f"fear {mark} joy", "fear", *empty]
    with pytest.raises(DataError, match="which looks like several labels") as error:
        _load(cells)
    assert f'try: label_separator="{mark}"' in str(error.value) and "drop_empty" not in str(error.value)
    assert _load(cells, label_separator=mark).labels == ("anger", "fear", "joy")
    assert len(_load(cells, task="single_label", drop_empty=True).labels) == 5


@pytest.mark.parametrize(
    "labels",
    [["Arts, Crafts", "Food & Drink", "Music"], ["C", "C++", "C#"], ["sport/tennis", "sport/football", "news"]],
)
def test_names_that_hold_a_mark_stay_names(labels: list[str]) -> None:
    assert _load(labels * 3).labels == tuple(sorted(labels))


def test_names_with_a_strong_mark_are_noted() -> None:
    notes = _load(["a;b", "c;d"] * 3).notes
    assert any("labels with ';' in them are single names" in note for note in notes)


def test_joined_vectors_need_a_separator_and_names() -> None:
    with pytest.raises(DataError, match="which looks like several labels"):
        _load(["1,0,0", "0,1,1", "0,0,1"])
    dataset = _load(["1,0,0", "0,1,1", "0,0,1"], label_separator=",", label_names=["a", "b", "c"])
    assert _names(dataset) == [["a"], ["b", "c"], ["c"]]


@pytest.mark.parametrize("spell", [float, str])
def test_fractions_are_no_labels_in_any_format(spell: Callable[[float], Any]) -> None:
    with pytest.raises(DataError, match=r"row 2: the label is 0\.5, which is not a whole number"):
        _load([spell(1.0), spell(0.5), spell(0.0)])


def test_fractions_written_as_text_are_names_where_the_task_says_so() -> None:
    with pytest.raises(DataError) as refused:
        _load(["1.1", "1.2", "2"])
    assert 'try: task="single_label", if each number is a separate class' in str(refused.value)
    with pytest.raises(DataError, match="not a whole number") as refused:
        _load(["1.1", "1.2", "2"], task="multi_label")
    assert "single_label" not in str(refused.value)
    assert _load(["1.1", "1.2", "2"], task="single_label").labels == ("1.1", "1.2", "2")


def test_lists_of_one_are_noted() -> None:
    notes = _load([["a"], ["b"], ["a"]]).notes
    assert 'each text has one label in its list; task="single_label" makes them classes' in notes


@pytest.mark.parametrize("spell", [int, str, float])
def test_names_are_given_to_integers_of_any_spelling(spell: Callable[[int], Any]) -> None:
    dataset = _load([spell(1), spell(0), spell(1)], label_names=["neg", "pos"])
    assert dataset.labels == ("neg", "pos")
    assert dataset.train.labels is not None and dataset.train.labels.tolist() == [1, 0, 1]


def test_labels_that_are_none_of_the_names_are_refused() -> None:
    with pytest.raises(DataError, match="row 2: the label 'x' is not among the given names") as error:
        _load(["neg", "x", "pos"], label_names=["neg", "pos"])
    assert "try: leave out label_names" in str(error.value)


@pytest.mark.parametrize("names", [3, ["a"], ["a", "a"], ["a", 1], "a", ["a", ""]])
def test_names_that_are_none(names: Any) -> None:
    with pytest.raises(ConfigError, match="label_names is"):
        _load([0, 1, 0], label_names=names)
