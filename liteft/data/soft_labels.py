"""Labels with probabilities, as a language model or several annotators give them: {"joy": 0.7, "anger": 0.3}.

They are read from objects, or from one column per label, in which some value is neither 0 nor 1. Training rows are
learned by these probabilities; a row's label, by which it is scored and counted, is the most probable one or, in a
multi-label task, each of over 0.5. Whether a text has one label follows from the rows, if the caller does not say it:
the probabilities of one label sum to 1. If they do not, it is not guessed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any

import numpy as np

from liteft.data.cells import bit, counted, is_empty, is_missing
from liteft.data.confidences import Confident
from liteft.data.dataset import Provenance
from liteft.data.label_vectors import Labels
from liteft.data.labels import infer_task, label_name
from liteft.errors import DataError, Hint, option
from liteft.privacy import quoted
from liteft.tasks import SINGLE_LABEL, Task

__all__ = ["Soft", "soft_array", "soft_labels"]

Soft = dict[str, float]
_TOLERANCE = 1e-3
_ACCEPTED = {"label": 'an object of names with a probability from 0 to 1 each, such as {"joy": 0.7, "anger": 0.3}'}


def soft_labels(
    raw: Labels, task: Task | None, places: Mapping[str, Provenance], notes: list[str]
) -> tuple[Task, Labels, dict[str, list[Soft | None]]] | None:
    """Return the task, each row's most probable label or labels, and its probabilities; None if none are given.

    Args:
        raw: cells by split, whose objects are read already; other cells are labels without probabilities.
        task: the caller's choice; None to infer it from the sums.
        places: of the rows, by split.
        notes: receives a sentence for each decision.

    Raises:
        DataError: a value is not from 0 to 1, a row of a single-label task sums to more than 1 or to 0, or only the
            caller can say what the task is.
    """
    if not any(_is_soft(value) for labels in raw.values() for value in labels):
        return None
    read = {
        split: [_probabilities(value, places[split], row) if isinstance(value, Mapping) else None
                for row, value in enumerate(labels)]
        for split, labels in raw.items()
    }  # fmt: skip
    if task is None and not any(soft is not None for soft in read["train"]):
        task = infer_task(raw["train"], separator=None)
    found = task or _inferred(read["train"], places["train"])
    hard = {
        split: [
            value if soft is None else _decided(soft, found) for value, soft in zip(labels, read[split], strict=True)
        ]
        for split, labels in raw.items()
    }
    if not found.several:
        _normalise(read, places, _names(raw["train"]), notes)
    stated = any(isinstance(soft, Confident) for rows in read.values() for soft in rows)
    rule = "its labels of over 0.5" if found.several else "its stated label" if stated else "its most probable label"
    notes.append(f"labels have probabilities, which are learned; a row is scored by {rule}")
    return found, hard, read


def soft_array(
    rows: Sequence[Soft | None] | None, labels: np.ndarray, classes: tuple[str, ...], task: Task
) -> np.ndarray | None:
    """Return the probabilities of the classes: float32, shape (texts, labels); None if no row has any.

    Args:
        rows: by name; None for a row without probabilities, which gets 0 and 1 by its label.
        labels: of the rows, as an array of the task.
        classes: the names in order; in a single-label task the rest of a row is scaled to sum to 1 without others.
        task: of the labels.
    """
    if rows is None or all(row is None for row in rows):
        return None
    found: np.ndarray = task.indicators(labels, len(classes)).astype(np.float32)
    for number, row in enumerate(rows):
        if row is not None:
            values = np.array([row.get(name, 0.0) for name in classes], dtype=np.float32)
            total = float(values.sum())
            found[number] = values / total if total and not task.several else values
    return found


def _is_soft(value: Any) -> bool:
    return isinstance(value, Mapping) and any(
        isinstance(cell, float | np.floating) and not is_missing(cell) and bit(cell) is None for cell in value.values()
    )


def _probabilities(value: Mapping[str, Any], place: Provenance, row: int) -> Soft | None:
    found: Soft = {}
    for name, cell in value.items():
        number = cell.item() if isinstance(cell, np.generic) else cell
        if is_empty(number):  # a table of objects has a value for every name
            continue
        if not isinstance(number, Real) or not 0 <= float(number) <= 1:
            raise DataError(
                f"{place.where(row)}: the probability of {name!r} is {quoted(cell)}.",
                accepted=_ACCEPTED,
                fix="correct that row",
            )
        name = str(name).strip()
        found[name] = found.get(name, 0.0) + float(number)
    return (Confident(found) if isinstance(value, Confident) else found) if found else None


def _names(labels: Sequence[Any]) -> list[str]:
    """Return the names of all labels, of rows with probabilities and without them."""
    found: set[str | None] = set()
    for value in labels:
        soft = isinstance(value, Mapping)
        found.update({str(name).strip() for name in value} if soft else {label_name(value, None)})
    return sorted(name for name in found if name)


def _inferred(rows: Sequence[Soft | None], place: Provenance) -> Task:
    for row, soft in enumerate(rows):
        if soft is not None and abs(sum(soft.values()) - 1) > _TOLERANCE:
            raise DataError(
                f"{place.where(row)}: the probabilities of the labels sum to {sum(soft.values()):.3g}.",
                accepted={"one label per text": "probabilities that sum to 1", "several": "any, one for each label"},
                fix=[option("task", "multi_label", note=", if a text may have several labels"), _one_label(soft)],
            )
    return SINGLE_LABEL


def _one_label(soft: Soft) -> Hint | str:
    """Return what to do where each text has one label, and its probabilities do not sum to 1."""
    if sum(soft.values()) > 1:
        return "if each text has one, divide a row's probabilities by their sum"
    note = ", if each has one: labels that a row does not name share what is left"
    return option("task", "single_label", note=note)


def _normalise(
    read: dict[str, list[Soft | None]], places: Mapping[str, Provenance], names: Sequence[str], notes: list[str]
) -> None:
    """Complete the rows of each split to sum to 1, and note how many summed to less.

    A row that sums to less leaves the rest open, as a language model's list of its best answers does: the labels of
    ``names`` that it does not name share the rest equally. A row that names them all is scaled.
    """
    for split, rows in read.items():
        shared = scaled = 0
        for row, soft in enumerate(rows):
            if isinstance(soft, Confident):
                rows[row] = soft.spread(names)
                continue
            if soft is None:
                continue
            total = sum(soft.values())
            if not 0 < total < 1 + _TOLERANCE:
                raise DataError(
                    f"{places[split].where(row)}: the probabilities of the labels sum to {total:.3g}.",
                    accepted={"one label per text": "probabilities that sum to 1; to less leaves the rest to others"},
                    fix=["correct that row", option("task", "multi_label", note=", if a text may have several labels")],
                )
            others = [name for name in names if name not in soft] if total < 1 - _TOLERANCE else []
            if others:
                shared += 1
                rows[row] = soft | dict.fromkeys(others, (1 - total) / len(others))
                continue
            scaled += total < 1 - _TOLERANCE
            rows[row] = {name: value / total for name, value in soft.items()}
        if shared:
            notes.append(
                f"{split}: {counted(shared)} with probabilities that sum to less than 1; the labels that a row does "
                "not name share the rest equally"
            )
        if scaled:
            notes.append(f"{split}: {counted(scaled)} with probabilities that sum to less than 1, scaled to 1")


def _decided(soft: Soft, task: Task) -> Any:
    """Return the names of over 0.5, or the most probable name, the first by name of equal ones.

    A row that states its label and how sure it is keeps it. What the row leaves open does not count.
    """
    if isinstance(soft, Confident):
        return soft.label
    if task.several:
        return [name for name, value in soft.items() if value > 0.5]
    return min(soft, key=lambda name: (-soft[name], name))
