"""Loading a data set that can be trained on from a file, folder, hub name or Python object.

The steps are always the same: open the source as tables; choose the columns by the training table; read and
check the rows; parse the labels; make the missing splits; turn labels into classes. Whatever the
loader decides on its own along the way is recorded in the data set's notes, which the check prints.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from liteft.data.annotations import annotated, with_spans
from liteft.data.arguments import check_arguments, known_names, known_task, one_name
from liteft.data.columns import Columns, choose_columns, header_hint, score_column, second_texts
from liteft.data.confidences import task_with_confidences, with_confidences
from liteft.data.dataset import MAIN_SPLITS, Dataset, Split
from liteft.data.formats import FORMATS, known_suffix
from liteft.data.label_columns import label_columns, with_label_columns
from liteft.data.labelling import LabelForm, read_labels
from liteft.data.labels import LabelNames, encode, label_order
from liteft.data.looks import Looks, look
from liteft.data.notes import worded
from liteft.data.numbers import SCORE, quantile_names, read_numbers
from liteft.data.questions import questions_dataset, questions_of
from liteft.data.records import Records, read_records, usable_rows
from liteft.data.soft_labels import soft_array
from liteft.data.sources import open_source
from liteft.data.spans import NO_TAG
from liteft.data.splitting import carve, text_keys
from liteft.data.subsets import few_labels
from liteft.data.tables import Source, Table
from liteft.data.tag_schemes import OUTSIDE, tag_order, type_of_tag
from liteft.data.word_columns import look_for_words
from liteft.data.word_labels import WordForm, read_word_rows
from liteft.errors import DataError, closest, leave_out, option
from liteft.privacy import shown_names
from liteft.ragged import Ragged, Rows
from liteft.tasks import TOKENS, Task

__all__ = ["load_dataset"]

_WHOLE = re.compile(r"-?\d+")


def load_dataset(
    source: Any,
    *,
    text: str | None = None,
    pair: str | None = None,
    label: str | Sequence[str] | None = None,
    confidence: str | None = None,
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
    labels_per_class: int | None = None,
    subset_seed: int = 0,
) -> Dataset:
    """Read labelled text.

    Labels of words (tags, entities and other spans, semantic roles) are recognised by their columns: lists of words
    with lists of tags, CoNLL files, or texts with lists of spans. Tags become IOB2, whatever their scheme.

    Splits that the source lacks are made from its training split: stratified, seeded, with rows of the same
    normalised text on the same side. A split that exists is never changed.

    Args:
        source: a csv, tsv, jsonl, json, parquet or arrow file, compressed (.gz, .bz2, .xz, .zip) or not; a CoNLL
            file (.conll, .conllu, .iob, .bio, or .txt and .tsv with a word and its tags per line); an export of
            Prodigy, Label Studio, Doccano, Argilla or the hub's viewer; a folder of such files named train, dev
            (validation, valid, val) and test (others are extra splits), one written by ``save_to_disk``, or one with
            a folder of txt files per label; the name of a hub data set ("owner/name" or "owner/name:config"); a
            pandas DataFrame; a list of dicts or of (text, label) tuples; a dict of columns; or a dict of splits whose
            values are any of these or file names.
        text: column of the text, or of its words; None to find it by its usual names ("text", "sentence", ...).
        pair: column of the second text; None to look for a usual name ("text_b", "sentence2", ...); "" for none.
        label: column of the label, of a list of labels, or of an object with the probability of each label; None to
            find it by its usual names. Several columns (a list, or names separated by commas) each contain 0 or 1 and
            are the labels of a multi-label task, or contain the probabilities of the labels. For words: column of
            their tags or of spans, in a CoNLL file also the column's number, -1 for the last one.
        confidence: column of each label's probability, above 0 to 1, as a language model gives it; the other labels
            share the rest. Needs one label per text.
        label_names: what integers and the positions of 0/1 vectors stand for, in order; a string is split at commas.
        task: "single_label", "multi_label", "tokens" (labels of words), "scores" (labels are numbers) or "answers" (to
            questions, in their contexts); None to infer it from the labels, which never makes scores of them, or from
            the columns question, context and answers, as which a document in SQuAD's form is read too.
        encoding: of text files; None for UTF-8, or as the byte-order mark says.
        delimiter: of csv and tsv; None to detect it in the first line.
        label_separator: splits a cell into several labels, "joy|love" at "|"; the task is then multi-label.
        validation_fraction: share of the rows for a validation split if there is none; 0 makes none. Pairs with scores
            stay together if they have the same first text, which may be a query.
        test_fraction: the same for a test split.
        seed: of the splits that are made.
        max_chars: longest text to train on, in characters; None for 100,000. Longer texts are an error.
        drop_long: drop longer texts instead.
        drop_empty: drop rows without a text to train on or without a label, instead of raising an error; also training
            rows with spans that overlap or are not of whole words, which count as wrong in the other splits.
        labels_per_class: keep so many training rows of each label (all of a label with fewer), drawn after the missing
            splits are made; the other training texts become the unlabelled ``pool``. None keeps all rows.
        subset_seed: of that draw.

    Returns:
        Dataset. Its labels are those of the training split, sorted (by value if all are integers); of tags O is first,
        and each type of spans has B- and I-; of scores there is the one name "score".

    Raises:
        DataError: something cannot be read or trained on; the message names the file, the row and what to do.
        ConfigError: a setting is out of range.
        MissingExtraError: parquet without pyarrow, a hub name without `datasets`.
    """
    if isinstance(source, Dataset):
        return few_labels(source, labels_per_class, seed=subset_seed)
    fractions = {"validation": validation_fraction, "test": test_fraction}
    check_arguments(text=text, pair=pair, label=label, encoding=encoding, delimiter=delimiter,
                    label_separator=label_separator, confidence=confidence, seed=seed, max_chars=max_chars,
                    fractions={f"{split}_fraction": share for split, share in fractions.items()})  # fmt: skip
    names, wanted = known_names(label_names), known_task(task, label_separator)
    known = task_with_confidences(wanted, confidence, several=label_separator is not None, names=names)
    opened = open_source(source, encoding=encoding, delimiter=delimiter)
    asked = questions_of(opened, known, text=text, pair=pair, label=label, confidence=confidence,
                         label_names=label_names, labels_per_class=labels_per_class)  # fmt: skip
    if asked is not None:
        return questions_dataset(asked, fractions=fractions, seed=seed, max_chars=max_chars, drop_long=drop_long,
                                 drop_empty=drop_empty)  # fmt: skip
    of_words = with_spans(opened, wanted)
    found_columns, hint = look_for_words(
        of_words.splits["train"][0], text=text, label=label, task=wanted, pair=pair, confidence=confidence
    )
    if found_columns is not None and (pair or confidence is not None):
        raise _not_of_words("pair" if pair else "confidence")
    if found_columns is not None:
        word_form = WordForm(found_columns, names, max_chars, drop_long, drop_empty)
        dataset = _load_words(of_words, word_form, fractions, seed)
        return few_labels(dataset, labels_per_class, seed=subset_seed)
    if known is not None and known.numeric and label is None:
        label = score_column(opened.splits["train"][0].columns)
        hint = hint if label is None else f"column guessed by name: label = {label!r}"
    opened, columns, notes = _choose_columns(
        opened,
        text=text,
        pair=pair,
        label=label,
        confidence=confidence,
        ranked=known is not None and known.numeric,
    )
    notes += [] if hint is None else [hint]
    splits: dict[str, Records] = {}
    for name, records in _read_splits(opened, columns, notes).items():
        splits[name], left_out = usable_rows(
            records, training=name == "train", max_chars=max_chars, drop_long=drop_long, drop_empty=drop_empty
        )
        notes += left_out
    form = LabelForm(columns.label, known, label_separator, names, drop_empty)
    if known is not None and known.numeric:
        found, splits = known, read_numbers(splits, form, notes)
    else:
        found, splits = read_labels(splits, form, notes)
        notes += _perhaps_scores(form, found, splits["train"])
    if confidence is not None and splits["train"].soft is None:
        notes.append(f"the column {confidence!r} holds no confidence below 1 in train, so each label counts as sure")
    missing = _missing_splits(splits, fractions, seed, notes, numeric=found.numeric)
    dataset = _assemble(opened.name, found, splits | missing, notes)
    made = tuple(name for name in missing if name != "train")
    return few_labels(replace(dataset, made=made), labels_per_class, seed=subset_seed)


def _load_words(source: Source, form: WordForm, fractions: Mapping[str, float], seed: int) -> Dataset:
    """Return a data set whose labels belong to words."""
    notes = [*source.notes, *([] if form.columns.note is None else [form.columns.note])]
    splits = read_word_rows(source, form, notes)
    missing = _missing_splits(splits, fractions, seed, notes)
    dataset = _assemble(source.name, TOKENS, splits | missing, notes)
    return replace(dataset, made=tuple(name for name in missing if name != "train"))


def _not_of_words(name: str) -> DataError:
    return DataError(
        f"{name} names a column, and texts whose words have labels have none such.",
        accepted={"tokens": "a column of words or texts, and one of tags or spans"},
        fix=leave_out(name),
    )


def _choose_columns(
    source: Source,
    *,
    text: str | None,
    pair: str | None,
    label: str | Sequence[str] | None,
    confidence: str | None,
    ranked: bool,
) -> tuple[Source, Columns, list[str]]:
    """Return the source as plain tables, the columns to read, and notes on what was decided."""
    source, usual = annotated(source, label)
    several = label_columns(label, source.splits["train"][0].columns)
    if several:
        task_with_confidences(None, confidence, several=True, names=None)
        source, label = with_label_columns(source, several), ", ".join(several)
    train = source.splits["train"][0]
    hint = header_hint(train.columns) if _is_delimited(train.name) else None
    looks = look(train)
    columns = choose_columns(
        train.columns,
        source=train.name,
        text=text,
        pair=pair,
        label=usual if label is None else one_name(label),
        ranked=ranked,
        hint=hint,
        looks=looks,
    )
    source = with_confidences(source, columns, confidence)
    decided = [] if columns.note is None else [columns.note]
    return source, columns, [*source.notes, *decided, *_unread(train, columns, looks, pair)]


def _is_delimited(name: str) -> bool:
    return FORMATS.get(known_suffix(Path(name)) or "") in ("csv", "tsv")


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


def _perhaps_scores(form: LabelForm, found: Task, train: Records) -> Iterator[str]:
    """Yield a note if a column with the name of scores holds whole numbers, which were read as names of classes."""
    said = form.task is not None or form.names is not None or form.separator is not None
    if said or found.several or train.soft is not None or form.column is None or not score_column([form.column]):
        return
    names = {name for row in train.labels or () for name in row or ()}
    if names and all(map(_WHOLE.fullmatch, names)):
        yield worded(f"the column {form.column!r} holds whole numbers, read as {len(names)} classes",
                     option("task", "scores"), " reads them as numbers to predict")  # fmt: skip


def _read_splits(source: Source, columns: Columns, notes: list[str]) -> dict[str, Records]:
    """Read all splits; an extra one that lacks a column is left out, and noted."""
    found: dict[str, Records] = {}
    train = source.splits["train"][0]
    for name, tables in source.splits.items():
        wanted = (columns.text, columns.pair, columns.label if name in ("train", "validation") else None)
        needed = [column for column in wanted if column is not None]
        lacking = [(table, column) for table in tables for column in needed if column not in table.columns]
        if lacking and name not in MAIN_SPLITS:
            notes.append(f"{Path(tables[0].name).name} left out: it has no column {lacking[0][1]!r}")
            continue
        for table, column in lacking:
            near = closest(column, table.columns)
            raise DataError(
                f"{table.name} has no column {column!r}, which {train.name} has.",
                accepted={"columns": ", ".join(shown_names(table.columns))},
                fix=f"rename {near!r} to {column!r}" if near else "give all files the same columns",
            )
        found[name] = read_records(name, tables, columns)
    return found


def _missing_splits(
    splits: Mapping[str, Records],
    fractions: Mapping[str, float],
    seed: int,
    notes: list[str],
    *,
    numeric: bool = False,
) -> dict[str, Records]:
    """Return the validation and test splits that the source lacks and what is left of train; {} if it lacks none."""
    wanted = {name: part for name, part in fractions.items() if name not in splits and part != 0}
    if not wanted:
        return {}
    pool = splits["train"]

    def keys_of(records: Records) -> list[str]:
        return text_keys(records.texts, None if numeric else records.pairs)  # a query stays on one side

    held = {key for name, records in splits.items() if name != "train" for key in keys_of(records)}
    labels: list[LabelNames] = (quantile_names(pool).labels if numeric else pool.labels) or []
    if pool.words is not None:  # texts are drawn by what they are about, not by each of their tags
        labels = [tuple(sorted({type_of_tag(tag) for tag in tags} - {OUTSIDE})) for tags in labels]
    parts = carve(keys_of(pool), labels, wanted, seed=seed, held=held, source=pool.provenance.sources[0])
    notes += [
        f"{name} made from train: {len(rows):,} rows ({fractions[name]:.0%} asked for), stratified, "
        f"duplicates on one side, seed {seed}"
        for name, rows in parts.items()
        if name != "train"
    ]
    return {name: replace(pool.take(rows), name=name) for name, rows in parts.items()}


def _assemble(source: str, task: Task, splits: Mapping[str, Records], notes: Sequence[str]) -> Dataset:
    """Return the data set, its labels as numbers of the classes in train."""
    train = splits["train"]
    of_words = train.words is not None
    probable = [name for row in train.soft or () for name, share in (row or {}).items() if share > 0]
    order_of = tag_order if of_words else label_order
    classes = order_of([*probable, *(name for names in train.labels or () for name in names)])
    if task.numeric:
        classes = SCORE
    made: dict[str, Split] = {}
    unseen: dict[str, dict[str, int]] = {}
    order = [name for name in MAIN_SPLITS if name in splits]
    for name in order + [name for name in splits if name not in MAIN_SPLITS]:
        records = splits[name]
        labels: Rows | None = None
        unseen_label = soft = None
        unknown: Counter[str] = Counter()
        if records.labels is not None and of_words:
            labels, unseen_label, unknown = _encoded_tags(records, classes)
        elif records.labels is not None and task.numeric:
            labels = task.encode_labels(records.labels, {})
        elif records.labels is not None:
            labels, unseen_label, unknown = encode(records.labels, classes, task)
            soft = soft_array(records.soft, labels, classes, task)
        if unknown:
            unseen[name] = dict(unknown.most_common())
        names = None if labels is None else classes
        made[name] = Split(
            name,
            records.texts,
            records.pairs,
            labels,
            unseen_label,
            records.provenance,
            names,
            soft,
            records.words,
            records.marked,
        )
    return Dataset(source, task, classes, made, unseen, tuple(notes))


def _encoded_tags(records: Records, classes: tuple[str, ...]) -> tuple[Ragged, np.ndarray | None, Counter[str]]:
    """Return tags as classes, and as `encode` which texts have an unknown one, and the unknown ones."""
    assert records.labels is not None
    index = {tag: number for number, tag in enumerate(classes)}
    labels = TOKENS.encode_labels(records.labels, index)
    unseen_label = np.zeros(len(records), dtype=bool)
    unseen_label[labels.row_numbers[labels.values < 0]] = True
    unknown: Counter[str] = Counter()
    for row in np.flatnonzero(unseen_label):
        unknown.update({type_of_tag(tag) for tag in records.labels[row] if tag not in index} - {NO_TAG})
    return labels, (unseen_label if unseen_label.any() else None), unknown
