"""Labels that are spans of a text, turned into tags of its words.

    [{"start": 0, "end": 5, "label": "PER"}]     objects, under the names that annotation tools give the keys
    [[0, 5, "PER"]]                              triples
    {"entities": [[0, 5, "PER"]]}                the same, as spaCy has them
    {"start": [0], "end": [5], "label": ["PER"]} columns, as the hub's packages read a sequence of objects

Offsets count code points, and the end is exclusive. A span must be of whole words, and no word may be in two spans.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

from liteft.data.cells import is_list, is_missing
from liteft.data.tag_schemes import tags_of_spans
from liteft.errors import DataError, option
from liteft.privacy import quoted, shown_parts
from liteft.text_tables import shortened

__all__ = ["NO_TAG", "Misfit", "SpanReader", "looks_like_spans"]

NO_TAG = "(no single tag)"
"""The tag of words of which a span has only a part, or that are in two spans: no prediction can be right there."""
_START = ("start", "begin", "start_offset", "start_char", "start_index", "from")
_END = ("end", "end_offset", "end_char", "end_index", "stop", "to")
_LABEL = ("label", "type", "tag", "slot", "labels", "entity", "entity_type", "entity_group", "category")
_SHIFTED = {
    "inclusive ends": (0, 1),
    "offsets from 1": (-1, -1),
    "offsets from 1 with inclusive ends": (-1, 0),
}  # what a tool may mean by start and end -> what makes them those of Python
_SHOWN = 40
Span = tuple[int, int, str]


@dataclass(frozen=True, slots=True)
class Misfit:
    """What cannot be said by one tag for each word: a span that is not of whole words, or spans that overlap.

    Attributes:
        row: of the text.
        what: it is, for messages.
        overlap: whether spans overlap.
        units: what offsets count if they then fall on words, such as "UTF-16 units" or "bytes", else "".
    """

    row: int
    what: str
    overlap: bool
    units: str = ""


class SpanReader:
    """Turns the cells of a column of spans into tags, and counts what it changed on the way.

    Attributes:
        trimmed: spans that had white space around them.
        repeated: spans that were there twice.
        fitting: spans of whole words that overlap no other.
        misfits: what tags cannot say.
    """

    def __init__(self) -> None:
        self.trimmed = 0
        self.repeated = 0
        self.fitting = 0
        self.misfits: list[Misfit] = []

    def tags(self, cell: Any, text: str, words: Sequence[tuple[int, int]], row: int, where: str) -> tuple[str, ...]:
        """Return the tags of a text.

        Args:
            cell: of the spans.
            text: the text.
            words: begin and end of its words.
            row: number of the text.
            where: its place, for messages.

        Raises:
            DataError: the cell holds something else, or a span is empty or beyond the text.
        """
        try:
            spans = [_span(entry) for entry in _entries(cell)]
        except ValueError as error:
            raise DataError(
                f"{where}: {error}.",
                accepted={"spans": 'a list of {"start": 0, "end": 5, "label": "PER"}, or of [0, 5, "PER"]'},
                fix="correct or remove that row",
            ) from None
        placed = self._distinct([self._within(span, text, spans, words, where) for span in spans])
        firsts = {begin: at for at, (begin, _) in enumerate(words)}
        lasts = {end: at for at, (_, end) in enumerate(words)}
        fitting, broken = [], []
        for group in _overlapping(placed):
            begin, end = group[0][0], max(span[1] for span in group)
            if len(group) == 1 and begin in firsts and end in lasts:
                fitting.append((firsts[begin], lasts[end] + 1, group[0][2]))
                continue
            touched = [at for at, (first, last) in enumerate(words) if first < end and last > begin]
            broken += touched
            if len(group) > 1:
                shown = [_shown(span, text) for span in group[:2]]
                self.misfits.append(Misfit(row, f"the spans {shown[0]} and {shown[1]} overlap", overlap=True))
                continue
            near = f"the nearest borders are {words[touched[0]][0]} and {words[touched[-1]][1]}"
            what = f"the span {_shown(group[0], text)} is not of whole words: {near}"
            self.misfits.append(Misfit(row, what, overlap=False, units=_other_units(text, spans, words)))
        self.fitting += len(fitting)
        tags = list(tags_of_spans(fitting, len(words)))
        for at in broken:
            tags[at] = NO_TAG
        return tuple(tags)

    def _within(
        self, span: Span, text: str, spans: Sequence[Span], words: Sequence[tuple[int, int]], where: str
    ) -> Span:
        """Return a span without white space around it."""
        start, end, kind = span
        if start < 0 or end > len(text):
            counted = self._counted(_other_units(text, spans, words))
            raise DataError(
                f"{where}: the span {start} to {end} ({kind}) is beyond the text, which has {len(text):,} characters.",
                accepted={"offsets": "code points from 0, end exclusive"},
                fix=counted or "correct or remove that span",
            )
        begin, last = start, end
        while begin < last and text[begin].isspace():
            begin += 1
        while last > begin and text[last - 1].isspace():
            last -= 1
        if begin >= last:
            counted = self._counted(_other_units(text, spans, words))
            raise DataError(
                f"{where}: the span {start} to {end} ({kind}) is {'white space' if end > start else 'empty'}.",
                accepted={"offsets": "code points from 0, end exclusive; one character at least"},
                fix=counted or "correct or remove that span",
            )
        self.trimmed += (begin, last) != (start, end)
        return begin, last, kind

    def _counted(self, units: str, misfits: int = 1) -> list[str]:
        """Return what to do if offsets count something else; nothing where more spans fit than ``misfits`` do not."""
        return [_recount(units)] if units and (units not in _SHIFTED or self.fitting <= misfits) else []

    def _distinct(self, spans: Sequence[Span]) -> list[Span]:
        found = sorted(set(spans))
        self.repeated += len(spans) - len(found)
        return found

    def refuse_misfits(self, places: Any) -> None:
        """Raise DataError if spans are not of whole words; ``places`` is the provenance of the texts."""
        if not self.misfits:
            return
        first = self.misfits[0]
        rows = list(dict.fromkeys(misfit.row for misfit in self.misfits))
        partial = [misfit.units for misfit in self.misfits if not misfit.overlap]
        units = partial[0] if len(set(partial)) == 1 else ""
        allowed = {
            "spans": "from the begin of a word to the end of one, and no word in two; words end at white space and "
            "punctuation"
        }
        if len(self.misfits) > 1:
            counts = {"not of whole words": len(partial), "times spans that overlap": len(self.misfits) - len(partial)}
            found = ", ".join(f"{count:,} {what}" for what, count in counts.items() if count)
            allowed["found"] = f"{found}: {places.places(rows)}"
        correct = "keep one of the two, such as the longer one"
        if not first.overlap:
            correct = "correct such spans, or put a space into the text where a word ends"
        raise DataError(
            f"{places.where(first.row)}: {first.what}.",
            accepted=allowed,
            fix=[
                *self._counted(units, len(partial)),
                correct,
                option("drop_empty", note=", to leave such rows out of train; in other splits they count as wrong"),
            ],
        )


def looks_like_spans(cells: Iterable[Any]) -> bool:
    """Return whether most cells hold spans, of those that are not missing or empty; the reader names the others."""
    spans = others = 0
    for cell in cells:
        if is_missing(cell):
            continue
        try:
            spans += bool([_span(entry) for entry in _entries(cell)])
        except ValueError:
            others += 1
    return spans > others


def _entries(cell: Any) -> list[Any]:
    """Return the spans of a cell, each as an object or a triple. Raises ValueError for another cell."""
    if isinstance(cell, Mapping) and is_list(cell.get("entities")):
        cell = cell["entities"]
    if isinstance(cell, Mapping):
        columns = {name: list(values) for name, values in cell.items() if is_list(values)}
        if not columns or len({len(values) for values in columns.values()}) > 1 or not set(columns) & set(_START):
            raise ValueError("the spans are an object without start, end and label")
        return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    if not is_list(cell):
        raise ValueError(f"the spans are {quoted(cell, _SHOWN)}, not a list")
    return list(cell)


def _span(entry: Any) -> Span:
    """Return one span. Raises ValueError if it is not one."""
    if isinstance(entry, Mapping):
        start, end, label = (_first(entry, names) for names in (_START, _END, _LABEL))
    elif is_list(entry) and len(entry) == 3:
        start, end, label = entry
    else:
        raise ValueError(f"{quoted(entry, _SHOWN)} is not a span")
    if is_list(label):
        names = list(label)
        if len(names) != 1:
            raise ValueError(f"a span has {len(names)} labels, and a word has one tag")
        label = names[0]
    if isinstance(label, bool) or not isinstance(label, str | Integral) or not str(label).strip():
        raise ValueError(f"the span {quoted(entry, _SHOWN)} has no label")
    return _offset(start, entry), _offset(end, entry), str(label).strip()


def _first(entry: Mapping[Any, Any], names: Sequence[str]) -> Any:
    return next((entry[name] for name in names if not is_missing(entry.get(name))), None)


def _offset(value: Any, entry: Any) -> int:
    whole = isinstance(value, Real) and not isinstance(value, bool) and float(value).is_integer()
    if not whole:
        raise ValueError(f"the span {quoted(entry, _SHOWN)} has no whole numbers as start and end")
    return int(value)


def _overlapping(spans: Sequence[Span]) -> list[list[Span]]:
    """Return spans in groups: a span alone, or those that overlap one another."""
    groups: list[list[Span]] = []
    end = 0
    for span in spans:
        if groups and span[0] < end:
            groups[-1].append(span)
        else:
            groups.append([span])
        end = max(end, span[1])
    return groups


def _shown(span: Span, text: str) -> str:
    start, end, kind = span
    part = shown_parts([text[start:end]], text)[0]
    return f"{shortened(part, _SHOWN)!r} ({start} to {end}, {kind})"


def _other_units(text: str, spans: Sequence[Span], words: Sequence[tuple[int, int]]) -> str:
    """Return what all spans of a text count if they are then of whole words, other than code points; or ""."""
    borders = ({begin for begin, _ in words}, {end for _, end in words})
    encodings = () if text.isascii() else (("UTF-16 units", "utf-16-le", 2), ("bytes", "utf-8", 1))
    for units, encoding, size in encodings:
        place, points = 0, {0: 0}
        for at, character in enumerate(text, 1):
            place += len(character.encode(encoding, "surrogatepass")) // size
            points[place] = at
        ends = [(points.get(start), points.get(end)) for start, end, _ in spans]
        if all(start in borders[0] and end in borders[1] for start, end in ends):
            return units
    for shifted, (first, last) in _SHIFTED.items():
        if all(start + first in borders[0] and end + last in borders[1] for start, end, _ in spans):
            return shifted
    return ""


def _recount(units: str) -> str:
    if units in _SHIFTED:
        first, last = _SHIFTED[units]
        moved = [f"{name} {'+' if by > 0 else '-'} 1" for name, by in (("start", first), ("end", last)) if by]
        return f"the spans seem to have {units}: with {' and '.join(moved)} they are of whole words"
    how = "len(text.encode()[:offset].decode())" if units == "bytes" else (
        'len(text.encode("utf-16-le")[:2 * offset].decode("utf-16-le"))'
    )  # fmt: skip
    return f"the offsets seem to count {units}: convert each to code points, {how}"
