"""From raw values to checked rows: which texts can be trained on, and what happens to the others.

Rows of the training pool (what the training split is made from) must have a text of bounded length: a
null, an empty or an endless text is an error that names its row, unless the caller chooses to drop such
rows. In splits that are only scored, every row counts: a null is an empty text, and the tokenizer
truncates long texts as in production. NUL characters and lone surrogates are errors everywhere: no
tokenizer accepts them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from liteft.data.cells import counted, is_blank, is_missing
from liteft.data.columns import Columns
from liteft.data.dataset import Provenance
from liteft.data.tables import Table
from liteft.errors import DataError, Hint, option
from liteft.ragged import Ragged

__all__ = ["DEFAULT_MAX_CHARS", "Records", "read_records", "require_strings", "usable_rows"]

DEFAULT_MAX_CHARS = 100_000
_OTHER_TEXT = Hint('text="NAME", if another column holds the text', "--text NAME, if another column holds the text")


@dataclass(frozen=True)
class Records:
    """Rows of one split on their way to a Split.

    Attributes:
        name: the split.
        texts: first texts; raw values until ``usable_rows``, then strings.
        pairs: second texts, or None.
        labels: raw labels until ``read_labels``, then each row's label names; None without labels.
        provenance: where each row came from.
        class_names: what integer labels stand for, if the source states it.
        soft: the probabilities of each row's labels, by name, or None for a row without; None if no row has any.
        words: begin and end of each text's words, if words are labelled; their tags are ``labels`` then.
        marked: the word of each text that its labels are about, -1 for none; None if the task has none.
    """

    name: str
    texts: list[Any]
    pairs: list[Any] | None
    labels: list[Any] | None
    provenance: Provenance
    class_names: tuple[str, ...] | None = None
    soft: list[dict[str, float] | None] | None = None
    words: Ragged | None = None
    marked: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def text_columns(self) -> list[list[Any]]:
        """The first texts and, where there are pairs, the second ones."""
        return [self.texts] if self.pairs is None else [self.texts, self.pairs]

    def take(self, indices: np.ndarray) -> Records:
        """Return some of the rows, in the order given."""
        return replace(
            self,
            texts=[self.texts[index] for index in indices],
            pairs=None if self.pairs is None else [self.pairs[index] for index in indices],
            labels=None if self.labels is None else [self.labels[index] for index in indices],
            provenance=self.provenance.take(indices),
            soft=None if self.soft is None else [self.soft[index] for index in indices],
            words=None if self.words is None else self.words[indices],
            marked=None if self.marked is None else self.marked[indices],
        )

    def without(self, rows: Sequence[int]) -> Records:
        """Return all rows except these."""
        keep = np.ones(len(self), dtype=bool)
        keep[list(rows)] = False
        return self.take(np.flatnonzero(keep))


def read_records(name: str, tables: Sequence[Table], columns: Columns) -> Records:
    """Read one split's tables; only the label column may be missing."""
    texts: list[Any] = []
    pairs: list[Any] = []
    labels: list[Any] = []
    places, sources = [], []
    labelled = columns.label is not None and all(columns.label in table.columns for table in tables)
    names = [column for column in columns.names if labelled or column != columns.label]
    for index, table in enumerate(tables):
        values, rows = table.read(names)
        texts += values[columns.text]
        pairs += values[columns.pair] if columns.pair is not None else []
        labels += values[columns.label] if labelled and columns.label is not None else []
        places.append(rows)
        sources.append(np.full(len(rows), index, dtype=np.int32))
    provenance = Provenance(
        sources=tuple(table.name for table in tables),
        source=np.concatenate(sources),
        rows=np.concatenate(places),
        unit=tables[0].unit,
    )
    class_names = tables[0].class_names(columns.label) if labelled and columns.label is not None else None
    return Records(
        name,
        texts,
        pairs if columns.pair is not None else None,
        labels if labelled else None,
        provenance,
        class_names,
    )


