"""Columns: named, guessed, misspelt."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from liteft.data import choose_columns, load_dataset
from liteft.data.unlabeled import load_beside
from liteft.errors import ConfigError, DataError
from liteft.recipes import DataRecipe
from liteft.tasks import SCORES, SINGLE_LABEL


@pytest.mark.parametrize(
    ("columns", "chosen"),
    [
        (("id", "text", "label"), ("text", None, "label")),
        (("Text", "Label"), ("Text", None, "Label")),
        (("sentence", "label", "idx"), ("sentence", None, "label")),
        (("review", "sentiment"), ("review", None, "sentiment")),
        (("text", "title", "label", "fine"), ("text", None, "label")),
        (("text", "labels", "id"), ("text", None, "labels")),
        (("text", "anything"), ("text", None, "anything")),
        (("anything", "label"), ("anything", None, "label")),
        (("text", "text_b", "label", "id"), ("text", "text_b", "label")),
        (("premise", "hypothesis", "label"), ("premise", "hypothesis", "label")),
        (("query", "text", "label"), ("text", None, "label")),
        (("idx", "sentence1", "sentence2", "label"), ("sentence1", "sentence2", "label")),
        (("question", "sentence", "label"), ("question", "sentence", "label")),
        (("input", "data", "label"), ("input", None, "label")),
        (("data", "label"), ("data", None, "label")),
        (("id", "data", "label"), ("data", None, "label")),
    ],
)
def test_usual_names_are_guessed(columns: tuple[str, ...], chosen: tuple[str, str | None, str]) -> None:
    found = choose_columns(columns, source="a.csv")
    assert (found.text, found.pair, found.label) == chosen
    assert set(found.guessed) == {"text", "label"} | ({"pair"} if found.pair else set())


def test_a_text_beside_the_query_that_found_it_is_a_pair_only_where_texts_have_scores() -> None:
    rows = {"text": [f"text {row}" for row in range(20)], "query": ["NO_QUERY"] * 20, "sentiment": [0, 4] * 10}
    alone = load_dataset(rows)
    assert alone.train.pairs is None and alone.train.texts[0].startswith("text")
    ranked = load_dataset(rows, task="scores", label="sentiment", validation_fraction=0, test_fraction=0)
    assert ranked.train.texts == rows["query"] and ranked.train.pairs == rows["text"]
    more = {name: rows[name] for name in ("text", "query")}
    assert load_beside(more, DataRecipe(), SINGLE_LABEL).pairs is None
    assert load_beside(more, DataRecipe(), SCORES).pairs == rows["text"]


@pytest.mark.parametrize(
    ("columns", "part"),
    [
        (("title", "description", "label"), "text"),
        (("a", "b", "c"), "text"),
        (("tokens", "tags"), "text"),
        (("text", "a", "b"), "label"),
        (("text", "label", "labels"), "label"),
    ],
)
def test_what_is_ambiguous_is_asked_for(columns: tuple[str, ...], part: str) -> None:
    with pytest.raises(DataError, match=f"the column names do not say which one holds the {part}") as error:
        choose_columns(columns, source="a.csv")
    assert f"try: --{part} " in error.value.command_text() and "columns: " in error.value.command_text()


def test_named_columns_are_taken_as_they_are() -> None:
    found = choose_columns(("a", "b", "c"), source="x", text="b", pair="c", label="a")
    assert (found.text, found.pair, found.label, found.guessed, found.note) == ("b", "c", "a", (), None)


def test_a_partner_is_found_for_a_named_text_and_refused_with_an_empty_pair() -> None:
    columns = ("text", "text_b", "label")
    assert choose_columns(columns, source="x", text="text").pair == "text_b"
    assert choose_columns(columns, source="x", pair="").pair is None
    assert choose_columns(columns, source="x", pair="text_b").text == "text"


def test_a_named_label_is_not_guessed_as_a_text() -> None:
    assert choose_columns(("review", "body"), source="x", label="review").text == "body"


@pytest.mark.parametrize(("part", "wrong"), [("label", "lable"), ("text", "txet"), ("pair", "text_c")])
def test_a_misspelt_column_is_an_error_in_three_parts(part: str, wrong: str) -> None:
    with pytest.raises(DataError) as error:
        choose_columns(("id", "text", "text_b", "label"), source="reviews.csv", **{part: wrong})
    right = {"label": "label", "text": "text", "pair": "text_b"}[part]
    expected = f"reviews.csv has no column '{wrong}'.\n  columns: id, text, text_b, label\n  try: --{part} {right}"
    assert error.value.command_text() == expected
    assert f'try: {part}="{right}"' in str(error.value)


def test_a_second_text_is_never_thought_to_be_the_text_or_the_label() -> None:
    for columns, fix in ((["text", "label"], "--pair ''"), (["text", "label", "text_a"], "--pair text_a")):
        with pytest.raises(DataError) as caught:
            choose_columns(columns, source="reviews.csv", pair="text_b")
        assert f"try: {fix}" in caught.value.command_text()


@pytest.mark.parametrize(
    ("columns", "named", "fix"),
    [
        (("a", "b"), {"text": "a", "label": "a"}, "--label b"),
        (("text", "label"), {"text": "label", "label": "label"}, "--text text"),
        (("q", "a", "label"), {"text": "q", "pair": "q", "label": "label"}, "--text a"),
        (("text", "a", "label"), {"text": "text", "pair": "label", "label": "label"}, "--pair a"),
        (("a",), {"text": "a", "label": "a"}, "name two columns"),
    ],
)
def test_one_column_in_two_parts(columns: tuple[str, ...], named: dict[str, str], fix: str) -> None:
    with pytest.raises(DataError, match="cannot be two of text, pair and label") as caught:
        choose_columns(columns, source="x", **named)  # type: ignore[arg-type]
    assert caught.value.command_text().endswith(f"try: {fix}")


@pytest.mark.parametrize(("mark", "given"), [(";", "';'"), ("\t", "tab"), ("|", "'|'"), (",", ",")])
def test_another_delimiter_is_suggested_where_the_only_column_contains_it(
    tmp_path: Path, mark: str, given: str
) -> None:
    path = tmp_path / "tickets.csv"
    path.write_text(f"text{mark}label\na{mark}x\n", encoding="utf-8")
    with pytest.raises(DataError, match="no column is left for the label") as caught:
        load_dataset(path, delimiter="#")
    assert caught.value.command_text().endswith(f"try: --delimiter {given}")


def test_a_file_of_one_column_has_none_for_the_label() -> None:
    with pytest.raises(DataError, match="no column is left for the label") as caught:
        choose_columns(("text",), source="x")
    assert "label=" not in str(caught.value)


def test_a_seed_that_is_no_number() -> None:
    with pytest.raises(ConfigError, match="seed is '0'"):
        load_dataset([("a", 0)], seed="0")  # type: ignore[arg-type]


def test_a_csv_without_a_header_is_hinted_at(write: Callable[..., Path]) -> None:
    path = write("a.csv", "a fine film,pos,1\na bad film,neg,2\n")
    with pytest.raises(DataError, match="the first line of a csv or tsv file must contain the column names"):
        load_dataset(path)


def test_guesses_are_noted(write: Callable[..., Path], reviews: list[dict[str, str]]) -> None:
    notes = load_dataset(write("a.jsonl", reviews)).notes
    assert "columns guessed by name: text = 'text', label = 'label'" in notes
    named = load_dataset(write("a.jsonl", reviews), text="text", label="label").notes
    assert not any("guessed" in note for note in named)


def test_a_list_of_texts_to_label_without_labels_says_what_it_lacks() -> None:
    columns = ["text", "predicted", "probability", "margin", "why", "list"]
    with pytest.raises(DataError, match="lists texts to label, and has no labels yet"):
        choose_columns(columns, source="to_label.jsonl")
    assert choose_columns([*columns, "label"], source="to_label.jsonl").label == "label"
    assert choose_columns(columns, source="to_label.jsonl", labelled=False).text == "text"
