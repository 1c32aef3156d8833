"""Questions with contexts that answer them: SQuAD's documents, and rows with the columns question, context, answers.

    {"data": [{"paragraphs": [{"context": ..., "qas": [{"id", "question", "answers": [{"text", "answer_start"}]}]}]}]}
    {"id": ..., "question": ..., "context": ..., "answers": {"text": [...], "answer_start": [...]}}

An answer is a part of its context, and every one is looked up: where its text is not at its place the row is an error,
which says where the text is. Some tools count UTF-16 units or bytes instead of characters; if all places of a split
make more sense that way, they are read so, with a note. Missing splits are made by context, since questions about one
text on both sides would make the test easy.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from liteft.answer_labels import AnswerLabels
from liteft.data.answer_cells import Found, read_answers
from liteft.data.cells import bit, counted, is_blank, is_missing
from liteft.data.columns import Columns, find_column
from liteft.data.dataset import MAIN_SPLITS, Dataset, Split
from liteft.data.records import Records, read_records, usable_rows
from liteft.data.splitting import carve, text_keys
from liteft.data.tables import MemoryTable, Source, Table, TableView
from liteft.errors import ConfigError, DataError, leave_out, option
from liteft.privacy import quoted, reason_of, shown_names, shown_parts
from liteft.tasks import ANSWERS, Task
from liteft.words import find_words

__all__ = ["LABELS", "Asked", "question_columns", "questions_dataset", "questions_of", "questions_of_documents"]

LABELS = ("start", "end")
"""The labels of such a data set: what the two logits of a word are for."""
_FORM = '{"text": ["a part of the context"], "answer_start": [17]}, or a list of {"text": ..., "answer_start": ...}'
_NAMES = {
    "text": ("question", "query"),
    "pair": ("context", "passage", "paragraph", "document"),
    "label": ("answers", "answer"),
}
_UNITS = {"UTF-16 units": ("utf-16-le", 2), "bytes of UTF-8": ("utf-8", 1)}


@dataclass(frozen=True)
class Asked:
    """A source of questions, with SQuAD's documents as plain tables.

    Attributes:
        source: its tables; the cells of the answers are `_Cell`.
        columns: of the question, the context and the answers.
        notes: what was decided.
    """

    source: Source
    columns: Columns
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Cell:
    """What a row says of its answers, before it is read."""

    answers: Any
    impossible: bool | None
    id: Any


@dataclass(frozen=True)
class _Answered(TableView):
    """A table whose answers come with the row's id and whether it says that it has none."""

    column: str

    def read(self, names: Sequence[str]) -> tuple[dict[str, list[Any]], np.ndarray]:
        """Return the values of some columns, and each row's place."""
        besides = [name for name in ("id", "is_impossible") if name in self.table.columns]
        values, places = self.table.read(list(dict.fromkeys([*names, *besides])))
        if self.column in names:
            nothing = [None] * len(places)
            parts = (values[self.column], values.get("is_impossible", nothing), values.get("id", nothing))
            values[self.column] = [_Cell(cell, _said(said), own) for cell, said, own in zip(*parts, strict=True)]
        return {name: values[name] for name in names}, places


def _said(cell: Any) -> bool | None:
    """Return what a cell of "is_impossible" says, None for nothing."""
    found = bit(cell)
    return None if found is None else found == 1


def questions_of(
    source: Source, task: Task | None, *, text: str | None, pair: str | None, label: Any, **others: Any
) -> Asked | None:
    """Return the questions of a source; None if it holds something else.

    Args:
        source: the opened source.
        task: what the caller asks for; None to go by the columns.
        text, pair, label: the columns that the caller names.
        others: settings of other tasks, which must be None.

    Raises:
        DataError: questions are asked for and a column is missing, or a document has not the form of SQuAD's.
        ConfigError: a setting does not apply to questions.
    """
    source, nested = _flat(source)
    train = source.splits["train"][0]
    columns = _columns(train, text, pair, label) if task is not None and task.extractive else None
    if columns is None and not (task is None and text is None and pair is None and label is None and _usual(train)):
        return None
    for name, value in others.items():
        if value is not None:
            raise ConfigError(
                f"{name} does not apply to questions and their answers.",
                accepted={"settings": "those of splits, lengths and columns"},
                fix=leave_out(name),
            )
    columns = columns or _columns(train, None, None, None)
    splits: dict[str, list[Table]] = {
        name: [_Answered(table, str(columns.label)) if columns.label in table.columns else table for table in tables]
        for name, tables in source.splits.items()
    }
    notes = [*source.notes, *nested]
    if task is None and not nested:
        notes.append("the columns are those of questions, so answers are looked for in the context (task = 'answers')")
    return Asked(Source(source.name, splits), columns, tuple(notes))


