"""Writing rows as csv, tsv, jsonl, parquet or CoNLL, one part at a time, and joining the parts into one file.

A part has the format of the final file, so that joining is copying: text parts have no header line, parquet parts
become row groups. Parts contain everything that the rows did; a value that a format cannot represent (a list
in a csv cell, a date in JSON) is written as text. A lone surrogate (which JSON can spell) is
written as its escape, and so is a NUL in csv. Text is UTF-8, whatever the input was.
"""

from __future__ import annotations

import json
import math
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from liteft.data.formats import FORMATS as INPUT_FORMATS
from liteft.errors import ConfigError, DataError, MissingExtraError, closest, option
from liteft.installation import install_hint
from liteft.privacy import shown_names, shows_all

__all__ = ["FORMATS", "RowFormat", "added_fields", "arrow_array", "require_pyarrow", "row_format"]

Row = Mapping[str, Any]
FORMATS = {suffix: kind for suffix, kind in INPUT_FORMATS.items() if kind in ("csv", "tsv", "jsonl", "parquet")}
FORMATS[".conll"] = "conll"
_BLANK = re.compile(r"\s")  # in a word that was given: a blank separates a word from its tag
_OF_SPANS = ("jsonl", "parquet", "conll")
_GROUP_ROWS = 1 << 16
_GROUP_BYTES = 1 << 27


class RowFormat(Protocol):
    """Writes parts of a file and joins them."""

    def begin(self, parts: Sequence[Path]) -> None:
        """Read the parts of an earlier run, before the first ``write``."""

    def check(self, row: Row, where: str) -> None:
        """Raise DataError for an input row, found at ``where``, that this format cannot represent."""

    def write(self, rows: Sequence[Row], path: Path) -> None:
        """Write one part."""

    def join(self, parts: Sequence[Path], path: Path) -> None:
        """Write the whole file from its parts, in order."""


def row_format(suffix: str, *, columns: Sequence[str], schema: Any, added: Mapping[str, str]) -> RowFormat:
    """Return the format for a file suffix.

    Args:
        suffix: ".csv", ".tsv", ".jsonl", ".parquet" or another name of these formats.
        columns: names of the columns of the input, in order.
        schema: the input's pyarrow schema if it has one; None to infer the types from the values.
        added: columns that follow those of the input: name -> "text", "number", "place", "texts", "numbers",
            "scores" (labels with numbers), "answers" (with numbers and places), "spans", or "tagged words" (of a .conll
            file alone, which keeps no other column).

    Raises:
        ConfigError: the suffix is none of these, or the format cannot hold what is added.
        MissingExtraError: parquet without pyarrow.
    """
    kind = FORMATS.get(suffix.casefold())
    if kind is not None:
        _check_fits(suffix, kind, set(added.values()))
    if kind == "conll":
        return _Conll(next(iter(added), ""))
    if kind == "parquet":
        return _Parquet(columns, schema, added)
    if kind == "jsonl":
        return _JsonLines()
    if kind is not None:
        return _Delimited("\t" if kind == "tsv" else ",", columns, added)
    near = None if suffix.casefold() == ".txt" else closest(suffix, FORMATS)  # .txt is no misspelt .tsv
    raise ConfigError(
        f"{suffix or 'no ending'} is not a format for predictions.",
        accepted={"output": _names("csv", "tsv", "jsonl", "parquet"), "of labels of words": _names(*_OF_SPANS)},
        fix=option("output", f"NAME{near or '.jsonl'}"),
    )


def _check_fits(suffix: str, kind: str, added: set[str]) -> None:
    """Raise ConfigError if a format cannot hold the kinds of values that are added."""
    if "spans" in added and kind in ("csv", "tsv"):
        raise ConfigError(
            f"{suffix} holds one value per cell, and this model finds any number of spans.",
            accepted={"output": _names(*_OF_SPANS)},
            fix=option("output", "NAME.jsonl"),
        )
    if kind == "conll" and added - {"tagged words"}:
        raise ConfigError(
            f"{suffix} holds a tag for each word, and this model labels whole texts.",
            accepted={"output": _names("csv", "tsv", "jsonl", "parquet")},
            fix=option("output", "NAME.csv"),
        )


def _names(*kinds: str) -> str:
    """Return the endings of formats."""
    return ", ".join(name for name, kind in FORMATS.items() if kind in kinds)


