"""Reading a unit, block by block, as Arrow tables; the next block is read while one is scored."""

from __future__ import annotations

import contextlib
import functools
import io
import queue
import threading
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Any, TypeVar

from liteft.bulk.boundaries import Dialect, row_start
from liteft.bulk.plan import Unit
from liteft.bulk.storage import local_copy, opened
from liteft.data.delimited import Delimited
from liteft.data.jsonlines import JsonLines
from liteft.data.rows import PlainText, open_rows
from liteft.data.text_files import checked_lines
from liteft.errors import DataError, Hint
from liteft.privacy import quoted
from liteft.runtime.row_formats import arrow_array, require_pyarrow
from liteft.runtime.scored_questions import flat_questions

__all__ = ["Block", "blocks_of", "read_ahead"]

BLOCK_ROWS = 8192
_BLOCK_BYTES = 1 << 24

Entry = TypeVar("Entry")


@dataclass(frozen=True)
class Block:
    """Some rows.

    Attributes:
        rows: number of rows.
        table: a pyarrow table of the columns to keep; of Parquet those of the texts, too.
        place: returns the place of one of the rows, for messages.
        texts: column -> values of the texts; None if they are in the table.
    """

    rows: int
    table: Any
    place: Callable[[int], str]
    texts: Mapping[str, list[Any]] | None = None


def blocks_of(unit: Unit, schema: Any, texts: Sequence[str], *, questions: bool = False) -> Iterator[Block]:
    """Yield the rows of a unit in blocks, whose boundaries depend on the unit alone.

    Args:
        unit: the unit.
        schema: pyarrow schema of the columns to keep.
        texts: the columns of the texts.
        questions: documents as SQuAD's are read as a row for each question.

    Raises:
        DataError: the file cannot be read, or values do not fit the schema.
    """
    if unit.kind == "parquet":
        return _of_row_groups(unit, list(dict.fromkeys([*schema.names, *texts])))
    if unit.kind == "whole":
        return _of_file(unit, schema, texts, questions)
    return _of_lines(unit, schema, texts)


def _of_row_groups(unit: Unit, columns: Sequence[str]) -> Iterator[Block]:
    arrow = require_pyarrow("scoring tables")
    row = 0
    # pyarrow reads a dot in a name as a path into a struct
    names = None if any("." in name for name in columns) else columns
    try:
        with opened(unit.path) as file, arrow.parquet.ParquetFile(file, buffer_size=1 << 20) as table:
            groups = [table.metadata.row_group(number) for number in range(table.num_row_groups)]
            row = sum(group.num_rows for group in groups[: unit.start])
            for number in range(unit.start, unit.stop):
                mean = groups[number].total_byte_size / max(1, groups[number].num_rows)
                rows = max(1, min(BLOCK_ROWS, int(_BLOCK_BYTES / max(1.0, mean))))
                for batch in table.iter_batches(batch_size=rows, row_groups=[number], columns=names):
                    block = arrow.Table.from_batches([batch]).select(columns)
                    yield Block(len(block), block, _numbered(f"{unit.path}, row", row + 1))
                    row += batch.num_rows
    except (OSError, ValueError) as error:  # pyarrow's own are of these
        if isinstance(error, DataError):
            raise
        raise DataError(
            f"{unit.path} cannot be read after row {row:,}: {str(error).splitlines()[0].rstrip('.')}.",
            fix="download the file again, or repair it",
        ) from None


def _of_file(unit: Unit, schema: Any, texts: Sequence[str], questions: bool) -> Iterator[Block]:
    encoding, delimiter = unit.form
    with local_copy(unit.path) as path:
        file = open_rows(path, encoding=encoding, delimiter=delimiter or None)
        file = flat_questions(file) if questions else file
        rows = file.rows(columns=[*schema.names, *texts])
        yield from _of_rows(rows, schema, texts, f"{unit.path}, {file.unit}")


