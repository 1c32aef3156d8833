"""Texts that cannot be trained on: empty and endless ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from liteft.data import load_dataset
from liteft.errors import DataError

Write = Callable[..., Path]
Rows = list[dict[str, Any]]
ENDLESS = "word " * 138_679


@pytest.mark.parametrize("empty", [None, "", "  \t\n", "\u3000\xa0", "\ufeff", "\u200b \u200b"])
def test_an_empty_text_to_train_on_is_named(write: Write, reviews: Rows, empty: str | None) -> None:
    reviews[4]["text"] = empty
    path = write("a.jsonl", reviews)
    with pytest.raises(DataError, match=r"a\.jsonl, line 5: an empty text to train on\.") as error:
        load_dataset(path)
    assert "try: --drop-empty" in error.value.command_text()
    dataset = load_dataset(path, drop_empty=True)
    assert sum(len(split) for split in dataset.splits.values()) == 39
    assert "train: 1 row with an empty text left out" in dataset.notes


def test_several_empty_texts_are_counted(write: Write, reviews: Rows) -> None:
    for row in (1, 2, 3, 7, 9):
        reviews[row]["text"] = " "
    with pytest.raises(DataError, match=r"a\.jsonl, lines 2, 3, 4 and 2 more: 5 empty texts to train on"):
        load_dataset(write("a.jsonl", reviews))


def test_an_empty_text_in_csv_is_named_by_line(write: Write) -> None:
    path = write("a.csv", 'text,label\n"two\nlines",pos\n,neg\n')
    with pytest.raises(DataError, match=r"a\.csv, line 4: an empty text"):
        load_dataset(path)


def test_empty_texts_in_scored_splits_stay_and_count(write: Write, reviews: Rows) -> None:
    write("train.jsonl", reviews)
    write("test.jsonl", [{"text": None, "label": "pos"}, {"text": "fine", "label": "pos"}])
    folder = write("extra.jsonl", [{"text": "", "label": "neg"}]).parent
    dataset = load_dataset(folder)
    assert dataset.test.texts == ["", "fine"]
    assert dataset.split("extra").texts == [""]
    assert load_dataset(folder, drop_empty=True).test.texts == ["", "fine"]


def test_a_pair_is_empty_when_a_half_is_missing_or_both_are_blank() -> None:
    rows: list[tuple[str | None, str | None, int]] = [("a", "b", 0), ("c", "d", 1), ("e", "", 1)]
    assert len(load_dataset(rows, validation_fraction=0, test_fraction=0).train) == 3
    for first, second in (("", " "), ("x", None), (None, "x")):
        with pytest.raises(DataError, match="data, row 4: an empty text"):
            load_dataset([*rows, (first, second, 0)], validation_fraction=0, test_fraction=0)


def test_a_source_of_empty_texts_alone(write: Write) -> None:
    with pytest.raises(DataError, match="no row is left"):
        load_dataset([("", 1), ("", 0)], drop_empty=True)


def test_an_endless_text_to_train_on_is_named_with_two_ways_out(write: Write, reviews: Rows) -> None:
    reviews[6]["text"] = ENDLESS
    path = write("a.jsonl", reviews)
    with pytest.raises(DataError) as error:
        load_dataset(path)
    assert error.value.command_text() == (
        f"{path}, line 7: a text of 693,395 characters to train on.\n"
        "  max_chars: 100,000\n"
        "  try: --drop-long, to leave such rows out\n"
        "  try: --max-chars 693395, to keep them: all but their first max_tokens tokens are cut off"
    )
    dropped = load_dataset(path, drop_long=True)
    assert sum(len(split) for split in dropped.splits.values()) == 39
    assert "train: 1 row with over 100,000 characters left out" in dropped.notes
    kept = load_dataset(path, max_chars=700_000)
    assert sum(len(split) for split in kept.splits.values()) == 40


def test_several_endless_texts_are_counted(reviews: Rows) -> None:
    for row in (3, 5):
        reviews[row]["text"] = "x" * (100_000 + row)
    with pytest.raises(DataError, match=r"data, rows 4, 6: 2 texts of up to 100,005 characters to train on"):
        load_dataset(reviews)


@pytest.mark.parametrize(("length", "fails"), [(100_000, False), (100_001, True)])
def test_the_bound_itself_is_allowed(reviews: Rows, length: int, fails: bool) -> None:
    reviews[0]["text"] = "x" * length
    if fails:
        with pytest.raises(DataError, match=r"100,001 characters"):
            load_dataset(reviews)
    else:
        load_dataset(reviews)


def test_max_chars_can_be_lowered(reviews: Rows) -> None:
    with pytest.raises(DataError, match="max_chars: 10"):
        load_dataset(reviews, max_chars=10)


def test_an_endless_second_text_counts_too() -> None:
    rows = [("a", "b", 0), ("c", ENDLESS, 1)]
    with pytest.raises(DataError, match=r"data, row 2: a text of up to 693,395|a text of 693,395"):
        load_dataset(rows)


def test_endless_texts_in_scored_splits_stay(write: Write, reviews: Rows) -> None:
    write("train.jsonl", reviews)
    dataset = load_dataset(write("test.jsonl", [{"text": ENDLESS, "label": "pos"}]).parent)
    assert dataset.test.texts == [ENDLESS]
