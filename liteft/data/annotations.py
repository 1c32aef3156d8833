"""Exports of annotation tools: rows with more than a text and a label, recognised by their columns.

    Prodigy        text, label, answer; or options, accept, answer
    Label Studio   data, annotations (JSON); or its columns beside annotation_id (CSV, JSON-MIN)
    Argilla        fields, responses; annotation, status; or QUESTION.responses (the hub's form)

Each reader turns rows into plain ones and records in a note what was left out. Doccano's lists of labels and spaCy's
`cats` need no reader of their own: they are read as labels.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from liteft.data.cells import counted, is_empty, is_list, is_missing
from liteft.data.notes import Words, worded
from liteft.data.tables import MemoryTable, Source, Table
from liteft.errors import DataError, first_line, option

__all__ = ["annotated"]

Row = dict[str, Any]
_ANSWERS = ("accept", "reject", "ignore")
_STUDIO_COLUMNS = ("id", "annotator", "annotation_id", "created_at", "updated_at", "lead_time")
_DONE = ("submitted", "validated", None)
_STATES = ("default", "edited", "validated", "discarded")  # Argilla 1


@dataclass
class _Read:
    """The rows of one table, as one of the readers returns them.

    Attributes:
        rows: (place, plain row), in order.
        label: the column that contains the label; None to choose it by the column names.
        notes: what was left out and why.
    """

    rows: list[tuple[int, Row]]
    label: str | None
    notes: list[str]


Reader = Callable[[list[tuple[int, Row]], str], _Read]


def annotated(source: Source, label: str | Sequence[str] | None) -> tuple[Source, str | None]:
    """Return a source with tools' exports as plain tables, and the label's column if the export determines it.

    Args:
        source: the opened source.
        label: the column that the caller named; "answer" means that this column is the label, not part of an export.

    Raises:
        DataError: the export is of another task, has another shape or contains no answer.
    """
    splits: dict[str, list[Table]] = {}
    notes = list(source.notes)
    usual: str | None = None
    for name, tables in source.splits.items():
        splits[name] = []
        for table in tables:
            tool, reader = _reader(table, label)
            if reader is None:
                splits[name].append(table)
                continue
            rows = _rows(table)
            try:
                read = reader(rows, table.name)
            except (AttributeError, KeyError, TypeError, ValueError) as error:  # edited by hand
                raise DataError(
                    f"{table.name} looks like an export of {tool}, but has a different shape.",
                    accepted={"seen": first_line(error)},
                    fix="write it as jsonl or csv, with a column of texts and one of labels and no others",
                ) from error
            if not read.rows:
                raise DataError(
                    f"{table.name} is an export of {tool}, but none of its rows has an answer.",
                    accepted={"seen": "; ".join(read.notes) or "no annotation"},
                    fix="annotate some texts first, or export the finished ones, too",
                )
            splits[name].append(_plain(table, read))
            notes.append(f"{name}: an export of {tool}")
            notes += [Words(f"{name}: {note}", f"{name}: {getattr(note, 'command', note)}") for note in read.notes]
            usual = read.label if name == "train" else usual
    return Source(source.name, splits, tuple(notes)), usual


def _reader(table: Table, label: Any) -> tuple[str, Reader | None]:
    columns = set(table.columns)
    if {"answer"} <= columns and ({"label"} <= columns or {"options", "accept"} <= columns) and label != "answer":
        answers = [value for value in table.head(50)["answer"] if not is_missing(value)]
        if answers and all(isinstance(value, str) and value in _ANSWERS for value in answers):
            return "Prodigy", _prodigy_choice if "accept" in columns else _prodigy_binary
    for name in {"annotations", "completions"} & columns if "data" in columns else ():
        if any(is_list(value) for value in table.head(50)[name]):
            return "Label Studio", _label_studio
    if {"annotation_id", "lead_time"} <= columns or {"annotation_id", "annotator"} <= columns:
        return "Label Studio", _label_studio_table
    if {"fields", "responses"} <= columns and any(isinstance(one, Mapping) for one in table.head(50)["responses"]):
        return "Argilla", _argilla
    if {"annotation", "status"} <= columns and columns & {"text", "inputs"} and label in (None, "annotation"):
        states = [value for value in table.head(50)["status"] if not is_missing(value)]
        if states and all(str(state).casefold() in _STATES for state in states):
            return "Argilla", _argilla_old
    if any(f"{name.removesuffix('.responses')}.responses.status" in columns for name in columns):
        return "Argilla", _argilla_flat
    return "", None


def _rows(table: Table) -> list[tuple[int, Row]]:
    values, places = table.read(table.columns)
    names = list(values)
    cells = zip(*values.values(), strict=True)
    return [(int(place), dict(zip(names, row, strict=True))) for place, row in zip(places, cells, strict=True)]


def _plain(table: Table, read: _Read) -> MemoryTable:
    names = dict.fromkeys(name for _, row in read.rows for name in row)
    return MemoryTable(
        table.name,
        {name: [row.get(name) for _, row in read.rows] for name in names},
        unit=table.unit,
        places=np.array([place for place, _ in read.rows], dtype=np.int64),
    )


def _prodigy_binary(rows: list[tuple[int, Row]], source: str) -> _Read:  # noqa: ARG001
    """Read rows that ask whether one label is right: accepted, rejected or ignored."""
    notes: list[str] = []
    kept = [(place, row) for place, row in rows if row["answer"] != "ignore"]
    _left_out(notes, len(rows) - len(kept), "answered 'ignore'")
    names = sorted({str(row["label"]) for _, row in kept if not is_missing(row["label"])})
    plain = [(place, {key: value for key, value in row.items() if key != "answer"}) for place, row in kept]
    rejected = [row["answer"] == "reject" for _, row in kept]
    if len(names) == 1:
        for (_, row), no in zip(plain, rejected, strict=True):
            row["label"] = f"not {names[0]}" if no else names[0]
        if any(rejected):
            notes.append(f"{counted(sum(rejected))} answered 'reject' are labelled 'not {names[0]}'")
        return _Read(plain, "label", notes)
    accepted = [entry for entry, no in zip(plain, rejected, strict=True) if not no]
    _left_out(
        notes, sum(rejected), f"answered 'reject', and with {len(names)} labels that does not say which one is right"
    )
    return _Read(_joined(accepted, "label", notes), "label", notes)


def _joined(rows: list[tuple[int, Row]], label: str, notes: list[str]) -> list[tuple[int, Row]]:
    """Merge the rows of a text that was accepted for several labels into one row with a list of labels."""
    groups: defaultdict[Any, list[tuple[int, Row]]] = defaultdict(list)
    for place, row in rows:
        groups[row.get("text")].append((place, row))
    found = {
        text: list(dict.fromkeys(name for _, row in group for name in _as_list(row[label])))
        for text, group in groups.items()
    }
    if all(len(labels) == 1 for labels in found.values()):
        return rows
    notes.append("texts accepted for several labels have all of them")
    return [(group[0][0], {**group[0][1], label: found[text]}) for text, group in groups.items()]


def _prodigy_choice(rows: list[tuple[int, Row]], source: str) -> _Read:  # noqa: ARG001
    """Read rows with options, some of which were chosen."""
    notes: list[str] = []
    kept = []
    for place, row in rows:
        if row["answer"] not in ("accept", None) or not is_list(row["accept"]):
            continue
        options = [one for one in row.get("options") or () if isinstance(one, Mapping)]
        texts = {one.get("id"): one.get("text") for one in options}
        chosen = [str(texts.get(one, one)) if not isinstance(one, str) else one for one in row["accept"]]
        kept.append((place, {**_without(row, ("options", "accept", "answer")), "label": chosen}))
    _left_out(notes, len(rows) - len(kept), "answered 'reject' or 'ignore'")
    styles = {str(row.get("config", {}).get("choice_style")) for _, row in rows if isinstance(row.get("config"), dict)}
    return _Read(_unwrapped(kept, "label", notes, several="multiple" in styles), "label", notes)


def _label_studio(rows: list[tuple[int, Row]], source: str) -> _Read:
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
        agreed = {name: _agreed(given) for name, given in answers.items()}
        split += any(value is None for value in agreed.values())
        fields.update(dict.fromkeys(agreed))
        data = row["data"] if isinstance(row["data"], Mapping) else {"text": row["data"]}
        if agreed and None not in agreed.values():
            kept.append((place, {**data, **agreed}))
    if not fields and kinds:
        raise DataError(
            f"{source} is an export of Label Studio without choices for whole texts.",
            accepted={"results": "choices", "seen": ", ".join(kinds)},
            fix="export a project whose labelling interface has Choices",
        )
    _left_out(notes, len(rows) - len(kept) - split, "without an annotation")
    _left_out(notes, split, "on which annotators disagree")
    for name in fields:
        kept = _unwrapped(kept, name, notes)
    return _Read(kept, next(iter(fields)) if len(fields) == 1 else None, notes)


def _label_studio_table(rows: list[tuple[int, Row]], source: str) -> _Read:  # noqa: ARG001
    """Read CSV and JSON-MIN exports: one row per annotation, choices as a string or as {"choices": [...]}."""
    notes: list[str] = []
    plain = [(place, _without(row, _STUDIO_COLUMNS)) for place, row in rows]
    listed = {name for _, row in plain for name, value in row.items() if is_list(_choices(value))}
    for name in listed:
        filled = [(place, row) for place, row in plain if not is_empty(row[name])]
        _left_out(notes, len(plain) - len(filled), "without an annotation")
        plain = [(place, {**row, name: _as_list(_choices(row[name]))}) for place, row in filled]
        plain = _unwrapped(plain, name, notes)
    return _Read(plain, next(iter(listed)) if len(listed) == 1 else None, notes)


def _argilla(rows: list[tuple[int, Row]], source: str) -> _Read:
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


def _argilla_flat(rows: list[tuple[int, Row]], source: str) -> _Read:
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


def _questions(rows: Iterable[tuple[int, Row, Mapping[str, list[Any]]]], source: str) -> _Read:  # noqa: ARG001
    notes: list[str] = []
    kept: list[tuple[int, Row]] = []
    without = split = 0
    names: dict[str, None] = {}
    for place, fields, answers in rows:
        given = {question: _agreed(values) for question, values in answers.items() if values}
        if not given:
            without += 1
        elif any(value is None for value in given.values()):
            split += 1
        else:
            names.update(dict.fromkeys(given))
            kept.append((place, {**fields, **given}))
    _left_out(notes, without, "without a submitted response")
    _left_out(notes, split, "on which annotators disagree")
    return _Read(kept, next(iter(names)) if len(names) == 1 else None, notes)


def _argilla_old(rows: list[tuple[int, Row]], source: str) -> _Read:  # noqa: ARG001
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
    _left_out(notes, len(rows) - len(kept), "discarded or without an annotation")
    return _Read(kept, "annotation", notes)


def _agreed(answers: list[Any]) -> Any:
    """Return the answer that most annotators gave; None on a tie."""
    counts = Counter(json.dumps(sorted(one, key=str) if is_list(one) else one, default=str) for one in answers)
    ranked = counts.most_common(2)
    if len(ranked) == 2 and ranked[0][1] == ranked[1][1]:
        return None
    return json.loads(ranked[0][0])


def _unwrapped(
    rows: list[tuple[int, Row]], name: str, notes: list[str], *, several: bool = False
) -> list[tuple[int, Row]]:
    """Replace lists by their only element if every list has exactly one."""
    if several or any(len(_as_list(row.get(name))) != 1 for _, row in rows):
        return rows
    notes.append(worded("each text has one label", option("task", "multi_label", note=" if it may have several")))
    return [(place, {**row, name: _as_list(row[name])[0]}) for place, row in rows]


def _choices(value: Any) -> Any:
    if isinstance(value, str) and value.startswith("{"):
        try:
            value = json.loads(value)
        except ValueError:
            return value
    return value.get("choices") if isinstance(value, Mapping) else value


def _as_list(value: Any) -> list[Any]:
    return list(value) if is_list(value) else [value]


def _without(row: Row, names: Sequence[str]) -> Row:
    return {name: value for name, value in row.items() if name not in names}


def _left_out(notes: list[str], rows: int, why: str) -> None:
    if rows:
        notes.append(f"{counted(rows)} left out: {why}")
