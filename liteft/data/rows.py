"""One file, read row by row in bounded memory: csv, tsv, jsonl, parquet, json, CoNLL or plain text.

`open_rows` reads a file's columns from its beginning; its rows are then streamed. `read_rows` is the same for
callers that only want (number, row) pairs, such as a prediction over a file larger than memory, which can
also resume in the middle. Only a json document has to be read as a whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from liteft.data.arrow import ArrowFile, schema_names
from liteft.data.compressed import COMPRESSED
from liteft.data.conll import ConllFile
from liteft.data.delimited import Delimited
from liteft.data.formats import format_of
from liteft.data.json_shapes import rows_of
from liteft.data.jsonlines import JsonLines, read_json_document
from liteft.data.parquet import ParquetFile
from liteft.data.text_files import text_encoding, text_lines
from liteft.errors import DataError

__all__ = ["JsonDocument", "PlainText", "RowFile", "Rows", "open_conll", "open_rows", "read_rows"]


class RowReader(Protocol):
    """What a reader of each format provides."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns."""

    def rows(self, *, start: int = 0) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield (line or row counted from 1, column -> value)."""


@dataclass(frozen=True)
class RowFile:
    """A file of rows, opened for reading any number of times.

    Attributes:
        path: the file.
        format: "csv", "tsv", "jsonl", "json", "parquet", "arrow", "conll" or "txt".
        columns: names of the columns; for a jsonl file, those of its first 200 rows.
        unit: what a row's place counts: "line" or "row".
        total: number of rows if the format states it up front (parquet, json), else None.
        schema: pyarrow schema of a parquet file; None for other formats.
        encoding: the encoding of text; None for parquet.
        remarks: what opening it decided on its own, for notes.
        names_of: column -> names that its integers stand for, if the file states them.
    """

    path: Path
    format: str
    columns: tuple[str, ...]
    reader: RowReader
    unit: str = "line"
    total: int | None = None
    schema: Any = None
    encoding: str | None = None
    remarks: tuple[str, ...] = ()
    names_of: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def rows(self, *, start: int = 0, columns: Sequence[str] | None = None) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield (line or row counted from 1, column -> value) from row ``start`` (counted from 0) on.

        Args:
            start: rows to skip.
            columns: the only columns that the caller will use; the others may be missing from the rows.
        """
        if isinstance(self.reader, ParquetFile | ArrowFile):
            return self.reader.rows(start=start, columns=columns)
        return self.reader.rows(start=start)

    @property
    def name(self) -> str:
        """The file's path."""
        return str(self.path)

    def read(self, names: Sequence[str]) -> tuple[dict[str, list[Any]], np.ndarray]:
        """Read the whole file.

        Args:
            names: the columns to read; a row that lacks one has None there.

        Returns:
            The columns' values, and each row's place, counted from 1: int64, shape (texts,).
        """
        values: dict[str, list[Any]] = {name: [] for name in names}
        lists = list(values.items())
        places = []
        for place, row in self.rows(columns=names):
            places.append(place)
            for name, cells in lists:
                cells.append(row.get(name))
        return values, np.array(places, dtype=np.int64)

    def head(self, rows: int) -> dict[str, list[Any]]:
        """Read the first rows."""
        first = [row for _, row in islice(self.rows(), rows)]
        return {name: [row.get(name) for row in first] for name in self.columns}

    def class_names(self, column: str) -> tuple[str, ...] | None:
        """Return the names that the file's schema gives to the integers in a column, or None."""
        return self.names_of.get(column)


