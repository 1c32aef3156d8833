"""From tables of words with tags, or of texts with spans, to checked rows whose labels are IOB2 tags of words.

Words that are given are joined by single spaces; words of a text are found as `liteft.words` cuts it. Semantic roles
have a row for each predicate of a text, which is marked.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from liteft.data.cells import counted, is_empty, is_list, is_missing
from liteft.data.dataset import MAIN_SPLITS, Provenance
from liteft.data.findings import short_place
from liteft.data.labelling import labelled_rows
from liteft.data.labels import OTHER_LABEL, label_name, numbered
from liteft.data.notes import worded
from liteft.data.records import Records, usable_rows
from liteft.data.rows import RowFile
from liteft.data.spans import NO_TAG, SpanReader
from liteft.data.tables import Source, Table
from liteft.data.tag_schemes import (
    OUTSIDE,
    Scheme,
    Spelling,
    find_scheme,
    find_spelling,
    has_prefix,
    odd_tags,
    scheme_of_split,
    tag_order,
)
from liteft.data.word_columns import WordColumns
from liteft.errors import DataError, option
from liteft.privacy import quoted, shown, shown_names
from liteft.ragged import Ragged
from liteft.words import find_words, joined_words, words_of_texts

__all__ = ["WordForm", "read_given_words", "read_word_rows"]

Tags = tuple[str, ...]
_WHOLE = re.compile(r"-?[0-9]{1,18}")
_IGNORED = -100  # what losses of torch and transformers leave out
_NO_ROLE = {"_", "O", "", "*", "-"}
_PREDICATES_OWN = re.compile(r"(?:[BIESLU]-)?(?:C-)?V")
_LONG_TEXT = 100  # words, more than a sentence has
_CONTINUED = 0.25  # share of labelled words with the label of the word before, above which runs of words are spans


@dataclass(frozen=True)
class WordForm:
    """How words and their labels are read.

    Attributes:
        columns: of the words or texts, and of the labels.
        names: what integers stand for.
        max_chars, drop_long, drop_empty: as for ``load_dataset``.
    """

    columns: WordColumns
    names: tuple[str, ...] | None
    max_chars: int | None
    drop_long: bool
    drop_empty: bool


def read_word_rows(source: Source, form: WordForm, notes: list[str]) -> dict[str, Records]:
    """Return the rows of all splits, with their words, and IOB2 tags as their labels.

    Args:
        source: the opened source.
        form: what is read, and how.
        notes: receives a sentence for each decision.

    Raises:
        DataError: a row cannot be read, or there is only one tag to learn.
    """
    splits: dict[str, Records] = {}
    for name, tables in source.splits.items():
        records = _raw_rows(name, tables, form, source.splits["train"][0].name, notes)
        if records is None:
            continue
        records, left_out = usable_rows(
            records,
            training=name == "train",
            max_chars=form.max_chars,
            drop_long=form.drop_long,
            drop_empty=form.drop_empty,
        )
        notes += left_out
        splits[name] = records if records.words is not None else replace(records, words=words_of_texts(records.texts))
    tags = {name: _tags(records, form, notes) for name, records in splits.items() if records.labels is not None}
    for name in [name for name, rows in tags.items() if name == "train"]:
        splits[name], tags[name] = _readable(splits[name], tags[name], notes)
    roles = any(records.marked is not None for records in splits.values())
    if form.columns.kind != "spans":
        tags = _respelt(tags, notes, roles=roles)
    if roles:
        tags = _roles(tags, splits, notes)
    elif form.columns.kind != "spans":
        _refuse_odd(tags["train"], splits["train"])
    tags = _as_iob2(tags, splits, notes, spans=form.columns.kind == "spans")
    trained = {tag for row in tags["train"] if row is not None for tag in row}
    for name, rows in tags.items():
        splits[name] = labelled_rows(
            splits[name], rows, trained, column=form.columns.label, drop_empty=form.drop_empty, notes=notes
        )
    _require_tags(splits["train"], form)
    return splits


def _texts_of_words(cells: Sequence[Any], provenance: Provenance) -> tuple[list[str], Ragged]:
    """Return cells of lists of words as texts, with a space between words, and where the words are in them.

    Raises:
        DataError: a cell is not a list, or a word is not a string or is empty.
    """
    rows = []
    for row, cell in enumerate(cells):
        words = [] if is_missing(cell) else list(cell) if is_list(cell) else None
        if words is None:
            raise DataError(
                f"{provenance.where(row)}: the words are {quoted(cell)}, not a list.",
                accepted={"words": "a list of strings in every row"},
                fix="write this row's words as the others are",
            )
        for at, word in enumerate(words, 1):
            if not isinstance(word, str) or not word.strip():
                what = f"is {quoted(word)}, not a string" if not isinstance(word, str) else "is empty"
                raise DataError(
                    f"{provenance.where(row)}: word {at} of {len(words)} {what}.",
                    accepted={"words": "strings with a visible character"},
                    fix="correct that word, or remove it with its tag",
                )
        rows.append(words)
    return joined_words(rows)


def read_given_words(name: str, tables: Sequence[Table], columns: WordColumns) -> Records:
    """Return the rows of tables that have words, without labels; those of predicates for each of them."""
    notes: list[str] = []
    form = WordForm(columns, None, None, drop_long=False, drop_empty=True)
    records = _raw_rows(name, tables, form, tables[0].name, notes)
    assert records is not None or name not in MAIN_SPLITS
    if records is None:
        raise DataError(f"{tables[0].name}: {notes[0]}.", fix=option("text", "COLUMN"))
    return records


def _raw_rows(name: str, tables: Sequence[Table], form: WordForm, train: str, notes: list[str]) -> Records | None:
    """Read one split: its texts, and cells of tags or spans as labels; None for an extra one that lacks the words."""
    columns = form.columns
    for table in tables:
        needed = [columns.text, *([columns.label] if name in ("train", "validation") and columns.label else [])]
        lacking = next((column for column in needed if column not in table.columns), None)
        if lacking is not None and name not in MAIN_SPLITS:
            notes.append(f"{name} left out: it has no column {lacking!r}")
            return None
        if lacking is not None:
            raise DataError(
                f"{table.name} has no column {lacking!r}, which {train} has.",
                accepted={"columns": ", ".join(shown_names(table.columns))},
                fix="give all files the same columns",
            )
    held = {column: all(column in table.columns for table in tables) for column in columns.names}
    cells: dict[str, list[Any]] = {column: [] for column, there in held.items() if there}
    places, sources = [], []
    others: dict[int, str] = {}
    for index, table in enumerate(tables):
        values, rows = table.read(list(cells))
        if name == "train" and not form.drop_empty and any(cell is None for cell in values[columns.text]):
            before = len(cells[columns.text])
            others |= {before + row: keys for row, keys in _without_column(table, columns.text).items()}
        for column, found in cells.items():
            joined = columns.joined and column != columns.predicate
            found += [_pieces(cell) for cell in values[column]] if joined else values[column]
        places.append(rows)
        sources.append(np.full(len(rows), index, dtype=np.int32))
    provenance = Provenance(
        tuple(table.name for table in tables), np.concatenate(sources), np.concatenate(places), tables[0].unit
    )
    if others:
        raise _other_columns(others, provenance, len(cells[columns.text]), columns.text)
    label = columns.label if columns.label in cells else None
    records = Records(
        name,
        cells[columns.text],
        None,
        None if label is None else cells[label],
        provenance,
        None if label is None else tables[0].class_names(label),
    )
    if columns.answer in cells:
        records = _accepted(records, cells[columns.answer], notes)
    if columns.kind != "spans":
        texts, words = _texts_of_words(records.texts, records.provenance)
        records = replace(records, texts=list(texts), words=words)
        if name == "train" and form.columns.label is not None and isinstance(tables[0], RowFile):
            _require_blank_lines(tables[0], words)
        if name == "train":
            notes += _cut_further(records)
    if columns.predicate is None or columns.predicate not in cells:
        return records
    predicates = cells[columns.predicate]
    return _per_predicate(records, predicates, notes) if columns.kind == "args" else _marked(records, predicates, notes)


def _without_column(table: Table, column: str) -> dict[int, str]:
    """Return the rows of a file of JSON that lack a column, and the columns that they have."""
    if not isinstance(table, RowFile) or table.format not in ("jsonl", "json"):
        return {}
    rows = enumerate(row for _, row in table.rows())
    return {number: ", ".join(row) for number, row in rows if column not in row}


def _other_columns(rows: Mapping[int, str], provenance: Provenance, count: int, column: str) -> DataError:
    """Return the error of rows to train on that have other columns than those that are read."""
    what = "a row has" if len(rows) == 1 else f"{len(rows):,} of {count:,} rows have"
    return DataError(
        f"{provenance.places(list(rows))}: {what} no column {column!r}, which the others have.",
        accepted={"their columns": "; ".join(dict.fromkeys(keys or "none" for keys in list(rows.values())[:100]))},
        fix=["write all rows in one form", option("drop_empty", note=", to leave such rows out")],
    )


def _require_blank_lines(table: RowFile, words: Ragged) -> None:
    """Refuse a CoNLL file of one text to train on: where blank lines are missing, all texts are one."""
    if table.format == "conll" and len(words) == 1 and len(words.values) > _LONG_TEXT:
        raise DataError(
            f"{table.name} is one text of {len(words.values):,} words, as no blank line ends one before.",
            accepted={"format": "a word and its tags per line, and a blank line after each text"},
            fix="put a blank line after each text, such as a sentence",
        )


def _cut_further(records: Records) -> list[str]:
    """Return a note if words that are given are more than one where a text is cut into words."""
    assert records.words is not None
    bounds, rows = records.words.values.tolist(), records.words.row_numbers.tolist()
    counts = Counter(records.texts[row][start:end] for row, (start, end) in zip(rows, bounds, strict=True))
    cut = {word: count for word, count in counts.items() if len(find_words(word)) > 1}
    if not cut:
        return []
    example = max(cut, key=lambda word: cut[word])
    return [
        f"train: {sum(cut.values()):,} of {len(bounds):,} words would be cut further in a plain text, such as "
        f"{quoted(example)}: give the model lists of words where there are such"
    ]


def _pieces(cell: Any) -> Any:
    """Return what spaces separate in a string; None for an empty one, as a missing cell of csv is."""
    return cell.split() or None if isinstance(cell, str) else cell


def _accepted(records: Records, answers: list[Any], notes: list[str]) -> Records:
    """Return the rows that an annotator of Prodigy accepted; of these, a row without spans has none to label."""
    labels = None if records.labels is None else [[] if is_missing(cell) else cell for cell in records.labels]
    others = [row for row, answer in enumerate(answers) if answer in ("reject", "ignore")]
    if others:
        notes.append(f"{records.name}: {counted(len(others))} left out: answered 'reject' or 'ignore'")
    return replace(records, labels=labels).without(others)


def _marked(records: Records, predicates: list[Any], notes: list[str]) -> Records:
    """Return rows with the number of their predicate; of labelled ones, those that have one."""
    assert records.words is not None
    read = [-1 if _is_no_predicate(cell) else _predicate_number(records, row, cell)
            for row, cell in enumerate(predicates)]  # fmt: skip
    marked = np.array(read, dtype=np.int64)
    wrong = np.flatnonzero((marked >= records.words.lengths) | (marked < -1))
    if len(wrong):
        row = int(wrong[0])
        raise _no_such_predicate(records, row, int(marked[row]))
    found = replace(records, marked=marked)
    without = np.flatnonzero(marked == -1).tolist()
    if records.labels is None or not without:
        return found
    place = short_place(records.provenance.places(without))
    notes.append(f"{records.name}: {counted(len(without))} without a predicate left out ({place})")
    return found.without(without)


def _is_no_predicate(cell: Any) -> bool:
    return is_empty(cell.item() if isinstance(cell, np.generic) else cell)


def _predicate_number(records: Records, row: int, cell: Any) -> int:
    """Return the number of a predicate: a whole number, or its digits.

    Raises:
        DataError: it is neither.
    """
    value = cell.item() if isinstance(cell, np.generic) else cell
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str) and _WHOLE.fullmatch(value.strip()):
        return int(value)
    raise DataError(
        f"{records.provenance.where(row)}: the predicate is {quoted(value)}, not the number of a word.",
        accepted={"predicate": "the number of a word, counted from 0"},
        fix=["correct or remove that row", "rename or remove the column, if it holds something else"],
    )


def _no_such_predicate(records: Records, row: int, predicate: object) -> DataError:
    assert records.words is not None
    return DataError(
        f"{records.provenance.where(row)}: the predicate is word {predicate!r}, "
        f"and the text has {len(records.words[row])} words.",
        accepted={"predicate": "the number of a word, counted from 0"},
        fix="correct or remove that row",
    )


def _per_predicate(records: Records, predicates: list[Any], notes: list[str]) -> Records:
    """Return a row for each predicate of each text, with its own labels."""
    assert records.words is not None
    rows: list[int] = []
    marked: list[int] = []
    labels: list[Any] = []
    for row, cell in enumerate(predicates):
        if not is_missing(cell) and not is_list(cell):
            raise DataError(
                f"{records.provenance.where(row)}: the predicates are {quoted(cell)}, not a list.",
                accepted={"predicates": "a list with the number of each predicate's word, counted from 0"},
                fix="correct or remove that row",
            )
        own = [] if is_missing(cell) else list(cell)
        args = None if records.labels is None else records.labels[row]
        args = [] if args is None else list(args)
        if records.labels is not None and len(args) != len(own):
            raise DataError(
                f"{records.provenance.where(row)}: {len(own)} predicates and {len(args)} lists of their arguments.",
                accepted={"arguments": "a list for each predicate, with a label for each word"},
                fix="correct or remove that row",
            )
        for number, one in enumerate(own):
            at = one[0] if is_list(one) and len(one) else one
            at = _predicate_number(records, row, at)
            if not 0 <= at < len(records.words[row]):
                raise _no_such_predicate(records, row, at)
            rows.append(row)
            marked.append(at)
            labels.append(args[number] if args else None)
    without = len(predicates) - len(set(rows))
    notes.append(
        f"{records.name}: a row for each of {len(rows):,} predicates"
        + (f"; {without:,} texts without one left out" if without else "")
    )
    found = records.take(np.array(rows, dtype=np.int64))
    return replace(found, marked=np.array(marked, dtype=np.int64), labels=None if records.labels is None else labels)


def _tags(records: Records, form: WordForm, notes: list[str]) -> list[Tags | None]:
    """Return the tags of each row's words as they are; None for a row without any."""
    assert records.words is not None and records.labels is not None
    if form.columns.kind == "spans":
        return _tags_of_spans(records, form, notes)
    cells = records.labels if form.names is None else numbered(records.labels, form.names, records.provenance)
    class_names = form.names if form.names is not None else records.class_names
    read: dict[Any, str | None] = {}
    role = records.marked is not None
    return [
        _tags_of_row(cell, count, class_names, records.provenance, row, read, role=role)
        for row, (cell, count) in enumerate(zip(cells, records.words.lengths.tolist(), strict=True))
    ]


