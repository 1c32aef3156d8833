"""From the cells of a label column to the names of each text's labels, for all splits at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from liteft.data.cells import counted
from liteft.data.label_forms import settle
from liteft.data.label_maps import opened
from liteft.data.labels import (
    IF_SCORES,
    OTHER_LABEL,
    LabelNames,
    infer_task,
    label_order,
    numbered,
    parse_labels,
    zeros_left_out,
)
from liteft.data.records import Records
from liteft.data.soft_labels import soft_labels
from liteft.errors import DataError, option
from liteft.privacy import quoted
from liteft.tasks import Task

__all__ = ["LabelForm", "labelled_rows", "read_labels"]


@dataclass(frozen=True)
class LabelForm:
    """What is known of a label column before its cells are read.

    Attributes:
        column: its name.
        task: the caller's choice; None to infer it from the labels.
        separator: between several labels in one cell.
        names: what integers and the positions of 0/1 vectors stand for.
        drop_empty: leave rows without a label out; otherwise they are an error.
    """

    column: str | None
    task: Task | None
    separator: str | None
    names: tuple[str, ...] | None
    drop_empty: bool


def read_labels(splits: Mapping[str, Records], form: LabelForm, notes: list[str]) -> tuple[Task, dict[str, Records]]:
    """Return the task, and the splits with each row's label names in place of its cell.

    A split without labels to score has None for all of them.

    Args:
        splits: with raw labels.
        form: what is known of them.
        notes: receives a sentence for each decision.

    Raises:
        DataError: a cell cannot be read as labels, a row has none, or the labels cannot be learned.
    """
    labelled = {name: records for name, records in splits.items() if records.labels is not None}
    known = labelled["train"].class_names if form.names is None else form.names
    places = {name: records.provenance for name, records in labelled.items()}
    raw = {name: opened(records.labels or [], places[name]) for name, records in labelled.items()}
    soft = soft_labels(raw, form.task, places, notes)
    if soft is not None:
        form, raw = replace(form, task=soft[0]), soft[1]
        labelled = {name: replace(records, soft=soft[2][name]) for name, records in labelled.items()}
    raw = settle(
        raw,
        task=form.task,
        separator=form.separator,
        names=known,
        places=places,
        column=str(form.column),
        notes=notes,
    )
    task = form.task or infer_task(raw["train"], separator=form.separator)
    parsed: dict[str, list[LabelNames | None]] = {}
    for name, labels in raw.items():
        place = labelled[name].provenance
        parsed[name] = parse_labels(
            labels if form.names is None else numbered(labels, form.names, place),
            task=task,
            class_names=known if form.names is not None else labelled[name].class_names or known,
            provenance=place,
        )
    soft_rows = {name: records.soft for name, records in labelled.items() if records.soft is not None}
    shorter = zeros_left_out(_all_names(parsed, soft_rows))
    if shorter:
        parsed = {
            name: [None if row is None else tuple(dict.fromkeys(shorter[each] for each in row)) for row in rows]
            for name, rows in parsed.items()
        }
        for name, rows in soft_rows.items():
            renamed = [row and {shorter[each]: share for each, share in row.items()} for row in rows]
            labelled[name] = replace(labelled[name], soft=renamed)
    trained = {name for row in parsed["train"] if row is not None for name in row}
    found = {
        name: labelled_rows(labelled[name], rows, trained, column=form.column, drop_empty=form.drop_empty, notes=notes)
        for name, rows in parsed.items()
    }
    _require_classes(found["train"], form, task)
    return task, {**splits, **found}


def _all_names(
    parsed: Mapping[str, list[LabelNames | None]], soft: Mapping[str, Sequence[Mapping[str, float] | None]]
) -> set[str]:
    """Return the names of all rows' labels, and of those that have a probability."""
    hard = {name for rows in parsed.values() for row in rows if row is not None for name in row}
    return hard | {name for rows in soft.values() for row in rows if row is not None for name in row}


def labelled_rows(
    records: Records,
    rows: Sequence[LabelNames | None],
    trained: set[str],
    *,
    column: str | None,
    drop_empty: bool,
    notes: list[str],
) -> Records:
    """Return the rows that have labels, with their names; all rows, without labels, where a test withholds them.

    Args:
        records: the rows.
        rows: the label names of each row, or None without a label.
        trained: the labels of the training split.
        column: of the labels, for messages.
        drop_empty: leave rows without a label out; otherwise they are an error.
        notes: receives a sentence for each decision.
    """
    missing = [row for row, names in enumerate(rows) if names is None]
    withheld = "-1" not in trained and all(names in (None, ("-1",)) for names in rows)
    if records.name not in ("train", "validation") and withheld:
        notes.append(f"{records.name}: no labels: predicted, but not scored")
        return replace(records, labels=None)
    if missing and not drop_empty:
        raise DataError(
            f"{records.provenance.places(missing)}: "
            f"{'a row' if len(missing) == 1 else counted(len(missing))} without a label"
            + (f" in the column {column!r}." if column else "."),
            fix=option("drop_empty", note=", to leave such rows out"),
        )
    records = replace(records, labels=list(rows))
    if missing:
        notes.append(f"{records.name}: {counted(len(missing))} without a label left out")
        records = records.without(missing)
    return records


def _require_classes(train: Records, form: LabelForm, task: Task) -> None:
    """Refuse labels to train on that are all alike or all different, or that look like several in one cell."""
    rows: list[LabelNames] = train.labels or []
    where, column = train.provenance.sources[0], form.column
    classes = label_order(name for names in rows for name in names)
    if len(classes) < task.fewest_labels:
        raise DataError(
            f"{where}: the column {column!r} holds "
            + (
                f"only the label {quoted(classes[0], 80)} in all {len(rows):,} rows."
                if classes
                else "no labels at all."
            ),
            accepted={"labels": "at least two"},
            fix=OTHER_LABEL,
        )
    if not task.several and len(classes) == len(rows) >= 10:
        numbers = all(name.removeprefix("-").replace(".", "", 1).isdecimal() for name in classes)
        raise DataError(
            f"{where}: each of the {len(rows):,} rows has a different label in the column {column!r}.",
            accepted={"first labels": ", ".join(quoted(name) for name in classes[:5])},
            fix=[OTHER_LABEL, IF_SCORES] if numbers else OTHER_LABEL,
        )
    if task.several and form.separator is None and all(len(names) == 1 for names in rows):
        marks = [mark for mark in "|;,/" if any(mark in name for name in classes)]
        if marks:
            raise DataError(
                f"{where}: the task is multi-label, but no row has more than one label.",
                accepted={"first labels": ", ".join(quoted(name, 80) for name in classes[:3])},
                fix=option("label_separator", marks[0]),
            )
