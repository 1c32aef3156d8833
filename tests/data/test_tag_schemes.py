"""Schemes of tags: recognised by the training tags, and all of them turned into IOB2."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liteft.data.tag_schemes import (
    find_scheme,
    find_spelling,
    odd_tags,
    scheme_of_split,
    spans_of_tags,
    tag_order,
    tags_of_spans,
)

_TYPES = st.sampled_from(["PER", "LOC", "a-b", "B-X", "é"])
Span = tuple[int, int, str]


@st.composite
def _spans(draw: st.DrawFn) -> tuple[list[Span], int]:
    """Spans that do not overlap, some of them touching, and the number of words of their text."""
    spans, at = [], 0
    for _ in range(draw(st.integers(0, 5))):
        first = at + draw(st.integers(0, 2))
        at = first + draw(st.integers(1, 3))
        spans.append((first, at, draw(_TYPES)))
    return spans, at + draw(st.integers(0, 2))


def _as_bioes(spans: list[Span], words: int, *, letters: str = "BIES") -> list[str]:
    begin, inside, end, single = list(letters)
    tags = ["O"] * words
    for first, last, kind in spans:
        middle = [inside] * (last - first - 2)
        each = [single] if last - first == 1 else [begin, *middle, end]
        tags[first:last] = [f"{letter}-{kind}" for letter in each]
    return tags


def _as_iob1(spans: list[Span], words: int) -> list[str]:
    tags = ["O"] * words
    before: Span = (-1, -1, "")
    for first, last, kind in spans:
        touches = before[1] == first and before[2] == kind
        tags[first:last] = [f"{'B' if touches and at == first else 'I'}-{kind}" for at in range(first, last)]
        before = (first, last, kind)
    return tags


@given(_spans())
def test_spans_become_tags_and_spans_again(case: tuple[list[Span], int]) -> None:
    spans, words = case
    tags = tags_of_spans(spans, words)
    assert len(tags) == words and spans_of_tags(tags) == spans
    assert find_scheme([tags]).iob2(tags) == (tags, True)


@pytest.mark.parametrize(("letters", "name"), [("BIES", "BIOES"), ("BILU", "BILOU"), ("BMES", "BMES")])
@given(case=_spans())
def test_schemes_with_ends_become_iob2(letters: str, name: str, case: tuple[list[Span], int]) -> None:
    spans, words = case
    written = [_as_bioes(each, count, letters=letters) for each, count in (case, ([(0, 1, "PER"), (1, 4, "PER")], 5))]
    scheme = find_scheme(written)
    assert scheme.name == name
    assert scheme.iob2(written[0]) == (tags_of_spans(spans, words), True)


@given(_spans())
def test_iob1_becomes_iob2(case: tuple[list[Span], int]) -> None:
    spans, words = case
    written = [_as_iob1(spans, words), ["I-PER"]]
    scheme = find_scheme(written)
    assert scheme.name == "IOB1" and scheme.iob2(written[0]) == (tags_of_spans(spans, words), True)


@given(st.lists(st.sampled_from(["O", "B-X", "I-X", "E-X", "S-X", "B-Y", "I-Y", "E-Y"]), max_size=8))
def test_whatever_the_sequence_the_result_is_legal(tags: list[str]) -> None:
    found, _ = find_scheme([["B-X", "E-X"], tags]).iob2(tags)
    assert len(found) == len(tags)
    for before, tag in zip(("O", *found), found, strict=False):
        assert not tag.startswith("I-") or before in (tag, f"B-{tag[2:]}")


@pytest.mark.parametrize(
    ("tags", "found"),
    [
        ("O I-X I-X", "O B-X I-X"),
        ("B-X I-Y", "B-X B-Y"),
        ("B-X O I-X", "B-X O B-X"),
    ],
)
def test_a_span_that_cannot_go_on_begins_anew(tags: str, found: str) -> None:
    scheme = find_scheme([["B-X", "I-X", "O"]] * 3)
    assert scheme.name == "IOB2" and scheme.iob2(tags.split()) == (tuple(found.split()), False)


@pytest.mark.parametrize("tags", ["B-X O E-X", "B-X B-X E-X", "B-X I-X", "I-X E-X", "S-X E-X", "B-X S-X"])
def test_spans_without_an_end_or_a_begin_are_told(tags: str) -> None:
    scheme = find_scheme([["B-X", "I-X", "E-X", "S-X"]])
    assert scheme.name == "BIOES" and not scheme.iob2(tags.split())[1]


@pytest.mark.parametrize("tags", ["NOUN VERB", "-LRB- NN", "E-mail S-1", "X-1 O", "B O", "1 2 3"])
def test_tags_without_prefixes_stay(tags: str) -> None:
    scheme = find_scheme([tags.split()] if "O" in tags.split() else [[*tags.split(), "NOUN"]])
    assert scheme.name == "" and scheme.iob2(tags.split()) == (tuple(tags.split()), True)


def test_spans_and_plain_tags_beside_each_other() -> None:
    scheme = find_scheme([["B-X", "I-X", "NEG", "E-mail"]])
    assert scheme.iob2(["NEG", "I-X", "E-mail"]) == (("NEG", "B-X", "E-mail"), False)


def test_spans_without_a_type_get_one() -> None:
    scheme = find_scheme([["B", "I", "O", "B"]])
    assert scheme.untyped and scheme.iob2(["B", "I", "O"]) == (("B-SPAN", "I-SPAN", "O"), True)


def test_the_order_of_tags() -> None:
    assert tag_order(["Z", "I-b", "B-a", "O", "A"]) == ("O", "B-a", "I-a", "B-b", "I-b", "A", "Z")
    assert tag_order(["VERB", "NOUN"]) == ("NOUN", "VERB")


@pytest.mark.parametrize(("tags", "found"), [("S-X I-X E-X", "B-X B-X I-X"), ("I-X L-X U-X", "B-X I-X B-X")])
def test_ends_without_begins_are_no_iob1(tags: str, found: str) -> None:
    scheme = find_scheme([tags.split()])
    assert scheme.closed and scheme.iob2(tags.split())[0] == tuple(found.split())


@pytest.mark.parametrize(
    ("tags", "odd"),
    [
        ("B-X I-X O", ""),
        ("B-X I-X O X", "X"),
        ("S-X E-X X", "X"),
        ("B I O X", "X"),
        ("NOUN O E-mail", ""),
        ("NOUN VERB", ""),
        ("B-X I", "I"),
    ],
)
def test_tags_that_are_odd_among_those_of_spans(tags: str, odd: str) -> None:
    assert odd_tags(tags.split()) == set(odd.split())


@pytest.mark.parametrize(
    ("tags", "written"),
    [
        ("b-per i-per o", "B-per"),
        ("B_PER I_PER O", "B-PER"),
        ("b_x e_x", "B-x"),
        ("PER-B PER-I O", "B-PER"),
        ("PER_B PER_I", "B-PER"),
        ("B-PER I-PER O", None),
        ("B_PER O", None),
        ("B_X I_X NOUN", None),
        ("b-x l-x e-x", None),
    ],
)
def test_other_spellings_of_tags(tags: str, written: str | None) -> None:
    found = find_spelling(tags.split())
    assert (found and found.written) == written and (found is None or found.suffixed == tags.startswith("PER"))


@pytest.mark.parametrize(
    ("train", "other", "name"),
    [
        ("B-X I-X O", "B-X I-X E-X S-X O", "BIOES"),
        ("B-X I-X O", "S-X", "BIOES"),
        ("B-X I-X O", "U-X B-X L-X O", "BILOU"),
        ("B-X I-X E-X S-X O", "B-X I-X O", "IOB2"),
        ("B-X I-X E-X S-X O", "B-X E-X", "BIOES"),
        ("B-X I-X O", "I-X O", "IOB2"),
        ("B-X I-X O", "O", "IOB2"),
        ("B I O", "I O", "IOB2"),
        ("B I O", "B I E S O", "BIOES"),
        ("X Y", "B-X I-X", None),
        ("B-X I-X", "X O", None),
        ("B-X I-X", "B I O", None),
        ("X Y", "X Z", ""),
    ],
)
def test_the_scheme_of_another_split(train: str, other: str, name: str | None) -> None:
    found = scheme_of_split([other.split()], find_scheme([train.split()]))
    assert (found.name if found else None) == name
    if found and name:
        tags, _ = found.iob2(other.split())
        assert {tag[:2] for tag in tags} <= {"O", "B-", "I-"}