def questions_dataset(
    asked: Asked,
    *,
    fractions: Mapping[str, float],
    seed: int,
    max_chars: int | None,
    drop_long: bool,
    drop_empty: bool,
) -> Dataset:
    """Return questions as a data set; its labels are "start" and "end". Arguments as for ``load_dataset``.

    Args:
        asked: of `questions_of`.
        fractions: split -> share of the rows, for those that the source lacks.

    Raises:
        DataError: a row has no text, no context or no answers to train on, or an answer is not in its context.
    """
    notes = list(asked.notes)
    splits: dict[str, Records] = {}
    trained_on = "validation" in asked.source.splits or bool(fractions.get("validation"))
    for name, tables in asked.source.splits.items():
        records = read_records(name, tables, asked.columns)
        records, left_out = usable_rows(
            records, training=name == "train", max_chars=max_chars, drop_long=drop_long, drop_empty=drop_empty
        )
        notes += left_out
        splits[name] = _answered(records, drop_empty, notes)
        if trained_on and name in ("train", "validation"):
            _require_answers(splits[name], notes)
    missing = _missing_splits(splits, fractions, seed, notes)
    splits |= missing
    for name in missing:
        if name != "test":
            _require_answers(missing[name], notes)
    notes += _shared_contexts(splits)
    order = [name for name in MAIN_SPLITS if name in splits]
    made = {name: _split(splits[name]) for name in [*order, *(name for name in splits if name not in order)]}
    drawn = tuple(name for name in missing if name != "train")
    return Dataset(asked.source.name, ANSWERS, LABELS, made, {}, tuple(notes), made=drawn)


def _usual(table: Table) -> bool:
    """Return whether a table has the columns of questions, and none of labels."""
    folded = {name.casefold() for name in table.columns}
    return {"question", "context", "answers"} <= folded and not folded & {"label", "labels"}


def question_columns(columns: Sequence[str], *, source: str, text: str | None, pair: str | None) -> tuple[str, str]:
    """Return the columns of the question and of its context: those that the caller names, or those of the usual names.

    Raises:
        DataError: there is no such column; ``source`` names the file.
    """
    return _named(columns, source, "text", text), _named(columns, source, "pair", pair)


def _columns(table: Table, text: str | None, pair: str | None, label: Any) -> Columns:
    """Return the columns that the caller names, or those of the usual names. Raises DataError if one is missing."""
    first, second = question_columns(table.columns, source=table.name, text=text, pair=pair)
    return Columns(first, second, _named(table.columns, table.name, "label", None if label is None else str(label)))


def _named(columns: Sequence[str], source: str, part: str, given: str | None) -> str:
    if given is not None:
        return find_column(columns, given, part, source)
    found = next((name for usual in _NAMES[part] for name in columns if name.casefold() == usual), None)
    if found is None:
        what = {"text": "question", "pair": "context", "label": "answers"}[part]
        raise DataError(
            f"{source}: the column names do not say which one holds the {what}.",
            accepted={"columns": ", ".join(map(repr, shown_names(columns))), "usual names": ", ".join(_NAMES[part])},
            fix=option(part, "NAME"),
        )
    return found


def _flat(source: Source) -> tuple[Source, list[str]]:
    """Return a source with documents in SQuAD's form as tables of questions, and notes on them."""
    notes = []
    splits: dict[str, list[Table]] = {}
    for name, tables in source.splits.items():
        splits[name] = []
        for table in tables:
            asked = questions_of_documents(table)
            splits[name].append(table if asked is None else asked)
            if asked is not None:
                notes.append(f"{name}: a document in SQuAD's form")
    return Source(source.name, splits, source.notes), notes


def questions_of_documents(table: Table) -> MemoryTable | None:
    """Return the questions of articles with paragraphs, or of paragraphs with questions ("qas"); None for other tables.

    Raises:
        DataError: a document has not the form of SQuAD's.
    """
    nested = next((key for key in ("paragraphs", "qas") if key in table.columns), None)
    if nested is None:
        return None
    needed = [nested] if nested == "paragraphs" else ["context", "qas"]
    try:
        values, _ = table.read(needed)
        paragraphs = (
            [paragraph for article in values[nested] for paragraph in article]
            if nested == "paragraphs"
            else [{"context": context, "qas": asked} for context, asked in zip(*values.values(), strict=True)]
        )
        rows = [(paragraph["context"], question) for paragraph in paragraphs for question in paragraph["qas"]]
        return MemoryTable(
            table.name,
            {
                "id": [question.get("id") for _, question in rows],
                "question": [question["question"] for _, question in rows],
                "context": [context for context, _ in rows],
                "answers": [question.get("answers") for _, question in rows],
                "is_impossible": [question.get("is_impossible") for _, question in rows],
            },
            unit="question",
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{table.name} has {nested!r} as SQuAD's documents have, but another form.",
            accepted={
                "seen": f"no key {error}" if isinstance(error, KeyError) else reason_of(error),
                "paragraphs": '[{"context": ..., "qas": [{"question", "answers"}]}]',
            },
            fix="write a line for each question, with the keys question, context and answers, in a .jsonl file",
        ) from error