def _of_lines(unit: Unit, schema: Any, texts: Sequence[str]) -> Iterator[Block]:
    encoding, delimiter, quoting, first, *columns = unit.form
    dialect = Dialect(delimiter, quoting, len(columns))
    newline: dict[str, Any] = {"jsonl": None, "txt": "\n"}
    with opened(unit.path) as file:
        ends = [row_start(file, offset, first, unit.bytes, dialect) for offset in (unit.start, unit.stop)]
        place, before = f"{unit.path}, after byte {ends[0]:,}", 0  # lines are counted from there
        if ends[0] == first:
            file.seek(0)
            place, before = unit.path, sum(line.endswith((b"\r", b"\n")) for line in file.read(first).splitlines(True))
        path: Any = _Place(place, unit.path)
        # without the mark of utf-8-sig, which only the first bytes have, after it
        named = str(encoding) if ends[0] == 0 else str(encoding).removesuffix("-sig")
        lines = io.TextIOWrapper(
            io.BufferedReader(_Range(file, *ends), 1 << 20), encoding=named, newline=newline.get(unit.kind, "")
        )
        checked = checked_lines(lines, path, before)
        if unit.kind == "jsonl":
            rows = JsonLines(path, named, ()).rows_in(checked)
        elif unit.kind == "txt":
            rows = PlainText(path, named).rows_in(checked)
        else:
            rows = Delimited(path, named, delimiter, quoting, tuple(columns)).rows_in(checked, before)
        try:
            yield from _of_rows(rows, schema, texts, f"{place}, line")
        except UnicodeError as error:
            raise DataError(
                f"{place} is not {named}: {error.reason if isinstance(error, UnicodeDecodeError) else error}.",
                fix="give the encoding that the file has, or convert it to UTF-8",
            ) from None
        finally:
            lines.detach()


class _Place:
    """A path for messages: a Path would make one slash of the two in a URL."""

    def __init__(self, place: str, path: str) -> None:
        self._place, self.name = place, path.rsplit("/", 1)[-1]

    def __str__(self) -> str:
        return self._place


class _Range(io.RawIOBase):
    """The bytes of a file from one place to another."""

    def __init__(self, file: IO[bytes], start: int, stop: int) -> None:
        self._file, self._left = file, stop - start
        file.seek(start)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._file.read(min(len(buffer), self._left))
        buffer[: len(data)] = data
        self._left -= len(data)
        return len(data)


def _of_rows(
    rows: Iterator[tuple[int, dict[str, Any]]], schema: Any, texts: Sequence[str], where: str
) -> Iterator[Block]:
    """Yield blocks of rows that are Python values."""
    arrow = require_pyarrow("scoring tables")
    while True:
        block: list[tuple[int, dict[str, Any]]] = []
        size = 0
        while len(block) < BLOCK_ROWS and size < _BLOCK_BYTES:
            row = next(rows, None)
            if row is None:
                break
            block.append(row)
            size += sum(len(value) if isinstance(value, str) else 8 for value in row[1].values())
        if not block:
            return
        places = [place for place, _ in block]
        columns = [_column(field, [row.get(field.name) for _, row in block], where, places) for field in schema]
        table = arrow.Table.from_arrays(columns, schema=schema)
        values = {name: [row.get(name) for _, row in block] for name in texts}
        yield Block(len(block), table, functools.partial(_placed, where, places), values)


def _column(field: Any, values: list[Any], where: str, places: Sequence[int]) -> Any:
    arrow = require_pyarrow("scoring tables")
    try:
        return arrow_array(values, field.type)
    except (arrow.ArrowException, OverflowError):
        row = next(row for row, value in enumerate(values) if not _fits(value, field.type))
        raise DataError(
            f"{where} {places[row]:,}: column {field.name!r} holds {quoted(str(values[row]), 80)}.",
            accepted={field.name: f"{field.type}, as the first rows hold"},
            fix=[
                Hint("leave the column out of keep", "leave the column out of --keep"),
                "write one type into the column, or the input as parquet",
            ],
        ) from None


def _fits(value: Any, kind: Any) -> bool:
    arrow = require_pyarrow("scoring tables")
    try:
        arrow_array([value], kind)
    except (arrow.ArrowException, OverflowError):
        return False
    return True


def _placed(where: str, places: Sequence[int], row: int) -> str:
    return f"{where} {places[row]:,}"


def _numbered(where: str, first: int) -> Callable[[int], str]:
    return lambda row: f"{where} {first + row:,}"


def read_ahead(entries: Iterator[Entry]) -> Generator[Entry, None, None]:
    """Yield the entries of an iterator, which is read by a thread of its own, one entry ahead."""
    waiting: queue.Queue[tuple[bool, Any]] = queue.Queue(1)
    stopped = threading.Event()

    def give(entry: tuple[bool, Any]) -> bool:
        while not stopped.is_set():
            with contextlib.suppress(queue.Full):
                waiting.put(entry, timeout=0.1)
                return True
        return False

    def read() -> None:
        try:
            for entry in entries:
                if not give((True, entry)):
                    return
            give((False, None))
        except BaseException as error:  # raised again where the entries are used
            give((False, error))

    reader = threading.Thread(target=read, name="liteft-read-ahead", daemon=True)
    reader.start()
    try:
        while True:
            more, entry = waiting.get()
            if more:
                yield entry
                continue
            if entry is not None:
                raise entry
            return
    finally:
        stopped.set()
        reader.join()
