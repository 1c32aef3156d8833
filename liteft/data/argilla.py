"""Exports of Argilla: records with the responses to each question, in the forms of its versions and of the hub."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from liteft.data.annotated_rows import AnnotatedRows, Reader, Row, agreed_answer, note_left_out
from liteft.data.cells import is_empty, is_missing
from liteft.data.tables import Table

__all__ = ["reader_of"]

_STATES = ("default", "edited", "validated", "discarded")  # Argilla 1
_DONE = ("submitted", "validated", None)


def reader_of(table: Table, label: Any) -> Reader | None:
    """Return the reader of a table that Argilla exported; None for another table.

    Args:
        table: the table.
        label: the column that the caller named as the label.
    """
    columns = set(table.columns)
    if {"fields", "responses"} <= columns and any(isinstance(one, Mapping) for one in table.head(50)["responses"]):
        return _read_records
    if {"annotation", "status"} <= columns and columns & {"text", "inputs"} and label in (None, "annotation"):
        states = [value for value in table.head(50)["status"] if not is_missing(value)]
        if states and all(str(state).casefold() in _STATES for state in states):
            return _read_first_records
    if any(f"{name.removesuffix('.responses')}.responses.status" in columns for name in columns):
        return _read_flat_records
    return None


def _read_records(rows: list[tuple[int, Row]], source: str) -> AnnotatedRows:
    """Read records with fields and responses by question."""
    plain = []
    for place, row in rows:
        answers = {}
        for question, given in (row["responses"] or {}).items():
            answers[question] = [
                one.get("value") for one in given or () if isinstance(one, Mapping) and one.get("status") in _DONE
            ]
        fields = row["fields"] if isinstance(row["fields"], Mapping) else {"text": row["fields"]}
        plain.append((place, dict(fields), answers))
    return _questions(plain, source)


def _read_flat_records(rows: list[tuple[int, Row]], source: str) -> AnnotatedRows:
    """Read the hub's form: for each question, a column of responses and a column of their states."""
    plain = []
    for place, row in rows:
        answers = {}
        for name in row:
            question = name.removesuffix(".responses")
            states = row.get(f"{question}.responses.status") or ()
            if question != name:
                given = zip(row[name] or (), states or ("submitted",) * len(row[name] or ()), strict=False)
                answers[question] = [value for value, state in given if state in _DONE]
        fields = {name: value for name, value in row.items() if name.split(".")[0] not in answers}
        plain.append((place, fields, answers))
    return _questions(plain, source)


def _questions(rows: Iterable[tuple[int, Row, Mapping[str, list[Any]]]], source: str) -> AnnotatedRows:  # noqa: ARG001
    notes: list[str] = []
    kept: list[tuple[int, Row]] = []
    without = split = 0
    names: dict[str, None] = {}
    for place, fields, answers in rows:
        given = {question: agreed_answer(values) for question, values in answers.items() if values}
        if not given:
            without += 1
        elif any(value is None for value in given.values()):
            split += 1
        else:
            names.update(dict.fromkeys(given))
            kept.append((place, {**fields, **given}))
    note_left_out(notes, without, "without a submitted response")
    note_left_out(notes, split, "on which annotators disagree")
    return AnnotatedRows(kept, next(iter(names)) if len(names) == 1 else None, notes)


def _read_first_records(rows: list[tuple[int, Row]], source: str) -> AnnotatedRows:  # noqa: ARG001
    """Read records of Argilla 1, each with an annotation and a status."""
    notes: list[str] = []
    kept = []
    for place, row in rows:
        if is_empty(row["annotation"]) or str(row["status"]).casefold() == "discarded":
            continue
        inputs = row.get("inputs")
        nested = isinstance(inputs, Mapping) and is_missing(row.get("text"))
        fields = dict(inputs or {}) if nested else {"text": row.get("text")}
        kept.append((place, {**fields, "annotation": row["annotation"]}))
    note_left_out(notes, len(rows) - len(kept), "discarded or without an annotation")
    return AnnotatedRows(kept, "annotation", notes)
