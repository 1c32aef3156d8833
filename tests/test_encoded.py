"""Token ids of texts: cut, joined, and as a rectangle."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from liteft import Encoded
from liteft.errors import InputError

ROWS = st.lists(st.lists(st.integers(0, 2**31 - 1), max_size=5), max_size=8)


def rows(encoded: Encoded) -> list[list[int]]:
    return [text.ids.tolist() for text in encoded]


@given(ROWS)
def test_texts_are_what_they_were_made_of(ids: list[list[int]]) -> None:
    encoded = Encoded.of(ids)
    assert rows(encoded) == ids
    assert len(encoded) == len(ids)
    assert encoded.lengths.tolist() == list(map(len, ids))
    assert [array.dtype.name for array in (encoded.ids, encoded.type_ids, encoded.offsets)] == ["int32"] * 2 + ["int64"]


@given(ROWS, st.integers(-9, 9), st.integers(-9, 9))
def test_a_slice_is_a_slice_of_the_texts(ids: list[list[int]], start: int, stop: int) -> None:
    assert rows(Encoded.of(ids)[start:stop]) == ids[start:stop]
    assert rows(Encoded.of(ids)[start:stop:-1]) == ids[start:stop:-1]


@given(ROWS, st.data())
def test_texts_are_taken_by_their_numbers(ids: list[list[int]], data: st.DataObject) -> None:
    numbers = data.draw(st.lists(st.integers(0, len(ids) - 1), max_size=9)) if ids else []
    assert rows(Encoded.of(ids)[numbers]) == [ids[number] for number in numbers]


@given(st.lists(ROWS, max_size=4))
def test_joined_texts_stand_in_order(parts: list[list[list[int]]]) -> None:
    assert rows(Encoded.join(map(Encoded.of, parts))) == [row for part in parts for row in part]


def test_type_ids_and_the_mark_of_cut_texts_go_along() -> None:
    encoded = Encoded.of([[5, 6], [7]], [[0, 1], [1]], [False, True])
    joined = Encoded.join([encoded[1:], encoded])[[2, 0]]
    assert joined.type_ids.tolist() == [1, 1]
    assert joined.truncated.tolist() == [True, True]
    assert encoded[-1].truncated.tolist() == [True]


def test_a_slice_copies_nothing() -> None:
    encoded = Encoded.of([[1, 2], [3], [4, 5]])
    assert np.shares_memory(encoded[1:].ids, encoded.ids)


def test_a_text_that_is_not_there_is_an_index_error() -> None:
    with pytest.raises(IndexError):
        Encoded.of([[1]])[1]


def test_other_numbers_of_type_ids_are_refused() -> None:
    with pytest.raises(InputError, match="as many type ids as ids"):
        Encoded.of([[1, 2]], [[0]])


@pytest.mark.parametrize("number", [2**31, -(2**31) - 1, 2**40 + 5])
@pytest.mark.parametrize("kind", [list, np.array])
def test_an_id_beyond_32_bits_is_refused_instead_of_wrapped(kind: Callable[[list[int]], Any], number: int) -> None:
    with pytest.raises(InputError, match=f"text 1 has the token id {number}") as caught:
        Encoded.of([kind([1]), kind([2, number])])
    assert caught.value.accepted and caught.value.fix
    with pytest.raises(InputError, match=f"text 0 has the type id {number}"):
        Encoded.of([kind([1])], [kind([number])])


@pytest.mark.parametrize("kind", [list, np.array])
def test_the_largest_ids_of_32_bits_are_kept(kind: Callable[[list[int]], Any]) -> None:
    assert rows(Encoded.of([kind([2**31 - 1]), kind([-(2**31)])])) == [[2**31 - 1], [-(2**31)]]


@pytest.mark.parametrize(
    "ids", [[np.array([1.5])], [["a"]], [["7"]], [[1.9, 2]], [[True]], [[None]], [np.array([[1]]), np.array([[2]])]]
)
def test_what_is_not_a_list_of_integers_is_refused(ids: Any) -> None:
    with pytest.raises(InputError):
        Encoded.of(ids)


@pytest.mark.parametrize("ids", ["12", ["12"], [1, 2], 7, ([1] for _ in range(2))])
def test_what_is_not_a_list_for_each_text_is_refused(ids: Any) -> None:
    with pytest.raises(InputError, match="ids is not a list with the ids of each text"):
        Encoded.of(ids)


def test_other_numbers_of_marks_are_refused() -> None:
    with pytest.raises(InputError, match="2 texts have marks of truncation of shape"):
        Encoded.of([[1], [2]], truncated=[True])


def test_a_rectangle_is_filled_up_on_the_right() -> None:
    ids, mask, types = Encoded.of([[5, 6, 7], [8]], [[0, 1, 1], [0]]).padded(9)
    assert ids.tolist() == [[5, 6, 7], [8, 9, 9]]
    assert mask.tolist() == [[1, 1, 1], [1, 0, 0]]
    assert types.tolist() == [[0, 1, 1], [0, 0, 0]]
    assert ids.dtype == mask.dtype == types.dtype == np.int64


def test_texts_go_to_other_processes() -> None:
    assert rows(pickle.loads(pickle.dumps(Encoded.of([[1], [2, 3]])))) == [[1], [2, 3]]
