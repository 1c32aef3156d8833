"""Labels that are numbers: the scores of texts or pairs, read from the cells of a label column."""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Mapping
from dataclasses import replace
from numbers import Real
from typing import Any

import numpy as np

from liteft.data.cells import is_missing
from liteft.data.labelling import LabelForm, labelled_rows
from liteft.data.labels import OTHER_LABEL
from liteft.data.records import Records
from liteft.errors import ConfigError, DataError, leave_out, option
from liteft.privacy import quoted

__all__ = ["SCORE", "quantile_names", "read_numbers"]

SCORE = ("score",)
"""The labels of a data set of scores."""
_DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+")
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}(?:,\d{3})+(?:\.\d*)?")
_STRATA = 10
_LARGEST = 1e30  # models compute in float32, whose largest number is 3.4e38


def read_numbers(splits: Mapping[str, Records], form: LabelForm, notes: list[str]) -> dict[str, Records]:
    """Return the splits with each row's score, written as text in a tuple of one, in place of its cell.

    Args:
        splits: with raw labels.
        form: what is known of them.
        notes: receives a sentence for each decision.

    Raises:
        ConfigError: settings for names of labels were given.
        DataError: a cell is not a finite number or is too large, a row has none, or all of train have the same.
    """
    for name, value in {"label_names": form.names, "label_separator": form.separator}.items():
        if value is not None:
            raise ConfigError(f"{name} applies to labels with names, and scores are numbers.", fix=leave_out(name))
    labelled = {name: records for name, records in splits.items() if records.labels is not None}
    parsed = {
        name: [_number(value, records, row) for row, value in enumerate(records.labels or [])]
        for name, records in labelled.items()
    }
    trained = {row[0] for row in parsed["train"] if row is not None}
    found = {
        name: labelled_rows(labelled[name], rows, trained, column=form.column, drop_empty=form.drop_empty, notes=notes)
        for name, rows in parsed.items()
    }
    if len(trained) < 2:
        same = f"the same score, {next(iter(trained))}," if trained else "no score"
        raise DataError(
            f"{found['train'].provenance.sources[0]}: all rows have {same} in the column {form.column!r}.",
            accepted={"scores": "numbers that differ"},
            fix=OTHER_LABEL,
        )
    return {**splits, **found}


def quantile_names(records: Records) -> Records:
    """Return rows with a tenth of the range of ranks as the label of each, by which splits are stratified."""
    scores = np.array([float(row[0]) for row in records.labels or []])
    edges = np.unique(np.quantile(scores, np.arange(1, _STRATA) / _STRATA))
    return replace(records, labels=[(str(place),) for place in np.searchsorted(edges, scores, side="right").tolist()])


def _number(value: Any, records: Records, row: int) -> tuple[str] | None:
    """Return a cell's number as text that `float` reads again exactly, whole numbers without a point; None if empty."""
    if isinstance(value, np.generic):
        value = value.item()
    if is_missing(value) or (isinstance(value, str) and not value.strip()):
        return None
    found = None
    if isinstance(value, Real):
        found = float(value)
    elif isinstance(value, str):
        with contextlib.suppress(ValueError):
            found = float(value)
    if found is None or not math.isfinite(found):
        raise _no_number(value, records.provenance.where(row))
    if abs(found) > _LARGEST:
        raise DataError(
            f"{records.provenance.where(row)}: the score is {found:g}, too large for a model to compute with.",
            accepted={"score": f"from {-_LARGEST:g} to {_LARGEST:g}"},
            fix=["give all scores in a larger unit", OTHER_LABEL],
        )
    return (f"{found:.17g}" if found.is_integer() else repr(found),)


def _no_number(value: Any, where: str) -> DataError:
    given = value.strip() if isinstance(value, str) else ""
    thousands = [f"write {given.replace(',', '')}, if commas separate thousands"] if _THOUSANDS.fullmatch(given) else []
    point = [f"write {given.replace(',', '.')}: a point, not a comma, marks decimals"]
    point = thousands + (point if _DECIMAL_COMMA.fullmatch(given) else [])
    names = [option("task", "single_label", note=", if labels are names")] if isinstance(value, str) else []
    return DataError(
        f"{where}: the score is {quoted(value, 60)}, which is not a finite number.",
        accepted={"score": "a number, or a number written as text"},
        fix=[*point, OTHER_LABEL, *names],
    )
