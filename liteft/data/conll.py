"""CoNLL files: a word and its tags per line, in columns, with a blank line between texts.

Columns are separated by tabs or spaces. The first is the word, or the second where the first counts the words of a
text, as in CoNLL-U, or has nothing but tags such as O and B-PER. The last is the tags, or the last one of such tags
where numbers are behind it, or the word. Lines "-DOCSTART-", comments (#) and a first line that names the columns
belong to no text; of CoNLL-U, so do the ranges (1-2) and empty nodes (1.1). Each text becomes a row: its words under
"tokens", each other column under its name or its number, and the tags under "tags".
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from liteft.data.text_files import EMPTY, text_encoding, text_lines
from liteft.errors import DataError
from liteft.privacy import shown

__all__ = ["TAG", "TAGS", "Block", "ConllFile", "column_of", "looks_like_conll"]

WORDS, TAGS = "tokens", "tags"
_CONLLU = ("id", WORDS, "lemma", "upos", "xpos", "feats", "head", "deprel", "deps", "misc")
_OTHER_NAMES = {"ner": TAGS, "tag": TAGS, "word": WORDS, "words": WORDS, "token": WORDS, "form": WORDS}
_WORD_NAMES = {"token", "tokens", "word", "words", "form", "text"}
_TAG_NAMES = {"tag", "tags", "ner", "ner_tag", "ner_tags", "label", "labels", "entity", "iob", "bio", "iob_tag",
              "bio_tag", "pos", "pos_tag", "upos", "xpos", "chunk", "chunk_tag", "slot", "misc"}  # fmt: skip
_SPACES = re.compile(r"[ \t]+")
_NUMBER = re.compile(r"\d+")
_POINT = re.compile(r"[.eE]").search
_FRACTION = re.compile(r"-?\d+(?:\.\d*)?(?:[eE][-+]?\d+)?|\.\d+")
_NO_WORD = re.compile(r"\d+[-.]\d+")
_DOCUMENT = "-DOCSTART-"
_PEEK = 2000  # lines by which a file's form is told
TAG = re.compile(r"O|[BIESLUM]-\S+")


@dataclass(frozen=True, slots=True)
class Block:
    """The lines of one text, or of none, as a file has them.

    Attributes:
        line: number of the first word's line, or of the first line where there is no word; from 1.
        lines: all lines, comments and the blank ones at the end included, without line ends.
        words: which of them are words.
        cells: the columns of each word.
    """

    line: int
    lines: tuple[str, ...]
    words: tuple[int, ...]
    cells: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class ConllFile:
    """A CoNLL file.

    Attributes:
        path: the file.
        encoding: the encoding it is read with.
        columns: names of its columns, in order: "tokens" for the words, "tags" for the last one, "2" for the second;
            those of CoNLL-U, if it has its ten columns.
        tabs: whether tabs separate the columns; otherwise spaces and tabs do.
        header: number of the line that names the columns, which is no word; 0 without.
    """

    path: Path
    encoding: str
    columns: tuple[str, ...]
    tabs: bool
    header: int = 0

    @classmethod
    def open(cls, path: Path, *, encoding: str | None = None) -> ConllFile:
        """Detect a file's encoding and columns.

        Raises:
            DataError: the file is not text or has no line of a word.
        """
        encoding = text_encoding(path, encoding)
        lines = [line.rstrip("\r\n") for line in islice(text_lines(path, encoding=encoding, newline=None), _PEEK)]
        kept = [line for line in lines if line.strip() and not line.startswith("#")]
        kept = [line for line in kept if not line.startswith(_DOCUMENT)] or [line for line in lines if line.strip()]
        if not kept:
            raise DataError(f"{path} is empty.", accepted={"format": "a word and its tag per line"}, fix=EMPTY)
        tabs = "\t" in kept[0]
        header = next(at for at, line in enumerate(lines, 1) if line.strip())
        if len(kept) > 1 and _is_header(_split(lines[header - 1], tabs)):
            kept = kept if lines[header - 1] != kept[0] else kept[1:]
        else:
            header = 0
        rows = [_split(line, tabs) for line in kept]
        return cls(path, encoding, _named(rows, _stated(lines)), tabs, header)

    @property
    def separator(self) -> str:
        """What is written between columns."""
        return "\t" if self.tabs else " "

    def blocks(self) -> Iterator[Block]:
        """Yield all lines of the file by text.

        Raises:
            DataError: a line has another number of columns, or ``text_lines`` raises it.
        """
        held: list[str] = []
        first, ended = 1, False
        for number, line in enumerate(text_lines(self.path, encoding=self.encoding, newline=None), start=1):
            bare = line.rstrip("\r\n")
            blank = not bare.strip(" \t")
            if ended and not blank:
                yield self._block(first, held)
                held, first = [], number
            held.append(bare)
            ended = blank
        if held:
            yield self._block(first, held)

    def rows(self, *, start: int = 0) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield (line of the first word, column -> list with a value for each word) from text ``start`` on.

        Raises:
            DataError: as for ``blocks``.
        """
        texts = (block for block in self.blocks() if block.words)
        for block in islice(texts, start, None):
            columns = zip(*block.cells, strict=True)
            yield block.line, {name: list(cells) for name, cells in zip(self.columns, columns, strict=True)}

    def _block(self, first: int, lines: Sequence[str]) -> Block:
        words: list[int] = []
        cells: list[tuple[str, ...]] = []
        numbered = self.columns[0] in ("1", "id")
        for at, line in enumerate(lines):
            if not line.strip(" \t") or line.startswith(_DOCUMENT):
                continue
            if first + at == self.header:
                continue
            row = _split(line, self.tabs)
            if line.startswith("#") and (len(row) != len(self.columns) or (not words and " = " in line)):
                continue
            if len(row) != len(self.columns):
                raise DataError(
                    f"{self.path}, line {first + at} has {len(row)} column{'s' if len(row) > 1 else ''}, "
                    f"and the lines before it have {len(self.columns)}.",
                    accepted={
                        "line": shown(line)[:80],
                        "format": f"a word and its tags per line, separated by {'tabs' if self.tabs else 'spaces'}",
                    },
                    fix="correct that line, or separate all columns by tabs",
                )
            if numbered and _NO_WORD.fullmatch(row[0]):
                continue
            words.append(at)
            cells.append(tuple(row))
        return Block(first + (words[0] if words else 0), tuple(lines), tuple(words), tuple(cells))


