"""The schemes in which tags of words name spans; all are turned into IOB2.

    IOB2     B-X begins every span, I-X goes on with it
    IOB1     I-X begins a span too; B-X only one that follows another of its type at once
    BIOES    as IOB2, but E-X ends a span, and S-X is a span of one word (BILOU: L and U; BMES: M in the middle)

A tag without such a prefix, such as a part of speech, stays as it is. A sequence that the scheme does not allow is
read as conlleval reads it: where a span cannot go on, a new one begins.

Sources: IOB1: Ramshaw and Marcus 1995, "Text chunking using transformation-based learning", section 4.1; all of them:
Tjong Kim Sang and Veenstra 1999, "Representing text chunks"; repairs: conlleval of CoNLL-2000.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

__all__ = [
    "OUTSIDE",
    "Scheme",
    "Spelling",
    "find_scheme",
    "find_spelling",
    "has_prefix",
    "odd_tags",
    "scheme_of_split",
    "spans_of_tags",
    "tag_order",
    "tags_of_spans",
    "type_of_tag",
]

OUTSIDE = "O"
_PREFIXED = re.compile(r"([BIESLUM])-(.+)", re.DOTALL)
_CLOSING = {"E": "E", "L": "E", "S": "S", "U": "S", "M": "I", "B": "B", "I": "I"}
_LOOSE = re.compile(r"([BIESLUMbieslum])[-_](.+)", re.DOTALL)
_SUFFIXED = re.compile(r"(.+)[-_]([BIESLUMbieslum])", re.DOTALL)
_SCHEMES = ("BIES", "BILU", "BMES")
_UNTYPED = "SPAN"  # the type of spans whose tags are B and I alone
Span = tuple[int, int, str]


@dataclass(frozen=True, slots=True)
class Scheme:
    """How tags name spans.

    Attributes:
        name: "IOB2", "IOB1", "BIOES", "BILOU" or "BMES"; "" if no tag has a prefix.
        closed: whether spans have an end of their own, E or S, without which a sequence is not allowed.
        untyped: whether tags are B and I alone, without a type.
    """

    name: str
    closed: bool = False
    untyped: bool = False

    def iob2(self, tags: Sequence[str]) -> tuple[tuple[str, ...], bool]:
        """Return tags of a text as IOB2, and whether the scheme allows their sequence."""
        if not self.name:
            return tuple(tags), True
        found, legal = [], True
        current: str | None = None  # type of the span that the next word may go on with
        for tag in tags:
            letter, kind = self._parts(tag)
            if letter == OUTSIDE:
                legal &= not (self.closed and current is not None)
                found.append(tag)
                current = None
            elif letter in "BS":
                legal &= not (self.closed and current is not None)
                found.append(f"B-{kind}")
                current = kind if letter == "B" else None
            else:
                goes_on = current == kind
                legal &= goes_on or self.name == "IOB1"
                found.append(f"{'I' if goes_on else 'B'}-{kind}")
                current = kind if letter == "I" else None
        return tuple(found), legal and not (self.closed and current is not None)

    def _parts(self, tag: str) -> tuple[str, str]:
        """Return B, I, E, S or O, and the type of the span."""
        if self.untyped and tag in _CLOSING:
            return _CLOSING[tag], _UNTYPED
        found = _PREFIXED.fullmatch(tag)
        if found is None or not (self.closed or found[1] in "BI"):
            return OUTSIDE, ""
        return _CLOSING[found[1]], found[2]


def find_scheme(rows: Iterable[Sequence[str]]) -> Scheme:
    """Return the scheme of tags, by all rows of a training split."""
    rows = list(rows)
    tags = {tag for row in rows for tag in row} - {OUTSIDE}
    untyped = "B" in tags and len(tags) > 1 and tags <= set(_CLOSING)
    prefixed = [found[1] for tag in tags if (found := _PREFIXED.fullmatch(tag))]
    letters = tags if untyped else set(prefixed)
    spans_only = untyped or len(prefixed) == len(tags)
    if spans_only and letters - {"B", "I"} and (letters & {"B", "I"} or any(OUTSIDE in row for row in rows)):
        return _closed(letters, untyped)
    if not letters & {"B", "I"}:
        return Scheme("")
    scheme = Scheme("IOB2", untyped=untyped)
    by_inside, by_begin = _beginnings(rows, scheme)
    return Scheme("IOB1", untyped=untyped) if by_inside > by_begin else scheme


def _closed(letters: set[str], untyped: bool) -> Scheme:
    name = "BILOU" if letters & {"L", "U"} else "BMES" if "M" in letters else "BIOES"
    return Scheme(name, closed=True, untyped=untyped)


def scheme_of_split(rows: Iterable[Sequence[str]], trained: Scheme) -> Scheme | None:
    """Return the scheme by which to read another split than that of training; None if its tags are of another kind.

    Args:
        rows: the tags of the split.
        trained: the scheme of the training split, where it has tags other than O.
    """
    rows = list(rows)
    tags = {tag for row in rows for tag in row} - {OUTSIDE}
    if not tags or (trained.untyped and tags <= set(_CLOSING)):
        return trained if not tags - {"B", "I"} or trained.closed else _closed(tags, untyped=True)
    own = find_scheme(rows)
    prefixed = [found[1] for tag in tags if (found := _PREFIXED.fullmatch(tag))]
    letters = set(prefixed)
    if not trained.name:
        return None if letters & {"B", "I"} and len(prefixed) == len(tags) else trained
    if not prefixed or trained.untyped or own.untyped:
        return None
    if letters - {"B", "I"}:
        return trained if trained.closed and letters <= set(trained.name) else _closed(letters, untyped=False)
    return own if trained.closed and "I" in letters and own.name and not _closes(rows) else trained


def _closes(rows: Sequence[Sequence[str]]) -> bool:
    return any(tag[:2] in ("E-", "S-", "L-", "U-") for row in rows for tag in row)


def has_prefix(tag: str) -> bool:
    """Return whether a tag is a letter of a scheme with the type of its span."""
    return _PREFIXED.fullmatch(tag) is not None


def odd_tags(tags: Iterable[str]) -> set[str]:
    """Return the tags that are neither outside nor of spans where others are of spans; none where none are."""
    tags = set(tags) - {OUTSIDE}
    parts = {tag: found for tag in tags if (found := _PREFIXED.fullmatch(tag))}
    others = tags - set(parts)
    if not parts:
        unknown = others - set(_CLOSING)
        return unknown if {"B", "I"} <= others and len(unknown) == 1 else set()
    kinds = [found[2] for found in parts.values()]
    spans = any(found[1] in "BI" for found in parts.values()) or len(kinds) > len(set(kinds))
    return others if spans else set()


@dataclass(frozen=True, slots=True)
class Spelling:
    """Tags of spans that are not written as B-X.

    Attributes:
        example: such a tag.
        written: how it is written in a scheme.
        suffixed: whether the letter stands behind the type, and the tags stay as they are.
    """

    example: str
    written: str
    suffixed: bool = False

    @staticmethod
    def respelt(tag: str) -> str:
        """Return a tag with its letter in upper case and a hyphen."""
        found = _LOOSE.fullmatch(tag)
        return f"{found[1].upper()}-{found[2]}" if found else OUTSIDE if tag == "o" else tag


def find_spelling(tags: Iterable[str], *, sure: bool = False) -> Spelling | None:
    """Return how tags of spans are written, if not as B-X; None if they are, or if they are not of spans.

    Args:
        tags: all tags of a split.
        sure: the tags are known to be of spans, so that they need not have a begin and an inside.
    """
    tags = sorted(set(tags) - {OUTSIDE, "o"})
    loose = [found for tag in tags if (found := _LOOSE.fullmatch(tag))]
    if tags and len(loose) == len(tags) and _one_scheme({found[1].upper() for found in loose}, sure):
        odd = next((found for found in loose if not has_prefix(found[0])), None)
        return None if odd is None else Spelling(odd[0], Spelling.respelt(odd[0]))
    behind = [found for tag in tags if (found := _SUFFIXED.fullmatch(tag))]
    if tags and len(behind) == len(tags) and _one_scheme({found[2].upper() for found in behind}, False):
        return Spelling(tags[0], f"{behind[0][2].upper()}-{behind[0][1]}", suffixed=True)
    return None


def _one_scheme(letters: set[str], sure: bool) -> bool:
    known = any(letters <= set(scheme) for scheme in _SCHEMES)
    return known and (sure or ("B" in letters and bool(letters & set("IELM"))))


def _beginnings(rows: Sequence[Sequence[str]], scheme: Scheme) -> tuple[int, int]:
    """Return how many spans, not right behind one of their type, begin with I and with B."""
    counts = {"I": 0, "B": 0}
    for row in rows:
        before = ""
        for tag in row:
            letter, kind = scheme._parts(tag)
            if letter in counts and kind != before:
                counts[letter] += 1
            before = kind
    return counts["I"], counts["B"]


def type_of_tag(tag: str) -> str:
    """Return the type of the span that an IOB2 tag belongs to; a tag that belongs to none is returned unchanged."""
    return tag[2:] if tag[:2] in ("B-", "I-") and len(tag) > 2 else tag


def tag_order(tags: Iterable[str]) -> tuple[str, ...]:
    """Return IOB2 tags in order: O first if it occurs, then B-X and I-X for each type, then the others."""
    unique = set(tags)
    types = sorted({type_of_tag(tag) for tag in unique if type_of_tag(tag) != tag})
    plain = sorted(tag for tag in unique if type_of_tag(tag) == tag and tag != OUTSIDE)
    outside = [OUTSIDE] if OUTSIDE in unique else []
    return (*outside, *(f"{letter}-{kind}" for kind in types for letter in "BI"), *plain)


def tags_of_spans(spans: Iterable[Span], words: int) -> tuple[str, ...]:
    """Return the IOB2 tags of a text.

    Args:
        spans: first word, end (exclusive) and type of each; no word is in two of them.
        words: number of words.
    """
    tags = [OUTSIDE] * words
    for first, end, kind in spans:
        tags[first:end] = [f"B-{kind}", *[f"I-{kind}"] * (end - first - 1)]
    return tuple(tags)


def spans_of_tags(tags: Sequence[str]) -> list[Span]:
    """Return first word, end (exclusive) and type of the spans that allowed IOB2 tags name."""
    spans: list[Span] = []
    for at, tag in enumerate(tags):
        kind = type_of_tag(tag)
        if tag.startswith("B-") and kind != tag:
            spans.append((at, at + 1, kind))
        elif tag.startswith("I-") and kind != tag:
            spans[-1] = (spans[-1][0], at + 1, kind)
    return spans
