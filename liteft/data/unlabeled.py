"""Loading unlabelled texts for distillation: the teacher labels them, so any text of the kind will do.

From a folder, all files are read, but never validation or test files beside a training file: the score of a
student that has seen its test texts proves nothing.
"""

from __future__ import annotations

import collections
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from liteft.data.columns import Columns, choose_columns
from liteft.data.dataset import Split
from liteft.data.folders import NAME_FILES, data_files, saved_splits, split_of
from liteft.data.hub import hub_dataset
from liteft.data.in_memory import memory_table
from liteft.data.records import read_records, usable_rows
from liteft.data.rows import RowFile, open_rows
from liteft.data.sources import existing_path
from liteft.data.split import joined
from liteft.data.tables import Table
from liteft.errors import DataError, option

if TYPE_CHECKING:  # recipes need pydantic, and reading data does not
    from liteft.recipes import DataRecipe

__all__ = [
    "columns_beside",
    "hints_beside",
    "load_beside",
    "load_texts",
    "load_unlabeled",
    "tables_beside",
    "unlabeled_tables",
]

_BESIDE = {
    "encoding=": "write it as UTF-8: iconv -f ENCODING -t UTF-8 FILE > NEW_FILE",
    "delimiter=": "write it with commas between the columns, or as a .txt file of one text per line",
}


def load_texts(
    source: Any,
    *,
    text: str | None = None,
    encoding: str | None = None,
    delimiter: str | None = None,
    max_chars: int | None = None,
    drop_long: bool = False,
) -> list[str]:
    """Return unlabelled texts in order, without empty ones. See ``load_unlabeled``."""
    unlabeled = load_unlabeled(
        source,
        text=text,
        pair="",
        encoding=encoding,
        delimiter=delimiter,
        max_chars=max_chars,
        drop_long=drop_long,
    )
    return unlabeled.texts


def load_unlabeled(
    source: Any,
    *,
    text: str | None = None,
    pair: str | None = None,
    encoding: str | None = None,
    delimiter: str | None = None,
    max_chars: int | None = None,
    drop_long: bool = False,
) -> Split:
    """Read texts, or pairs of texts, without labels.

    Args:
        source: a txt (one text per line), csv, tsv, jsonl, json or parquet file; a folder of such files,
            without validation and test files unless there is nothing else; a hub name (its
            training split); a list of strings, or any other object in memory that ``load_dataset`` accepts.
        text: column of the text; None to find it by its usual names.
        pair: column of the second text; None to look for a usual name; "" for none.
        encoding: of text files; None for UTF-8, or as the byte-order mark says.
        delimiter: of csv and tsv; None to detect it in the first line.
        max_chars: longest text, in characters; None for 100,000. Longer ones are an error.
        drop_long: drop longer texts instead.

    Returns:
        A split named "unlabeled", without labels and without empty texts.

    Raises:
        DataError: something cannot be read; the message names the file, the row and what to do.
        MissingExtraError: parquet without pyarrow, a hub name without `datasets`.
    """
    parts = []
    for table in unlabeled_tables(source, encoding, delimiter):
        columns = choose_columns(table.columns, source=table.name, text=text, pair=pair, labelled=False)
        parts.append(_usable(table, columns, max_chars=max_chars, drop_long=drop_long))
    return _one_split(parts)


def load_beside(source: Any, data: DataRecipe) -> Split:
    """Read texts, or pairs, without labels that belong to labelled data, as ``load_unlabeled`` does.

    Columns are those of the labelled data where a table has them.

    Args:
        source: as for ``load_unlabeled``.
        data: how the labelled data are read.

    Raises:
        DataError, MissingExtraError: as for ``load_unlabeled``.
    """
    with hints_beside():
        return _one_split([_beside(table, data) for table in tables_beside(source, data)])


def tables_beside(source: Any, data: DataRecipe) -> list[Table]:
    """Open texts without labels that belong to labelled data.

    The encoding and the delimiter of the labelled data are tried on files that cannot be read without; to know that,
    they are read once.

    Raises:
        DataError, MissingExtraError: as for ``load_unlabeled``.
    """
    given = (data.encoding, data.delimiter)
    try:
        tables = unlabeled_tables(source, None, None)
        for table in tables if given != (None, None) else ():
            if isinstance(table, RowFile):
                collections.deque(table.rows(), maxlen=0)
        return tables
    except DataError:
        if given == (None, None):
            raise
    return unlabeled_tables(source, *given)


@contextmanager
def hints_beside() -> Iterator[None]:
    """Give other hints where an error about texts beside labelled data names an option that is of these data.

    A file in another encoding would be read with ``encoding="cp1252"``, and the labelled data too, without an error.
    """
    try:
        yield
    except DataError as error:
        hints = [
            next((other for name, other in _BESIDE.items() if str(hint).startswith(name)), hint) for hint in error.fix
        ]
        raise DataError(error.message, accepted=error.accepted, fix=dict.fromkeys(hints)) from None


def columns_beside(table: Table, data: DataRecipe, *, paired: bool = True) -> Columns:
    """Return the columns of a table without labels: those that are named for the labelled data, where it has them."""
    text = data.text if data.text in table.columns else None
    pair = data.pair if data.pair == "" or data.pair in table.columns else None
    return choose_columns(table.columns, source=table.name, text=text, pair=pair if paired else "", labelled=False)


def _beside(table: Table, data: DataRecipe) -> Split:
    return _usable(table, columns_beside(table, data), max_chars=data.max_chars, drop_long=data.drop_long)


def _usable(table: Table, columns: Columns, *, max_chars: int | None, drop_long: bool) -> Split:
    """Return the texts of a table, without empty ones."""
    records = read_records("unlabeled", [table], columns)
    checked, _ = usable_rows(records, training=True, max_chars=max_chars, drop_long=drop_long, drop_empty=True)
    return Split("unlabeled", checked.texts, checked.pairs, provenance=checked.provenance)


def unlabeled_tables(source: Any, encoding: str | None, delimiter: str | None) -> list[Table]:
    """Open a source of unlabelled texts: the tables whose rows it means. Arguments as for ``load_unlabeled``."""
    if not isinstance(source, str | Path):
        if isinstance(source, Mapping) and "train" in source:
            source = source["train"]
        return [memory_table(source, "data", texts_only=True)]
    path = existing_path(source, what="texts without labels")
    if path is None:
        splits = hub_dataset(str(source))
        name = "train" if "train" in splits else next(iter(splits))
        return [memory_table(splits[name], f"{source}[{name!r}]")]
    if not path.is_dir():
        return [open_rows(path, encoding=encoding, delimiter=delimiter)]
    files = (saved_splits(path) or {}).get("train") or data_files(path)
    no_texts = ("validation", "test", *NAME_FILES)
    pool = [file for file in files if split_of(file) not in no_texts] or files
    if not pool:
        raise DataError(
            f"{path} holds no data file.",
            accepted={"files": "txt, csv, tsv, jsonl, json, parquet, arrow"},
            fix="name a file, or put one of these into the folder",
        )
    return [open_rows(file, encoding=encoding, delimiter=delimiter) for file in pool]


def _one_split(parts: list[Split]) -> Split:
    paired = {part.pairs is not None for part in parts}
    provenance = [part.provenance for part in parts if part.provenance is not None]
    if len(paired) > 1:
        raise DataError(
            "some files contain text pairs and some do not.",
            accepted={"files": ", ".join(name for origin in provenance for name in origin.sources)},
            fix=option("pair", "", note=", or give the files one by one"),
        )
    return joined("unlabeled", parts)