def column_of(columns: Sequence[str], name: str) -> str:
    """Return the column that a name, or a number from 1 or from -1 backwards, means; the name itself for none."""
    if name in columns:
        return name
    if re.fullmatch(r"-?[1-9]\d*", name) and abs(int(name)) <= len(columns):
        return columns[int(name) - (int(name) > 0)]
    folded = {column.casefold(): column for column in columns}
    other = _OTHER_NAMES.get(name.casefold(), name.casefold())
    return folded.get(other, name)


def looks_like_conll(path: Path, *, encoding: str | None = None) -> bool:
    """Return whether a txt or tsv file seems to have a word with tags per line, by its beginning."""
    try:
        named = text_encoding(path, encoding)
        lines = [line.rstrip("\r\n") for line in islice(text_lines(path, encoding=named, newline=None), _PEEK)]
    except DataError:
        return False
    if len(lines) == _PEEK:  # the last text may be cut off
        lines = lines[: max((at for at, line in enumerate(lines) if not line.strip()), default=0)]
    rows = [
        line for line in lines if line.strip() and not line.startswith(_DOCUMENT) and not line.startswith(("# ", "#\n"))
    ]
    if len(rows) < 2 or not any(not line.strip() for line in lines[1:]):
        return False
    tabs = "\t" in rows[0]
    cells = [_split(line, tabs) for line in rows]
    if len({len(row) for row in cells}) > 1 or len(cells[0]) < 2:
        return False
    tags = {row[-1] for row in cells}
    single = sum(" " in row[1] or len(row[1]) > 60 for row in cells) * 10 < len(cells)
    return single and (any(TAG.fullmatch(tag) for tag in tags) or _is_numbered(cells))


def _split(line: str, tabs: bool) -> list[str]:
    return [cell.strip(" ") for cell in line.split("\t")] if tabs else _SPACES.split(line.strip(" \t"))


def _is_header(cells: Sequence[str]) -> bool:
    """Return whether the cells of a file's first line name a column of words, the first or second, and one of tags."""
    names = [cell.lstrip("# ").casefold() for cell in cells]
    return len(names) > 1 and names[-1] in _TAG_NAMES and any(name in _WORD_NAMES for name in names[:-1][:2])


def _stated(lines: Sequence[str]) -> list[str]:
    """Return the names that a line "# global.columns = ID FORM UPOS" gives, as CoNLL-U Plus has it."""
    for line in lines:
        name, equals, value = line.lstrip("# ").partition("=")
        if line.startswith("#") and equals and name.strip() == "global.columns":
            return [WORDS if each.casefold() == "form" else each.casefold() for each in value.split()]
    return []


def _named(rows: Sequence[Sequence[str]], stated: Sequence[str]) -> tuple[str, ...]:
    """Return the names of columns."""
    width = len(rows[0])
    if len(stated) == width and WORDS in stated:
        return tuple(stated)
    numbered = width > 1 and _is_numbered(rows)
    if numbered and width == len(_CONLLU):
        return _CONLLU
    names = [str(number) for number in range(1, width + 1)]
    words, tags = _words_and_tags(rows, first=int(numbered))
    names[words] = WORDS
    if width > 1 + numbered:
        names[tags] = TAGS
    return tuple(names)


def _words_and_tags(rows: Sequence[Sequence[str]], *, first: int) -> tuple[int, int]:
    """Return the places of the words and of the tags.

    The words are column ``first``, or the first one behind it that has not only tags. The tags are the last column, or
    the last one that has only tags if numbers are behind it, or the words. Fractions, such as how sure an annotator is,
    are no tags.
    """
    columns = list(zip(*(row for row in rows if len(row) == len(rows[0])), strict=True))
    tagged = [at for at, cells in enumerate(columns) if all(map(TAG.fullmatch, cells)) and set(cells) - {"O"}]
    words = next((at for at in range(first, len(columns)) if at not in tagged), first)
    elsewhere = words != first or all(map(_FRACTION.fullmatch, columns[-1]))
    if tagged and elsewhere:
        return words, tagged[-1]
    last = len(columns) - 1
    while last > words + 1 and all(map(_FRACTION.fullmatch, columns[last])) and any(map(_POINT, columns[last])):
        last -= 1
    return words, last


def _is_numbered(rows: Sequence[Sequence[str]]) -> bool:
    """Return whether the first column counts the words of each text, from 0 or 1."""
    before = None
    for row in rows:
        if _NO_WORD.fullmatch(row[0]):
            continue
        if not _NUMBER.fullmatch(row[0]) or (int(row[0]) not in (0, 1) and int(row[0]) != (before or 0) + 1):
            return False
        before = int(row[0])
    return before is not None
