"""The files of a table, as far as their beginnings and footers describe them: what a plan is made of."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from liteft.bulk.boundaries import Dialect, first_row
from liteft.bulk.storage import Found, local_copy, opened
from liteft.data.delimited import Delimited, check_names
from liteft.data.formats import FORMATS
from liteft.data.rows import RowFile, open_rows
from liteft.errors import DataError
from liteft.runtime.row_formats import arrow_array, require_pyarrow
from liteft.runtime.scored_questions import flat_questions

__all__ = ["Source", "open_source"]

_HEAD = 1 << 20
_BY_LINES = ("csv", "tsv", "jsonl", "txt")
_ASCII = ("ascii", "utf-8", "latin", "iso8859", "cp125")  # encodings in which a byte 10 is a line feed


@dataclass(frozen=True)
class Source:
    """A file of a table.

    Attributes:
        found: the file.
        kind: "parquet", which is cut by row groups; "csv", "tsv", "jsonl" or "txt", cut by bytes; "whole" for others.
        columns: names of its columns; of jsonl those of the first 200 rows.
        schema: the pyarrow schema of its columns: its own, or strings, or what the first rows of jsonl hold; columns of
            jsonl whose first values have several types are left out.
        encoding: of text.
        delimiter, quoting: of csv and tsv.
        first: byte at which the first row begins.
        rows: number of rows, if the file says it.
        row_bytes: mean size of the first rows; 0 if it is not known.
        groups: rows and bytes of each row group.
    """

    found: Found
    kind: str
    columns: tuple[str, ...]
    schema: Any
    encoding: str | None = None
    delimiter: str = ""
    quoting: bool = False
    first: int = 0
    rows: int | None = None
    row_bytes: float = 0.0
    groups: Sequence[tuple[int, int]] = ()

    @property
    def dialect(self) -> Dialect:
        """What separates the rows."""
        return Dialect(self.delimiter, self.quoting, len(self.columns))


def open_source(
    found: Found, *, encoding: str | None = None, delimiter: str | None = None, questions: bool = False
) -> Source:
    """Read a file's beginning or footer.

    Args:
        found: the file.
        encoding, delimiter: as in ``score``.
        questions: documents as SQuAD's are read as a row for each question.

    Raises:
        DataError: it cannot be read, is of no known format, or two columns have the same name.
        MissingExtraError: pyarrow is not installed, or fsspec for a URL.
    """
    suffixes = [each.casefold() for each in PurePosixPath(found.path).suffixes[-1:]]
    kind = FORMATS.get(suffixes[0], "") if suffixes else ""
    if kind == "parquet":
        return _open_parquet(found)
    by_lines = kind in _BY_LINES
    with local_copy(found.path, _HEAD if by_lines else None) as path:
        rows = open_rows(path, encoding=encoding, delimiter=delimiter)
        rows = flat_questions(rows) if questions and not by_lines else rows
        by_lines = by_lines and (rows.encoding or "").startswith(_ASCII) and _is_cut_at(rows)
        if not by_lines:
            schema = _schema(rows)
            return Source(found, "whole", rows.columns, schema, encoding, delimiter or "", rows=rows.total)
        return _by_lines(found, rows)


def _open_parquet(found: Found) -> Source:
    parquet = require_pyarrow("reading parquet files").parquet
    try:
        with opened(found.path) as file, parquet.ParquetFile(file) as table:
            schema, about = table.schema_arrow, table.metadata
            parts = [about.row_group(number) for number in range(about.num_row_groups)]
            groups = tuple((part.num_rows, part.total_byte_size) for part in parts)
    except (OSError, ValueError) as error:  # pyarrow's own are of these
        raise DataError(
            f"{found.path} cannot be read as parquet: {str(error).splitlines()[0].rstrip('.')}.",
            fix="download the file again, or give it the right ending (.csv, .jsonl, .arrow)",
        ) from None
    check_names(tuple(schema.names), found.path)
    count = sum(rows for rows, _ in groups)
    return Source(found, "parquet", tuple(schema.names), schema, rows=count, groups=groups)


def _is_cut_at(rows: RowFile) -> bool:
    """Return whether the delimiter of a file is one byte in every encoding that is cut."""
    return not isinstance(rows.reader, Delimited) or rows.reader.delimiter.isascii()


def _by_lines(found: Found, rows: RowFile) -> Source:
    table = rows.reader if isinstance(rows.reader, Delimited) else None
    delimiter, quoting = (table.delimiter, table.quoting) if table is not None else ("", False)
    dialect = Dialect(delimiter, quoting, len(rows.columns))
    with opened(found.path) as file:
        first = 0
        if table is not None:
            first = first_row(file, found.bytes, dialect, told=table.told)
        file.seek(first)
        head = file.read(_HEAD)
    return Source(
        found,
        rows.format,
        rows.columns,
        _schema(rows),
        encoding=rows.encoding,
        delimiter=delimiter,
        quoting=quoting,
        first=first,
        row_bytes=len(head) / max(1, head.count(b"\n")),
    )


def _schema(rows: RowFile) -> Any:
    """Return the types of a file's columns; of values without types, those of the first rows, if they have one type."""
    arrow = require_pyarrow("writing parquet files")
    if rows.schema is not None:
        return rows.schema
    if rows.format in ("csv", "tsv", "txt"):
        return arrow.schema([arrow.field(column, arrow.string()) for column in rows.columns])
    fields = []
    for column, values in rows.head(200).items():
        with contextlib.suppress(arrow.ArrowException, OverflowError):
            kind = arrow_array(values, None).type
            fields.append(arrow.field(column, arrow.string() if arrow.types.is_null(kind) else kind))
    return arrow.schema(fields)
