"""What bench/check_optimum.py compares of two engines' answers."""

from __future__ import annotations

import math
from types import ModuleType
from typing import Any

import pytest

from liteft.runtime import Span, TaggedText
from tests.bench.conftest import load_script

MANIFEST = {"precision": "fp32"}


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return load_script("check_optimum")


def answers(
    logits: list[Any], spans: list[Any] | None, labels: list[list[str]]
) -> tuple[dict[str, Any], dict[str, Any]]:
    ours = {"logits": logits, "labels": labels, "spans": spans, "manifest": MANIFEST}
    return ours, {"alone": logits, "batch": logits, "labels": labels, "spans": spans}


def test_the_first_token_of_each_word_is_taken(script: ModuleType) -> None:
    rows = [[0.0], [1.0], [2.0], [3.0], [4.0], [5.0]]
    assert script.first_tokens(rows, [None, 0, 0, 1, 2, None]) == [[1.0], [3.0], [4.0]]
    assert script.first_tokens(rows[:2], [None, None]) == []


def test_the_ends_of_the_words_of_a_context_are_taken(script: ModuleType) -> None:
    start, end = [float(place) for place in range(8)], [float(-place) for place in range(8)]
    words, sequences = [None, 0, None, 0, 0, 1, 2, None], [None, 0, None, 1, 1, 1, 1, None]
    assert script.ends_of_words(start, end, words, sequences) == [[3.0, -4.0], [5.0, -5.0], [6.0, -6.0]]


def test_spans_are_plain_if_their_tags_are_the_likeliest(script: ModuleType) -> None:
    logits = [[0.0, 2.0], [1.0, 0.0]]
    scores = tuple(1 / (1 + math.exp(low - high)) for low, high in ((0.0, 2.0), (0.0, 1.0)))
    span = Span("PER", scores[0], "Ada", 0, 3, 0, 1)
    tagged = TaggedText((span,), "Ada x", ((0, 3), (4, 5)), ("B-PER", "O"), scores, False, "native")
    assert script.plain_spans(tagged, logits) == [["PER", 0, 3, scores[0]]]
    assert script.plain_spans(tagged, [[0.0, 2.0], [1.0, 1.5]]) is None


def test_answers_agree_in_labels_logits_and_plain_spans_alone(script: ModuleType) -> None:
    ours, optimum = answers([[[1.0, 0.0]], []], [[["PER", 0, 3, 0.7]], None], [["B-PER"], []])
    found = script.compare(ours, optimum)
    assert found["agrees"] and found["labels"] == found["same_labels"] == 1
    assert (found["texts_of_legal_tags"], found["texts_of_same_spans"], found["spans"]) == (1, 1, 1)
    assert script.compare(ours, optimum | {"spans": [[["PER", 0, 3, 0.70001]], [["LOC", 0, 1, 0.5]]]})["agrees"]
    for other in ([["LOC", 0, 3, 0.7]], [["PER", 0, 4, 0.7]], [["PER", 0, 3, 0.71]], []):
        assert not script.compare(ours, optimum | {"spans": [other, None]})["agrees"]
    assert not script.compare(ours, optimum | {"labels": [["O"], []]})["agrees"]
    assert not script.compare(ours, optimum | {"batch": [[[1.0, 0.1]], []]})["agrees"]


def test_classifiers_of_texts_have_no_spans(script: ModuleType) -> None:
    found = script.compare(*answers([[[1.0, 0.0]], [[0.0, 1.0]]], None, [["yes"], ["no"]]))
    assert found["agrees"] and found["labels"] == 2 and "spans" not in found
