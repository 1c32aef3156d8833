"""Spans of a text as tags of its words: the forms in which they are written, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liteft.data import Dataset, load_dataset
from liteft.data.spans import SpanReader
from liteft.data.tag_schemes import spans_of_tags
from liteft.errors import DataError
from liteft.words import find_words

Write = Callable[..., Path]
TEXT = "Ann Lee left Rome today."
SPANS = [(0, 7, "PER"), (13, 17, "LOC")]
TAGS = ["B-PER", "I-PER", "O", "B-LOC", "O", "O"]


def _load(rows: Any, **settings: Any) -> Dataset:
    return load_dataset(rows, **{"validation_fraction": 0, "test_fraction": 0} | settings)


def _tags(dataset: Dataset, row: int = 0, split: str = "train") -> list[str]:
    labels = dataset.split(split).labels
    return [dataset.labels[number] if number >= 0 else "?" for number in labels[row].tolist()]


def _objects(start: str, end: str, label: str) -> list[dict[str, Any]]:
    return [{start: begin, end: stop, label: kind} for begin, stop, kind in SPANS]


@pytest.mark.parametrize(
    ("cell", "what"),
    [
        ([{"start": "x", "end": 3, "label": "PER"}], "no whole numbers as start and end"),
        ([{"start": 0, "end": 3}], "has no label"),
        ("oops", "the spans are 'oops', not a list"),
    ],
)
def test_one_cell_that_is_no_spans_among_others_is_named(cell: Any, what: str) -> None:
    rows = [{"text": TEXT, "spans": _objects("start", "end", "label")} for _ in range(4)]
    rows[2]["spans"] = cell
    for task in ("tokens", None):
        with pytest.raises(DataError, match=f"row 3: .*{what}"):
            _load(rows, task=task)


@pytest.mark.parametrize(
    ("column", "cell"),
    [
        ("spans", _objects("start", "end", "label")),
        ("entities", _objects("start_offset", "end_offset", "label")),
        ("labels", _objects("begin", "end", "type")),
        ("label", _objects("start", "end", "slot")),
        ("label", [list(span) for span in SPANS]),
        ("label", {"entities": [list(span) for span in SPANS]}),
        ("slots", [{"start": begin, "end": end, "labels": [kind]} for begin, end, kind in SPANS]),
        ("entities", {"start": [0, 13], "end": [7, 17], "label": ["PER", "LOC"]}),
        ("anything", _objects("start", "end", "tag")),
    ],
)
def test_the_forms_of_spans(write: Write, column: str, cell: Any) -> None:
    rows = [{"id": 1, "text": TEXT, column: cell}, {"id": 2, "text": "Nothing here.", column: []}]
    dataset = _load(write("a.jsonl", rows))
    assert dataset.task == "tokens" and dataset.labels == ("O", "B-LOC", "I-LOC", "B-PER", "I-PER")
    assert _tags(dataset) == TAGS and _tags(dataset, 1) == ["O", "O", "O"]
    assert dataset.train.texts == [TEXT, "Nothing here."] and dataset.train.words is not None
    assert [TEXT[begin:end] for begin, end in dataset.train.words[0]] == ["Ann", "Lee", "left", "Rome", "today", "."]


def test_pairs_of_spacy() -> None:
    assert _tags(_load([(TEXT, {"entities": SPANS}), ("No.", {"entities": []})])) == TAGS


def test_answers_of_prodigy(write: Write) -> None:
    spans = [{"start": s, "end": e, "label": kind, "token_start": 0, "token_end": 0} for s, e, kind in SPANS]
    tokens = [{"text": "Ann", "start": 0, "end": 3, "id": 0, "ws": True}]
    rows = [{"text": TEXT, "tokens": tokens, "spans": spans, "answer": "accept"},
            {"text": "No names.", "tokens": tokens, "answer": "accept"},
            {"text": "Wrong.", "tokens": tokens, "spans": spans, "answer": "reject"},
            {"text": "Skipped.", "tokens": tokens, "spans": spans, "answer": "ignore"}]  # fmt: skip
    dataset = _load(write("a.jsonl", rows))
    assert dataset.train.texts == [TEXT, "No names."] and _tags(dataset) == TAGS
    assert any("2 rows left out: answered 'reject' or 'ignore'" in note for note in dataset.notes)


def test_tasks_of_label_studio(write: Write) -> None:
    def annotation(*spans: tuple[int, int, str]) -> dict[str, Any]:
        values = [{"start": s, "end": e, "text": "", "labels": [kind]} for s, e, kind in spans]
        return {"result": [{"type": "labels", "from_name": "label", "value": value} for value in values]}

    rows = [{"id": 1, "data": {"text": TEXT}, "annotations": [annotation(*SPANS)]},
            {"id": 2, "data": {"text": "No one."}, "annotations": [annotation()]},
            {"id": 3, "data": {"text": "Later."}, "annotations": []},
            {"id": 4, "data": {"text": "Ann"}, "annotations": [annotation((0, 3, "PER")), annotation()]}]  # fmt: skip
    dataset = _load(write("a.json", json.dumps(rows)))
    assert dataset.train.texts == [TEXT, "No one."] and _tags(dataset) == TAGS
    told = "\n".join(dataset.notes)
    assert "1 row left out: without an annotation" in told and "1 row left out: on which annotators disagree" in told


def test_the_short_form_of_label_studio(write: Write) -> None:
    row = {"id": 1, "text": TEXT, "annotator": 1, "annotation_id": 2, "lead_time": 1.0}
    row["label"] = [{"start": s, "end": e, "text": TEXT[s:e], "labels": [kind]} for s, e, kind in SPANS]
    assert _tags(_load(write("a.json", json.dumps([row])))) == TAGS


def test_white_space_around_spans_and_repeated_spans_are_noted() -> None:
    rows = [{"text": TEXT, "spans": [(0, 8, "PER"), (0, 7, "PER"), (12, 18, "LOC")]}]
    dataset = _load(rows)
    assert _tags(dataset) == TAGS
    told = "\n".join(dataset.notes)
    assert "2 spans with white space around them" in told and "1 span repeated" in told


@pytest.mark.parametrize(
    ("spans", "message", "fix"),
    [
        ([(0, 2, "PER")], "'An' .0 to 2, PER. is not of whole words: the nearest borders are 0 and 3", "drop_empty"),
        ([(0, 7, "PER"), (4, 12, "ORG")], "'Ann Lee' .0 to 7, PER. and 'Lee left' .4 to 12, ORG. overlap", "longer"),
        ([(0, 7, "PER"), (4, 7, "LAST")], "'Ann Lee' .0 to 7, PER. and 'Lee' .4 to 7, LAST. overlap", "longer"),
        ([(0, 7, "PER"), (0, 7, "ORG")], "overlap", "longer"),
        ([(0, 70, "PER")], "the span 0 to 70 .PER. is beyond the text, which has 24 characters", "span"),
        ([(-1, 3, "PER")], "is beyond the text", "span"),
        ([(3, 3, "PER")], "the span 3 to 3 .PER. is empty", "span"),
        ([(3, 4, "PER")], "the span 3 to 4 .PER. is white space", "span"),
    ],
)  # fmt: skip
def test_spans_that_are_no_tags_are_refused(spans: Any, message: str, fix: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        _load([{"text": TEXT, "spans": spans}, {"text": TEXT, "spans": SPANS}])
    assert fix in str(caught.value) and caught.value.accepted


@pytest.mark.parametrize(
    "cell",
    [[{"start": 0, "end": 3}], [{"start": "a", "end": 3, "label": "X"}], [[0, 3]], "Ann",
     [{"start": 0, "end": 3, "labels": ["A", "B"]}],
     {"start": [0], "end": [3, 4], "label": ["X"]}],
)  # fmt: skip
def test_cells_that_are_no_spans_are_named_by_row(cell: Any) -> None:
    rows = [{"text": TEXT, "spans": SPANS}] * 200 + [{"text": TEXT, "spans": cell}]
    with pytest.raises(DataError, match="row 201: "):
        _load(rows)


def test_rows_whose_spans_fit_no_words_are_left_out_of_train_and_wrong_elsewhere() -> None:
    rows = [{"text": TEXT, "spans": SPANS}, {"text": "13:00pm", "spans": [(0, 5, "LOC")]}]
    dataset = _load({"train": rows, "test": rows}, drop_empty=True)
    assert len(dataset.train) == 1 and dataset.train.unseen_label is None
    assert _tags(dataset, 1, "test") == ["?", "?", "?"]
    assert dataset.test.unseen_label is not None and dataset.test.unseen_label.tolist() == [False, True]
    told = "\n".join(dataset.notes)
    assert "train: 1 row left out whose spans overlap or are not of whole words (data['train'], row 2)" in told
    assert "test: spans of 1 row overlap or are not of whole words, and count as wrong" in told
    assert dataset.unseen == {}


@pytest.mark.parametrize(("units", "encoding", "size"), [("UTF-16 units", "utf-16-le", 2), ("bytes", "utf-8", 1)])
def test_offsets_in_other_units_are_named(units: str, encoding: str, size: int) -> None:
    text = "🙂 Ann was in Rome for three weeks 🙂"
    start = len(text[: text.index("Rome")].encode(encoding)) // size
    with pytest.raises(DataError, match="not of whole words") as caught:
        _load([{"text": text, "spans": [(start, start + 4, "LOC")]}])
    assert f"seem to count {units}" in str(caught.value)
    end = len(text.encode(encoding)) // size
    with pytest.raises(DataError, match="beyond the text") as caught:
        _load([{"text": text, "spans": [(end - 4 // size, end, "LOC")]}])
    assert f"seem to count {units}" in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "🙂 Ann 👨‍👩‍👧 Lee",
        "cafe\u0301 Zoe\u0308",
        "שלום עולם",
        "مرحبا Ann",
        "一\r\n二 三",
        "a\u2028b\tc",
        "Ann's I.B.M.",
    ],
)
def test_every_word_of_any_text_can_be_a_span(text: str) -> None:
    words = find_words(text)
    rows = [{"text": text, "spans": [(begin, end, "X")]} for begin, end in words]
    dataset = _load(rows)
    assert [_tags(dataset, row).index("B-X") for row in range(len(rows))] == list(range(len(words)))
    assert dataset.train.texts == [text] * len(rows)


@given(st.text(st.sampled_from("ab .🙂é一\u0301\u200d"), max_size=20), st.data())
def test_spans_of_words_come_back(text: str, data: st.DataObject) -> None:
    words = find_words(text)
    spans, at = [], 0
    while at < len(words):
        end = at + data.draw(st.integers(1, 3))
        if end <= len(words) and data.draw(st.booleans()):
            spans.append((at, end, data.draw(st.sampled_from("XY"))))
        at = end
    cell = [[words[first][0], words[end - 1][1], kind] for first, end, kind in spans]
    reader = SpanReader()
    assert spans_of_tags(reader.tags(cell, text, words, 0, "row 1")) == spans and not reader.misfits


@pytest.mark.parametrize(
    ("moved", "said", "fix"),
    [
        ((0, -1), "inclusive ends", "end + 1"),
        ((1, 1), "offsets from 1", "start - 1 and end - 1"),
        ((1, 0), "offsets from 1 with inclusive ends", "start - 1"),
    ],
)
def test_other_ways_to_count_that_fit_the_words_are_named(moved: tuple[int, int], said: str, fix: str) -> None:
    spans = [{"start": begin + moved[0], "end": end + moved[1], "label": kind} for begin, end, kind in SPANS]
    with pytest.raises(DataError) as caught:
        _load([{"text": TEXT, "spans": spans}, {"text": TEXT, "spans": []}], task="tokens")
    assert caught.value.fix[0] == f"the spans seem to have {said}: with {fix} they are of whole words"


def test_an_empty_span_may_be_one_character_with_an_inclusive_end() -> None:
    with pytest.raises(DataError, match="is empty") as caught:
        _load([{"text": "I left", "spans": [{"start": 0, "end": 0, "label": "PER"}]}] * 2, task="tokens")
    assert "inclusive ends" in str(caught.value.fix[0])


def test_a_broken_span_beside_others_that_fit_says_nothing_of_its_ends() -> None:
    spans = [{"start": 0, "end": 6, "label": "PER"}, {"start": 13, "end": 17, "label": "LOC"}]
    with pytest.raises(DataError) as caught:
        _load([{"text": TEXT, "spans": spans}] * 2, task="tokens")
    assert "seem to" not in str(caught.value)


@pytest.mark.parametrize(("start", "end"), [(0, 4), (5, 5), (6, 11)])
def test_a_broken_span_after_rows_that_fit_says_nothing_of_their_ends(start: int, end: int) -> None:
    rows = [{"text": "Peter I", "spans": [{"start": 0, "end": 5, "label": "PER"}]} for _ in range(9)]
    with pytest.raises(DataError, match="row 10") as caught:
        _load([*rows, {"text": "Peter I", "spans": [{"start": start, "end": end, "label": "PER"}]}], task="tokens")
    assert "seem to" not in str(caught.value)