def usable_rows(
    records: Records, *, training: bool, max_chars: int | None, drop_long: bool, drop_empty: bool
) -> tuple[Records, list[str]]:
    """Return the rows that can be used, with every text a string, and notes on those that were left out.

    Args:
        records: raw rows.
        training: they are trained on: empty and endless texts are errors, unless they are to be dropped.
        max_chars: number of characters above which a text is endless; None for 100,000.
        drop_long: drop endless training texts.
        drop_empty: drop empty training texts.

    Raises:
        DataError: a text is not a string or cannot be encoded, a text to train on is empty or endless, or no
            row is left.
    """
    if not len(records):
        raise DataError(
            f"{records.provenance.sources[0]} holds no rows.",
            accepted={"rows": "at least one"},
            fix="give a file with rows",
        )
    for column in records.text_columns:
        require_strings(column, records)
    notes: list[str] = []
    if training:
        empty = _empty_rows(records, drop=drop_empty, notes=notes)
        limit = DEFAULT_MAX_CHARS if max_chars is None else max_chars
        endless = _endless_rows(records, limit=limit, drop=drop_long, besides=empty, notes=notes)
        if empty or endless:
            records = records.without(sorted(empty | endless))
    if not len(records):
        raise DataError(
            f"{records.provenance.sources[0]}: no row is left.",
            accepted={"left out": "; ".join(notes)},
            fix="a file with texts, or another column of the text"
            if records.labels is None
            else "a file with texts and labels, or another column of the text or label",
        )
    texts = ["" if is_missing(text) else text for text in records.texts]
    pairs = None if records.pairs is None else ["" if is_missing(pair) else pair for pair in records.pairs]
    return replace(records, texts=texts, pairs=pairs), notes


def _empty_rows(records: Records, *, drop: bool, notes: list[str]) -> set[int]:
    """Return the rows without a text to train on, and note them; raise DataError if they are not to be dropped."""
    columns = records.text_columns
    rows = [
        row
        for row in range(len(records))
        if all(is_blank(column[row]) for column in columns) or any(is_missing(column[row]) for column in columns)
    ]
    if rows and not drop:
        raise DataError(
            f"{records.provenance.places(rows)}: "
            f"{'an empty text' if len(rows) == 1 else f'{len(rows):,} empty texts'} to train on.",
            fix=option("drop_empty", note=", to leave such rows out"),
        )
    if rows:
        notes.append(f"{records.name}: {counted(len(rows))} with an empty text left out")
    return set(rows)


def require_strings(column: list[Any], records: Records) -> None:
    """Refuse a column with a value that is neither a usable string nor missing; the error names the row."""
    for row, text in enumerate(column):
        if type(text) is str:
            if text.isascii():
                if "\0" not in text:
                    continue
            elif "\0" not in text:
                try:
                    text.encode("utf-8")
                    continue
                except UnicodeEncodeError as error:
                    what = f"half a character (U+{ord(text[error.start]):04X}) at position {error.start}"
                    raise DataError(
                        f"{records.provenance.where(row)}: the text holds {what}.",
                        accepted={"text": "anything that UTF-8 can encode"},
                        fix="correct or remove that row",
                    ) from None
            raise DataError(
                f"{records.provenance.where(row)}: the text holds a NUL at position {text.index(chr(0))}.",
                accepted={"text": "no U+0000; the file may be damaged"},
                fix="correct or remove that row",
            )
        if not is_missing(text):
            raise DataError(
                f"{records.provenance.where(row)}: the text is {_described(text)}.",
                accepted={"text": "a string"},
                fix=_OTHER_TEXT,
            )


def _endless_rows(records: Records, *, limit: int, drop: bool, besides: set[int], notes: list[str]) -> set[int]:
    """Return the rows, besides some, with a text of more than ``limit`` characters, and note them.

    Raises:
        DataError: there are some, and they are not to be dropped.
    """
    columns = records.text_columns
    rows = {
        row
        for column in columns
        for row, text in enumerate(column)
        if text is not None and row not in besides and len(text) > limit
    }
    if not rows:
        return set()
    longest = max(len(column[row]) for column in columns for row in rows)
    if not drop:
        raise DataError(
            f"{records.provenance.places(sorted(rows))}: "
            + ("a text of " if len(rows) == 1 else f"{len(rows):,} texts of up to ")
            + f"{longest:,} characters to train on.",
            accepted={"max_chars": f"{limit:,}"},
            fix=[
                option("drop_long", note=", to leave such rows out"),
                option("max_chars", longest, note=", to keep them: all but their first max_tokens tokens are cut off"),
            ],
        )
    notes.append(f"{records.name}: {counted(len(rows))} with over {limit:,} characters left out")
    return rows


def _described(value: Any) -> str:
    if isinstance(value, bool | int | float):
        return f"a number, {value!r}"
    names: dict[type, str] = {list: "a list", dict: "an object", tuple: "a tuple", bytes: "bytes"}
    return names.get(type(value), f"of type {type(value).__name__}")