class _Conll:
    """A word and its tag in each line, and an empty line after each text; a text without words is that line alone."""

    def __init__(self, column: str) -> None:
        self._column = column

    def begin(self, parts: Sequence[Path]) -> None:
        pass

    def check(self, row: Row, where: str) -> None:
        pass

    def write(self, rows: Sequence[Row], path: Path) -> None:
        with open(path, "w", encoding="utf-8", newline="\n") as file:
            for row in rows:
                tagged = row.get(self._column) or ()
                file.writelines(f"{_BLANK.sub('_', word) or '_'} {_BLANK.sub('_', tag)}\n" for word, tag in tagged)
                file.write("\n")

    def join(self, parts: Sequence[Path], path: Path) -> None:
        path.write_bytes(b"")
        _append(parts, path)


class _Delimited:
    """Comma- or tab-separated values: every row ends in a line feed, with quotes only where needed."""

    def __init__(self, delimiter: str, columns: Sequence[str], added: Mapping[str, str]) -> None:
        self._delimiter = delimiter
        self._columns = [*columns, *added]
        self._known = frozenset(columns)
        # not csv.writer: before Python 3.13 it does not quote a carriage return, and readers end a row there
        self._special = re.compile(f'["\r\n{delimiter}]')

    def begin(self, parts: Sequence[Path]) -> None:
        pass

    def check(self, row: Row, where: str) -> None:
        if not self._known.issuperset(row):
            raise DataError(
                f"{where} has {next(name for name in row if name not in self._known)!r}, which no earlier row had.",
                accepted={"columns": ", ".join(shown_names(self._columns))},
                fix=option("output", "NAME.jsonl", note=", in which rows may differ"),
            )

    def write(self, rows: Sequence[Row], path: Path) -> None:
        self._write_lines(path, ([_cell(row.get(name)) for name in self._columns] for row in rows))

    def join(self, parts: Sequence[Path], path: Path) -> None:
        self._write_lines(path, iter([self._columns]))
        _append(parts, path)

    def _write_lines(self, path: Path, lines: Iterator[list[str]]) -> None:
        with open(path, "w", encoding="utf-8", errors="backslashreplace", newline="") as file:
            file.writelines(self._delimiter.join(map(self._quoted, cells)) + "\n" for cells in lines)

    def _quoted(self, cell: str) -> str:
        return '"' + cell.replace('"', '""') + '"' if self._special.search(cell) else cell


class _JsonLines:
    """One JSON object per line."""

    def begin(self, parts: Sequence[Path]) -> None:
        pass

    def check(self, row: Row, where: str) -> None:
        pass

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
    """Parquet, by pyarrow. Columns keep the types of a parquet input; for other inputs, types are inferred."""

    def __init__(self, columns: Sequence[str], schema: Any, added: Mapping[str, str]) -> None:
        self._arrow = require_pyarrow("writing parquet files")
        self._columns = list(columns)
        self._known = {field.name: field for field in schema} if schema is not None else {}
        # pandas' own metadata names the index; other metadata (datasets' features) would contradict the added columns
        about = (schema.metadata or {}) if schema is not None else {}
        self._metadata = {key: value for key, value in about.items() if key == b"pandas"} or None
        self._schema: Any = None  # the schema of all parts so far
        self._added = added_fields(added)

    def begin(self, parts: Sequence[Path]) -> None:
        for part in parts:
            self._merge(self._arrow.parquet.read_schema(part))

    def check(self, row: Row, where: str) -> None:
        pass

    def write(self, rows: Sequence[Row], path: Path) -> None:
        names = dict.fromkeys([*self._columns, *(name for row in rows for name in row if name not in self._added)])
        fields, arrays = [], []
        for name in [*names, *self._added]:
            field = self._known.get(name) or self._added.get(name)
            values = [row.get(name) for row in rows]
            with self._refusal_named(f"column {name!r} contains values that one parquet column cannot hold"):
                arrays.append(arrow_array(values, None if field is None else field.type))
            fields.append(field or self._arrow.field(name, arrays[-1].type))
        table = self._arrow.Table.from_arrays(arrays, schema=self._arrow.schema(fields))
        self._merge(table.schema)  # fail now, and not hours later, when the parts are joined
        with self._refusal_named("the rows cannot be written as parquet"):
            self._arrow.parquet.write_table(table, path)

    def join(self, parts: Sequence[Path], path: Path) -> None:
        schema = self._whole_schema()
        with self._refusal_named("the parts do not match"), self._writer(path, schema) as writer:
            waiting: list[Any] = []
            for part in parts:
                with self._arrow.parquet.ParquetFile(part) as file:
                    waiting.append(self._cast(file.read(), schema))
                rows, size = sum(table.num_rows for table in waiting), sum(table.nbytes for table in waiting)
                if rows >= _GROUP_ROWS or size >= _GROUP_BYTES:
                    writer.write_table(self._arrow.concat_tables(waiting))
                    waiting = []
            if waiting:
                writer.write_table(self._arrow.concat_tables(waiting))

    def _writer(self, path: Path, schema: Any) -> Any:
        return self._arrow.parquet.ParquetWriter(path, schema)

    def _merge(self, schema: Any) -> None:
        if self._schema is not None:
            with self._refusal_named("a column changes its type within the file"):
                schema = self._arrow.unify_schemas([self._schema, schema], promote_options="permissive")
        self._schema = schema

    def _whole_schema(self) -> Any:
        """The schema of the joined file: the input's columns, those that only later rows had, the added ones."""
        seen = {} if self._schema is None else {field.name: field for field in self._schema}
        fields = {name: seen.get(name) or self._known.get(name) for name in [*self._columns, *seen]}
        missing = self._arrow.string()  # a column of an input without rows
        return self._arrow.schema(
            [field or self._arrow.field(name, missing) for name, field in fields.items() if name not in self._added]
            + list(self._added.values()),
            metadata=self._metadata,
        )

    def _cast(self, table: Any, schema: Any) -> Any:
        arrays = [
            self._arrow.nulls(table.num_rows, field.type)
            if field.name not in table.column_names
            else table.column(field.name)
            if table.column(field.name).type == field.type
            else table.column(field.name).cast(field.type)
            for field in schema
        ]
        return self._arrow.Table.from_arrays(arrays, schema=schema)

    @contextmanager
    def _refusal_named(self, what: str) -> Iterator[None]:
        try:
            yield
        except OSError:  # some of pyarrow's errors are OSErrors; those of the disk must pass
            raise
        except (self._arrow.ArrowException, OverflowError) as error:
            raise DataError(
                f"{what}: {error if shows_all() else type(error).__name__}.",
                fix=option("output", "NAME.jsonl", note=", in which values may differ"),
            ) from None


