"""Which columns hold words with their tags, or a text with its spans; judged by names and by their first cells."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from liteft.data.cells import is_list, is_missing
from liteft.data.columns import HEADER, choose_columns, find_column
from liteft.data.conll import TAG, TAGS, column_of
from liteft.data.notes import worded
from liteft.data.rows import RowFile
from liteft.data.spans import looks_like_spans
from liteft.data.tables import Table
from liteft.errors import DataError, option
from liteft.privacy import quoted, shown, shown_names
from liteft.tasks import Task
from liteft.text_tables import shortened

__all__ = ["WordColumns", "given_words", "look_for_words"]

_ROWS = 200
_LISTED = re.compile(r"\[.+|.+[,;\]]")  # pieces of "['B-X', 'O']" and of "B-X, O"
_WORDS = (("tokens", "words"), ("token", "word", "tokenized_text", "text", "sentence", "sentences"))
_TAGS = (
    ("tags", "labels", "label", "word_labels", "token_labels"),
    ("ner_tags", "ner", "entities", "entity_tags", "bio_tags", "iob_tags", "bio", "iob", "slots", "slot_tags"),
    ("upos", "pos_tags", "pos", "xpos", "upos_tags", "chunk_tags", "chunk"),
)
_TEXT = (("text",), ("sentence", "content", "body", "utterance", "document", "query", "question", "tweet", "data"))
_SPANS = (("spans", "entities"), ("label", "labels", "slots", "ner", "ents", "annotations"))
_CLASS = ("label", "labels", "class", "category", "intent", "target", "sentiment", "emotion", "topic", "cats")
_PREDICATES, _ARGUMENTS = "predicates", ("args", "arguments", "roles")
_CELL = 60  # characters of a cell that are shown
_TAG = (str, int, float, np.generic)
_PREDICATE = ("predicate", "predicate_index", "marked")


@dataclass(frozen=True)
class WordColumns:
    """The names of the columns that are read.

    Attributes:
        text: words, or a text.
        label: tags, spans, or arguments of each predicate; None if labels are not wanted.
        kind: what ``label`` holds.
        joined: words and tags are strings, with spaces between.
        predicate: the predicates of each text ("args"), or the number of its only one; None without.
        answer: what an annotator of Prodigy answered; None without.
        guessed: the parts that the caller did not name: "text", "label".
        ordered: all columns of a CoNLL file that has more than two, in their order: they are found by their places.
        unread: a column of tags such as B-X beside ``label``, which has others.
    """

    text: str
    label: str | None
    kind: Literal["tags", "spans", "args"]
    predicate: str | None = None
    answer: str | None = None
    guessed: tuple[str, ...] = ()
    joined: bool = False
    ordered: tuple[str, ...] = ()
    unread: str | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The columns, each once."""
        held = (self.text, self.label, self.predicate, self.answer)
        return tuple(dict.fromkeys(name for name in held if name is not None))

    @property
    def note(self) -> str | None:
        """A sentence on what was guessed, or None."""
        parts = [f"{part} = {getattr(self, part)!r}{self._place(getattr(self, part))}" for part in self.guessed]
        parts += [] if self.predicate is None else [f"predicate = {self.predicate!r}"]
        how = "columns guessed" if self.ordered else "columns guessed by name"
        parts = [f"{how}: {', '.join(parts)}"] if parts else []
        parts += ["words and tags are what spaces separate"] if self.joined else []
        parts += [f"tags such as B-X in column {self._number(self.unread)} are not read"] if self.unread else []
        return "; ".join(parts) or None

    def _place(self, name: str) -> str:
        return f" (column {self._number(name)} of {len(self.ordered)})" if self.ordered else ""

    def _number(self, name: str) -> int:
        return self.ordered.index(name) + 1


