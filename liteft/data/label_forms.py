"""The forms in which a text's several labels are written; each is turned into a list of names.

    ["joy", "anger"]                 lists, also written as text
    [1, 0, 0, 1]                     a vector: 0 or 1 for each label, whose names must be known
    {"joy": 1.0, "anger": 0.0}       a mapping from name to 0 or 1, like spaCy's `cats`
    "joy;anger"                      a separator in the cell, which the caller must name: it is not guessed

The training split determines the form for all splits. A value that could be of two forms is an error.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from liteft.data.cells import bit, is_empty, is_list, is_missing
from liteft.data.dataset import Provenance
from liteft.data.label_vectors import Labels, from_vectors
from liteft.data.labels import label_error
from liteft.data.listed import listed
from liteft.data.notes import worded
from liteft.errors import DataError, option
from liteft.privacy import quoted
from liteft.tasks import Task

__all__ = ["joined_by", "settle", "single"]

_FRACTION = re.compile(r"[+-]?(?:\d+\.\d*|\.\d+|\d+)(?:[eE][+-]?\d+)?")
_BITS = re.compile(r"[01](?:\.0)?(?:[ ,;|]+[01](?:\.0)?)+")
_MARKS = ";|,#+&/"


def settle(
    raw: Labels,
    *,
    task: Task | None,
    separator: str | None,
    names: tuple[str, ...] | None,
    places: Mapping[str, Provenance],
    column: str,
    notes: list[str],
) -> Labels:
    """Return raw labels with a text's several labels as lists of names or ids.

    Args:
        raw: by split, the cells as in the source.
        task: the caller's choice; None to infer it from the labels.
        separator: between the labels in one cell.
        names: what integers and vector positions stand for, if the caller or the source states it.
        places: of the rows, by split.
        column: the label column, for messages.
        notes: receives a sentence for each decision.

    Raises:
        DataError: a form is malformed, or only the caller can say what it means.
    """
    if separator is not None:
        split = {name: [_separated(value, separator) for value in labels] for name, labels in raw.items()}
        return from_vectors(split, names, places, column, notes)
    raw = _from_mappings(raw, task, places, notes)
    lists = {name: listed(labels, places[name]) for name, labels in raw.items()}
    if lists["train"] is None:
        raw = from_vectors(raw, names, places, column, notes)
        if task is None and _lists_of_one(raw):
            one = option("task", "single_label", note=" makes them classes")
            notes.append(worded("each text has one label in its list", one))
        texts = {name: _texts(labels) for name, labels in raw.items()}
        if task is None:
            _refuse_joined(raw["train"], texts["train"], places["train"], column, notes)
        for name, labels in raw.items() if task is None or task.several else ():
            _refuse_fractions(labels, texts[name], places[name], task)
        return raw
    written = {name: lists[name] or labels for name, labels in raw.items()}
    changed = from_vectors(written, names, places, column, notes)
    if changed is written and task is not None and not task.several:
        return raw
    notes.append("labels are lists written as text")
    return changed


def _lists_of_one(raw: Labels) -> bool:
    found = False
    for value in (value for labels in raw.values() for value in labels if not is_missing(value)):
        if not is_list(value) or len(value) != 1:
            return False
        found = True
    return found


def _separated(value: Any, separator: str) -> Any:
    if not isinstance(value, str):
        return value
    return [part for part in (part.strip() for part in value.split(separator)) if part]


def _refuse_joined(labels: Sequence[Any], names: set[str], place: Provenance, column: str, notes: list[str]) -> None:
    mark = joined_by(names)
    texts = (str(value) for value in labels)
    if mark is None:
        odd = next((mark for mark in ";|" if any(mark in name for name in names)), None)
        if odd is not None:
            hint = option("label_separator", odd, note=" would split them")
            notes.append(worded(f"labels with {odd!r} in them are single names", hint))
        return
    row, example = next((row, text) for row, text in enumerate(texts) if mark in text)
    raise DataError(
        f"{place.where(row)}: the column {column!r} holds {quoted(example, 80)}, which looks like several labels.",
        accepted={"label": "one name per cell, a list of names, or names joined by a separator that you specify"},
        fix=[
            option("label_separator", mark),
            option("task", "single_label", note=f", if {mark!r} belongs to the names"),
        ],
    )


def _from_mappings(raw: Labels, task: Task | None, places: Mapping[str, Provenance], notes: list[str]) -> Labels:
    """If the training split's labels are mappings, return each as the list of the names that are 1.

    ``{"choices": [...]}``, as Label Studio writes it, becomes that list. If each text has exactly one, they become
    single names, unless the task is multi-label.

    Raises:
        DataError: a mapping has a value that is neither 0 nor 1.
    """
    first = next((value for value in raw["train"] if not is_empty(value)), None)
    if not isinstance(first, Mapping):
        return raw
    changed = {
        split: [_chosen(value, places[split], row) for row, value in enumerate(labels)] for split, labels in raw.items()
    }
    notes.append("labels are objects that map names to 0 or 1; the names with 1 apply")
    return single(changed, task, notes)


def single(raw: Labels, task: Task | None, notes: list[str]) -> Labels:
    """Replace lists by their only element if all in all splits have one and the task is not multi-label."""
    if task is not None and task.several:
        return raw
    if not _lists_of_one(raw):
        return raw
    notes.append(worded("each text has one label", option("task", "multi_label", note=" if it may have several")))
    return {split: [value[0] if is_list(value) else value for value in labels] for split, labels in raw.items()}


def joined_by(names: set[str]) -> str | None:
    """Return the character that joins several labels in a name, ";" in "joy;anger"; None if each name is one label.

    A character is a separator if the parts it separates also occur elsewhere: some of them for ";" and "|", most of
    them for characters that are common within names ("Arts, Crafts and Hobbies").
    """
    if len(names) > 1 and all(_BITS.fullmatch(name) for name in names):
        return next(mark for mark in ",;| " if mark in next(iter(names)))
    for mark in _MARKS:
        split = {name: {part.strip() for part in name.split(mark)} - {""} for name in names}
        joined = [name for name in names if len(split[name]) > 1]
        if not joined:
            continue
        homes: dict[str, int] = {}
        for parts in split.values():
            for part in parts:
                homes[part] = homes.get(part, 0) + 1
        parts = set().union(*(split[name] for name in joined))
        shared = sum(homes[part] > 1 for part in parts)
        if shared and (mark in ";|" or (2 * shared >= len(parts) and len(homes) < len(names))):
            return mark
    return None


def _texts(labels: Sequence[Any]) -> set[str]:
    """Return the distinct non-empty texts, without surrounding white space."""
    return {value.strip() for value in {value for value in labels if type(value) is str}} - {""}


def _refuse_fractions(labels: Sequence[Any], texts: set[str], place: Provenance, task: Task | None) -> None:
    """Raise DataError if all labels are numbers written as text and one is not whole, as in other formats."""
    if not texts or not all(_FRACTION.fullmatch(text) for text in texts):
        return
    broken = {text for text in texts if not float(text).is_integer()}
    if broken:
        row = next(row for row, value in enumerate(labels) if type(value) is str and value.strip() in broken)
        raise label_error(
            place.where(row), f"{float(labels[row])!r}, which is not a whole number", written=task is None
        )


def _chosen(content: Any, place: Provenance, row: int) -> list[str] | None:
    if is_empty(content):
        return None
    if isinstance(content, str):  # Label Studio writes one choice as a string, several as an object
        return [content]
    if not isinstance(content, Mapping):
        raise DataError(
            f"{place.where(row)}: the label is not an object, but those before it are.",
            accepted={
                "label": "the same form in all rows: a name, a list of names, or an object of names with 1 or 0 each"
            },
            fix="write this row's label in the same form as the others",
        )
    if is_list(content.get("choices")):
        return list(content["choices"])
    chosen = []
    for name, cell in content.items():
        one = bit(cell)
        if one is None:
            raise DataError(
                f"{place.where(row)}: the label is an object, in which {name!r} is {quoted(cell)}.",
                accepted={
                    "label": "a name, a list of names, or an object of names with 1 or 0, or with a probability, each"
                },
                fix=[
                    "write 1 for the names that apply and 0 for the others",
                    "write probabilities between 0 and 1 in all rows: percentages divided by 100",
                ],
            )
        if one:
            chosen.append(str(name))
    return chosen