def _tags_of_row(
    cell: Any,
    count: int,
    class_names: tuple[str, ...] | None,
    provenance: Provenance,
    row: int,
    read: dict[Any, str | None],
    *,
    role: bool,
) -> Tags | None:
    if is_missing(cell):
        return None
    values = list(cell) if is_list(cell) else None
    if values is None or len(values) != count:
        what = f"{len(values):,} tags for {count:,} words" if values is not None else "the tags are not a list"
        raise DataError(
            f"{provenance.where(row)}: {what}.",
            accepted={"tags": "a list with one for each word"},
            fix=["correct or remove that row", OTHER_LABEL],
        )
    if values and all(is_missing(value) or (class_names is not None and value in (-1, "-1")) for value in values):
        return None
    found = []
    for at, value in enumerate(values, 1):
        key = (type(value), value) if isinstance(value, str | int | float | np.generic) else None
        if key is None or key not in read:
            if key is not None and value in (_IGNORED, str(_IGNORED)):
                raise DataError(
                    f"{provenance.where(row)}: the tag of word {at} is {_IGNORED}, the mark of training code for "
                    "tokens without a tag.",
                    accepted={"tags": "one for each word, such as O for none"},
                    fix="give the words and their tags as they were before tokenization",
                )
            try:
                name = label_name(value, class_names)
            except ValueError as error:
                raise DataError(
                    f"{provenance.where(row)}: the tag of word {at} is {error}.",
                    accepted={"tags": "strings, or numbers of the names"},
                    fix=["correct or remove that row", option("label_names", ["O", "B-PER", "I-PER"])],
                ) from None
            if key is not None:
                read[key] = name
        name = read[key] if key is not None else name
        if name is None and role:
            name = OUTSIDE
        if name is None:
            raise DataError(
                f"{provenance.where(row)}: word {at} of {count} has no tag.",
                accepted={"tags": "one for each word, such as O for none"},
                fix="correct or remove that row",
            )
        found.append(name)
    return tuple(found)