def look_for_words(
    table: Table,
    *,
    text: str | None,
    label: str | Sequence[str] | None,
    task: Task | None,
    pair: str | None = None,
    confidence: str | None = None,
) -> tuple[WordColumns | None, str | None]:
    """Return the columns to read if a table is of words with tags, and otherwise a note if it could be read as such.

    Without a task, a table that has a text with a label of the whole text, too, is not one of words with tags.

    Args:
        table: the training split's first table.
        text, label: the columns that the caller named; None to look for them.
        task: the caller's choice; None to tell it from the columns.
        pair, confidence: columns that the caller named, which only whole texts have.

    Raises:
        DataError: the task is one of words, and the table has none; or a column does not exist.
    """
    conll = isinstance(table, RowFile) and table.format == "conll"
    asked = (task is not None and task.per_word) or (task is None and conll)
    if task is not None and not asked:
        return None, None
    one = label if label is None or isinstance(label, str) else label[0] if len(label) == 1 else ""
    if one == "" or (one is not None and "," in one and one not in table.columns):
        if asked:
            raise _none_found(table, text, label)
        return None, None
    found = _joined(table, text=text, label=one, sure=asked)
    if found is None and not (isinstance(table, RowFile) and table.format in ("csv", "tsv")):
        found = _found(table, text=text, label=one, sure=asked)
    if asked and found is None:
        raise _none_found(table, text, label)
    if found is not None and conll and len(table.columns) > 2:
        found = replace(found, ordered=tuple(table.columns), unread=_other_tags(table, found))
    if found is None and one is None and (commas := _listed_tags(table, one)) is not None:
        what = f"the column {commas[0]!r} looks like tags of words with commas between"
        return None, worded(what, option("task", "tokens", note=" reads such with spaces between"))
    if found is None or asked or one is not None:
        return found, None
    if found.joined or pair or confidence is not None:
        whole = _has_label(table, found, text=text, pair=pair, confidence=confidence)
    else:
        whole = _has_class(table, found)
    if not whole:
        return found, None
    what = f"columns {found.text!r} and {found.label!r} look like tags of words"
    if found.kind == "spans":
        what = f"column {found.label!r} looks like spans"
    return None, worded(f"the {what}", option("task", "tokens", note=" reads them"))


def _other_tags(table: Table, found: WordColumns) -> str | None:
    """Return a column of tags such as B-X of a CoNLL file whose ``label`` has none; None without."""
    tagged = [
        name
        for name, cells in _head(table).items()
        if (own := [tag for cell in cells for tag in cell or ()]) and all(map(TAG.fullmatch, own)) and set(own) - {"O"}
    ]
    return None if found.label is None or found.label in tagged or not tagged else tagged[0]


def _found(table: Table, *, text: str | None, label: str | None, sure: bool) -> WordColumns | None:
    """Return the columns of words with tags, or of a text with spans; None if a table has neither.

    Args:
        table: the table.
        text, label: the columns that the caller named.
        sure: take columns by their names where their first cells are empty.

    Raises:
        DataError: a named column does not exist.
    """
    head = table.head(_ROWS) if sure else _head(table)
    if isinstance(table, RowFile) and table.format == "conll":
        text = None if text is None else column_of(table.columns, text)
        label = None if label is None else column_of(table.columns, label)
    for name, part in ((text, "text"), (label, "label")):
        if name is not None and sure:
            find_column(table.columns, name, part, table.name)
        elif name is not None and name not in head:
            return None
    guessed = tuple(part for part, name in (("text", text), ("label", label)) if name is None)
    words = _words(head, text)
    if words is not None:
        args = _named(head, (_ARGUMENTS,))
        if _PREDICATES in head and args is not None and label in (None, args):
            return WordColumns(words, args, "args", _PREDICATES, guessed=guessed)
        tags = label if label is not None else _tags(table, head, words)
        if tags is not None and tags != words and _parallel(head[words], head[tags], sure and label is not None):
            return WordColumns(words, tags, "tags", _predicate(table, head, words, tags), guessed=guessed)
    raw = text if text is not None and text != words else None
    if text is None:
        raw = _named({name: cells for name, cells in head.items() if _strings(cells)}, _TEXT)
    if raw is None or not _strings(head.get(raw, [])):
        return None
    spans = label
    if label is None:
        like = {name: cells for name, cells in head.items() if name != raw and looks_like_spans(cells)}
        spans = _named(like, _SPANS) or (next(iter(like)) if len(like) == 1 else None)
        if spans is None and sure:
            spans = _named({name: cells for name, cells in head.items() if _empty(cells)}, _SPANS)
    held = [] if spans is None else head[spans]
    named = sure and (_empty(held) or (label is not None and _lists(held)))
    if spans is None or not (named or looks_like_spans(held)):
        return None
    return WordColumns(raw, spans, "spans", answer=_answer(head), guessed=guessed)