def _answered(records: Records, drop: bool, notes: list[str]) -> Records:
    """Return the rows with a list of begin and end of their answers; without labels where a test withholds them."""
    cells = records.labels or []
    ids = Counter(str(cell.id) for cell in cells if not is_missing(cell.id))
    given = [_given(cell, row, records) for row, cell in enumerate(cells)]
    withheld = records.name not in ("train", "validation") and all(answers is None for answers in given)
    if records.labels is None or withheld:
        if records.name in ("train", "validation"):
            raise DataError(
                f"{records.provenance.sources[0]} has no answers, and {records.name} needs them.",
                accepted={"answers": _FORM},
                fix=option("label", "COLUMN", note=", the column of the answers"),
            )
        notes.append(f"{records.name}: no answers: predicted, but not scored")
        return replace(records, labels=None)
    at_odds = [_contradiction(cell, answers) for cell, answers in zip(cells, given, strict=True)]
    found, wrong = _placed(records, given, at_odds, drop, notes)
    again = sum(count - 1 for count in ids.values())
    if again:
        shown = next(name for name, count in ids.items() if count > 1)
        notes.append(f"{records.name}: {counted(again)} with an id that an earlier row has, such as {quoted(shown)}")
    records = replace(records, labels=found)
    if wrong:
        odd = sum(bool(at_odds[row]) for row in wrong)
        said = f", or contradicted by is_impossible ({odd:,})" if odd else ""
        notes.append(
            f"{records.name}: {counted(len(wrong))} without a context, or with an answer not in it{said}, left out"
        )
        records = records.without(wrong)
    return _described(records, notes)


def _require_answers(records: Records, notes: Sequence[str]) -> None:
    """Raise DataError if no question of a split has an answer; ``notes`` say which rows were left out or drawn."""
    if any(records.labels or ()):
        return
    about = [note for note in notes if note.startswith(records.name) and ("left out" in note or "made" in note)]
    why = "nothing to learn" if records.name == "train" else "nothing to choose checkpoints by"
    raise DataError(
        f"{records.provenance.sources[0]}: no question of {records.name} has an answer, so there is {why}.",
        accepted={
            "seen": "; ".join([f"{counted(len(records))}, 0 with an answer", *about]),
            "train and validation": "one question with an answer at least",
            "answers": _FORM,
        },
        fix=f"give {records.name} questions that their contexts answer"
        + (", or correct the rows that were left out" if any("left out" in note for note in about) else ""),
    )


def _given(cell: _Cell, row: int, records: Records) -> Found | None:
    """Return the answers that a row states, each with its place as it stands there; None if it says nothing of them.

    Raises:
        DataError: they have another form.
    """
    try:
        answers = read_answers(cell.answers)
    except ValueError as error:
        raise DataError(
            f"{records.provenance.where(row)}: the answers cannot be read: {error}.",
            accepted={
                "answers": f"{_FORM}; in csv the same as JSON, with double quotes",
                "places": "answer_start: where the answer begins, in characters of the context from 0",
                "seen": quoted(cell.answers, 80),
            },
            fix="write answers in one of these forms; an empty list if the context does not answer the question",
        ) from None
    if cell.impossible and all(is_blank(text) for text, _ in answers or ()):
        return []
    return answers


def _contradiction(cell: _Cell, answers: Found | None) -> str:
    """Return how the answers of a row contradict what it says of having any, or ""."""
    if cell.impossible and answers:
        return f"is_impossible is true, and the answer {quoted(answers[0][0], 60)} is given"
    return "is_impossible is false, and no answer is given" if cell.impossible is False and answers == [] else ""