def _tags_of_spans(records: Records, form: WordForm, notes: list[str]) -> list[Tags | None]:
    assert records.words is not None and records.labels is not None
    reader = SpanReader()
    bounds, offsets = records.words.values.tolist(), records.words.offsets.tolist()
    tags: list[Tags | None] = []
    for row, (cell, text) in enumerate(zip(records.labels, records.texts, strict=True)):
        words = [tuple(bound) for bound in bounds[offsets[row] : offsets[row + 1]]]
        where = records.provenance.where(row)
        tags.append(None if is_missing(cell) else reader.tags(cell, text, words, row, where))
    if not form.drop_empty:
        reader.refuse_misfits(records.provenance)
    for count, what in (
        (reader.trimmed, "with white space around them, which is left out"),
        (reader.repeated, "repeated, of which one counts"),
    ):
        if count:
            notes.append(f"{records.name}: {count:,} span{'s' if count > 1 else ''} {what}")
    if reader.misfits and records.name != "train":
        rows = list(dict.fromkeys(misfit.row for misfit in reader.misfits))
        notes.append(
            f"{records.name}: spans of {counted(len(rows))} overlap or are not of whole words, and count as wrong "
            f"({short_place(records.provenance.places(rows))})"
        )
    return tags


def _readable(records: Records, tags: list[Tags | None], notes: list[str]) -> tuple[Records, list[Tags | None]]:
    """Return the rows to train on without those with spans that one tag for each word cannot say."""
    misfit = [row for row, names in enumerate(tags) if names is not None and NO_TAG in names]
    if not misfit:
        return records, tags
    notes.append(
        f"{records.name}: {counted(len(misfit))} left out whose spans overlap or are not of whole words "
        f"({short_place(records.provenance.places(misfit))})"
    )
    gone = set(misfit)
    return records.without(misfit), [names for row, names in enumerate(tags) if row not in gone]


