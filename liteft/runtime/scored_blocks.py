"""Blocks of a table and the columns that are added to them, from Arrow to Arrow: what scores tables of any size.

The other columns of a row never become Python objects. A text becomes a string, which the tokenizer needs; one that was
computed before, in this block or an earlier one, is not computed again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from liteft.runtime.inputs import Text
from liteft.runtime.repeats import Repeats, text_digest
from liteft.runtime.row_formats import added_fields, require_pyarrow
from liteft.runtime.scored_rows import RowScorer
from liteft.runtime.word_texts import WordText

__all__ = ["BlockScorer", "Counts"]


@dataclass(slots=True)
class Counts:
    """What happened to rows.

    Attributes:
        rows: number of rows.
        refused: those without a usable text, whose predictions are null.
        truncated: those whose prediction says ``truncated``.
        empty: those whose text was empty or only white space.
        repeated: those whose text was the same as an earlier one, and was not computed again.
    """

    rows: int = 0
    refused: int = 0
    truncated: int = 0
    empty: int = 0
    repeated: int = 0

    def add(self, other: Counts) -> None:
        """Add other counts to these."""
        for each in fields(Counts):
            setattr(self, each.name, getattr(self, each.name) + getattr(other, each.name))


class BlockScorer:
    """Adds predictions to blocks of a table.

    Args:
        scorer: reads the texts and predicts.
        keep: the columns to keep; None for all.
        repeats: where results are found again; None looks within each block alone.

    Attributes:
        counts: of all blocks so far.
        texts: SHA-256 over the digests of all texts so far, in order.
        reads: the columns of the texts.
    """

    def __init__(self, scorer: RowScorer, *, keep: Sequence[str] | None = None, repeats: Repeats | None = None) -> None:
        self._arrow = require_pyarrow("scoring tables")
        self._scorer = scorer
        self._keep = keep
        self._repeats = repeats
        self._fields = added_fields(scorer.added)
        self._results = self._arrow.schema([*self._fields.values(), self._arrow.field("", self._arrow.bool_())])
        self.counts = Counts()
        self.texts = hashlib.sha256()
        self.reads = scorer.columns

    def schema(self, given: Any) -> Any:
        """Return the pyarrow schema of the output for that of the input.

        Raises:
            DataError: an added column would overwrite one that is kept.
        """
        kept = given if self._keep is None else self._arrow.schema([given.field(name) for name in self._keep])
        self._scorer.check_names(kept.names, "the input")
        return self._arrow.schema([*kept, *self._fields.values()])

    def score(self, table: Any, place: Callable[[int], str], values: Mapping[str, Sequence[Any]] | None = None) -> Any:
        """Return a block with the added columns.

        Args:
            table: a pyarrow table with the columns that are kept.
            place: returns the place of a row of the block, for messages.
            values: column -> values of the texts; None if the table holds them.

        Raises:
            DataError: a row has no usable text, and ``on_error`` is "raise".
            DeviceError: the backend failed.
        """
        if values is None:
            values = {name: table.column(name).to_pylist() for name in self.reads}
        texts = self._texts(values, place)
        results, rows = self._scored(texts)
        refused = results.column(results.num_columns - 1).to_numpy(zero_copy_only=False)
        self._count(texts, refused, rows, place)
        kept = table if self._keep is None else table.select(list(self._keep))
        added = results.select(list(range(len(self._fields))))
        if len(added) != len(rows) or (rows != np.arange(len(rows))).any():
            added = added.take(self._arrow.array(rows, mask=rows < 0))
        schema = self._arrow.schema([*kept.schema, *self._fields.values()])
        return self._arrow.Table.from_arrays([*kept.columns, *added.columns], schema=schema)

    def _texts(self, given: Mapping[str, Sequence[Any]], place: Callable[[int], str]) -> list[Text | WordText | None]:
        columns = [given[name] for name in self.reads]
        where = _Where(place)
        texts = []
        for where.row, values in enumerate(zip(*columns, strict=True)):
            texts.append(self._scorer.text_of(dict(zip(self.reads, values, strict=True)), where))
        return texts

    def _scored(self, texts: Sequence[Text | WordText | None]) -> tuple[Any, np.ndarray]:
        """Return results, and the row of them that each text has: int64 (texts,), -1 for None.

        Results are a pyarrow table with the added columns and a last one that says which texts the model refused.
        """
        some = np.array([row for row, text in enumerate(texts) if text is not None], dtype=np.int64)
        digests = b"".join(text_digest(text) for text in texts if text is not None)
        self.texts.update(digests)
        keys = np.frombuffer(digests, dtype=np.uint64).reshape(-1, 2)
        earlier = np.full(len(keys), -1) if self._repeats is None else self._repeats.find(keys)
        numbers, of_earlier = np.unique(earlier[earlier >= 0], return_inverse=True)
        new = np.flatnonzero(earlier < 0)
        firsts, of_new = _distinct(keys[new])
        fresh = self._computed([texts[row] for row in some[new[firsts]].tolist()])
        if self._repeats is not None:
            self._repeats.add(keys[new[firsts]], fresh)
        results, at = fresh, np.full(len(texts), -1, dtype=np.int64)
        if len(numbers) and self._repeats is not None:
            results = self._arrow.concat_tables([self._repeats.results(numbers), fresh]).combine_chunks()
        at[some[earlier >= 0]] = of_earlier
        at[some[new]] = len(numbers) + of_new
        self.counts.repeated += len(keys) - len(firsts)
        return results, at

    def _computed(self, texts: Sequence[Text | WordText | None]) -> Any:
        """Return the results of different texts; truncated ones are counted by what the last column says."""
        cells, marks = [], []
        for values, truncated in self._scorer.scored(texts):
            cells.append(values)
            marks.append(None if values is None else truncated)
        columns = [
            self._arrow.array([None if row is None else row[place] for row in cells], type=field.type)
            for place, field in enumerate(self._fields.values())
        ]
        marked = self._arrow.array(marks, type=self._arrow.bool_())
        return self._arrow.Table.from_arrays([*columns, marked], schema=self._results)

    def _count(
        self,
        texts: Sequence[Text | WordText | None],
        marks: np.ndarray,
        rows: np.ndarray,
        place: Callable[[int], str],
    ) -> None:
        """Count the rows, and raise for the first whose text the model refused, if such rows are errors."""
        counts = self.counts
        missing = np.array([mark is None for mark in marks], dtype=bool)
        refused = (rows < 0) | (missing[rows] if len(missing) else True)
        for row in np.flatnonzero(refused).tolist():
            text = texts[row]
            if text is not None:
                self._scorer.refuse_text(text, place(row))
        counts.rows += len(texts)
        counts.refused += int(np.count_nonzero(refused))
        cut = np.array([bool(mark) for mark in marks], dtype=bool)
        counts.truncated += int(np.count_nonzero(cut[rows[rows >= 0]]))
        kept = zip(texts, refused.tolist(), strict=True)
        counts.empty += sum(text is not None and text.empty for text, without in kept if not without)


class _Where:
    """The place of the row that is being read; its text is only made for an error."""

    def __init__(self, place: Callable[[int], str]) -> None:
        self._place = place
        self.row = 0

    def __str__(self) -> str:
        return self._place(self.row)


def _distinct(keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return where each different key occurs first, ascending, and which of these each key is: int64 both."""
    if not len(keys):
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    whole = keys.view(np.dtype((np.void, keys.itemsize * 2))).ravel()
    _, first, inverse = np.unique(whole, return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    return first[order], rank[inverse.ravel()]
