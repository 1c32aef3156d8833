"""Labels: from the cells of a file to class indices.

A label is a name. 1, 1.0, True and "1" are spellings of names ("1", "1", "True", "1"); a fraction is not a label.
The classes are the names in the training split, sorted (by value if all are integers), so that
the same data gives the same classes whatever its format and order.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from liteft.data.cells import is_list, is_missing
from liteft.data.dataset import Provenance
from liteft.errors import DataError, Hint, leave_out, option
from liteft.privacy import shown
from liteft.tasks import MULTI_LABEL, SINGLE_LABEL, Task

__all__ = [
    "IF_SCORES",
    "OTHER_LABEL",
    "LabelNames",
    "encode",
    "infer_task",
    "label_error",
    "label_order",
    "numbered",
    "parse_labels",
    "zeros_left_out",
]

LabelNames = tuple[str, ...]
OTHER_LABEL = Hint('label="NAME", if another column holds the label', "--label NAME, if another column holds the label")
IF_SCORES = option("task", "scores", note=", if the numbers are scores to predict")
_INTEGER = re.compile(r"[+-]?[0-9]+")
_INTEGRAL = re.compile(r"([+-]?[0-9]+)(\.0+)?")


def infer_task(labels: Sequence[Any], *, separator: str | None) -> Task:
    """Return the multi-label task if labels are lists or have a separator, else the single-label task."""
    if separator is not None:
        return MULTI_LABEL
    return MULTI_LABEL if any(is_list(value) for value in labels) else SINGLE_LABEL


def parse_labels(
    labels: Sequence[Any],
    *,
    task: Task,
    class_names: tuple[str, ...] | None,
    provenance: Provenance,
) -> list[LabelNames | None]:
    """Return each row's label names; None for a missing cell.

    A single-label row has one name. A multi-label row has any number of distinct names; an empty list means no label.

    Raises:
        DataError: a value cannot be a label; the message names the row.
    """
    parsed: list[LabelNames | None] = []
    cache: dict[Any, LabelNames | None] = {}
    for row, value in enumerate(labels):
        if type(value) is str and value in cache:
            parsed.append(cache[value])
            continue
        try:
            names = _names(value, task, class_names)
        except ValueError as error:
            raise label_error(provenance.where(row), str(error)) from None
        if type(value) is str:
            cache[value] = names
        parsed.append(names)
    return parsed


def label_error(where: str, what: str, *, written: bool = False) -> DataError:
    """Return the error for a cell that cannot be a label; ``written``: it is text, and so may be a name after all."""
    each = ", if each number is a separate class"
    names = [
        IF_SCORES,
        option("task", "single_label", note=each) if written else f"names such as '4.5 stars'{each}",
    ]
    return DataError(
        f"{where}: the label is {what}.",
        accepted={"label": "a string, an integer or a boolean; a list of them for several labels"},
        fix=[OTHER_LABEL, *(names if "whole number" in what else [])],
    )


def numbered(rows: list[Any], names: tuple[str, ...], provenance: Provenance) -> list[Any]:
    """Convert labels that are numbers written as text to numbers, so that ``names`` can name them.

    Raises:
        DataError: a label is neither a number nor one of the names.
    """
    texts = {entry.strip() for value in rows for entry in _entries(value) if isinstance(entry, str) and entry.strip()}
    if texts and all(_INTEGRAL.fullmatch(text) for text in texts) and not texts <= set(names):
        return [_as_number(value) for value in rows]
    strange = sorted(texts - set(names))
    if strange:
        row = next(row for row, value in enumerate(rows) if strange[0] in map(str.strip, map(str, _entries(value))))
        raise DataError(
            f"{provenance.where(row)}: the label {shown(strange[0])!r} is not among the given names.",
            accepted={"label_names": ", ".join(names)},
            fix=leave_out("label_names"),
        )
    return rows


def _entries(value: Any) -> Iterable[Any]:
    return value if is_list(value) else (value,)


def _as_number(value: Any) -> Any:
    if is_list(value):
        return [_as_number(entry) for entry in value]
    return int(float(value)) if isinstance(value, str) and value.strip() else value


def zeros_left_out(names: Iterable[str]) -> dict[str, str]:
    """Return "1.0" -> "1" and so on if all names are such numbers; {} otherwise, which leaves all as they are.

    Spreadsheets and pandas write integers this way as soon as one cell of the column is missing.
    """
    unique = set(names)
    if not any("." in name for name in unique) or not all(_INTEGRAL.fullmatch(name) for name in unique):
        return {}
    return {name: name.partition(".")[0] for name in unique}


def label_order(names: Iterable[str]) -> tuple[str, ...]:
    """Return names sorted: by value if all are integers, else as text."""
    unique = set(names)
    if all(_INTEGER.fullmatch(name) for name in unique):
        return tuple(sorted(unique, key=lambda name: (int(name), name)))
    return tuple(sorted(unique))


def encode(
    rows: Sequence[LabelNames], classes: tuple[str, ...], task: Task
) -> tuple[np.ndarray, np.ndarray | None, Counter[str]]:
    """Return labels as classes.

    Args:
        rows: label names.
        classes: the training split's labels, in order.
        task: decides the form of the labels.

    Returns:
        labels (int64 of shape (texts,) with -1 for unknown names, or bool of shape (texts, labels));
        unseen_label, bool of shape (texts,), or None if every name is known; and the unknown names with their
        numbers of rows.
    """
    index = {name: position for position, name in enumerate(classes)}
    unseen_label = np.zeros(len(rows), dtype=bool)
    unseen: Counter[str] = Counter()
    for row, names in enumerate(rows):
        for name in names:
            if name not in index:
                unseen_label[row] = True
                unseen[name] += 1
    return task.encode_labels(rows, index), (unseen_label if unseen_label.any() else None), unseen


def _names(value: Any, task: Task, class_names: tuple[str, ...] | None) -> LabelNames | None:
    if is_missing(value):
        return None
    if is_list(value):
        found = [label_name(entry, class_names) for entry in value]
        if any(name is None for name in found):
            raise ValueError("a list with a missing entry")
        names = tuple(dict.fromkeys(name for name in found if name is not None))
        task.check_names(names)
        return names
    name = label_name(value, class_names)
    return None if name is None else (name,)


def label_name(value: Any, class_names: tuple[str, ...] | None) -> str | None:
    """Return a label as its name: None if it is missing. Raises ValueError for what cannot be a label."""
    if type(value) is str:
        return value.strip() or None
    if isinstance(value, np.generic):
        value = value.item()
    if is_missing(value):
        return None
    if isinstance(value, bool | str):
        return str(value).strip() or None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int):
        if class_names is None:
            return str(value)
        if value == -1:
            return None
        if not 0 <= value < len(class_names):
            raise ValueError(f"{value}, and there are {len(class_names)} classes")
        return class_names[value]
    if isinstance(value, float):
        raise ValueError(f"{value!r}, which is not a whole number")
    if isinstance(value, dict):
        raise ValueError("an object")
    if is_list(value):
        raise ValueError("a list of lists (spans are not labels of the whole text)")
    raise ValueError(f"of type {type(value).__name__}")