def _all_tags(rows: Iterable[Tags | None]) -> set[str]:
    return {tag for row in rows if row is not None for tag in row}


def _respelt(tags: Mapping[str, list[Tags | None]], notes: list[str], *, roles: bool) -> dict[str, list[Tags | None]]:
    """Return tags with prefixes as schemes have them, such as B-X for b_X; note those with a letter behind the type."""
    outside = _NO_ROLE | {"V"} if roles else set()
    known = {tag for tag in _all_tags(tags["train"]) if tag not in outside}
    spelling = find_spelling(known)
    spans = (spelling is not None and not spelling.suffixed) or bool(find_scheme([tuple(known)]).name)
    found = dict(tags)
    for name, rows in tags.items():
        own = {tag for tag in _all_tags(rows) if tag not in outside}
        spelling = find_spelling(own, sure=spans and name != "train")
        if spelling is not None and spelling.suffixed:
            notes.append(
                f"{name}: tags such as {spelling.example!r} are read without prefixes, each with its letter as a type "
                f"of its own; write {spelling.written!r} for spans"
            )
        elif spelling is not None:
            notes.append(f"{name}: tags such as {spelling.example!r} are read as {spelling.written!r}")
            found[name] = [None if row is None else tuple(map(Spelling.respelt, row)) for row in rows]
    return found


