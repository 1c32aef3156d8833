"""Tables from Python objects: rows, columns, DataFrames, Arrow tables, data sets of the `datasets` package.

The packages are recognised by their types' module names and never imported here: whoever made such an object
has imported them already.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from liteft.data.delimited import check_names
from liteft.data.tables import MemoryTable
from liteft.errors import DataError

__all__ = ["memory_table"]

_ACCEPTED = {
    "objects": "a list of dicts or of (text, label) tuples, a dict of columns, a pandas DataFrame, "
    "a pyarrow Table, a datasets.Dataset",
    "splits": '{"train": ..., "validation": ..., "test": ...} of these or of file names',
}


def memory_table(content: Any, name: str, *, texts_only: bool = False) -> MemoryTable:
    """Return an object's columns.

    Args:
        content: a list of dicts, of (text, label) or of (text, pair, label) tuples; a mapping of columns; a
            pandas DataFrame; a pyarrow Table; a datasets.Dataset.
        name: its name in messages.
        texts_only: also accept a list of strings: texts without labels.

    Raises:
        DataError: the object is none of these or has no rows, or its columns differ in length or share a name.
    """
    package = type(content).__module__.partition(".")[0]
    names_of: Mapping[str, tuple[str, ...]] = {}
    if package == "pandas" and hasattr(content, "columns"):
        columns = _frame_columns(content, name)
    elif package == "datasets" and hasattr(content, "column_names"):
        columns, names_of = _dataset_columns(content)
    elif package == "pyarrow" and hasattr(content, "to_pydict"):
        check_names(tuple(content.column_names), name)
        columns = content.to_pydict()
    elif isinstance(content, Mapping):
        columns = {str(key): _as_list(values, f"{name}[{key!r}]") for key, values in _series(content).items()}
    elif isinstance(content, Sequence) and not isinstance(content, str | bytes):
        columns = _row_columns(content, name, texts_only)
    else:
        raise DataError(
            f"{name} is of type {type(content).__name__}.",
            accepted=_ACCEPTED,
            fix='give rows such as [("a text", "a label"), ("another text", "another label")]',
        )
    lengths = {key: len(values) for key, values in columns.items()}
    if len(set(lengths.values())) > 1:
        raise DataError(
            f"{name} has columns of different lengths.", accepted=lengths, fix="give one value per row in every column"
        )
    if not lengths or not next(iter(lengths.values())):
        raise DataError(f"{name} is empty.", accepted=_ACCEPTED, fix="give at least one row")
    return MemoryTable(name, columns, names_of)


def _series(content: Mapping[Any, Any]) -> Mapping[Any, Any]:
    """Return columns as lists if they are mappings by row, as from DataFrame.to_dict()."""
    values = list(content.values())
    if not values or not all(isinstance(value, Mapping) and value.keys() == values[0].keys() for value in values):
        return content
    return {key: list(value.values()) for key, value in content.items()}


def _frame_columns(frame: Any, name: str) -> dict[str, list[Any]]:
    names = tuple(str(column) for column in frame.columns)
    check_names(names, name)
    columns = {}
    for position, column in enumerate(names):
        series = frame.iloc[:, position]
        columns[column] = series.astype(object).where(series.notna(), None).tolist()
    return columns


def _dataset_columns(content: Any) -> tuple[dict[str, list[Any]], dict[str, tuple[str, ...]]]:
    names_of = {}
    for column, feature in content.features.items():
        inner = getattr(feature, "feature", feature)
        names = getattr(inner, "names", None)
        if names is not None:
            names_of[column] = tuple(names)
    plain = content.with_format(None)
    return {column: list(plain[column]) for column in content.column_names}, names_of


def _row_columns(rows: Sequence[Any], name: str, texts_only: bool) -> dict[str, list[Any]]:
    if all(isinstance(row, Mapping) for row in rows):
        keys = dict.fromkeys(key for row in rows for key in row)
        return {str(key): [row.get(key) for row in rows] for key in keys}
    if texts_only and all(row is None or isinstance(row, str) for row in rows):
        return {"text": list(rows)}
    widths = {len(row) if isinstance(row, tuple | list) else 0 for row in rows}
    if widths == {2} or widths == {3}:
        names = ("text", "label") if widths == {2} else ("text", "pair", "label")
        return {key: [row[position] for row in rows] for position, key in enumerate(names)}
    first = rows[0]
    different = (row for row in range(len(rows)) if not _alike(rows[row], first))
    odd = next(different, 0)
    raise DataError(
        f"{name}, row {odd + 1} is of type {type(rows[odd]).__name__}; all rows must have the same type and width.",
        accepted=_ACCEPTED,
        fix="give the same keys, or the same number of values, in every row",
    )


def _alike(row: Any, first: Any) -> bool:
    if isinstance(row, str) or not isinstance(row, tuple | list) or not isinstance(first, tuple | list):
        return type(row) is type(first)
    return len(row) == len(first)


def _as_list(values: Any, name: str) -> list[Any]:
    if isinstance(values, str | bytes) or not hasattr(values, "__iter__") or isinstance(values, Mapping):
        raise DataError(
            f"{name} is of type {type(values).__name__}, which is not a column.",
            accepted=_ACCEPTED,
            fix="give a list with one value per row",
        )
    if isinstance(values, np.ndarray):
        listed: list[Any] = values.tolist()
        return listed
    if type(values).__module__.partition(".")[0] == "pandas":
        missing = values.isna()
        return [None if gone else value for value, gone in zip(values.tolist(), missing, strict=True)]
    return list(values)
