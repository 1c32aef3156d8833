"""The shapes in which a JSON document can hold rows.

[{"text": ..., "label": ...}, ...]               objects
[["a text", "label"], ...]                       lists, text first
{"text": [...], "label": [...]}                  columns
{"text": {"0": ...}, "label": {"0": ...}}        columns by row name, as DataFrame.to_json() writes them
{"columns": [...], "data": [[...], ...]}         orient="split" of the same; "schema" and "data" is orient="table"
{"features": [...], "rows": [{"row": {...}}]}    the hub's viewer, which serves 100 rows at a time
{"data": [{...}, ...]}                           objects under a single key
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from liteft.errors import DataError

__all__ = ["JsonRows", "feature_names", "rows_of"]

Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class JsonRows:
    """The rows of a document.

    Attributes:
        rows: one object per row.
        names_of: column -> names that its integers stand for, if the document states them.
        remarks: sentences for the data set's notes.
    """

    rows: Rows
    names_of: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()


def rows_of(path: Path, document: Any) -> JsonRows:
    """Return the rows of a document.

    Raises:
        DataError: the document has none of the known shapes.
    """
    found = _from_list(document) if isinstance(document, list) else None
    if isinstance(document, dict) and document:
        found = _viewer(path, document) or _columns(document) or _orients(document) or _under_one_key(document)
    if found is not None:
        return found
    answer = document if isinstance(document, dict) else {}
    message = next((answer[key] for key in ("error", "message", "detail") if key in answer), None)
    if isinstance(message, str):
        raise DataError(
            f"{path} holds no rows: it is a server's answer, not data.",
            accepted={"answer": message[:200]},
            fix="download the file again, logged in if it is private",
        )
    if not document:
        raise DataError(
            f"{path} holds no rows: it is an empty {'list' if isinstance(document, list) else 'document'}.",
            accepted={"rows": "at least one"},
            fix="give a file with rows",
        )
    raise DataError(
        f"{path} holds no rows.",
        accepted={"json": 'a list of objects, [{"text": ..., "label": ...}, ...], or an object of columns'},
        fix="one object a line, in a file that ends in .jsonl",
    )


def feature_names(features: Any) -> dict[str, tuple[str, ...]]:
    """Return the class names by column from a data set's features, as the hub's packages write them."""
    found = {}
    for column, feature in (features or {}).items() if isinstance(features, Mapping) else ():
        inner = feature
        while isinstance(inner, Mapping) and isinstance(inner.get("feature"), Mapping):
            inner = inner["feature"]
        inner = inner[0] if isinstance(inner, list) and inner else inner
        names = inner.get("names") if isinstance(inner, Mapping) else None
        if isinstance(names, list) and all(isinstance(name, str) for name in names):
            found[str(column)] = tuple(names)
    return found


def _from_list(document: list[Any]) -> JsonRows | None:
    if document and all(isinstance(row, dict) for row in document):
        return JsonRows(document)
    widths = {len(row) if isinstance(row, list) and row and isinstance(row[0], str) else 0 for row in document}
    if widths in ({2}, {3}):
        names = ("text", "label") if widths == {2} else ("text", "pair", "label")
        return JsonRows([dict(zip(names, row, strict=True)) for row in document])
    return None


def _columns(document: dict[str, Any]) -> JsonRows | None:
    if not all(isinstance(values, list) for values in document.values()):
        return None
    columns = list(document.values())
    equal = len({len(values) for values in columns}) == 1
    if not equal or not columns[0] or (len(columns) == 1 and isinstance(columns[0][0], dict)):
        return None
    if set(document) == {"columns", "data"} or any(isinstance(values[0], dict) for values in columns):
        return None
    return JsonRows([dict(zip(document, values, strict=True)) for values in zip(*columns, strict=True)])


def _orients(document: dict[str, Any]) -> JsonRows | None:
    """Return the rows of a document written by DataFrame.to_json with any ``orient``; None for any other document."""
    names, data = document.get("columns"), document.get("data")
    if isinstance(names, list) and isinstance(data, list) and data:
        if all(isinstance(row, list) and len(row) == len(names) for row in data):
            return JsonRows([dict(zip(map(str, names), row, strict=True)) for row in data])
        return None
    if not all(isinstance(values, dict) and values for values in document.values()):
        return None
    keys = [list(values) for values in document.values()]
    if any(key != keys[0] for key in keys):
        return None
    counted = all(key.isdigit() for key in keys[0])
    if not counted and all(name.isdigit() for name in document):  # orient="index": a row under each number
        return JsonRows(list(document.values()))
    if not counted and len(document) == 1:
        return None
    return JsonRows([{column: values[key] for column, values in document.items()} for key in keys[0]])


def _viewer(path: Path, document: dict[str, Any]) -> JsonRows | None:
    entries = document.get("rows")
    if (
        not isinstance(entries, list)
        or not entries
        or not all(isinstance(entry, dict) and isinstance(entry.get("row"), dict) for entry in entries)
    ):
        return None
    cut = [entry for entry in entries if entry.get("truncated_cells")]
    if cut:
        first = entries.index(cut[0]) + 1
        raise DataError(
            f"{path} comes from the hub's viewer, which truncated cells in {len(cut)} rows, such as row {first}.",
            accepted={"cut": ", ".join(map(str, cut[0]["truncated_cells"]))},
            fix="download the data set's parquet files",
        )
    features = document.get("features")
    named = {
        str(feature.get("name")): feature.get("type")
        for feature in (features if isinstance(features, list) else ())
        if isinstance(feature, dict)
    }
    remarks = ["rows of the hub's viewer"]
    total = document.get("num_rows_total")
    if isinstance(total, int) and total > len(entries):
        remarks.append(f"{len(entries):,} of the data set's {total:,} rows: download its parquet files for all of them")
    return JsonRows([entry["row"] for entry in entries], feature_names(named), tuple(remarks))


def _under_one_key(document: dict[str, Any]) -> JsonRows | None:
    lists = [key for key, value in document.items() if isinstance(value, list) and value]
    if len(lists) != 1 or not all(isinstance(row, dict) for row in document[lists[0]]):
        return None
    return JsonRows(document[lists[0]], remarks=(f"rows under the key {lists[0]!r}",))
