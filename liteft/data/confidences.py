"""A column that says how sure each row's label is, as a language model gives it: joy, 0.7.

The label gets the confidence as its probability, and the other labels share the rest equally. So the row's label stays
the one in its column, also where others would be as probable. A row without a confidence, or with 1, is sure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from liteft.data.cells import is_empty
from liteft.data.columns import Columns, find_column
from liteft.data.labels import label_name
from liteft.data.tables import Source, TableView
from liteft.errors import ConfigError, DataError, leave_out, option
from liteft.privacy import quoted
from liteft.tasks import SINGLE_LABEL, Task

__all__ = ["Confident", "task_with_confidences", "with_confidences"]


class Confident(dict[str, float]):
    """One label with its probability; those of the other labels are not known one by one."""

    @property
    def label(self) -> str:
        """The label, which comes first."""
        return next(iter(self))

    def spread(self, labels: Sequence[str]) -> Confident:
        """Return it with the rest of the probability shared equally by the other labels."""
        others = [name for name in labels if name != self.label]
        share = (1 - self[self.label]) / max(1, len(others))
        return Confident({self.label: self[self.label], **dict.fromkeys(others, share)})


@dataclass(frozen=True)
class _Confidences(TableView):
    """A table whose column of labels has a `Confident` wherever another column has a confidence below 1."""

    label: str
    confidence: str

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(name for name in self.table.columns if name != self.confidence)

    def read(self, names: Sequence[str]) -> tuple[dict[str, list[Any]], np.ndarray]:
        if self.label not in names:
            return self.table.read(names)
        values, places = self.table.read([*names, self.confidence])
        shares = values.pop(self.confidence)
        classes = self.table.class_names(self.label) or ()
        values[self.label] = [
            self._cell(label, share, classes, int(place))
            for label, share, place in zip(values[self.label], shares, places, strict=True)
        ]
        return values, places

    def _cell(self, label: Any, share: Any, classes: tuple[str, ...], place: int) -> Any:
        if isinstance(label, int | np.integer) and 0 <= label < len(classes):
            label = classes[int(label)]
        if is_empty(label) or is_empty(share):
            return label
        where = f"{self.name}, {self.unit} {place}"
        try:
            value = float(share)
        except (TypeError, ValueError):
            value = -1.0
        if not 0 < value <= 1:
            raise DataError(
                f"{where}: the confidence is {quoted(share)}.",
                accepted={"confidence": "a probability above 0 and up to 1, or nothing"},
                fix=option("label", self.confidence, note=" alone, if it holds maps of probabilities")
                if isinstance(share, Mapping) or str(share).lstrip().startswith("{")
                else "correct that row; divide percentages by 100",
            )
        try:
            name = label_name(label, None)
        except ValueError as error:
            raise DataError(
                f"{where}: the label is {error}, and has a confidence.",
                accepted={"label": "one name, or one integer, where there are confidences"},
                fix=leave_out("confidence"),
            ) from None
        return label if name is None or value == 1 else Confident({name: value})


def task_with_confidences(
    task: Task | None, confidence: str | None, *, several: bool, names: tuple[str, ...] | None
) -> Task | None:
    """Return the task of labels: where they have a column of confidences, one label per text.

    Args:
        task: the caller's choice, or None.
        confidence: the column, or None.
        several: there are several label columns, or a separator between labels.
        names: what integers stand for, if the caller says it.

    Raises:
        ConfigError: a text may have several labels, whose confidence one number cannot say, labels are numbers, or the
            task's labels are none of whole texts.
    """
    if confidence is None:
        return task
    if several or (task is not None and task.several):
        raise ConfigError(
            "a column of confidences was named, and a text may have several labels.",
            accepted={
                "several labels": 'a probability each, as in {"joy": 0.7, "anger": 0.3}, or one column per label'
            },
            fix=leave_out("confidence"),
        )
    if task is not None and not (task.of_whole_texts and task.of_labels):
        raise ConfigError(
            f"a column of confidences was named, and the task is {task}.",
            accepted={"confidence": "how sure the one label of a whole text is"},
            fix=leave_out("confidence"),
        )
    if names is not None:
        raise ConfigError(
            "a column of confidences was named, and names for labels that are numbers.",
            accepted={"label": "the names themselves, where there are confidences"},
            fix=[leave_out("label_names"), leave_out("confidence")],
        )
    return SINGLE_LABEL


def with_confidences(source: Source, columns: Columns, confidence: str | None) -> Source:
    """Return a source whose labels have the confidences of a column, in the tables that have it.

    Args:
        source: its training tables must have the column.
        columns: of texts and labels.
        confidence: the column of confidences; None returns the source as it is.

    Raises:
        DataError: a training table lacks the column, or it was named for the text, the pair or the label too.
    """
    label = columns.label
    if confidence is None or label is None:
        return source
    for table in source.splits["train"]:
        find_column(table.columns, confidence, "confidence", table.name)
    if confidence in columns.names:
        part = next(name for name in ("text", "pair", "label") if getattr(columns, name) == confidence)
        raise DataError(
            f"the column {confidence!r} was named for both the {part} and the confidence of the label.",
            accepted={"confidence": "a column of numbers from 0 to 1"},
            fix=option("confidence", "COLUMN"),
        )
    splits = {
        name: [
            _Confidences(table, label, confidence) if {label, confidence} <= set(table.columns) else table
            for table in tables
        ]
        for name, tables in source.splits.items()
    }
    return Source(source.name, splits, (*source.notes, f"the confidence of a label is in the column {confidence!r}"))
