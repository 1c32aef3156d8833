"""Exports of annotation tools: rows with more than a text and a label, recognised by their columns.

    Prodigy        text, label, answer; or options, accept, answer
    Label Studio   data, annotations (JSON); or its columns beside annotation_id (CSV, JSON-MIN)
    Argilla        fields, responses; annotation, status; or QUESTION.responses (the hub's form)

Each reader turns rows into plain ones and records in a note what was left out. Doccano's lists of labels and spaCy's
`cats` need no reader of their own: they are read as labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from liteft.data import argilla, label_studio, prodigy
from liteft.data.annotated_rows import AnnotatedRows, Reader, Row
from liteft.data.notes import Words
from liteft.data.tables import MemoryTable, Source, Table
from liteft.errors import DataError
from liteft.privacy import reason_of
from liteft.tasks import Task

__all__ = ["annotated", "with_spans"]

_TOOLS = {"Prodigy": prodigy, "Label Studio": label_studio, "Argilla": argilla}


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
                    accepted={"seen": reason_of(error)},
                    fix="write it as jsonl or csv, with a column of texts and one of labels and no others",
                ) from error
            if not read.rows:
                raise _no_answer(table, tool, read)
            splits[name].append(_plain(table, read))
            notes.append(f"{name}: an export of {tool}")
            notes += [Words(f"{name}: {note}", f"{name}: {getattr(note, 'command', note)}") for note in read.notes]
            usual = read.label if name == "train" else usual
    return Source(source.name, splits, tuple(notes)), usual


def with_spans(source: Source, task: Task | None) -> Source:
    """Return a source with Label Studio's tasks that have spans as plain tables, unless another task was chosen.

    Raises:
        DataError: none of the tasks has an annotation.
    """
    if task is not None and not task.per_word:
        return source
    splits: dict[str, list[Table]] = {}
    notes = list(source.notes)
    for name, tables in source.splits.items():
        splits[name] = []
        for table in tables:
            reader = label_studio.reader_of_spans(table)
            if reader is None:
                splits[name].append(table)
                continue
            read = reader(_rows(table), table.name)
            if not read.rows:
                raise _no_answer(table, "Label Studio", read)
            splits[name].append(_plain(table, read))
            notes += [f"{name}: an export of Label Studio", *(f"{name}: {note}" for note in read.notes)]
    return Source(source.name, splits, tuple(notes))


def _no_answer(table: Table, tool: str, read: AnnotatedRows) -> DataError:
    return DataError(
        f"{table.name} is an export of {tool}, but none of its rows has an answer.",
        accepted={"seen": "; ".join(read.notes) or "no annotation"},
        fix="annotate some texts first, or export the finished ones, too",
    )


def _reader(table: Table, label: Any) -> tuple[str, Reader | None]:
    """Return the tool that a table was exported from, and the reader of its form; ("", None) for a plain table."""
    for tool, module in _TOOLS.items():
        reader = module.reader_of(table, label)
        if reader is not None:
            return tool, reader
    return "", None


def _rows(table: Table) -> list[tuple[int, Row]]:
    values, places = table.read(table.columns)
    names = list(values)
    cells = zip(*values.values(), strict=True)
    return [(int(place), dict(zip(names, row, strict=True))) for place, row in zip(places, cells, strict=True)]


def _plain(table: Table, read: AnnotatedRows) -> MemoryTable:
    names = dict.fromkeys(name for _, row in read.rows for name in row)
    return MemoryTable(
        table.name,
        {name: [row.get(name) for _, row in read.rows] for name in names},
        unit=table.unit,
        places=np.array([place for place, _ in read.rows], dtype=np.int64),
    )
