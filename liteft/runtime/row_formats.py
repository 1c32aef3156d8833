"""Writing rows as csv, tsv, jsonl or parquet, a part at a time, and joining the parts into one file.

A part has the form that its file will have, so that joining is copying: text parts have no first line of their
own, parquet parts become row groups. Parts hold everything that the rows held; what a format cannot say (a list
in a csv cell, a date in JSON) is written as text. Half a character (a lone surrogate, which JSON can spell) is
written as its escape.
"""

from __future__ import annotations

import csv
import json
import math
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from liteft.errors import ConfigError, DataError, MissingExtraError, closest

__all__ = ["FORMATS", "RowFormat", "row_format"]

Row = Mapping[str, Any]
FORMATS = (".csv", ".tsv", ".jsonl", ".parquet")
_GROUP_ROWS = 1 << 16


class RowFormat(Protocol):
    """Writes parts of a file and joins them."""

    def write(self, rows: Sequence[Row], path: Path) -> None:
        """Write one part."""

    def join(self, parts: Sequence[Path], path: Path) -> None:
        """Write the whole file from its parts, in order."""


def row_format(suffix: str, *, columns: Sequence[str], schema: Any, added: Mapping[str, str]) -> RowFormat:
    """Return the format for a file name's ending.

    Args:
        suffix: ".csv", ".tsv", ".jsonl" or ".parquet".
        columns: names of the columns of the input, in order.
        schema: the input's pyarrow schema where it has one; None where types must be found in the values.
        added: columns that follow those of the input: name -> "text", "number", "texts" or "scores".

    Raises:
        ConfigError: another ending.
        MissingExtraError: parquet without pyarrow.
    """
    suffix = suffix.casefold()
    if suffix == ".parquet":
        return _Parquet(columns, schema, added)
    if suffix == ".jsonl":
        return _JsonLines()
    if suffix in (".csv", ".tsv"):
        return _Delimited("\t" if suffix == ".tsv" else ",", [*columns, *added])
    near = closest(suffix, FORMATS)
    raise ConfigError(
        f"{suffix or 'no ending'} is no format that predictions are written in.",
        accepted={"output": ", ".join(FORMATS)},
        fix=f"--output NAME{near}" if near else (),
    )


class _Delimited:
    """Comma or tab separated values: every row ends in a line feed, quotes only where needed."""

    def __init__(self, delimiter: str, columns: Sequence[str]) -> None:
        self._delimiter = delimiter
        self._columns = list(columns)

    def write(self, rows: Sequence[Row], path: Path) -> None:
        known = set(self._columns)
        for row in rows:
            if not known.issuperset(row):
                raise DataError(
                    f"a row has {', '.join(sorted(set(row) - known))!r}, which the first rows had not.",
                    accepted={"columns": ", ".join(self._columns)},
                    fix="--output NAME.jsonl, where rows may differ",
                )
        self._write_lines(path, [[_cell(row.get(name)) for name in self._columns] for row in rows])

    def join(self, parts: Sequence[Path], path: Path) -> None:
        self._write_lines(path, [self._columns])
        _append(parts, path)

    def _write_lines(self, path: Path, lines: Sequence[Sequence[str]]) -> None:
        with open(path, "w", encoding="utf-8", errors="backslashreplace", newline="") as file:
            csv.writer(file, delimiter=self._delimiter, lineterminator="\n").writerows(lines)


class _JsonLines:
    """One JSON object a line."""

    def write(self, rows: Sequence[Row], path: Path) -> None:
        with open(path, "w", encoding="utf-8", newline="\n") as file:
            for row in rows:
                line = json.dumps(_plain(row), ensure_ascii=False, allow_nan=False)
                file.write(line if _encodable(line) else json.dumps(_plain(row), allow_nan=False))
                file.write("\n")

    def join(self, parts: Sequence[Path], path: Path) -> None:
        path.write_bytes(b"")
        _append(parts, path)