def _refuse_odd(rows: Sequence[Tags | None], records: Records) -> None:
    """Refuse tags without a prefix among those of spans.

    Raises:
        DataError: there are such; it names one with its place.
    """
    odd = odd_tags(_all_tags(rows))
    if not odd:
        return
    row, at = next(
        (row, at) for row, tags in enumerate(rows) for at, tag in enumerate(tags or ()) if tag in odd
    )  # fmt: skip
    own = rows[row]
    assert own is not None
    count = sum((tags or ()).count(own[at]) for tags in rows)
    others = f", as {len(odd) - 1:,} other tag{'s' if len(odd) > 2 else ''}" if len(odd) > 1 else ""
    where = records.provenance.where(row)
    first = ["remove that line, if it names the columns"] if at == 0 and where.endswith(", line 1") else []
    raise DataError(
        f"{where}: the tag of word {at + 1} is {shown(own[at])!r} ({count:,} in {records.name}), "
        f"without a prefix such as B- that others have{others}.",
        accepted={"tags": "O, or a prefix and a type, such as B-PER and I-PER; or no prefixes at all"},
        fix=["correct that tag, or write O if the word is in no span", *first],
    )


def _roles(
    tags: Mapping[str, list[Tags | None]], splits: Mapping[str, Records], notes: list[str]
) -> dict[str, list[Tags | None]]:
    """Return labels of arguments as tags: outside where a word is none, and the predicate itself is not one."""
    bare = {
        name: [
            None if row is None else tuple(
                OUTSIDE if tag in _NO_ROLE or _PREDICATES_OWN.fullmatch(tag) else tag for tag in row
            )
            for row in rows
        ]
        for name, rows in tags.items()
    }  # fmt: skip
    trained: bool | None = None
    for name in sorted(bare, key=lambda name: name != "train"):
        _refuse_odd(bare[name], splits[name])
        labels = _all_tags(bare[name]) - {OUTSIDE}
        if all(map(has_prefix, labels)):
            continue
        runs = _in_runs(bare[name]) if trained is None else trained
        trained = runs if name == "train" else trained
        if name == "train" or trained is None:
            how = "runs of words with the same label are spans" if runs else "labels stand on single words, each a span"
            notes.append(f"{'' if name == 'train' else f'{name}: '}arguments: {how}")
        bare[name] = [None if row is None else _begun(row, runs) for row in bare[name]]
    return bare


