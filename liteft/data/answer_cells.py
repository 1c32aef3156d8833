"""What a cell says of a question's answers: their texts, each with its place in the context.

    {"text": ["Ada"], "answer_start": [17]}          columns, as the hub's data sets have them
    {"text": "Ada", "answer_start": 17}              a single answer
    [{"text": "Ada", "answer_start": 17}]            objects, as SQuAD's documents have them
    '[{"text": "Ada", "answer_start": 17}]'          any of these as JSON, in a csv file

An empty list says that there is no answer, an empty cell says nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from numbers import Integral, Real
from typing import Any

from liteft.data.cells import is_blank, is_list, is_missing
from liteft.privacy import quoted

__all__ = ["Found", "read_answers"]

Found = list[tuple[str, int]]
_SHOWN = 40


def read_answers(cell: Any) -> Found | None:
    """Return the answers of a cell, each with its place as it stands there; None if the cell is empty.

    Raises:
        ValueError: the cell has another form; the message says in plain words what was seen.
    """
    if is_missing(cell) or (isinstance(cell, str) and is_blank(cell)):
        return None
    if isinstance(cell, str):
        cell = _json(cell)
    if isinstance(cell, Mapping):
        return _of_object(cell)
    if not is_list(cell):
        raise ValueError(f"{_kind(cell)} instead of answers with their places")
    found: Found = []
    for each in cell:
        if not isinstance(each, Mapping):
            raise ValueError(f"a list of which an entry is {_kind(each)}, without a place in the context")
        found += _of_object(each)
    return found


def _json(cell: str) -> Any:
    try:
        return json.loads(cell)
    except ValueError:
        pass
    if cell.strip()[0] not in "[{":
        raise ValueError("a plain text, without its place in the context")
    if "'" in cell:
        raise ValueError("text in Python's notation: JSON has double quotes, as json.dumps(answers) writes them")
    raise ValueError("text that begins like JSON but cannot be read as JSON")


def _of_object(answers: Mapping[Any, Any]) -> Found:
    """Return the answers of an object, in which text and answer_start are lists, or one of each."""
    for name in ("text", "answer_start"):
        if name not in answers:
            keys = ", ".join(f"{key!r}" for key in answers) or "none"
            raise ValueError(f"the key {name!r} is missing (keys: {keys})")
    texts, starts = answers["text"], answers["answer_start"]
    if is_list(texts) != is_list(starts):
        one, other = ("text", "answer_start") if is_list(texts) else ("answer_start", "text")
        raise ValueError(f"{one!r} is a list, but {other!r} is not")
    if not is_list(texts):
        texts, starts = [texts], [starts]
    if len(texts) != len(starts):
        raise ValueError(f"'text' has {len(texts):,} entries, and 'answer_start' has {len(starts):,}")
    return [(_text(text), _place(start)) for text, start in zip(texts, starts, strict=True)]


def _text(text: Any) -> str:
    if not isinstance(text, str):
        raise ValueError(f"an answer's text is {_kind(text)}")
    return text


def _place(start: Any) -> int:
    if is_missing(start):
        raise ValueError("an answer's answer_start is missing")
    if isinstance(start, str) and start.strip().removeprefix("-").isdecimal():
        return int(start)
    whole = isinstance(start, Integral) or (isinstance(start, Real) and float(start).is_integer())
    if not whole or isinstance(start, bool):
        raise ValueError(f"answer_start is {quoted(start, _SHOWN)}, and not a whole number")
    return int(start)


def _kind(value: Any) -> str:
    """Return in plain words what a value is."""
    if is_missing(value):
        return "missing"
    if isinstance(value, str):
        return "a plain text"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, Real):
        return f"the number {value}"
    return "a list" if is_list(value) else "an object" if isinstance(value, Mapping) else "neither text nor list"
