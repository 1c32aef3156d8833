"""Reading parquet with pyarrow, which is imported only when a parquet file is opened."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from liteft.data.arrow import unreadable, without_pyarrow
from liteft.data.delimited import check_names
from liteft.data.text_files import EMPTY, head_of, refuse_pages
from liteft.errors import DataError

__all__ = ["ParquetFile"]

_BATCH = 1024


@dataclass(frozen=True)
class ParquetFile:
    """A parquet file.

    Attributes:
        path: the file.
        columns: names of the top-level columns.
        total: number of rows, from the footer.
        schema: the pyarrow schema, for writing the columns again.
    """

    path: Path
    columns: tuple[str, ...]
    total: int
    schema: Any

    @classmethod
    def open(cls, path: Path) -> ParquetFile:
        """Read a file's footer.

        Raises:
            DataError: the file is missing, empty or not parquet, or two columns have the same name.
            MissingExtraError: pyarrow is not installed.
        """
        parquet = _pyarrow_parquet(path)
        head = head_of(path)
        if not head.startswith(b"PAR1"):
            refuse_pages(path, head)
            if not head:
                raise DataError(f"{path} is not a parquet file: it is empty.", fix=EMPTY)
            raise DataError(
                f"{path} is not a parquet file: it does not begin with PAR1.",
                fix="download the file again, or give it the right ending (.csv, .jsonl, .arrow)",
            )
        try:
            with parquet.ParquetFile(path) as file:
                schema = file.schema_arrow
                total = file.metadata.num_rows
        except Exception as error:  # pyarrow's own classes, OSError, ValueError
            raise unreadable(path, "parquet", error) from None
        check_names(tuple(schema.names), str(path))
        return cls(path, tuple(schema.names), total, schema)

    def rows(self, *, start: int = 0, columns: Sequence[str] | None = None) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield (row counted from 1, column -> value) from row ``start`` (counted from 0) on.

        Row groups before ``start`` are not read; of the others, one batch at a time is in memory.

        Raises:
            DataError: the file is damaged.
        """
        parquet = _pyarrow_parquet(self.path)
        try:
            with parquet.ParquetFile(self.path) as file:
                row, groups = _groups_from(start, file.metadata)
                # pyarrow reads a dot in a name as a path into a struct
                some = None if columns is None or any("." in name for name in columns) else list(columns)
                for batch in file.iter_batches(batch_size=_BATCH, row_groups=groups, columns=some):
                    skip = min(max(0, start - row), batch.num_rows)
                    row += skip
                    for values in batch.slice(skip).to_pylist():
                        row += 1
                        yield row, values
        except Exception as error:
            raise unreadable(self.path, "parquet", error) from None


def _groups_from(start: int, metadata: Any) -> tuple[int, list[int]]:
    """Return the first row of the row group that contains row ``start``, and the groups from there on."""
    first, end, groups = 0, 0, []
    for group in range(metadata.num_row_groups):
        end += metadata.row_group(group).num_rows
        if end > start:
            groups.append(group)
        else:
            first = end
    return first, groups


def _pyarrow_parquet(path: Path) -> Any:
    try:
        import pyarrow.parquet
    except ImportError:
        raise without_pyarrow(path, "a parquet") from None
    return pyarrow.parquet