def require_pyarrow(what: str) -> Any:
    """Return pyarrow with its submodule for parquet; ``what`` needs it, for the error.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise MissingExtraError(f"{what} needs pyarrow, which is not installed.", fix=install_hint("parquet")) from None
    return pyarrow


def arrow_array(values: list[Any], kind: Any) -> Any:
    """Return values as a pyarrow array; lone surrogates become their escapes.

    Args:
        values: Python values.
        kind: the pyarrow type; None to infer it.

    Raises:
        pyarrow.ArrowException, OverflowError: the values do not fit the type.
    """
    arrow = require_pyarrow("writing parquet files")
    try:
        return arrow.array(values, type=kind)
    except UnicodeEncodeError:
        return arrow.array(_escaped(values), type=kind)


def added_fields(added: Mapping[str, str]) -> dict[str, Any]:
    """Return the pyarrow fields of added columns; ``added`` as for `row_format`."""
    arrow = require_pyarrow("writing parquet files")
    text, number, place = arrow.string(), arrow.float64(), arrow.int64()

    def structs(**fields: Any) -> Any:
        return arrow.list_(arrow.struct(list(fields.items())))

    kinds = {
        "text": text,
        "number": number,
        "place": place,
        "texts": arrow.list_(text),
        "numbers": arrow.list_(number),
        "scores": structs(label=text, score=number),
        "answers": structs(answer=text, score=number, start=place, end=place),
        "spans": structs(
            entity_group=text, score=number, word=text, start=place, end=place, word_start=place, word_end=place
        ),
    }
    return {name: arrow.field(name, kinds[kind]) for name, kind in added.items()}


def _append(parts: Sequence[Path], path: Path) -> None:
    with open(path, "ab") as whole:
        for part in parts:
            with open(part, "rb") as file:
                shutil.copyfileobj(file, whole, 1 << 20)


def _encodable(text: str) -> bool:
    return text.isascii() or text.encode("utf-8", "ignore").decode("utf-8") == text


def _escaped(value: Any) -> Any:
    """Return a value with lone surrogates replaced by their escapes."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode("utf-8")
    if isinstance(value, Mapping):
        return {_escaped(key): _escaped(entry) for key, entry in value.items()}
    return [_escaped(entry) for entry in value] if isinstance(value, list | tuple) else value


def _cell(value: Any) -> str:
    """Return a value as the text of a csv cell."""
    plain = _plain(value)
    if plain is None:
        return ""
    text = plain if isinstance(plain, str) else json.dumps(plain, ensure_ascii=False)
    return text.replace("\0", "\\x00") if "\0" in text else text


def _plain(value: Any) -> Any:
    """Return a value as JSON can represent it: NaN and infinity as null, bytes as hexadecimal, dates as ISO 8601."""
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
