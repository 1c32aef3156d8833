"""Exact match and F1 of answers: cases that follow from the definitions of SQuAD's and CMRC 2018's scripts."""

from __future__ import annotations

import collections
import re
import string

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from liteft.metrics import answer_scores, is_chinese_text, mean_interval
from liteft.metrics.answers import chinese_share, normalised_answer


def one(answer: str, *gold: str, **settings: object) -> tuple[bool, float]:
    found = answer_scores([answer], [gold], **settings)  # type: ignore[arg-type]
    return bool(found.exact[0]), float(found.f1[0])


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("The  Cat, a dog!", "cat dog"),
        ("U.S.A.", "usa"),
        ("don't", "dont"),
        ("a an the", ""),
        ("another theatre", "another theatre"),
        ("the-end", "theend"),  # punctuation goes before articles do
        ("“The” end", "“ ” end"),  # only punctuation of ASCII goes
        (" \t\n", ""),
        ("An\u00a0Apple", "apple"),
    ],
)
def test_answers_are_compared_without_case_punctuation_and_articles(answer: str, expected: str) -> None:
    assert normalised_answer(answer) == expected


@pytest.mark.parametrize(
    ("answer", "gold", "exact", "f1"),
    [
        ("the Eiffel Tower", ["Eiffel tower!"], True, 1.0),
        ("Eiffel Tower in Paris", ["Eiffel Tower"], False, 2 * 0.5 * 1 / 1.5),
        ("a b b c", ["b b b d"], False, 2 * (2 / 3) * (2 / 4) / (2 / 3 + 2 / 4)),  # bags, without the article
        ("x", ["y z", "w x"], False, 2 * 1 * 0.5 / 1.5),  # the best gold answer
        ("", [], True, 1.0),
        ("", ["x"], False, 0.0),
        ("x", [], False, 0.0),
        ("the", [], True, 1.0),  # nothing is left of it
        ("", ["the"], True, 1.0),  # a gold answer of which nothing is left does not count
        ("x", ["!", "x"], True, 1.0),
        ("", ["!", "x"], False, 0.0),
    ],
)
def test_scores_are_those_of_squad_2(answer: str, gold: list[str], exact: bool, f1: float) -> None:
    assert one(answer, *gold) == (exact, pytest.approx(f1))


@pytest.mark.parametrize(
    ("answer", "gold", "exact", "f1"),
    [("the", ["a"], True, 0.0), ("", ["the"], True, 0.0), ("", ["the", "x"], True, 0.0), ("x", ["x"], True, 1.0)],
)
def test_scores_of_empty_answers_differ_in_squad_1(answer: str, gold: list[str], exact: bool, f1: float) -> None:
    assert one(answer, *gold, squad=1) == (exact, f1)


@given(
    st.text(st.sampled_from("ab AN,the.é"), max_size=12),
    st.lists(st.text(st.sampled_from("ab AN,the.é"), max_size=12), max_size=3),
)
def test_scores_are_those_of_the_definition_written_out(answer: str, gold: list[str]) -> None:
    def plain(text: str) -> list[str]:
        lower = "".join(letter for letter in text.lower() if letter not in string.punctuation)
        return [word for word in re.sub(r"\b(a|an|the)\b", " ", lower).split() if word]

    best = 0.0
    right = [each for each in map(plain, gold) if each] or [[]]
    for each in right:
        common = sum((collections.Counter(each) & collections.Counter(plain(answer))).values())
        sizes = len(each), len(plain(answer))
        best = max(best, float(sizes == (0, 0)) if 0 in sizes else 2 * common / sum(sizes))
    assert one(answer, *gold) == (plain(answer) in right, pytest.approx(best))


@pytest.mark.parametrize(
    ("answer", "gold", "exact", "f1"),
    [
        ("北京大学", ["北京大学。"], True, 1.0),  # punctuation goes
        ("北京大学", ["北大"], False, 2 * (1 / 4) * (1 / 2) / (3 / 4)),  # a run, not a subsequence
        ("在北京", ["北京"], False, 2 * (2 / 3) * 1 / (5 / 3)),
        ("1990年", ["1990 年"], False, 1.0),  # runs of other scripts are words
        ("iPhone手机", ["iphone"], False, 2 * (1 / 3) * 1 / (4 / 3)),
        ("3.5 米", ["3.5米"], False, 1.0),
        ("A-b", ["ab"], True, 1.0),  # left out inside a word too
        ("东", ["西", "东方"], False, 2 * 1 * 0.5 / 1.5),
        ("", [], True, 1.0),
        ("东", [], False, 0.0),
        ("", ["东"], False, 0.0),
    ],
)
def test_scores_by_characters_are_those_of_cmrc(answer: str, gold: list[str], exact: bool, f1: float) -> None:
    assert one(answer, *gold, characters=True) == (exact, pytest.approx(f1))


def test_a_context_of_chinese_characters_is_compared_by_characters() -> None:
    assert is_chinese_text("中文 BERT 模型很好") and not is_chinese_text("The word 中文 means Chinese.")
    assert chinese_share("") == 0.0 and chinese_share("中 a") == 0.5
    found = answer_scores(["北京大学", "new york"], [["北京"], ["york"]], characters=[True, False])
    assert found.f1.tolist() == pytest.approx([2 / 3, 2 / 3])


def test_numbers_of_answers_and_gold_answers_must_agree() -> None:
    with pytest.raises(ValueError, match="zip"):
        answer_scores(["a"], [])


def test_an_interval_of_a_mean_covers_it_and_is_widened_where_nothing_varies() -> None:
    values = np.random.default_rng(0).random(400)
    low, high = mean_interval(values)
    assert low < values.mean() < high and high - low == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.15)
    assert mean_interval(np.ones(9), otherwise=(0.7, 1.0)) == (0.7, 1.0)
    with pytest.raises(ValueError, match="no texts"):
        mean_interval(np.zeros(0))
