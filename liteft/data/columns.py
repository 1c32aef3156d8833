"""Which columns contain the text, its pair and the label: named by the caller, or guessed if only one fits.

Guesses come from a short list of names that data sets use, and are always reported. If two columns fit, or
none, the error shows the columns and the caller chooses.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from liteft.errors import DataError, Hint, closest, option
from liteft.privacy import shown_names

if TYPE_CHECKING:
    from liteft.data.looks import Looks

__all__ = ["HEADER", "Columns", "choose_columns", "find_column", "header_hint", "score_column", "second_texts"]

HEADER = "the first line of a csv or tsv file must contain the column names; add it if it does not"
_DELIMITERS = {"\t": "tab", ";": ";", ",": ",", "|": "|"}  # each as it is given

# Tiers: within one, two hits are ambiguous; an earlier tier wins over a later one.
_TEXT = (
    ("text",),
    ("sentence", "content", "body", "utterance", "document", "texts"),
    (
        "review",
        "comment",
        "message",
        "tweet",
        "query",
        "question",
        "headline",
        "title",
        "description",
        "input",
    ),
    ("data",),
)
_LABEL = (
    ("label", "labels"),
    ("class", "category", "intent", "target", "sentiment", "emotion", "topic", "classes", "categories"),
    ("intents", "emotions", "topics", "stars", "rating", "output", "cats"),
)
_SECOND = ("context", "answer", "passage", "document", "response", "reply", "paragraph", "evidence")
_TO_LABEL = {"predicted", "probability", "margin", "why"}  # columns of a list that liteft.to_label writes
_SCORES = ("score", "scores", "similarity", "similarity_score", "relevance", "rating")
_PAIRS = (
    ("text", "text_b"),
    ("text", "text2"),
    ("text", "text_pair"),
    ("text", "pair"),
    ("text_a", "text_b"),
    ("text1", "text2"),
    ("text_1", "text_2"),
    ("sentence1", "sentence2"),
    ("sentence_1", "sentence_2"),
    ("sentence_a", "sentence_b"),
    ("premise", "hypothesis"),
    ("question1", "question2"),
    ("question", "sentence"),
    ("query", "passage"),
    ("query", "document"),
)
_RANKED = (("query", "text"),)  # elsewhere a text may stand beside the query that found it


@dataclass(frozen=True)
class Columns:
    """The names of the columns that are read.

    Attributes:
        text: the text, or the first of a pair.
        pair: the second text; None without pairs.
        label: the label; None if labels are not wanted.
        guessed: the parts that the caller did not name: "text", "pair", "label".
    """

    text: str
    pair: str | None
    label: str | None
    guessed: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The columns, each once."""
        return tuple(dict.fromkeys(name for name in (self.text, self.pair, self.label) if name is not None))

    @property
    def note(self) -> str | None:
        """A sentence on what was guessed, or None."""
        if not self.guessed:
            return None
        parts = ", ".join(f"{part} = {getattr(self, part)!r}" for part in self.guessed)
        return f"columns guessed by name: {parts}"


