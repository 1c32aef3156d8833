"""Exports of annotation tools: read as their tools mean them, and what is left out is said."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from liteft.data import Dataset, load_dataset
from liteft.errors import DataError

Write = Callable[..., Path]
Rows = list[dict[str, Any]]
N = 12


def _load(source: Any, **settings: Any) -> Dataset:
    return load_dataset(source, **{"validation_fraction": 0, "test_fraction": 0} | settings)


def _told(dataset: Dataset) -> str:
    return "\n".join(dataset.notes)


def test_rejected_rows_of_prodigy_are_negative_and_ignored_ones_left_out(write: Write) -> None:
    answers = ["accept", "reject", "ignore"]
    rows = [{"text": f"text {n}", "label": "SPAM", "answer": answers[n % 3], "_task_hash": n} for n in range(N)]
    dataset = _load(write("a.jsonl", rows))
    assert dataset.labels == ("SPAM", "not SPAM") and len(dataset.train) == 8
    assert dataset.train.labels is not None and dataset.train.labels.tolist() == [0, 1] * 4
    assert "4 rows left out: answered 'ignore'" in _told(dataset)
    assert "4 rows answered 'reject' are labelled 'not SPAM'" in _told(dataset)
    assert dataset.train.where(2).endswith("a.jsonl, line 4")


def test_rejected_rows_of_several_labels_are_left_out(write: Write) -> None:
    rows = [{"text": f"text {n}", "label": "AB"[n % 2], "answer": "reject" if n < 3 else "accept"} for n in range(N)]
    dataset = _load(write("a.jsonl", rows))
    assert dataset.task == "single_label" and len(dataset.train) == 9
    assert "3 rows left out: answered 'reject'" in _told(dataset)


def test_a_text_accepted_for_two_labels_has_both(write: Write) -> None:
    rows = [{"text": f"text {n // 2}", "label": "AB"[n % 2], "answer": "accept"} for n in range(N)] + [
        {"text": "more", "label": "A", "answer": "accept"}
    ]
    dataset = _load(write("a.jsonl", rows))
    assert dataset.task == "multi_label" and len(dataset.train) == 7
    assert dataset.train.labels is not None and dataset.train.labels.sum() == 13


@pytest.mark.parametrize("style", ["single", "multiple"])
def test_choices_of_prodigy(write: Write, style: str) -> None:
    options = [{"id": "A", "text": "Aa"}, {"id": "B", "text": "Bb"}]
    rows: Rows = [
        {"text": f"text {n}", "options": options, "accept": ["AB"[n % 2]], "answer": "ignore" if n > 9 else "accept"}
        for n in range(N)
    ]
    dataset = _load(write("a.jsonl", [{**row, "config": {"choice_style": style}} for row in rows]))
    assert dataset.labels == ("A", "B") and len(dataset.train) == 10
    assert dataset.task == ("single_label" if style == "single" else "multi_label")
    assert "2 rows left out" in _told(dataset)


def test_an_answer_column_of_ones_own_is_a_label() -> None:
    rows = [{"text": f"text {n}", "label": "x", "answer": ("accept", "reject")[n % 2]} for n in range(N)]
    assert _load(rows, label="answer").labels == ("accept", "reject")
    rows = [{"text": f"text {n}", "label": n % 2, "answer": f"an answer of words {n}"} for n in range(N)]
    assert len(_load(rows).train) == N


def test_cats_of_spacy(write: Write) -> None:
    rows = [{"text": f"text {n}", "cats": {"POS": float(n % 2), "NEG": float(1 - n % 2)}} for n in range(N)]
    pairs = [(row["text"], {"cats": row["cats"]}) for row in rows]
    for source in (write("a.jsonl", rows), pairs, write("a.json", json.dumps(pairs))):
        assert _load(source).labels == ("NEG", "POS")


def _studio(choices: list[list[str]], **result: Any) -> Rows:
    made = [
        {"from_name": "topic_of_it", "to_name": "text", "type": "choices", "value": {"choices": chosen}} | result
        for chosen in choices
    ]
    return [
        {"id": n, "data": {"text": f"text {n}"}, "annotations": [{"was_cancelled": False, "result": [one]}]}
        for n, one in enumerate(made)
    ]


def test_tasks_of_label_studio(write: Write) -> None:
    rows = _studio([["Pos"], ["Neg"]] * 5)
    rows += [{"id": 90, "data": {"text": "x"}, "annotations": []}]
    cancelled = {"was_cancelled": True, "result": rows[0]["annotations"][0]["result"]}
    rows += [{"id": 91, "data": {"text": "y"}, "annotations": [cancelled]}]
    rows += [{"id": 92, "data": {"text": "z"}, "annotations": [*rows[0]["annotations"], *rows[1]["annotations"]]}]
    dataset = _load(write("a.json", json.dumps(rows)))
    assert dataset.labels == ("Neg", "Pos") and dataset.task == "single_label" and len(dataset.train) == 10
    assert "2 rows left out: without an annotation" in _told(dataset)
    assert "1 row left out: on which annotators disagree" in _told(dataset)


def test_tasks_of_label_studio_with_several_choices(write: Write) -> None:
    dataset = _load(write("a.json", json.dumps(_studio([["Pos"], ["Neg", "Pos"]] * 5))))
    assert dataset.task == "multi_label" and dataset.labels == ("Neg", "Pos")


def test_results_of_label_studio_that_are_neither_choices_nor_spans_are_refused(write: Write) -> None:
    rows = _studio([["x"]] * 5, type="rating", value={"rating": 3})
    with pytest.raises(DataError, match="without choices for whole texts"):
        _load(write("a.json", json.dumps(rows)))


def test_spans_are_not_choices_where_the_task_is_named(write: Write) -> None:
    rows = _studio([["x"]] * 5, type="labels", value={"start": 0, "end": 4, "labels": ["PER"]})
    assert _load(write("a.json", json.dumps(rows))).task == "tokens"
    with pytest.raises(DataError, match="without choices for whole texts"):
        _load(write("a.json", json.dumps(rows)), task="single_label")


def test_the_table_of_label_studio(write: Write) -> None:
    head = "annotation_id,annotator,created_at,id,lead_time,mine,text,updated_at\n"
    several = '"{""choices"":[""Pos"",""Neg""]}"'
    lines = [f"{n},1,2020,{n},1.5,{{}},text {n},2020\n" for n in range(N)]
    single = "".join(line.format(("Pos", "Neg")[n % 2]) for n, line in enumerate(lines))
    assert _load(write("a.csv", head + single)).labels == ("Neg", "Pos")
    mixed = "".join(line.format(("Pos", several)[n % 2]) for n, line in enumerate(lines))
    dataset = _load(write("a.csv", head + mixed))
    assert dataset.task == "multi_label" and "an export of Label Studio" in _told(dataset)


def test_lists_of_doccano(write: Write) -> None:
    rows = [{"id": n, "text": f"text {n}", "label": [("pos", "neg")[n % 2]], "Comments": []} for n in range(N)]
    dataset = _load(write("a.jsonl", rows))
    assert dataset.labels == ("neg", "pos") and 'task="single_label" makes them classes' in _told(dataset)
    with pytest.raises(DataError, match="spans are not labels of the whole text"):
        spans = [{"id": n, "text": "text", "label": [[0, 4, "PER"]]} for n in range(N)]
        _load(write("a.jsonl", spans), task="multi_label")


def test_records_of_argilla(write: Write) -> None:
    answers = [{"value": ("pos", "neg")[n % 2], "user_id": "u", "status": "submitted"} for n in range(N)]
    nested = [
        {"id": n, "fields": {"text": f"text {n}"}, "responses": {"sentiment": [one]}, "status": "completed"}
        for n, one in enumerate(answers)
    ]
    nested.append({**nested[0], "responses": {"sentiment": [{**answers[0], "status": "discarded"}]}})
    flat = [
        {
            "text": f"text {n}",
            "sentiment.responses": [one["value"]],
            "sentiment.responses.status": ["submitted"],
            "sentiment.suggestion": "pos",
        }
        for n, one in enumerate(answers)
    ]
    old = [
        {"inputs": {"text": f"text {n}"}, "annotation": ("pos", "neg", None)[n % 3], "status": "Validated"}
        for n in range(18)
    ]
    for rows in (nested, flat, old):
        dataset = _load(write("a.jsonl", rows))
        assert dataset.labels == ("neg", "pos") and len(dataset.train) == N
        assert "an export of Argilla" in _told(dataset)


def test_an_export_without_an_answer_is_refused(write: Write) -> None:
    rows = [{"id": n, "data": {"text": "x"}, "annotations": []} for n in range(3)]
    with pytest.raises(DataError, match="an export of Label Studio, but none of its rows has an answer"):
        _load(write("a.json", json.dumps(rows)))


def test_rows_of_the_hubs_viewer(write: Write) -> None:
    features = [
        {"feature_idx": 0, "name": "text", "type": {"dtype": "string", "_type": "Value"}},
        {"feature_idx": 1, "name": "label", "type": {"names": ["neg", "pos"], "_type": "ClassLabel"}},
    ]
    rows: Rows = [{"row_idx": n, "row": {"text": f"t {n}", "label": n % 2}, "truncated_cells": []} for n in range(N)]
    document = {"features": features, "rows": rows, "num_rows_total": 900}
    dataset = _load(write("a.json", json.dumps(document)))
    assert dataset.labels == ("neg", "pos") and "12 of the data set's 900 rows" in _told(dataset)
    rows[2]["truncated_cells"] = ["text"]
    with pytest.raises(DataError, match="truncated cells in 1 rows, such as row 3"):
        _load(write("a.json", json.dumps(document)))


def test_lists_of_labels_that_were_accepted_are_read(write: Write) -> None:
    rows = [{"text": f"text {n}", "label": [["A"], ["B"], ["A", "B"]][n % 3], "answer": "accept"} for n in range(N)]
    dataset = _load(write("a.jsonl", rows))
    assert dataset.task == "multi_label" and dataset.labels == ("A", "B")
    assert dataset.train.labels is not None and dataset.train.labels.sum() == 16


def test_choices_without_their_options_are_read(write: Write) -> None:
    rows = [{"text": f"text {n}", "label": "A", "accept": ["AB"[n % 2]], "answer": "accept"} for n in range(N)]
    assert _load(write("a.jsonl", rows)).labels == ("A", "B")


def test_a_result_without_a_value_is_no_annotation(write: Write) -> None:
    rows = [
        {"data": {"text": f"text {n}"}, "annotations": [{"result": [_result(None if n == 3 else "AB"[n % 2])]}]}
        for n in range(N)
    ]
    assert len(_load(write("a.json", rows)).train) == N - 1


def _result(choice: str | None) -> dict[str, Any]:
    return {"type": "choices", "from_name": "s", "value": None if choice is None else {"choices": [choice]}}


@pytest.mark.parametrize("label", [None, "label"])
def test_other_tables_with_a_status_are_no_export_of_argilla(write: Write, label: str | None) -> None:
    lines = "".join(f"text {n},{'AB'[n % 2]},why {n},{('open', 'closed')[n % 2]}\n" for n in range(N))
    dataset = _load(write("a.csv", "text,label,annotation,status\n" + lines), label=label)
    assert dataset.labels == ("A", "B") and "Argilla" not in _told(dataset)


@pytest.mark.parametrize(
    ("tool", "row"),
    [
        ("Argilla", {"fields": {"text": "a"}, "responses": {"q": 5}}),
        ("Prodigy", {"text": ["a"], "label": "a", "answer": "accept"}),
        ("Label Studio", {"data": {"text": "a"}, "annotations": [{"result": 5}]}),
    ],
)
def test_an_export_of_another_shape_is_refused_by_its_tool(tool: str, row: dict[str, Any]) -> None:
    with pytest.raises(DataError, match=f"looks like an export of {tool}, but has a different shape"):
        _load([{**row, "label": name} if "label" in row else row for name in ["a", "b"] * 4])
