"""Loading a data set that can be trained on from a file, folder, hub name or Python object.

The steps are always the same: open the source as tables; choose the columns by the training table; read and
check the rows; parse the labels; make the missing splits; turn labels into classes. Whatever the
loader decides on its own along the way is recorded in the data set's notes, which the check prints.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from liteft.data.annotations import annotated
from liteft.data.arguments import check_arguments, known_names, known_task, one_name
from liteft.data.cells import counted
from liteft.data.columns import Columns, choose_columns, second_texts
from liteft.data.dataset import MAIN_SPLITS, Dataset, Split
from liteft.data.label_columns import label_columns, with_label_columns
from liteft.data.label_forms import settle
from liteft.data.labels import (
    OTHER_LABEL,
    LabelNames,
    encode,
    infer_task,
    label_order,
    numbered,
    parse_labels,
    without_zeros,
)
from liteft.data.looks import Looks, look
from liteft.data.notes import worded
from liteft.data.records import Records, read_records, usable_rows
from liteft.data.sources import open_source
from liteft.data.splitting import carve, normalised
from liteft.data.tables import Source, Table
from liteft.errors import DataError, closest, option
from liteft.tasks import Task

__all__ = ["load_dataset"]


@dataclass
class _Loading:
    """The state of one call of ``load_dataset``: what it has read so far."""

    source: Source
    columns: Columns
    records: dict[str, Records]
    labels: dict[str, list[LabelNames]]
    notes: list[str]


def load_dataset(
    source: Any,
    *,
    text: str | None = None,
    pair: str | None = None,
    label: str | Sequence[str] | None = None,
    label_names: str | Sequence[str] | None = None,
    task: Task | str | None = None,
    encoding: str | None = None,
    delimiter: str | None = None,
    label_separator: str | None = None,
    validation_fraction: float = 0.1,
    test_fraction: float = 0.1,
    seed: int = 0,
    max_chars: int | None = None,
    drop_long: bool = False,
    drop_empty: bool = False,
) -> Dataset:
    """Read labelled text.

    Splits that the source lacks are made from its training split: stratified, seeded, with rows of the same
    normalised text on the same side. A split that exists is never changed.

    Args:
        source: a csv, tsv, jsonl, json, parquet or arrow file, compressed (.gz, .bz2, .xz, .zip) or not; an
            export of Prodigy, Label Studio, Doccano, Argilla or the hub's viewer; a folder of such files named
            train, dev (validation, valid, val) and test (others are extra splits), one written by ``save_to_disk``,
            or one with a folder of txt files per label; the name of a hub data set ("owner/name" or
            "owner/name:config"); a pandas DataFrame; a list of dicts or of (text, label) tuples; a dict of
            columns; or a dict of splits whose values are any of these or file names.
        text: column of the text; None to find it by its usual names ("text", "sentence", ...).
        pair: column of the second text; None to look for a usual name ("text_b", "sentence2", ...); "" for none.
        label: column of the label, or of a list of labels; None to find it by its usual names. Several columns
            (a list, or names separated by commas) each contain 0 or 1 and are the labels of a multi-label task.
        label_names: what integers and the positions of 0/1 vectors stand for, in order; a string is split at commas.
        task: "single_label" or "multi_label"; None to infer it from the labels.
        encoding: of text files; None for UTF-8, or as the byte-order mark says.
        delimiter: of csv and tsv; None to detect it in the first line.
        label_separator: splits a cell into several labels, "joy|love" at "|"; the task is then multi-label.
        validation_fraction: share of the rows for a validation split if there is none; 0 makes none.
        test_fraction: the same for a test split.
        seed: of the splits that are made.
        max_chars: longest text to train on, in characters; None for 100,000. Longer texts are an error.
        drop_long: drop longer texts instead.
        drop_empty: drop rows without a text to train on or without a label, instead of raising an error.

    Returns:
        Dataset. Its labels are those of the training split, sorted (by value if all are integers).

    Raises:
        DataError: something cannot be read or trained on; the message names the file, the row and what to do.
        ConfigError: a setting is out of range.
        MissingExtraError: parquet without pyarrow, a hub name without `datasets`.
    """
    if isinstance(source, Dataset):
        return source
    fractions = {"validation": validation_fraction, "test": test_fraction}
    check_arguments(text=text, pair=pair, label=label, encoding=encoding, delimiter=delimiter,
                    label_separator=label_separator, seed=seed, max_chars=max_chars,
                    fractions={f"{split}_fraction": share for split, share in fractions.items()})  # fmt: skip
    names = known_names(label_names)
    known = known_task(task, label_separator)
    opened = open_source(source, encoding=encoding, delimiter=delimiter)
    loading = _read(opened, text=text, pair=pair, label=label)
    _check_texts(loading, max_chars=max_chars, drop_long=drop_long, drop_empty=drop_empty)
    found = _parse(loading, task=known, separator=label_separator, names=names, drop_empty=drop_empty)
    _complete(loading, fractions, seed)
    return _assemble(loading, found)


def _read(source: Source, *, text: str | None, pair: str | None, label: str | Sequence[str] | None) -> _Loading:
    source, usual = annotated(source, label)
    train = source.splits["train"][0]
    several = label_columns(label, train.columns)
    if several:
        source = with_label_columns(source, several)
        train = source.splits["train"][0]
        label = ", ".join(several)
    hint = None
    if train.name.endswith((".csv", ".tsv", ".tab")):
        hint = "the first line of a csv or tsv file must contain the column names; add it if it does not"
    looks = look(train)
    columns = choose_columns(
        train.columns,
        source=train.name,
        text=text,
        pair=pair,
        label=usual if label is None else one_name(label),
        hint=hint,
        looks=looks,
    )
    loading = _Loading(source, columns, {}, {}, list(source.notes))
    if columns.note is not None:
        loading.notes.append(columns.note)
    loading.notes += _unread(train, columns, looks, pair)
    for name, tables in source.splits.items():
        wanted = (columns.text, columns.pair, columns.label if name in ("train", "validation") else None)
        needed = [column for column in wanted if column is not None]
        lacking = [(table, column) for table in tables for column in needed if column not in table.columns]
        if lacking and name not in MAIN_SPLITS:
            loading.notes.append(f"{Path(tables[0].name).name} left out: it has no column {lacking[0][1]!r}")
            continue
        for table, column in lacking:
            near = closest(column, table.columns)
            raise DataError(
                f"{table.name} has no column {column!r}, which {train.name} has.",
                accepted={"columns": ", ".join(table.columns)},
                fix=f"rename {near!r} to {column!r}" if near else "give all files the same columns",
            )
        loading.records[name] = read_records(name, tables, columns)
    return loading


def _unread(train: Table, columns: Columns, looks: Looks, pair: str | None) -> Iterator[str]:
    """Yield notes on columns that are not read but look as if they should be."""
    if columns.pair is None and pair is None:
        for name in second_texts(train.columns, columns, looks)[:2]:
            yield worded(f"the column {name!r} looks like a second text and is not read", option("pair", name),
                         " reads it with the first")  # fmt: skip
    others = [name for name in looks.binary if name not in columns.names]
    if columns.label in looks.binary and others:
        what = f"{len(others)} other column{'s' if len(others) > 1 else ''} of 0 and 1"
        yield worded(f"{what} not read", option("label", [columns.label, *others]), " makes each a label")


def _check_texts(loading: _Loading, **settings: Any) -> None:
    for name, records in loading.records.items():
        checked, notes = usable_rows(records, training=name == "train", **settings)
        loading.records[name] = checked
        loading.notes += notes


def _parse(
    loading: _Loading, *, task: Task | None, separator: str | None, names: tuple[str, ...] | None, drop_empty: bool
) -> Task:
    """Turn raw labels into names, in ``loading.labels``, which omits splits without labels."""
    labelled = {name: records for name, records in loading.records.items() if records.labels is not None}
    known = labelled["train"].class_names if names is None else names
    raw = settle(
        {name: records.labels or [] for name, records in labelled.items()},
        task=task,
        separator=separator,
        names=known,
        places={name: records.provenance for name, records in labelled.items()},
        column=str(loading.columns.label),
        notes=loading.notes,
    )
    task = task or infer_task(raw["train"], separator=separator)
    parsed: dict[str, list[LabelNames | None]] = {}
    for name, labels in raw.items():
        place = labelled[name].provenance
        parsed[name] = parse_labels(
            labels if names is None else numbered(labels, names, place),
            task=task,
            class_names=known if names is not None else labelled[name].class_names or known,
            provenance=place,
        )
    parsed = without_zeros(parsed)
    trained = {name for row in parsed["train"] if row is not None for name in row}
    for split, rows in parsed.items():
        _keep_labelled(loading, split, rows, trained, drop_empty)
    _check_classes(loading, task, separator)
    return task


def _keep_labelled(
    loading: _Loading, split: str, rows: list[LabelNames | None], known: set[str], drop_empty: bool
) -> None:
    records = loading.records[split]
    missing = [row for row, names in enumerate(rows) if names is None]
    withheld = "-1" not in known and all(names in (None, ("-1",)) for names in rows)
    if split not in ("train", "validation") and withheld:
        loading.notes.append(f"{split}: no labels: predicted, but not scored")
        return
    if missing and not drop_empty:
        raise DataError(
            f"{records.provenance.places(missing)}: "
            f"{'a row' if len(missing) == 1 else counted(len(missing))} without a label"
            + (f" in the column {loading.columns.label!r}." if loading.columns.label else "."),
            fix=option("drop_empty", note=", to leave such rows out"),
        )
    if missing:
        loading.notes.append(f"{split}: {counted(len(missing))} without a label left out")
        loading.records[split] = records.without(missing)
    loading.labels[split] = [names for names in rows if names is not None]


def _check_classes(loading: _Loading, task: Task, separator: str | None) -> None:
    rows = loading.labels["train"]
    where = loading.records["train"].provenance.sources[0]
    column = loading.columns.label
    classes = label_order(name for names in rows for name in names)
    if len(classes) < task.fewest_labels:
        raise DataError(
            f"{where}: the column {column!r} holds "
            + (f"only the label {classes[0]!r} in all {len(rows):,} rows." if classes else "no labels at all."),
            accepted={"labels": "at least two"},
            fix=OTHER_LABEL,
        )
    if not task.several and len(classes) == len(rows) >= 10:
        raise DataError(
            f"{where}: each of the {len(rows):,} rows has a different label in the column {column!r}.",
            accepted={"first labels": ", ".join(classes[:5])},
            fix=OTHER_LABEL,
        )
    if task.several and separator is None and all(len(names) == 1 for names in rows):
        marks = [mark for mark in "|;,/" if any(mark in name for name in classes)]
        if marks:
            raise DataError(
                f"{where}: the task is multi-label, but no row has more than one label.",
                accepted={"first labels": ", ".join(repr(name) for name in classes[:3])},
                fix=option("label_separator", marks[0]),
            )


def _complete(loading: _Loading, fractions: Mapping[str, float], seed: int) -> None:
    """Make the validation and test splits that the source lacks."""
    wanted = {name: part for name, part in fractions.items() if name not in loading.records and part != 0}
    if not wanted:
        return
    pool, labels = loading.records["train"], loading.labels["train"]
    keys = _keys(pool)
    held = {key for name, records in loading.records.items() if name != "train" for key in _keys(records)}
    parts = carve(keys, labels, wanted, seed=seed, held=held, source=pool.provenance.sources[0])
    for name, rows in parts.items():
        loading.records[name] = replace(pool.take(rows), name=name)
        loading.labels[name] = [labels[row] for row in rows]
        if name != "train":
            loading.notes.append(
                f"{name} made from train: {len(rows):,} rows ({fractions[name]:.0%} asked for), stratified, "
                f"duplicates on one side, seed {seed}"
            )


def _keys(records: Records) -> list[str]:
    pairs = records.pairs if records.pairs is not None else [None] * len(records)
    return [normalised(text, pair) for text, pair in zip(records.texts, pairs, strict=True)]


def _assemble(loading: _Loading, task: Task) -> Dataset:
    classes = label_order(name for names in loading.labels["train"] for name in names)
    splits: dict[str, Split] = {}
    unseen: dict[str, dict[str, int]] = {}
    order = [name for name in MAIN_SPLITS if name in loading.records]
    order += [name for name in loading.records if name not in MAIN_SPLITS]
    for name in order:
        records = loading.records[name]
        labels = unseen_label = None
        if name in loading.labels:
            labels, unseen_label, unknown = encode(loading.labels[name], classes, task)
            if unknown:
                unseen[name] = dict(unknown.most_common())
        names = None if labels is None else classes
        splits[name] = Split(name, records.texts, records.pairs, labels, unseen_label, records.provenance, names)
    return Dataset(loading.source.name, task, classes, splits, unseen, tuple(loading.notes))