def choose_columns(
    columns: Sequence[str],
    *,
    source: str,
    text: str | None = None,
    pair: str | None = None,
    label: str | None = None,
    labelled: bool = True,
    ranked: bool = False,
    hint: str | Hint | None = None,
    looks: Looks | None = None,
) -> Columns:
    """Return the columns to read.

    Args:
        columns: the columns of the source.
        source: its name, for messages.
        text: column of the text; None to guess.
        pair: column of the second text; None to guess, "" for no pairs, whatever the columns are called.
        label: column of the label; None to guess.
        labelled: False to look for no label.
        ranked: a query and a text are a pair, as where texts have scores or a model reads pairs.
        hint: another thing to try when a column is missing.
        looks: what the columns look like, for better hints.

    Raises:
        DataError: a column does not exist, or cannot be guessed, or is named for two parts.
    """
    guessed: list[str] = []
    pairs = (*_PAIRS, *_RANKED) if ranked else _PAIRS
    for name, part in ((text, "text"), (pair, "pair"), (label if labelled else None, "label")):
        if name is not None and (name or part != "pair"):
            find_column(columns, name, part, source, hint)
    free = [name for name in columns if name not in (pair, label)]
    found_pair = pair or None
    if text is None:
        text, partner = _guess_text(free, pairs, pair=pair, labelled=label is None)
        found_pair = partner or found_pair
        guessed.append("text")
    if text is None:
        raise _unknown("text", free, source, hint, free if looks is None else (*looks.texts, *looks.strings))
    if pair is None and found_pair is None:
        found_pair = _partner(text, [name for name in free if name != text], pairs)
    if pair is None and found_pair is not None:
        guessed.append("pair")
    if label is None and labelled:
        free = [name for name in columns if name not in (text, found_pair)]
        label = _guess(free, _LABEL) or (free[0] if len(free) == 1 else None)
        if label is None and set(columns) >= _TO_LABEL:
            raise _without_labels(source)
        if label is None:
            raise _unknown_label(free, columns, source, hint, looks)
        guessed.append("label")
    chosen = [name for name in (text, found_pair, label if labelled else None) if name is not None]
    if len(set(chosen)) < len(chosen):
        other = next((name for name in columns if name not in chosen), None)
        wrong = _wrong_part(text, found_pair, label if labelled else None)
        raise DataError(
            f"{source}: one column cannot be two of text, pair and label.",
            accepted={
                "text": text,
                "pair": found_pair or "none",
                "label": label,
                "columns": ", ".join(shown_names(columns)),
            },
            fix=option(wrong, other) if other else "name two columns",
        )
    return Columns(text, found_pair, label if labelled else None, tuple(guessed))


def _wrong_part(text: str, pair: str | None, label: str | None) -> str:
    """Return the part that one of the other columns should hold, where two of these are the same column."""
    usual = {name for names in _LABEL for name in names}
    if label in (text, pair) and str(label).casefold() not in usual:
        return "label"
    return "pair" if pair == label else "text"


def header_hint(columns: Sequence[str]) -> str | Hint:
    """Return what to try where the columns of a csv or tsv file do not fit.

    That is another delimiter, if there is one column whose name contains one; or to look at the file's first line.
    """
    inside = [mark for mark in _DELIMITERS if mark in columns[0]] if len(columns) == 1 else []
    return option("delimiter", _DELIMITERS[inside[0]]) if inside else HEADER


def find_column(columns: Sequence[str], name: str, part: str, source: str, hint: str | Hint | None = None) -> str:
    """Return ``name`` if it is a column; otherwise raise DataError with the closest name."""
    if name in columns:
        return name
    taken = {usual for names in (*_TEXT, *_LABEL) for usual in names} if part == "pair" else set()
    others = [each for each in columns if each.casefold() not in taken]
    near = closest(name, others)
    fixes: list[str | Hint] = [option(part, near) if near else option(part, "COLUMN", note=", one of these")]
    if not others:
        fixes = [option(part, "", note=", for single texts")]
    raise DataError(
        f"{source} has no column {name!r}.",
        accepted={"columns": ", ".join(shown_names(columns))},
        fix=fixes + ([hint] if hint else []),
    )


def second_texts(columns: Sequence[str], chosen: Columns, looks: Looks) -> list[str]:
    """Return the columns that are not read but look like a second text, by name or by content."""
    known = {second for _, second in _PAIRS} | set(_SECOND)
    unused = [name for name in columns if name not in chosen.names]
    named = [name for name in unused if name.casefold() in known and name in looks.strings]
    return [*named, *(name for name in looks.texts if name in unused and name not in named)]


