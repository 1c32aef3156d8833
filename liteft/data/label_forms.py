"""The forms in which a text's several labels are written; each is turned into a list of names.

    ["joy", "anger"]                 lists, also written as text
    [1, 0, 0, 1]                     a vector: 0 or 1 for each label, whose names must be known
    {"joy": 1.0, "anger": 0.0}       a mapping from name to 0 or 1, like spaCy's `cats`
    "joy;anger"                      a separator in the cell, which the caller must name: it is not guessed

The training split determines the form for all splits. A value that could be of two forms is an error.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from liteft.data.cells import bit, is_empty, is_list, is_missing
from liteft.data.dataset import Provenance
from liteft.data.folders import NAME_FILES
from liteft.data.labels import label_error
from liteft.data.listed import listed
from liteft.data.notes import worded
from liteft.errors import DataError, Hint, option
from liteft.tasks import Task

__all__ = ["joined_by", "settle", "single"]

Labels = dict[str, list[Any]]
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
        return _from_vectors(split, names, places, column, notes)
    raw = _from_mappings(raw, task, places, notes)
    lists = {name: listed(labels, places[name]) for name, labels in raw.items()}
    if lists["train"] is None:
        raw = _from_vectors(raw, names, places, column, notes)
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
    changed = _from_vectors(written, names, places, column, notes)
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
        f"{place.where(row)}: the column {column!r} holds {example!r}, which looks like several labels.",
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
    if not isinstance(_object(first), Mapping):
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


def _from_vectors(
    raw: Labels, names: tuple[str, ...] | None, places: Mapping[str, Provenance], column: str, notes: list[str]
) -> Labels:
    """If the training split's labels are 0/1 vectors, return them as lists of names.

    They are vectors if all are lists of the same length that contain only zeros and ones, and some list repeats a
    value, which ids never do. Lists that all contain 0 and 1 once would, as ids, give every text the same labels:
    they are vectors too.

    Args:
        raw: labels by split.
        names: what the positions stand for; None if unknown.
        places: of the rows.
        column: for messages.
        notes: receives a sentence if vectors were converted.

    Raises:
        DataError: the vectors differ in length, their length is not the number of names, or there are no names.
    """
    width = _width(raw["train"], places["train"], column)
    if width is None:
        return raw
    where = places["train"].sources[0]
    if names is None or len(names) != width:
        beside = None if names is not None else _names_beside(where, width)
        if beside is None:
            raise _unnamed(raw["train"], names, width, places["train"], column)
        names, file = beside
        notes.append(f"the names of the {width} label positions are read from {file}")
    changed = {split: [_named(value, names, places[split], row) for row, value in enumerate(labels)]
               for split, labels in raw.items()}  # fmt: skip
    notes.append(f"labels are vectors of {width} zeros and ones: {', '.join(names[:6])}{', ...' * (width > 6)}")
    carried = {name for value in changed["train"] if value is not None for name in value}
    idle = [name for name in names if name not in carried]
    if idle:
        notes.append(f"train has no text with {_some(idle)}; the model will not have it as a label")
    return changed


def _names_beside(source: str, width: int) -> tuple[tuple[str, ...], str] | None:
    """Return the names in labels.txt (one per line), labels.json or the like beside a file, if there are ``width``."""
    folder = Path(source).parent
    if not Path(source).is_file():
        return None
    for path in (folder / f"{stem}{suffix}" for stem in NAME_FILES for suffix in (".txt", ".json")):
        try:
            text = path.read_text(encoding="utf-8")
            content = json.loads(text) if path.suffix == ".json" else text.split("\n")
        except (OSError, ValueError):
            continue
        if isinstance(content, list) and all(isinstance(name, str) for name in content):
            names = tuple(name.strip() for name in content if name.strip())
            if len(names) == width == len(set(names)):
                return names, path.name
    return None


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


def _object(value: Any) -> Any:
    if isinstance(value, str) and value.strip().startswith("{") and value.strip().endswith("}"):
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


def _chosen(value: Any, place: Provenance, row: int) -> list[str] | None:
    content = _object(value)
    if isinstance(content, Mapping) and isinstance(content.get("cats"), Mapping):
        content = content["cats"]
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
                f"{place.where(row)}: the label is an object, in which {name!r} is {cell!r}.",
                accepted={"label": "a name, a list of names, or an object of names with 1 or 0 each"},
                fix="write 1 for the names that apply and 0 for the others",
            )
        if one:
            chosen.append(str(name))
    return chosen


def _width(labels: Sequence[Any], place: Provenance, column: str) -> int | None:
    """Return the vectors' length; None if the labels are something else. Raises DataError as _from_vectors does."""
    widths: dict[int, int] = {}
    repeated = False
    for row, value in enumerate(labels):
        if is_missing(value):
            continue
        if not is_list(value):
            return None
        seen = set()
        for entry in value:
            one = bit(entry)
            if one is None:
                return None
            seen.add(one)
        repeated |= len(seen) < len(value)
        widths.setdefault(len(value), row)
    if len(widths) == 1:
        width = next(iter(widths))
        return width if width >= 2 else None
    if len(widths) < 2 or not repeated:
        return None
    (one, first), (two, second) = list(widths.items())[:2]
    raise DataError(
        f"{place.where(second)}: the column {column!r} holds {two} in a list of zeros and ones, and {one} at "
        f"{place.where(first)}.",
        accepted={"vectors": "of one length: a 0 or a 1 for each label", "ids": "each once, as [0, 1]"},
        fix='write names: ["joy", "anger"]',
    )


def _unnamed(
    labels: Sequence[Any], names: tuple[str, ...] | None, width: int, place: Provenance, column: str
) -> DataError:
    row = next(row for row, value in enumerate(labels) if not is_missing(value))
    if width <= 8:
        fix = option("label_names", [f"name{position}" for position in range(1, width + 1)])
    else:
        fix = Hint(f'label_names=["name1", ..., "name{width}"]', f"--label-names name1,...,name{width}")
    what = "but nothing says what each position means" if names is None else f"and there are {len(names)} names"
    shown = ", ".join(str(bit(entry)) for entry in list(labels[row])[:12]) + (", ..." if width > 12 else "")
    return DataError(
        f"{place.where(row)}: the column {column!r} holds vectors of {width} zeros and ones, {what}.",
        accepted={"first": f"[{shown}]", "names": f"{width}, in the order of the positions"},
        fix=fix,
    )


def _named(value: Any, names: tuple[str, ...], place: Provenance, row: int) -> list[str] | None:
    if is_empty(value):
        return None
    bits = [bit(entry) for entry in value] if is_list(value) else []
    if len(bits) != len(names) or None in bits:
        if bits and all(entry == -1 for entry in value):  # withheld, as in the hub's test sets
            return None
        raise DataError(
            f"{place.where(row)}: the label is not a vector of {len(names)} zeros and ones, but those before it are.",
            accepted={"seen": str(value)[:80]},
            fix=f"write {len(names)} zeros and ones in this row, one per label",
        )
    return [name for name, one in zip(names, bits, strict=True) if one]


def _some(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:6])) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
