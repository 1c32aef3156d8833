"""Reading Arrow files, as written by ``save_to_disk`` and feather, and the class names in a schema.

pyarrow is imported only when a file is opened.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from liteft.data.delimited import check_names
from liteft.data.json_shapes import feature_names
from liteft.data.text_files import EMPTY, head_of, refuse_pages
from liteft.errors import DataError, MissingExtraError
from liteft.installation import install_hint

__all__ = ["ArrowFile", "schema_names", "unreadable", "without_pyarrow"]

_BATCH = 1024


@dataclass(frozen=True)
class ArrowFile:
    """An Arrow file, in the stream or the file format.

    Attributes:
        path: the file.
        columns: names of the top-level columns.
        schema: the pyarrow schema.
    """

    path: Path
    columns: tuple[str, ...]
    schema: Any

    @classmethod
    def open(cls, path: Path) -> ArrowFile:
        """Read a file's schema.

        Raises:
            DataError: the file is missing or is not an Arrow file, or two columns have the same name.
            MissingExtraError: pyarrow is not installed.
        """
        head = head_of(path)
        refuse_pages(path, head)
        if not head:
            raise DataError(f"{path} is not an Arrow file: it is empty.", fix=EMPTY)
        try:
            with _mapped(path) as file:
                schema = _reader(file).schema
        except MissingExtraError:
            raise
        except Exception as error:  # pyarrow's own classes, OSError
            raise unreadable(path, "Arrow", error) from None
        check_names(tuple(schema.names), str(path))
        return cls(path, tuple(schema.names), schema)

    def rows(self, *, start: int = 0, columns: Sequence[str] | None = None) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield (row counted from 1, column -> value) from row ``start`` (counted from 0) on; None takes all columns.

        Raises:
            DataError: the file is damaged.
        """
        row = 0
        try:
            with _mapped(self.path) as file:
                for batch in _batches(_reader(file)):
                    skip = min(max(0, start - row), batch.num_rows)
                    row += skip
                    some = batch if columns is None else batch.select(list(dict.fromkeys(columns)))
                    for first in range(skip, batch.num_rows, _BATCH):
                        for values in some.slice(first, _BATCH).to_pylist():
                            row += 1
                            yield row, values
        except Exception as error:
            raise unreadable(self.path, "Arrow", error) from None


def schema_names(schema: Any) -> dict[str, tuple[str, ...]]:
    """Return the class names by column, from the metadata that the hub's packages leave in a schema."""
    try:
        content = json.loads((schema.metadata or {})[b"huggingface"])
        found: Mapping[str, tuple[str, ...]] = feature_names(content["info"]["features"])
        return dict(found)
    except (KeyError, TypeError, ValueError):
        return {}


def _mapped(path: Path) -> Any:
    try:
        import pyarrow
    except ImportError:
        raise without_pyarrow(path, "an Arrow") from None
    return pyarrow.memory_map(str(path))


def _reader(file: Any) -> Any:
    import pyarrow.ipc

    if bytes(file.read(6)) == b"ARROW1":
        file.seek(0)
        return pyarrow.ipc.open_file(file)
    file.seek(0)
    return pyarrow.ipc.open_stream(file)


def _batches(reader: Any) -> Iterator[Any]:
    if hasattr(reader, "num_record_batches"):
        for index in range(reader.num_record_batches):
            yield reader.get_batch(index)
        return
    yield from reader


def without_pyarrow(path: Path, kind: str) -> MissingExtraError:
    """Return the error for a file that only pyarrow can read; ``kind`` is "a parquet" or "an Arrow"."""
    return MissingExtraError(f"{path} is {kind} file, and pyarrow is not installed.", fix=install_hint("parquet"))


def unreadable(path: Path, form: str, error: Exception) -> DataError:
    """Return the error for a file that pyarrow cannot read as ``form``, with the first line of pyarrow's message."""
    first = str(error).strip().splitlines()
    return DataError(
        f"{path} cannot be read as {form}: {first[0] if first else type(error).__name__}.",
        fix="write or download the file again",
    )