def _placed(
    records: Records, given: Sequence[Found | None], at_odds: Sequence[str], drop: bool, notes: list[str]
) -> tuple[list[list[tuple[int, int]]], list[int]]:
    """Return begin and end of each row's answers in code points, and the rows to leave out.

    Raises:
        DataError: a row has no context or no answers or contradicts itself (``at_odds``), or an answer is not at its
            place, and such rows are to stay.
    """
    contexts = records.pairs or []
    unit = _unit_of(contexts, given)
    if unit is not None:
        notes.append(f"{records.name}: answer_start counts {unit}, and was converted to characters")
    found: list[list[tuple[int, int]]] = []
    wrong = []
    for row, (context, answers) in enumerate(zip(contexts, given, strict=True)):
        spans = [_span(context, text, start, unit) for text, start in answers or ()]
        bare = answers is None or (records.name == "train" and is_blank(context))
        if at_odds[row] or bare or None in spans:
            wrong.append(row)
        found.append(list(dict.fromkeys(span for span in spans if span is not None)))
    if wrong and not drop:
        raise _error(records, given, at_odds, wrong[0], unit)
    return found, wrong


def _span(context: str, text: str, start: int, unit: str | None) -> tuple[int, int] | None:
    """Return begin and end of an answer in code points; None if it is empty or not at its place."""
    begin: int | None = start
    if unit is not None and not context.isascii():
        encoding, size = _UNITS[unit]
        try:
            begin = len(context.encode(encoding)[: size * start].decode(encoding)) if start >= 0 else None
        except UnicodeDecodeError:  # in the middle of a character
            begin = None
    if begin is None or begin < 0 or is_blank(text) or not context.startswith(text, begin):
        return None
    return begin, begin + len(text)


def _unit_of(contexts: Sequence[str], given: Sequence[Found | None]) -> str | None:
    """Return what the places of answers count, if not characters: what fits more of those behind other characters."""
    rows = [(context, answers) for context, answers in zip(contexts, given, strict=True) if not context.isascii()]
    fits: dict[str | None, int] = {
        unit: sum(_span(context, text, start, unit) is not None for context, answers in rows
                  for text, start in answers or ())
        for unit in (None, *_UNITS)
    }  # fmt: skip
    return max(fits, key=fits.__getitem__)


def _error(
    records: Records, given: Sequence[Found | None], at_odds: Sequence[str], row: int, unit: str | None
) -> DataError:
    """Return the error of a row: what is wrong with its context or its first wrong answer."""
    where = records.provenance.where(row)
    context, answers = (records.pairs or [])[row], given[row]
    dropped = option("drop_empty", note=", to leave such rows out")
    if at_odds[row]:
        accepted = {"answers": "with is_impossible true none, with false one at least"}
        odd = [number for number, said in enumerate(at_odds) if said]
        if len(odd) > 1:
            accepted["found"] = f"{counted(len(odd))} with such a contradiction: {records.provenance.places(odd)}"
        return DataError(
            f"{where}: {at_odds[row]}.",
            accepted=accepted,
            fix=["correct one of the two; without is_impossible, answers alone say whether there are any", dropped],
        )
    if answers is None:
        return DataError(
            f"{where}: a question without answers.",
            accepted={"answers": _FORM, "no answer": "an empty list"},
            fix=["answers = [] if the context does not answer it", dropped],
        )
    if is_blank(context):
        return DataError(f"{where}: a question without a context.", fix=["give it a context", dropped])
    text, start = next((text, start) for text, start in answers if _span(context, text, start, unit) is None)
    if is_blank(text):
        return DataError(
            f"{where}: an empty answer.",
            accepted={"no answer": "an empty list"},
            fix=["answers = [] if the context does not answer the question", dropped],
        )
    places = [] if len(text) > len(context) else list(_places(context, text))
    at = ", ".join(f"{place:,}" for place in places[:5]) + (" and more" if len(places) > 5 else "")
    allowed = {"the answer": f"at {at}" if places else "nowhere in the context"}
    if start < 0:
        seen = f"answer_start is {start:,}, before the begin of the context, which is place 0"
    elif start >= len(context):
        seen = f"answer_start is {start:,}, beyond the context of {len(context):,} characters"
    else:
        seen = f"the answer {quoted(text, 60)} is not at answer_start {start:,}"
        allowed = {"there": repr(shown_parts([context[start : start + 40]], context)[0])} | allowed
    fixes = [f"answer_start = {places[0]}"] if len(places) == 1 else ["correct the answer or its place"]
    every = list(_stated(records, given))
    misplaced = [number for number, own, part, place in every if _span(own, part, place, unit) is None]
    if len(misplaced) > 1:
        rows = records.provenance.places(list(dict.fromkeys(misplaced)))
        allowed["found"] = f"{len(misplaced):,} of {len(every):,} answers are not at their places: {rows}"
        fixes = _shifted(every, unit) or fixes
    return DataError(f"{where}: {seen}.", accepted=allowed, fix=[*fixes, dropped])