class _Parquet:
    """Parquet by pyarrow. Columns keep the types of a parquet input; of other inputs they are found."""

    def __init__(self, columns: Sequence[str], schema: Any, added: Mapping[str, str]) -> None:
        try:
            import pyarrow
            import pyarrow.parquet
        except ImportError:
            raise MissingExtraError(
                "parquet files are written with pyarrow, which is not installed.",
                fix="pip install 'liteft[parquet]'",
            ) from None
        self._arrow = pyarrow
        self._columns = list(columns)
        self._known = {field.name: field for field in schema} if schema is not None else {}
        kinds = {
            "text": pyarrow.string(),
            "number": pyarrow.float64(),
            "texts": pyarrow.list_(pyarrow.string()),
            "scores": pyarrow.list_(
                pyarrow.struct([("label", pyarrow.string()), ("score", pyarrow.float64())])
            ),
        }
        self._added = {name: pyarrow.field(name, kinds[kind]) for name, kind in added.items()}

    def write(self, rows: Sequence[Row], path: Path) -> None:
        names = dict.fromkeys([*self._columns, *(name for row in rows for name in row if name not in self._added)])
        fields, arrays = [], []
        for name in [*names, *self._added]:
            field = self._known.get(name) or self._added.get(name)
            values = [row.get(name) for row in rows]
            arrays.append(self._array(name, values, None if field is None else field.type))
            fields.append(field or self._arrow.field(name, arrays[-1].type))
        table = self._arrow.Table.from_arrays(arrays, schema=self._arrow.schema(fields))
        self._arrow.parquet.write_table(table, path)

    def join(self, parts: Sequence[Path], path: Path) -> None:
        parquet = self._arrow.parquet
        schema = self._common_schema([parquet.read_schema(part) for part in parts])
        with parquet.ParquetWriter(path, schema) as writer:
            waiting, rows = [], 0
            for part in parts:
                waiting.append(self._cast(parquet.read_table(part), schema))
                rows += waiting[-1].num_rows
                if rows >= _GROUP_ROWS:
                    writer.write_table(self._arrow.concat_tables(waiting))
                    waiting, rows = [], 0
            if rows:
                writer.write_table(self._arrow.concat_tables(waiting))

    def _array(self, name: str, values: list[Any], kind: Any) -> Any:
        if any(isinstance(value, str) and not _encodable(value) for value in values):
            values = [_escaped(value) if isinstance(value, str) else value for value in values]
        try:
            return self._arrow.array(values, type=kind)
        except (self._arrow.ArrowInvalid, self._arrow.ArrowTypeError, OverflowError) as error:
            raise DataError(
                f"column {name!r} holds values of different types: {error}.",
                fix="--output NAME.jsonl, where types may differ",
            ) from None

    def _common_schema(self, schemas: list[Any]) -> Any:
        if not schemas:
            fields = [self._known.get(name) or self._arrow.field(name, self._arrow.string()) for name in self._columns]
            return self._arrow.schema([*fields, *self._added.values()])
        try:
            merged = self._arrow.unify_schemas(schemas, promote_options="permissive")
        except (self._arrow.ArrowInvalid, self._arrow.ArrowTypeError) as error:
            raise DataError(
                f"a column changes its type within the file: {error}.",
                fix="--output NAME.jsonl, where types may differ",
            ) from None
        names = [name for name in merged.names if name not in self._added]
        return self._arrow.schema([*(merged.field(name) for name in names), *self._added.values()])

    def _cast(self, table: Any, schema: Any) -> Any:
        arrays = [
            table.column(field.name).cast(field.type)
            if field.name in table.column_names
            else self._arrow.nulls(table.num_rows, field.type)
            for field in schema
        ]
        return self._arrow.Table.from_arrays(arrays, schema=schema)


def _append(parts: Sequence[Path], path: Path) -> None:
    with open(path, "ab") as whole:
        for part in parts:
            with open(part, "rb") as file:
                shutil.copyfileobj(file, whole, 1 << 20)


def _encodable(text: str) -> bool:
    return text.isascii() or text.encode("utf-8", "ignore").decode("utf-8") == text


def _escaped(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _cell(value: Any) -> str:
    """What a csv cell says of a value."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    plain = _plain(value)
    return plain if isinstance(plain, str) else json.dumps(plain, ensure_ascii=False)


def _plain(value: Any) -> Any:
    """A value as JSON can say it: NaN and infinity are null, bytes are hexadecimal, dates are ISO 8601."""
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    if isinstance(value, bytes):
        return value.hex()
    return value.isoformat() if hasattr(value, "isoformat") else str(value)