def _guess_text(
    free: Sequence[str], pairs: Sequence[tuple[str, str]], *, pair: str | None, labelled: bool
) -> tuple[str | None, str | None]:
    """Return the text column, or None, and the pair column that belongs to it by name when none is given."""
    folded = {name.casefold(): name for name in free}
    for first, second in pairs:
        if pair is None and first in folded and second in folded:
            return folded[first], folded[second]
        if pair and second == pair.casefold() and first in folded:
            return folded[first], None
    found = _guess(free, _TEXT)
    if found is None:
        label = _guess(free, _LABEL) if labelled else None
        rest = [name for name in free if name != label]
        found = rest[0] if len(rest) == 1 else None
    return found, None


def score_column(columns: Sequence[str]) -> str | None:
    """Return the column that holds the scores, if one has a usual name and none is named for labels."""
    found = [name for name in columns if name.casefold() in _SCORES]
    return found[0] if len(found) == 1 and not {"label", "labels"} & {name.casefold() for name in columns} else None


def _guess(names: Sequence[str], tiers: Sequence[Sequence[str]]) -> str | None:
    for tier in tiers:
        hits = [name for name in names if name.casefold() in tier]
        if hits:
            return hits[0] if len(hits) == 1 else None
    return None


def _partner(text: str, free: Sequence[str], pairs: Sequence[tuple[str, str]]) -> str | None:
    folded = {name.casefold(): name for name in free}
    for first, second in pairs:
        if first == text.casefold() and second in folded:
            return folded[second]
    return None


def _unknown(
    part: str,
    free: Sequence[str],
    source: str,
    hint: str | Hint | None,
    likely: Sequence[str],
    tasks: Sequence[Hint] = (),
) -> DataError:
    example = next((name for name in likely if name in free), None)
    if example is not None and shown_names([example]) != [example]:
        example = None  # no other column in the place of the likely one
    what = {"text": ", a column of strings: join lists of words to one", "label": ", a column of classes"}
    note = what.get(part, "")
    if not free:
        return DataError(
            f"{source}: no column is left for the {part}.",
            accepted={"columns": "at least one for the text and one for the label"},
            fix=hint if isinstance(hint, Hint) else ["add the column to the file", *([hint] if hint else [])],
        )
    return DataError(
        f"{source}: the column names do not say which one holds the {part}.",
        accepted={"columns": ", ".join(map(repr, shown_names(free)))},
        fix=[
            *tasks,
            option(part, example or "NAME", note=" (or another of them)" if example and len(free) > 1 else note),
            *([hint] if hint else []),
        ],
    )


def _without_labels(source: str) -> DataError:
    """Return the error of a list of texts to label into which no labels were written."""
    return DataError(
        f"{source} lists texts to label, and has no labels yet.",
        accepted={"label": 'a key of each line, such as "label": "joy"; predictions of the model do not count'},
        fix="write labels into the file, and delete the lines without one",
    )


def _unknown_label(
    free: Sequence[str], columns: Sequence[str], source: str, hint: str | Hint | None, looks: Looks | None
) -> DataError:
    """Return the error where no column is named for labels: of ``columns``, ``free`` have no other part."""
    folded = {name.casefold(): name for name in columns}
    scores, answer = score_column(free), next((name for name in folded if name.startswith("answer")), None)
    tasks = [] if scores is None else [option("task", "scores", note=f", if {scores!r} holds numbers to predict")]
    if answer is not None and "question" in folded and set(folded) & {"context", "passage", "paragraph", "document"}:
        tasks.append(option("task", "answers", note=f", if {folded[answer]!r} holds parts of the contexts"))
    binary = [] if looks is None else [name for name in looks.binary if name in free]
    if len(binary) < 2:
        return _unknown("label", free, source, hint, free if looks is None else looks.classes, tasks)
    return DataError(
        f"{source}: the column names do not say which one holds the label, and {len(binary)} hold only 0 and 1.",
        accepted={"columns": ", ".join(map(repr, shown_names(free)))},
        fix=[
            *tasks,
            option("label", binary, note=", if each column is one label of possibly several"),
            option("label", binary[0], note=", if only this column holds the label"),
        ],
    )