def _stated(records: Records, given: Sequence[Found | None]) -> Iterator[tuple[int, str, str, int]]:
    """Yield the row, the context, the text and the place of every answer that is not empty."""
    for row, (context, answers) in enumerate(zip(records.pairs or [], given, strict=True)):
        yield from ((row, context, text, start) for text, start in answers or () if not is_blank(text))


def _shifted(every: Sequence[tuple[int, str, str, int]], unit: str | None) -> list[str]:
    """Return what to do where most of the answers are at their places once these are moved by one; else nothing."""
    fits = {
        by: sum(_span(context, text, start + by, unit) is not None for _, context, text, start in every)
        for by in (0, -1, 1)
    }
    by = max(fits, key=fits.__getitem__)
    if by == 0 or 2 * fits[by] <= len(every):
        return []
    seem = "the places seem to count from 1: with answer_start - 1"
    if by > 0:
        seem = "the places seem to be too small by one: with answer_start + 1"
    share = f"all {len(every):,}" if fits[by] == len(every) else f"{fits[by]:,} of {len(every):,}"
    return [f"{seem}, {share} answers are there"]


def _places(context: str, text: str) -> Iterator[int]:
    """Yield where a text is in a context, in code points."""
    at = context.find(text)
    while at >= 0:
        yield at
        at = context.find(text, at + 1)


def _described(records: Records, notes: list[str]) -> Records:
    """Note how many questions have answers, how long these are, and how many are no whole words."""
    rows = list(zip(records.pairs or [], records.labels or [], strict=True))
    answers = [(context, *span) for context, spans in rows for span in spans]
    without = sum(not spans for _, spans in rows)
    share = f"{counted(without)} of {len(rows):,} without an answer ({without / max(1, len(rows)):.1%})"
    said = f"{records.name}: {share if without else 'all rows have an answer'}"
    if answers:
        lengths = [len(find_words(context[begin:end])) for context, begin, end in answers]
        said += f"; answers have {np.median(lengths):g} words in the median, {max(lengths):,} at most"
    notes.append(said)
    inside = sum(not (_borders(context, begin) and _borders(context, end)) for context, begin, end in answers)
    if inside:
        one = "1 answer that begins or ends" if inside == 1 else f"{inside:,} answers that begin or end"
        notes.append(f"{records.name}: {one} inside a word; learned and predicted are whole words")
    return records


def _borders(context: str, place: int) -> bool:
    """Return whether no word goes on from the character before a place to the one after it."""
    around = context[max(0, place - 1) : place + 1]
    return len(around) < 2 or find_words(around) != [(0, 2)]


def _missing_splits(
    splits: Mapping[str, Records], fractions: Mapping[str, float], seed: int, notes: list[str]
) -> dict[str, Records]:
    """Return the validation and test splits that the source lacks, with contexts of their own, and what is left."""
    wanted = {name: part for name, part in fractions.items() if name not in splits and part != 0}
    if not wanted:
        return {}
    train = splits["train"]
    held = {key for name, records in splits.items() if name != "train" for key in text_keys(records.pairs or [], None)}
    labels = [("answer",) if spans else ("no answer",) for spans in train.labels or []]
    source = train.provenance.sources[0]
    parts = carve(text_keys(train.pairs or [], None), labels, wanted, seed=seed, held=held, source=source)
    notes += [
        f"{name} made from train: {len(rows):,} rows ({fractions[name]:.0%} asked for), stratified, "
        f"questions about one context on one side, seed {seed}"
        for name, rows in parts.items()
        if name != "train"
    ]
    return {name: replace(train.take(rows), name=name) for name, rows in parts.items()}


def _shared_contexts(splits: Mapping[str, Records]) -> Iterator[str]:
    """Yield a note for each split with questions about contexts that an earlier one also asks about."""
    order = sorted(splits, key=lambda name: MAIN_SPLITS.index(name) if name in MAIN_SPLITS else len(MAIN_SPLITS))
    keys = {name: text_keys(splits[name].pairs or [], None) for name in order}
    for place, name in enumerate(order):
        for other in order[:place]:
            known = {key for key in keys[other] if key}
            rows = sum(key in known for key in keys[name])
            if rows:
                share = rows / len(keys[name])
                yield f"{name}: {counted(rows)} ({share:.1%}) with a context that {other} also asks about"


def _split(records: Records) -> Split:
    contexts = records.pairs or []
    labels = None if records.labels is None else AnswerLabels.found(records.labels, contexts)
    names = None if labels is None else LABELS
    return Split(records.name, records.texts, contexts, labels, None, records.provenance, names)
