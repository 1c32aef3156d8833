"""Arrays of rows of different lengths."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from liteft.ragged import Ragged, applied, columns, concatenated, equal_rows, offsets_of, row_differences, values_of

ROWS = [[1, 2, 3], [], [4], [5, 6]]
lists = some.lists(some.lists(some.integers(-5, 5), max_size=4), max_size=6)


def as_lists(ragged: Ragged) -> list[list[int]]:
    return [row.tolist() for row in ragged]


def test_rows_go_in_and_come_out() -> None:
    ragged = Ragged.of(ROWS, np.int64)
    assert (len(ragged), ragged.shape, ragged.dtype, ragged.ndim) == (4, (4,), np.int64, 1)
    assert as_lists(ragged) == ROWS
    assert ragged.lengths.tolist() == [3, 0, 1, 2]
    assert ragged.row_numbers.tolist() == [0, 0, 0, 2, 3, 3]
    assert ragged[-1].tolist() == [5, 6]


@given(lists, some.data())
def test_rows_are_chosen_as_of_a_list(rows: list[list[int]], data: some.DataObject) -> None:
    ragged = Ragged.of(rows, np.int64)
    start, stop = (data.draw(some.integers(-7, 7)) for _ in range(2))
    assert as_lists(ragged[start:stop]) == rows[start:stop]
    assert as_lists(ragged[::-1]) == rows[::-1]
    mask = np.array(data.draw(some.lists(some.booleans(), min_size=len(rows), max_size=len(rows))), dtype=bool)
    assert as_lists(ragged[mask]) == [row for row, kept in zip(rows, mask, strict=True) if kept]
    if rows:
        chosen = data.draw(some.lists(some.integers(0, len(rows) - 1), max_size=5))
        assert as_lists(ragged[np.array(chosen, dtype=np.int64)]) == [rows[row] for row in chosen]


@given(some.lists(lists, min_size=1, max_size=3))
def test_parts_are_joined_in_order(parts: list[list[list[int]]]) -> None:
    joined = Ragged.join([Ragged.of(rows, np.int64) for rows in parts])
    assert as_lists(joined) == [row for rows in parts for row in rows]
    assert as_lists(concatenated([Ragged.of(rows, np.int64) for rows in parts])) == as_lists(joined)


def test_one_row_shares_memory() -> None:
    ragged = Ragged.of(ROWS, np.int64)
    ragged[0][0] = 9
    assert ragged.values[0] == 9


def test_other_values_must_be_as_many() -> None:
    ragged = Ragged.of(ROWS, np.int64)
    assert as_lists(ragged.like(ragged.values * 2)) == [[2, 4, 6], [], [8], [10, 12]]
    with pytest.raises(ValueError, match="5 values for rows that have 6"):
        ragged.like(np.zeros(5))


def test_entries_with_columns_keep_them() -> None:
    logits = Ragged(np.arange(12.0).reshape(6, 2), offsets_of([3, 0, 1, 2]))
    assert logits.shape == (4, 2)
    assert columns(logits, [1, 0])[0].tolist() == [[1, 0], [3, 2], [5, 4]]
    assert columns(np.array([[1, 2]]), [1, 0]).tolist() == [[2, 1]]
    assert applied(np.negative, logits).values[0].tolist() == [0, -1]
    assert values_of(logits) is logits.values


def test_the_largest_difference_is_of_each_row() -> None:
    first = Ragged(np.zeros((4, 2)), offsets_of([2, 0, 2]))
    second = first.like(np.array([[0, 1], [-3, 0], [0, 0], [2, 0]]))
    assert row_differences(first, second).tolist() == [3, 0, 2]
    assert row_differences(np.zeros((1, 2)), np.array([[1.0, -2.0]])).tolist() == [2]


def test_lengths_of_rows_tell_whether_they_fit() -> None:
    assert Ragged.of(ROWS, np.int64).fits(Ragged.of(ROWS, np.float64))
    assert not Ragged.of(ROWS, np.int64).fits(Ragged.of(ROWS[::-1], np.int64))


def test_rows_are_equal_with_equal_entries_in_equal_rows() -> None:
    first, other = Ragged.of([[1, 2], [3]], np.int64), Ragged.of([[1], [2, 3]], np.int64)
    assert equal_rows(first, Ragged.of([[1, 2], [3]], np.int64)) and not equal_rows(first, other)
    assert not equal_rows(first, Ragged.of([[1, 2], [4]], np.int64))
    assert equal_rows(np.arange(3), np.arange(3)) and not equal_rows(np.arange(3), np.arange(4))
