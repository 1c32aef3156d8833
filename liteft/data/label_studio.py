"""Exports of Label Studio: tasks with annotations (JSON), or one row for each annotation (CSV, JSON-MIN)."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from liteft.data.annotated_rows import (
    AnnotatedRows,
    Reader,
    Row,
    agreed_answer,
    as_list,
    note_left_out,
    unwrapped,
    without_columns,
)
from liteft.data.cells import is_empty, is_list
from liteft.data.tables import Table
from liteft.errors import DataError

__all__ = ["reader_of", "reader_of_spans"]

_COLUMNS = ("id", "annotator", "annotation_id", "created_at", "updated_at", "lead_time")


def reader_of(table: Table, label: Any) -> Reader | None:  # noqa: ARG001
    """Return the reader of a table that Label Studio exported; None for another table.

    Args:
        table: the table.
        label: the column that the caller named as the label.
    """
    columns = set(table.columns)
    for name in {"annotations", "completions"} & columns if "data" in columns else ():
        if any(is_list(value) for value in table.head(50)[name]):
            return _read_tasks
    if {"annotation_id", "lead_time"} <= columns or {"annotation_id", "annotator"} <= columns:
        return _read_table
    return None


def reader_of_spans(table: Table) -> Reader | None:
    """Return the reader of a table of tasks whose annotations have spans of the text, and no choices for it."""
    columns = set(table.columns)
    name = next((name for name in ("annotations", "completions") if name in columns), None)
    if name is None or "data" not in columns:
        return None
    values = [value for cell in table.head(200)[name] for _, value in _results(cell)]
    spans = any("labels" in value and "start" in value for value in values)
    return _read_spans if spans and not any("choices" in value for value in values) else None


def _results(annotations: Any) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Yield the values of annotations that were not cancelled, each with the number of its annotation."""
    for number, annotation in enumerate(annotations if is_list(annotations) else ()):
        if isinstance(annotation, Mapping) and not annotation.get("was_cancelled"):
            results = annotation.get("result")
            for result in as_list(results) if is_list(results) else []:
                value = result.get("value") if isinstance(result, Mapping) else None
                if isinstance(value, Mapping):
                    yield number, value


def _read_spans(rows: list[tuple[int, Row]], source: str) -> AnnotatedRows:  # noqa: ARG001
    """Read tasks with their annotations: spans of the text, of which the annotators must have the same."""
    notes: list[str] = []
    kept: list[tuple[int, Row]] = []
    split = 0
    for place, row in rows:
        cell = row.get("annotations") or row.get("completions") or ()
        given: dict[int, list[Any]] = {
            number: []
            for number, annotation in enumerate(cell)
            if isinstance(annotation, Mapping) and not annotation.get("was_cancelled")
        }
        for number, value in _results(cell):
            if "labels" in value:
                given[number].append({name: value.get(name) for name in ("start", "end", "labels")})
        if not given:
            continue
        agreed = agreed_answer(list(given.values()))
        split += agreed is None
        if agreed is not None:
            data = row["data"] if isinstance(row["data"], Mapping) else {"text": row["data"]}
            kept.append((place, {**data, "spans": agreed}))
    note_left_out(notes, len(rows) - len(kept) - split, "without an annotation")
    note_left_out(notes, split, "on which annotators disagree")
    return AnnotatedRows(kept, "spans", notes)


def _read_tasks(rows: list[tuple[int, Row]], source: str) -> AnnotatedRows:
    """Read tasks with their annotations: choices made for a whole text."""
    notes: list[str] = []
    kept: list[tuple[int, Row]] = []
    kinds: Counter[str] = Counter()
    fields: dict[str, None] = {}
    split = 0
    for place, row in rows:
        answers: defaultdict[str, list[Any]] = defaultdict(list)
        for annotation in row.get("annotations") or row.get("completions") or ():
            if not isinstance(annotation, Mapping) or annotation.get("was_cancelled"):
                continue
            for result in annotation.get("result") or ():
                value = result.get("value") if isinstance(result, Mapping) else None
                choices = value.get("choices") if isinstance(value, Mapping) else None
                kinds[str(result.get("type")) if isinstance(result, Mapping) else "?"] += 1
                if choices is not None and is_list(choices):
                    answers[str(result.get("from_name", "label"))].append(list(choices))
        agreed = {name: agreed_answer(given) for name, given in answers.items()}
        split += any(value is None for value in agreed.values())
        fields.update(dict.fromkeys(agreed))
        data = row["data"] if isinstance(row["data"], Mapping) else {"text": row["data"]}
        if agreed and None not in agreed.values():
            kept.append((place, {**data, **agreed}))
    if not fields and kinds:
        raise DataError(
            f"{source} is an export of Label Studio without choices for whole texts.",
            accepted={"results": "choices, or spans alone", "seen": ", ".join(kinds)},
            fix="export a project whose labelling interface has Choices",
        )
    note_left_out(notes, len(rows) - len(kept) - split, "without an annotation")
    note_left_out(notes, split, "on which annotators disagree")
    for name in fields:
        kept = unwrapped(kept, name, notes)
    return AnnotatedRows(kept, next(iter(fields)) if len(fields) == 1 else None, notes)


def _read_table(rows: list[tuple[int, Row]], source: str) -> AnnotatedRows:  # noqa: ARG001
    """Read CSV and JSON-MIN exports: one row per annotation, choices as a string or as {"choices": [...]}."""
    notes: list[str] = []
    plain = [(place, without_columns(row, _COLUMNS)) for place, row in rows]
    listed = {name for _, row in plain for name, value in row.items() if is_list(_choices(value))}
    for name in listed:
        filled = [(place, row) for place, row in plain if not is_empty(row[name])]
        note_left_out(notes, len(plain) - len(filled), "without an annotation")
        plain = [(place, {**row, name: as_list(_choices(row[name]))}) for place, row in filled]
        plain = unwrapped(plain, name, notes)
    return AnnotatedRows(plain, next(iter(listed)) if len(listed) == 1 else None, notes)


def _choices(value: Any) -> Any:
    if isinstance(value, str) and value.startswith("{"):
        try:
            value = json.loads(value)
        except ValueError:
            return value
    return value.get("choices") if isinstance(value, Mapping) else value