def _joined(table: Table, *, text: str | None, label: str | None, sure: bool) -> WordColumns | None:
    """Return the columns of strings with a tag for each piece of a text between spaces; None without.

    Args:
        table: the table.
        text, label: the columns that the caller named.
        sure: the tags of a named column may be any, and not only such as B-X, I-X or O.

    Raises:
        DataError: the names of the columns of a csv or tsv file are a text and its tags.
    """
    head = _head(table)
    strings = {
        name: ["" if is_missing(cell) else cell for cell in cells] for name, cells in head.items() if _strings(cells)
    }
    texts = strings if text is None else {name: cells for name, cells in strings.items() if name == text}
    for tags in strings if label is None else [label]:
        pieces = [cell.split() for cell in strings.get(tags, ())]
        each = {piece for cell in pieces for piece in cell}
        known = (sure and label is not None) or all(map(TAG.fullmatch, each))
        single = all(len(cell) < 2 for cell in pieces)  # of single words: classes, as B-12
        if not known or single or each <= {"O"} or any(map(_LISTED.fullmatch, each)):
            continue
        like = {name: cells for name, cells in texts.items() if name != tags and _as_many(cells, pieces)}
        words = _named(like, (*_WORDS, *_TEXT)) or (next(iter(like)) if len(like) == 1 else None)
        if words is not None:
            _require_header(table, words, tags, each)
            guessed = tuple(part for part, name in (("text", text), ("label", label)) if name is None)
            predicate = _predicate(table, head, words, tags)
            return WordColumns(words, tags, "tags", predicate, guessed=guessed, joined=True)
    return None


def _require_header(table: Table, words: str, tags: str, known: set[str]) -> None:
    """Refuse a csv or tsv file whose first line is a text and its tags, and not the names of its columns."""
    if not isinstance(table, RowFile) or table.format not in ("csv", "tsv"):
        return
    pieces = tags.split()
    like = all(TAG.fullmatch(piece) or piece in known for piece in pieces)
    if pieces and like and (len(pieces) > 1 or len(words.split()) == 1):
        raise DataError(
            f"{table.name} has no line with the names of its columns: the first one is a text and its tags.",
            accepted={"first line": "names of columns, such as text,tags", "found": f"{quoted(words)}, {quoted(tags)}"},
            fix=HEADER,
        )


def _as_many(cells: Sequence[str], pieces: Sequence[Sequence[str]]) -> bool:
    """Return whether most texts have as many pieces as tags."""
    return 2 * sum(len(cell.split()) == len(own) for cell, own in zip(cells, pieces, strict=True)) > len(cells)


def given_words(table: Table, text: str | None = None, *, sure: bool = False) -> WordColumns | None:
    """Return the column of lists of words of a table without labels, and that of their predicates; None without.

    Args:
        table: the table.
        text: the column that the caller named.
        sure: prefer lists of words to a text beside them.
    """
    if isinstance(table, RowFile) and table.format in ("csv", "tsv", "txt"):
        return None
    head = _head(table)
    words = _words(head, text)
    raw = _named({name: cells for name, cells in head.items() if _strings(cells)}, _TEXT)
    if words is None or (text is None and raw is not None and not sure):
        return None
    if _PREDICATES in head and (sure or _named(head, (_ARGUMENTS,)) is not None):
        return WordColumns(words, None, "args", _PREDICATES)
    return WordColumns(words, None, "tags", _predicate(table, head, words))


def _head(table: Table) -> dict[str, list[Any]]:
    try:
        return table.head(_ROWS)
    except DataError:  # the columns that are needed are read later, and that error names the malformed row
        return {}


def _words(head: Mapping[str, list[Any]], text: str | None) -> str | None:
    if text is not None:
        return text if _worded(head.get(text, ())) else None
    return _named({name: cells for name, cells in head.items() if _worded(cells)}, _WORDS)


def _worded(cells: Iterable[Any]) -> bool:
    """Return whether most cells are lists of strings, one of which has a word."""
    held = [cell for cell in cells if not is_missing(cell)]
    lists = [cell for cell in held if is_list(cell)]
    strings = sum(all(isinstance(word, str) for word in cell) for cell in lists)
    return 2 * strings > len(held) and any(len(cell) for cell in lists)


def _tags(table: Table, head: Mapping[str, list[Any]], words: str) -> str | None:
    """Return the column whose lists are as long as those of the words, preferably by its name."""
    like = {name: cells for name, cells in head.items() if name != words and _parallel(head[words], cells, False)}
    if isinstance(table, RowFile) and table.format == "conll":
        last = TAGS if TAGS in table.columns else table.columns[-1]
        return "upos" if "upos" in like and "misc" in table.columns else last if last in like else None
    found = _named(like, _TAGS)
    return found if found is not None or len(like) != 1 else next(iter(like))


def _parallel(words: Sequence[Any], cells: Sequence[Any], sure: bool) -> bool:
    """Return whether most cells are lists of tags as long as those of the words; ``sure``: of any length."""
    held = [(row, cell) for row, cell in zip(words, cells, strict=False) if not (is_missing(row) or is_missing(cell))]
    lists = [(row, cell) for row, cell in held if is_list(cell) and is_list(row)]
    tags = [(row, cell) for row, cell in lists if all(tag is None or isinstance(tag, _TAG) for tag in cell)]
    return 2 * sum(sure or len(row) == len(cell) for row, cell in tags) > len(held)