def _in_runs(rows: Sequence[Tags | None]) -> bool:
    """Return whether words beside each other often have the same label."""
    labelled = continued = 0
    for row in rows:
        for at, tag in enumerate(row or ()):
            if tag != OUTSIDE:
                labelled += 1
                continued += bool(at and row and row[at - 1] == tag)
    return continued >= _CONTINUED * labelled


def _begun(row: Tags, runs: bool) -> Tags:
    """Return labels with prefixes; ``runs``: words with the same label are one span."""
    before = ("", *row)
    return tuple(
        tag if tag == OUTSIDE else f"{'I' if runs and before[at] == tag else 'B'}-{tag}" for at, tag in enumerate(row)
    )


def _own_scheme(scheme: Scheme, rows: Sequence[Tags | None], records: Records, notes: list[str]) -> Scheme:
    """Return the scheme of a split that is not to be trained on, and note it if it is another.

    Raises:
        DataError: its tags have prefixes and those of train none, or the other way round.
    """
    own = scheme_of_split((row for row in rows if row is not None), scheme)
    if own is not None:
        if own.name != scheme.name:
            notes.append(f"{records.name}: tags read as {own.name}, unlike {scheme.name} of train")
        return own
    row, tag = next((row, tag) for row, tags in enumerate(rows) for tag in tags or () if tag != OUTSIDE)
    how = "of another form than those" if scheme.name else "for spans, unlike those"
    raise DataError(
        f"{records.provenance.where(row)}: the tags, such as {shown(tag)!r}, are {how} of train.",
        accepted={"tags of train": f"{scheme.name}, {'without' if scheme.untyped else 'with'} types"
                  if scheme.name else "without prefixes such as B-"},
        fix=f"write the tags of {records.name} and train alike",
    )  # fmt: skip


def _as_iob2(
    tags: Mapping[str, list[Tags | None]], splits: Mapping[str, Records], notes: list[str], *, spans: bool
) -> dict[str, list[Tags | None]]:
    """Return tags as IOB2, and note the scheme and the rows that it does not allow."""
    trained = find_scheme(row for row in tags["train"] if row is not None)
    if trained.name not in ("", "IOB2"):
        notes.append(f"tags read as {trained.name}, and turned into IOB2")
    if trained.untyped:
        notes.append("tags without a type: their spans are called SPAN")
    one = spans or not _all_tags(tags["train"]) - {OUTSIDE}
    found: dict[str, list[Tags | None]] = {}
    for name, rows in tags.items():
        scheme = trained if one or name == "train" else _own_scheme(trained, rows, splits[name], notes)
        read = [None if row is None else scheme.iob2(row) for row in rows]
        found[name] = [None if row is None else row[0] for row in read]
        broken = [at for at, row in enumerate(read) if row is not None and not row[1]]
        if broken:
            texts = f"{len(broken):,} texts" if len(broken) > 1 else "1 text"
            notes.append(
                f"{name}: tags of {texts} are not legal {scheme.name}; where a span cannot go on, a new one begins "
                f"({short_place(splits[name].provenance.places(broken))})"
            )
    plain = {tag for row in found["train"] if row is not None for tag in row}
    if plain and all(re.fullmatch(r"\d+", tag) for tag in plain):
        hint = option("label_names", ["O", "B-PER", "I-PER"], note=" names them")
        notes.append(worded("tags are numbers, so no spans can be told from them", hint))
    return found


def _require_tags(train: Records, form: WordForm) -> None:
    """Refuse tags to train on that are all alike."""
    classes = tag_order(tag for row in train.labels or () for tag in row)
    if len(classes) >= 2:
        return
    spans = form.columns.kind == "spans"
    seen = f"only the tag {classes[0]!r}" if classes and not spans else "no spans" if spans else "no tags"
    raise DataError(
        f"{train.provenance.sources[0]}: the column {form.columns.label!r} holds {seen}.",
        accepted={"labels": "two tags at least, or one type of spans"},
        fix=OTHER_LABEL,
    )
