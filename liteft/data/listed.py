"""Lists of labels written as text.

pandas writes "['joy', 'anger']", numpy "[1 0 0]" or "array([1, 0])"; tuples and sets also occur. A column holds
lists if every cell is one. If most are, the others are errors, because they and the lists would become names of
classes; otherwise brackets are part of the names.
"""

from __future__ import annotations

import ast
import json
import re
from typing import Any

from liteft.data.cells import is_missing
from liteft.data.dataset import Provenance
from liteft.errors import DataError
from liteft.privacy import quoted, shown

__all__ = ["listed"]

_CALL = re.compile(r"(?:np\.|numpy\.|torch\.)?(?:array|tensor)\((.*)\)", re.DOTALL)
_CALL_SETTINGS = re.compile(r",\s*(?:dtype|device)=[^,\[\]]+")
_STRING = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"")
_ADJACENT = re.compile(r"['\"]\s+['\"]")
_SPACED = re.compile(r"\[[^\[\],'\"]*\]")
_NUMBER = re.compile(r"[+-]?\d+\.?\d*")
_CUT = re.compile(r"\[[\d.,\s]*\.\.\.[\d.,\s]*\]")
_CLOSING = {"[": "]", "(": ")", "{": "}"}


def listed(labels: list[Any], place: Provenance) -> list[Any] | None:
    """Return the lists if every label is a list written as text ("[4, 27]", "['joy' 'anger']", "(1, 0)").

    Return None if most different labels are not: then the brackets are part of the names.

    Raises:
        DataError: most labels are lists and one is not, or numpy abbreviated a list ("[0 0 0 ... 0 1 0]"), so that
            entries are lost.
    """
    given = [None if is_missing(value) or (isinstance(value, str) and not value) else value for value in labels]
    if any(value is not None and not isinstance(value, str) for value in given):
        return None
    first: dict[str, int] = {}
    for row, value in enumerate(given):
        if value is not None:
            first.setdefault(value, row)
    lists = {value: _parsed(value.strip(), place, row) for value, row in first.items()}
    others = [value for value, content in lists.items() if content is None]
    if not lists or 2 * len(others) >= len(lists):
        return None
    if others:
        other = min(others, key=first.__getitem__)
        raise DataError(
            f"{place.where(first[other])}: the label {quoted(other, 80)} is not a list, where most labels are lists.",
            accepted={"label": "a list such as ['joy', 'anger'], in every row; [] for no label"},
            fix="correct that row, or write the column again as JSON",
        )
    return [None if value is None else lists[value] for value in given]


def _parsed(text: str, place: Provenance, row: int) -> list[Any] | None:
    call = _CALL.fullmatch(text)
    if call is not None:
        text = _CALL_SETTINGS.sub("", call[1]).strip()
    if not text or _CLOSING.get(text[0]) != text[-1]:
        return None
    if _CUT.fullmatch(text):
        raise DataError(
            f"{place.where(row)}: the label, {shown(text)[:60]}, is a list that numpy abbreviated when printing.",
            accepted={"lists": "with all entries"},
            fix="write labels.tolist() instead, to jsonl or parquet",
        )
    if _SPACED.fullmatch(text):
        numbers = [_number(word) for word in text[1:-1].split()]
        return None if None in numbers else numbers
    content = _literal(text)
    if content is not None and _ADJACENT.search(text):
        words = _STRING.findall(text)
        if len(words) > len(content):  # Python would concatenate 'joy' 'anger'
            return [ast.literal_eval(word) for word in words]
    return content


def _number(word: str) -> Any:
    if word in ("True", "False"):
        return word == "True"
    if not _NUMBER.fullmatch(word):
        return None
    return float(word) if "." in word else int(word)


def _literal(text: str) -> list[Any] | None:
    for parse in (json.loads, ast.literal_eval):  # neither runs code
        try:
            content = parse(text)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
        if isinstance(content, list | tuple):
            return list(content)
        if isinstance(content, set):
            return sorted(content, key=str)
    return None
