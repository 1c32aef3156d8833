"""Loading unlabelled texts for distillation: the teacher labels them, so any text of the kind will do.

From a folder, all files are read, but never validation or test files beside a training file: the score of a
student that has seen its test texts proves nothing.
"""

from __future__ import annotations

import collections
import functools
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from liteft.data.columns import Columns, choose_columns
from liteft.data.dataset import Split
from liteft.data.folders import NAME_FILES, data_files, saved_splits, split_of
from liteft.data.formats import format_of
from liteft.data.hub import hub_dataset
from liteft.data.in_memory import memory_table
from liteft.data.questions import question_columns, questions_of_documents
from liteft.data.records import read_records, usable_rows
from liteft.data.rows import RowFile, open_rows
from liteft.data.sources import existing_path
from liteft.data.split import joined
from liteft.data.tables import Table
from liteft.data.text_files import text_encoding, text_lines
from liteft.data.word_columns import WordColumns, given_words
from liteft.data.word_labels import read_given_words
from liteft.errors import DataError, option
from liteft.words import words_of_texts

if TYPE_CHECKING:  # recipes need pydantic, and reading data does not
    from liteft.recipes import DataRecipe
    from liteft.tasks import Task

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


class _Limits(TypedDict):
    max_chars: int | None
    drop_long: bool


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
    words: bool = False,
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
        words: also say where the words of each text are: those that a file has as lists or in CoNLL columns, or those
            of its texts. Without it, lists of words are texts.

    Returns:
        A split named "unlabeled", without labels and without empty texts.

    Raises:
        DataError: something cannot be read; the message names the file, the row and what to do.
        MissingExtraError: parquet without pyarrow, a hub name without `datasets`.
    """
    parts = []
    for table in unlabeled_tables(source, functools.partial(open_rows, encoding=encoding, delimiter=delimiter)):
        given = None if pair else given_words(table, text, sure=words)
        if given is not None or words:
            parts.append(_texts_with_words(table, given, text, max_chars=max_chars, drop_long=drop_long))
            continue
        columns = choose_columns(table.columns, source=table.name, text=text, pair=pair, labelled=False)
        parts.append(_usable(table, columns, max_chars=max_chars, drop_long=drop_long))
    return _one_split(parts)


def load_beside(source: Any, data: DataRecipe, task: Task) -> Split:
    """Read texts, or pairs, without labels that belong to labelled data, as ``load_unlabeled`` does.

    Columns are those of the labelled data where a table has them.

    Args:
        source: as for ``load_unlabeled``.
        data: how the labelled data are read.
        task: of the labelled data. Beside labels of words, lists of words are preferred to a text; beside scores, a
            query and a text are a pair; beside answers, SQuAD's documents are read too.

    Raises:
        DataError, MissingExtraError: as for ``load_unlabeled``.
    """
    with hints_beside():
        beside = functools.partial(_beside, words=task.per_word, ranked=task.numeric)
        read = _questions_beside if task.extractive else beside
        return _one_split([read(table, data) for table in tables_beside(source, data)])


def tables_beside(source: Any, data: DataRecipe) -> list[Table]:
    """Open texts without labels that belong to labelled data.

    A file that is not in UTF-8 is read in the encoding of the labelled data, and one that cannot be read as it is by
    their delimiter. To know that, it is read once where they have one of the two.

    Raises:
        DataError, MissingExtraError: as for ``load_unlabeled``.
    """
    return unlabeled_tables(source, functools.partial(_opened_beside, data=data))


def _opened_beside(path: Path, *, data: DataRecipe) -> RowFile:
    encoding = None if data.encoding is None or _is_marked_or_utf8(path) else data.encoding
    try:
        opened = open_rows(path, encoding=encoding)
        if data.delimiter is not None and opened.format in ("csv", "tsv"):
            collections.deque(opened.rows(), maxlen=0)
        return opened
    except DataError:
        if data.delimiter is None:
            raise
    return open_rows(path, encoding=encoding, delimiter=data.delimiter)


def _is_marked_or_utf8(path: Path) -> bool:
    """Return whether a file needs no encoding: it is no text, has a byte-order mark, or is UTF-8 to its end."""
    if format_of(path) in ("parquet", "arrow"):
        return True
    try:
        collections.deque(text_lines(path, encoding=text_encoding(path), newline=None), maxlen=0)
    except DataError:
        return False
    return True


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


def columns_beside(table: Table, data: DataRecipe, *, paired: bool = True, ranked: bool = False) -> Columns:
    """Return the columns of a table without labels: those that are named for the labelled data, where it has them."""
    text = data.text if data.text in table.columns else None
    pair = data.pair if data.pair == "" or data.pair in table.columns else None
    pair = pair if paired else ""
    return choose_columns(table.columns, source=table.name, text=text, pair=pair, labelled=False, ranked=ranked)


def _beside(table: Table, data: DataRecipe, words: bool, ranked: bool) -> Split:
    limits: _Limits = {"max_chars": data.max_chars, "drop_long": data.drop_long}
    text = data.text if data.text in table.columns else None
    given = None if data.pair else given_words(table, text, sure=words)
    if given is not None or words:
        return _texts_with_words(table, given, text, **limits)
    return _usable(table, columns_beside(table, data, ranked=ranked), **limits)


def _questions_beside(table: Table, data: DataRecipe) -> Split:
    table = questions_of_documents(table) or table
    text, pair = (name if name in table.columns else None for name in (data.text, data.pair))
    columns = Columns(*question_columns(table.columns, source=table.name, text=text, pair=pair), None)
    return _usable(table, columns, max_chars=data.max_chars, drop_long=data.drop_long)


def _usable(table: Table, columns: Columns, *, max_chars: int | None, drop_long: bool) -> Split:
    """Return the texts of a table, without empty ones."""
    records = read_records("unlabeled", [table], columns)
    checked, _ = usable_rows(records, training=True, max_chars=max_chars, drop_long=drop_long, drop_empty=True)
    return Split("unlabeled", checked.texts, checked.pairs, provenance=checked.provenance)


def _texts_with_words(
    table: Table, given: WordColumns | None, text: str | None, *, max_chars: int | None, drop_long: bool
) -> Split:
    """Return the texts of a table, without empty ones, and where their words are."""
    if given is None:
        columns = choose_columns(table.columns, source=table.name, text=text, pair="", labelled=False)
        found = _usable(table, columns, max_chars=max_chars, drop_long=drop_long)
        return replace(found, words=words_of_texts(found.texts))
    records = read_given_words("unlabeled", [table], given)
    checked, _ = usable_rows(records, training=True, max_chars=max_chars, drop_long=drop_long, drop_empty=True)
    return Split("unlabeled", checked.texts, provenance=checked.provenance, words=checked.words, marked=checked.marked)


def unlabeled_tables(source: Any, open_file: Callable[[Path], RowFile]) -> list[Table]:
    """Open a source of unlabelled texts: the tables whose rows it means.

    Args:
        source: as for ``load_unlabeled``.
        open_file: opens each file.
    """
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
        return [open_file(path)]
    files = (saved_splits(path) or {}).get("train") or data_files(path)
    no_texts = ("validation", "test", *NAME_FILES)
    pool = [file for file in files if split_of(file) not in no_texts] or files
    if not pool:
        raise DataError(
            f"{path} holds no data file.",
            accepted={"files": "txt, csv, tsv, jsonl, json, parquet, arrow"},
            fix="name a file, or put one of these into the folder",
        )
    return [open_file(file) for file in pool]


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