def _predicate(table: Table, head: Mapping[str, list[Any]], *taken: str) -> str | None:
    """Return the column with the number of each text's predicate; what its cells hold is checked when they are read."""
    if isinstance(table, RowFile) and table.format == "conll":  # all columns are of words
        return None
    filled = {name for name, cells in head.items() if any(not is_missing(cell) for cell in cells)}
    return _named(dict.fromkeys(filled - set(taken)), tuple((name,) for name in _PREDICATE))


def _answer(head: Mapping[str, list[Any]]) -> str | None:
    answers = [cell for cell in head.get("answer", ()) if not is_missing(cell)]
    return "answer" if answers and all(cell in ("accept", "reject", "ignore") for cell in answers) else None


def _has_label(table: Table, found: WordColumns, *, text: str | None, pair: str | None, confidence: str | None) -> bool:
    """Return whether a text and a label, other than the tags, would be read where the task is one of whole texts."""
    columns = [name for name in table.columns if name != confidence]
    try:
        return choose_columns(columns, source=table.name, text=text, pair=pair).label != found.label
    except DataError:
        return False


def _has_class(table: Table, found: WordColumns) -> bool:
    """Return whether a table has a text with a label of the whole text besides its words and tags."""
    head = _head(table)
    strings = {name: cells for name, cells in head.items() if _strings(cells)}
    text = found.text if found.kind == "spans" else _named(strings, _TEXT)
    classes = [
        name
        for name, cells in head.items()
        if name.casefold() in _CLASS and name not in (text, found.text, found.label)
        and any(not is_missing(cell) for cell in cells)
        and not (_parallel(head[found.text], cells, False) if found.kind == "tags" else looks_like_spans(cells))
    ]  # fmt: skip
    return text is not None and bool(classes)


def _named(head: Mapping[str, Any], tiers: Sequence[Sequence[str]]) -> str | None:
    """Return the first column with a usual name, in the order of the names."""
    folded = {name.casefold(): name for name in reversed(list(head))}
    return next((folded[name] for tier in tiers for name in tier if name in folded), None)


def _strings(cells: Sequence[Any]) -> bool:
    held = [cell for cell in cells if not is_missing(cell)]
    return bool(held) and all(isinstance(cell, str) for cell in held)


def _lists(cells: Sequence[Any]) -> bool:
    return all(is_missing(cell) or is_list(cell) or isinstance(cell, Mapping) for cell in cells)


def _empty(cells: Sequence[Any]) -> bool:
    return all(is_missing(cell) or (is_list(cell) and not len(cell)) for cell in cells)


def _none_found(table: Table, text: str | None, label: str | Sequence[str] | None) -> DataError:
    named = [f"text={text!r}"] * (text is not None) + [f"label={label!r}"] * (label is not None)
    found = _listed_tags(table, label)
    delimited = isinstance(table, RowFile) and table.format in ("csv", "tsv")
    lists = 'lists of words and lists of their tags; a text and a list of {"start": 0, "end": 5, "label": "PER"}; '
    return DataError(
        f"{table.name} holds no words with tags and no text with spans"
        + (f", as {' and '.join(named)} would have it." if named else "."),
        accepted={
            "columns": ", ".join(shown_names(table.columns)),
            **({} if found is None else {f"a cell of {found[0]!r}": shortened(shown(found[1]), _CELL)}),
            "words": ("" if delimited else lists)
            + "strings that spaces separate, such as the text 'Olga flies' with the tags 'B-person O'; a CoNLL file",
        },
        fix=[
            *([] if found is None else ["write tags with a space between, and no brackets, quotes or commas"]),
            option("text", "COLUMN", note=", the words or the text"),
            option("label", "COLUMN", note=", the tags or the spans"),
        ],
    )


def _listed_tags(table: Table, label: str | Sequence[str] | None) -> tuple[str, str] | None:
    """Return a column of tags in strings with brackets or commas, and a cell of it; None without."""
    for name, cells in _head(table).items():
        held = [cell.strip() for cell in cells if isinstance(cell, str) and cell.strip()] if _strings(cells) else []
        marked = [cell for cell in held if re.search(r"[\[,;|]", cell)]
        pieces = {piece for cell in held for piece in re.split(r"[\s,;|'\"\[\]()]+", cell) if piece}
        tags = all(map(TAG.fullmatch, pieces)) or label == name
        if marked and tags and (2 * len(marked) > len(held) or label != name):
            return name, marked[0]
    return None
