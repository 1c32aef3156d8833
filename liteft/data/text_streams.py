"""Unlabelled texts, read one after the other as often as wanted: memory does not depend on how many there are.

Only files of rows are streamed; a json document and objects in memory are in memory anyway.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from liteft import files
from liteft.data.cells import is_blank
from liteft.data.columns import choose_columns
from liteft.data.dataset import Provenance
from liteft.data.records import Records, require_strings
from liteft.data.rows import RowFile, open_rows
from liteft.data.tables import Table
from liteft.data.unlabeled import columns_beside, hints_beside, tables_beside, unlabeled_tables

if TYPE_CHECKING:  # recipes need pydantic, and reading data does not
    from liteft.recipes import DataRecipe

__all__ = ["MOST_CHARACTERS", "TextStream", "open_texts"]

MOST_CHARACTERS = 1 << 16
"""A longer text is read as several."""
_ROWS = 1024  # checked at once


@dataclass(frozen=True)
class TextStream:
    """Texts in files or in memory.

    Attributes:
        tables: where they are, in order.
        columns: the column of the text in each table.
        beside: whether they are named beside labelled data, whose options do not change how they are read.
    """

    tables: tuple[Table, ...]
    columns: tuple[str, ...]
    beside: bool = False

    @property
    def name(self) -> str:
        """The first source, and how many more there are."""
        more = len(self.tables) - 1
        return self.tables[0].name + (f" and {more} more" if more else "")

    def texts(self) -> Iterator[str]:
        """Yield the texts in order, without blank ones; one of more than 65,536 characters in parts.

        Raises:
            DataError: a row cannot be read, or holds something that is not a text; the message names it.
        """
        with hints_beside() if self.beside else nullcontext():
            for table, column in zip(self.tables, self.columns, strict=True):
                yield from _texts(table, column)

    def fingerprint(self, record: Path) -> str:
        """Return a hash of the content of all sources, and of the columns that are read: 64 hexadecimal digits.

        Args:
            record: a file with the hashes of earlier calls, see ``remember``; a source whose size and time of
                modification are those noted there is not read again.
        """
        known = files.read_json(record) if record.is_file() else {}
        read = zip(self.tables, self.columns, strict=True)
        content = [[_content_hash(table, column, known), column, *_reading(table)] for table, column in read]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()

    def remember(self, record: Path) -> None:
        """Note the hashes of all files, with their sizes and times of modification."""
        found = [table for table in self.tables if isinstance(table, RowFile)]
        content = {str(table.path): [*_status(table.path), files.sha256_once(table.path)] for table in found}
        files.write_json(record, content)


def open_texts(
    sources: Sequence[Any],
    *,
    text: str | None = None,
    encoding: str | None = None,
    delimiter: str | None = None,
    beside: DataRecipe | None = None,
) -> TextStream:
    """Open sources of texts, each of them what ``load_unlabeled`` takes.

    Nothing but their beginnings is read, unless labelled data beside them have an encoding or a delimiter.

    Args:
        sources: files, folders, hub names or objects in memory.
        text, encoding, delimiter: as for ``load_unlabeled``.
        beside: how the labelled data are read that the texts stand beside, as for ``load_beside``.

    Raises:
        DataError: a source does not exist, or the column of its text is not known.
        MissingExtraError: reading it needs a package that is not installed.
    """
    if beside is not None:
        with hints_beside():
            tables = [table for source in sources for table in tables_beside(source, beside)]
            columns = [columns_beside(table, beside, paired=False) for table in tables]
    else:
        open_file = functools.partial(open_rows, encoding=encoding, delimiter=delimiter)
        tables = [table for source in sources for table in unlabeled_tables(source, open_file)]
        columns = [
            choose_columns(table.columns, source=table.name, text=text, pair="", labelled=False) for table in tables
        ]
    return TextStream(tuple(tables), tuple(each.text for each in columns), beside is not None)


def _texts(table: Table, column: str) -> Iterator[str]:
    """Yield the texts of a table as `TextStream.texts` does."""
    rows = _rows(table, column)
    while chunk := list(islice(rows, _ROWS)):
        values = [value for _, value in chunk]
        places = np.array([place for place, _ in chunk], dtype=np.int64)
        origin = Provenance((table.name,), np.zeros(len(chunk), dtype=np.int32), places, table.unit)
        require_strings(values, Records("texts", values, None, None, origin))
        for value in values:
            if not is_blank(value):
                yield from _parts(value)


def _rows(table: Table, column: str) -> Iterator[tuple[int, Any]]:
    """Yield the place and the text of each row of a table."""
    if isinstance(table, RowFile):
        return ((place, row.get(column)) for place, row in table.rows(columns=[column]))
    values, places = table.read([column])
    return zip(places.tolist(), values[column], strict=True)


def _parts(text: str) -> Iterator[str]:
    """Yield a text, or its parts, which end at white space where there is some."""
    start = 0
    while len(text) - start > MOST_CHARACTERS:
        stop = start + MOST_CHARACTERS
        space = text.rfind(" ", start + MOST_CHARACTERS // 2, stop)
        stop = stop if space < 0 else space
        if part := text[start:stop].strip():
            yield part
        start = stop
    if rest := text[start:].strip() if start else text:
        yield rest


def _content_hash(table: Table, column: str, known: dict[str, Any]) -> str:
    """Return the SHA-256 of a file, or of the texts of a table in memory."""
    if not isinstance(table, RowFile):
        digest = hashlib.sha256()
        for _, value in _rows(table, column):
            digest.update(f"{value!r}\n".encode("utf-8", "surrogatepass"))
        return digest.hexdigest()
    size, modified, sha256 = known.get(str(table.path), (None, None, ""))
    return str(sha256) if (size, modified) == _status(table.path) else files.sha256_once(table.path)


def _status(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns


def _reading(table: Table) -> list[str | None]:
    return [table.format, table.encoding] if isinstance(table, RowFile) else []
