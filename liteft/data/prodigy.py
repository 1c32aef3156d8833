"""Exports of Prodigy: one row for each answer of an annotator."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from liteft.data.annotated_rows import AnnotatedRows, Reader, Row, as_list, note_left_out, unwrapped, without_columns
from liteft.data.cells import counted, is_list, is_missing
from liteft.data.tables import Table

__all__ = ["reader_of"]

_ANSWERS = ("accept", "reject", "ignore")


def reader_of(table: Table, label: Any) -> Reader | None:
    """Return the reader of a table that Prodigy exported; None for another table.

    Args:
        table: the table.
        label: the column that the caller named as the label.
    """
    columns = set(table.columns)
    if "answer" not in columns or not ("label" in columns or {"options", "accept"} <= columns) or label == "answer":
        return None
    answers = [value for value in table.head(50)["answer"] if not is_missing(value)]
    if not answers or not all(isinstance(value, str) and value in _ANSWERS for value in answers):
        return None
    return _read_choices if "accept" in columns else _read_binary


def _read_binary(rows: list[tuple[int, Row]], source: str) -> AnnotatedRows:  # noqa: ARG001
    """Read rows that ask whether one label is right: accepted, rejected or ignored."""
    notes: list[str] = []
    kept = [(place, row) for place, row in rows if row["answer"] != "ignore"]
    note_left_out(notes, len(rows) - len(kept), "answered 'ignore'")
    names = sorted({str(row["label"]) for _, row in kept if not is_missing(row["label"])})
    plain = [(place, {key: value for key, value in row.items() if key != "answer"}) for place, row in kept]
    rejected = [row["answer"] == "reject" for _, row in kept]
    if len(names) == 1:
        for (_, row), no in zip(plain, rejected, strict=True):
            row["label"] = f"not {names[0]}" if no else names[0]
        if any(rejected):
            notes.append(f"{counted(sum(rejected))} answered 'reject' are labelled 'not {names[0]}'")
        return AnnotatedRows(plain, "label", notes)
    accepted = [entry for entry, no in zip(plain, rejected, strict=True) if not no]
    note_left_out(
        notes, sum(rejected), f"answered 'reject', and with {len(names)} labels that does not say which one is right"
    )
    return AnnotatedRows(_joined(accepted, "label", notes), "label", notes)


def _joined(rows: list[tuple[int, Row]], label: str, notes: list[str]) -> list[tuple[int, Row]]:
    """Merge the rows of a text that was accepted for several labels into one row with a list of labels."""
    groups: defaultdict[Any, list[tuple[int, Row]]] = defaultdict(list)
    for place, row in rows:
        groups[row.get("text")].append((place, row))
    found = {
        text: list(dict.fromkeys(name for _, row in group for name in as_list(row[label])))
        for text, group in groups.items()
    }
    if all(len(labels) == 1 for labels in found.values()):
        return rows
    notes.append("texts accepted for several labels have all of them")
    return [(group[0][0], {**group[0][1], label: found[text]}) for text, group in groups.items()]


def _read_choices(rows: list[tuple[int, Row]], source: str) -> AnnotatedRows:  # noqa: ARG001
    """Read rows with options, some of which were chosen."""
    notes: list[str] = []
    kept = []
    for place, row in rows:
        if row["answer"] not in ("accept", None) or not is_list(row["accept"]):
            continue
        options = [one for one in row.get("options") or () if isinstance(one, Mapping)]
        texts = {one.get("id"): one.get("text") for one in options}
        chosen = [str(texts.get(one, one)) if not isinstance(one, str) else one for one in row["accept"]]
        kept.append((place, {**without_columns(row, ("options", "accept", "answer")), "label": chosen}))
    note_left_out(notes, len(rows) - len(kept), "answered 'reject' or 'ignore'")
    styles = {str(row.get("config", {}).get("choice_style")) for _, row in rows if isinstance(row.get("config"), dict)}
    return AnnotatedRows(unwrapped(kept, "label", notes, several="multiple" in styles), "label", notes)