class Rows(Iterator[tuple[int, dict[str, Any]]]):
    """Iterator over (row counted from 0, column -> value) that knows its file and its position.

    Attributes:
        file: the file, its columns, format, total number of rows and schema.
    """

    def __init__(self, file: RowFile, start: int, columns: Sequence[str] | None) -> None:
        self.file = file
        self._next = start
        self._place = 0
        self._rows = file.rows(start=start, columns=columns)

    def __next__(self) -> tuple[int, dict[str, Any]]:
        self._place, row = next(self._rows)
        number = self._next
        self._next += 1
        return number, row

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns; for a jsonl file, those of its first 200 rows."""
        return self.file.columns

    @property
    def total(self) -> int | None:
        """Number of rows of the whole file if the format states it up front (parquet, json), else None."""
        return self.file.total

    @property
    def where(self) -> str:
        """Place of the last row that was read, for messages: "big.csv, line 17"."""
        return f"{self.file.path}, {self.file.unit} {self._place}"


def read_rows(
    path: str | Path,
    *,
    start: int = 0,
    columns: Sequence[str] | None = None,
    encoding: str | None = None,
    delimiter: str | None = None,
) -> Rows:
    """Stream a file's rows in bounded memory, in order.

    Args:
        path: a csv, tsv, jsonl, parquet, json or txt file (one text per line, in the column "text"), or a CoNLL file
            (a row per text, with a list of words in the column "tokens").
        start: rows to skip; to continue after row 999, pass 1000.
        columns: the columns to read from parquet; None for all.
        encoding: of text files; None for UTF-8 or what the byte-order mark says.
        delimiter: of csv and tsv; None to detect it in the first line.

    Returns:
        Rows, an iterator over (row counted from 0, column -> value). Values are text in csv, tsv and txt, and of the
        file's own types in the other formats.

    Raises:
        DataError: there is no such file, its format is unknown, it is not text, or a row is malformed (the message
            names the line).
        MissingExtraError: parquet without pyarrow.
    """
    return Rows(open_rows(path, encoding=encoding, delimiter=delimiter), start, columns)


def open_rows(path: str | Path, *, encoding: str | None = None, delimiter: str | None = None) -> RowFile:
    """Detect a file's format (by suffix), encoding and columns from its beginning. See ``read_rows``."""
    path = Path(path)
    kind = format_of(path)
    if kind in ("parquet", "arrow"):
        return _open_columns(path, kind)
    if kind == "conll":
        return open_conll(path, encoding=encoding)
    if kind in ("csv", "tsv"):
        table = Delimited.open(path, encoding=encoding, delimiter=delimiter)
        remarks = _remarks(table.encoding, encoding)
        if delimiter is None and table.delimiter != {"csv": ",", "tsv": "\t"}[kind]:
            remarks += (f"separated by {table.delimiter!r}{', as its first line says' if table.told else ''}",)
        if not table.quoting:
            remarks += ("double quotes are plain characters in it",)
        return RowFile(path, kind, table.columns, table, encoding=table.encoding, remarks=remarks)
    if kind == "txt":
        text = PlainText(path, text_encoding(path, encoding))
        return RowFile(
            path,
            kind,
            text.columns,
            text,
            encoding=text.encoding,
            remarks=_remarks(text.encoding, encoding),
        )
    if kind == "json":
        document = read_json_document(path, encoding=encoding)
        if document is not None:
            found = rows_of(path, document)
            rows = JsonDocument(path, found.rows)
            return RowFile(
                path,
                kind,
                rows.columns,
                rows,
                unit="row",
                total=len(rows.content),
                remarks=found.remarks,
                names_of=found.names_of,
            )
    lines = JsonLines.open(path, encoding=encoding)
    return RowFile(
        path,
        "jsonl",
        lines.columns,
        lines,
        encoding=lines.encoding,
        remarks=_remarks(lines.encoding, encoding),
    )


def open_conll(path: Path, *, encoding: str | None = None) -> RowFile:
    """Open a CoNLL file, whatever its suffix: a row for each text, with lists of words and of their tags."""
    file = ConllFile.open(path, encoding=encoding)
    remarks = _remarks(file.encoding, encoding)
    if file.header:
        remarks += (f"line {file.header}, which names the columns, is left out",)
    return RowFile(path, "conll", file.columns, file, encoding=file.encoding, remarks=remarks)


def _open_columns(path: Path, kind: str) -> RowFile:
    if path.suffix.casefold() in COMPRESSED:
        raise DataError(f"{path} is {kind}, compressed twice.", fix="unpack it first")
    if kind == "arrow":
        arrow = ArrowFile.open(path)
        names = schema_names(arrow.schema)
        return RowFile(path, kind, arrow.columns, arrow, "row", schema=arrow.schema, names_of=names)
    parquet = ParquetFile.open(path)
    return RowFile(
        path,
        kind,
        parquet.columns,
        parquet,
        unit="row",
        total=parquet.total,
        schema=parquet.schema,
        names_of=schema_names(parquet.schema),
    )


@dataclass(frozen=True)
class PlainText:
    """A text file with one text per line, in the column "text". A blank line is a row too: an empty text."""

    path: Path
    encoding: str
    columns: tuple[str, ...] = ("text",)

    def rows(self, *, start: int = 0) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield (line, {"text": text}) from line ``start`` (counted from 0) on."""
        yield from self.rows_in(text_lines(self.path, encoding=self.encoding, newline="\n"), start=start)

    def rows_in(self, lines: Iterator[str], *, start: int = 0) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield (line counted from 1, {"text": text}) of some of the file's lines, from line ``start`` of them on."""
        for number, line in enumerate(lines, start=1):
            if number > start:
                yield number, {"text": line.removesuffix("\n").removesuffix("\r")}


@dataclass(frozen=True)
class JsonDocument:
    """The rows of a json file, in memory."""

    path: Path
    content: list[dict[str, Any]]

    @property
    def columns(self) -> tuple[str, ...]:
        """Keys of all objects, in order of appearance."""
        return tuple(dict.fromkeys(key for row in self.content for key in row))

    def rows(self, *, start: int = 0) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield (row counted from 1, object) from row ``start`` (counted from 0) on."""
        yield from enumerate(self.content[start:], start=start + 1)


def _remarks(found: str, asked: str | None) -> tuple[str, ...]:
    return () if asked is not None or found in ("utf-8", "utf-8-sig") else (f"read as {found}",)
