"""The plain rows that a reader of an annotation tool's export returns, and what all such readers need."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from liteft.data.cells import counted, is_list
from liteft.data.notes import worded
from liteft.errors import option

__all__ = [
    "AnnotatedRows",
    "Reader",
    "Row",
    "agreed_answer",
    "as_list",
    "note_left_out",
    "unwrapped",
    "without_columns",
]

Row = dict[str, Any]


@dataclass
class AnnotatedRows:
    """The rows of one table, as one of the readers returns them.

    Attributes:
        rows: (place, plain row), in order.
        label: the column that contains the label; None to choose it by the column names.
        notes: what was left out and why.
    """

    rows: list[tuple[int, Row]]
    label: str | None
    notes: list[str]


Reader = Callable[[list[tuple[int, Row]], str], AnnotatedRows]


def agreed_answer(answers: list[Any]) -> Any:
    """Return the answer that most annotators gave; None on a tie."""
    counts = Counter(json.dumps(sorted(one, key=str) if is_list(one) else one, default=str) for one in answers)
    ranked = counts.most_common(2)
    if len(ranked) == 2 and ranked[0][1] == ranked[1][1]:
        return None
    return json.loads(ranked[0][0])


def unwrapped(
    rows: list[tuple[int, Row]], name: str, notes: list[str], *, several: bool = False
) -> list[tuple[int, Row]]:
    """Replace lists by their only element if every list has exactly one."""
    if several or any(len(as_list(row.get(name))) != 1 for _, row in rows):
        return rows
    notes.append(worded("each text has one label", option("task", "multi_label", note=" if it may have several")))
    return [(place, {**row, name: as_list(row[name])[0]}) for place, row in rows]


def as_list(value: Any) -> list[Any]:
    """Return a cell as a list; one that is not a list becomes its only element."""
    return list(value) if is_list(value) else [value]


def without_columns(row: Row, names: Sequence[str]) -> Row:
    """Return a row without some columns."""
    return {name: value for name, value in row.items() if name not in names}


def note_left_out(notes: list[str], rows: int, why: str) -> None:
    """Add a note on rows that were left out, if there are any."""
    if rows:
        notes.append(f"{counted(rows)} left out: {why}")
