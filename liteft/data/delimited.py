"""Reading csv and tsv: the first line names the columns, and every other record has as many fields.

Python's csv module does the parsing, in its strict form: an unclosed quote or an extra field is
an error that names the line, where the lenient form would silently merge rows.
Tab-separated files come with and without quoting (GLUE's are without); `_has_quoting` tells which from a file's
quotes.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from liteft.data.compressed import inner_name
from liteft.data.text_files import EMPTY, text_encoding, text_lines
from liteft.errors import ConfigError, DataError, option
from liteft.privacy import shown_names

__all__ = ["MAX_FIELD", "Delimited", "check_names"]

MAX_FIELD = 1 << 24
_SAID = re.compile(r"\"?sep=(.)\"?\r?\n?", re.IGNORECASE)
_QUOTED = re.compile(r'"(?:[^"]|"")*"')
_DELIMITER_NAMES = {"tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";", "pipe": "|", "space": " "}


@dataclass(frozen=True)
class Delimited:
    """A csv or tsv file.

    Attributes:
        path: the file.
        encoding: the encoding it is read with.
        delimiter: a single character.
        quoting: False if quotes are ordinary characters.
        columns: the names in the first line, without surrounding white space.
        told: True if a line "sep=;" comes before the names, as Excel writes it.
    """

    path: Path
    encoding: str
    delimiter: str
    quoting: bool
    columns: tuple[str, ...]
    told: bool = False

    @classmethod
    def open(cls, path: Path, *, encoding: str | None = None, delimiter: str | None = None) -> Delimited:
        """Detect a file's encoding, delimiter, quoting and columns.

        Args:
            path: the file.
            encoding: None for UTF-8 or what the byte-order mark says.
            delimiter: None to take it from a first line "sep=;"; without one, tab in ``.tsv`` and ``.tab`` files and
                comma in others; if the first line has none of it, the comma, tab, semicolon or bar that it does have.

        Raises:
            DataError: the file is not text or is empty, or two columns have the same name.
            ConfigError: the delimiter is not one character.
        """
        encoding = text_encoding(path, encoding)
        said = _SAID.fullmatch(next(text_lines(path, encoding=encoding, newline=""), ""))
        told = said is not None
        if delimiter is None and said is not None:
            delimiter = said[1]
        elif delimiter is None:
            tabs = inner_name(path).suffix.casefold() in (".tsv", ".tab")
            delimiter = _likely(path, encoding, "\t,;|" if tabs else ",\t;|")
        else:
            delimiter = _DELIMITER_NAMES.get(delimiter, delimiter)
            if len(delimiter) != 1 or delimiter in '"\r\n':
                raise ConfigError(
                    f"the delimiter must be one character, got {delimiter!r}.",
                    accepted={"delimiter": "one character, or tab"},
                    fix=option("delimiter", ";"),
                )
        quoting = delimiter != "\t" or _has_quoting(path, encoding)
        file = cls(path, encoding, delimiter, quoting, (), told)
        header = next(file._records(), None)
        if header is None:
            raise DataError(
                f"{path} is empty.", accepted={"format": "column names in the first line, then rows"}, fix=EMPTY
            )
        columns = tuple(name.strip() for name in header[1])
        check_names(columns, str(path))
        return cls(path, encoding, delimiter, quoting, columns, told)

    def rows(self, *, start: int = 0) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield (line on which the row starts, column -> text), from row ``start`` (counted from 0) on.

        Raises:
            DataError: a row has the wrong number of fields or an unclosed quote, or ``text_lines`` raises it.
        """
        records = self._records()
        next(records)
        for row, (line, fields) in enumerate(records):
            self._check_width(line, fields)
            if row >= start:
                yield line, dict(zip(self.columns, fields, strict=True))

    def rows_in(self, lines: Iterator[str], before: int = 0) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield (line, column -> text) of some of the file's lines, which begin with a row.

        Args:
            lines: these lines.
            before: number of the line before the first of them.

        Raises:
            DataError: as `rows`.
        """
        for line, fields in self._parsed(lines, before):
            self._check_width(line, fields)
            yield line, dict(zip(self.columns, fields, strict=True))

    def _records(self) -> Iterator[tuple[int, list[str]]]:
        lines = text_lines(self.path, encoding=self.encoding, newline="")
        before = sum(1 for _ in islice(lines, int(self.told)))
        return self._parsed(lines, before)

    def _parsed(self, lines: Iterator[str], before: int) -> Iterator[tuple[int, list[str]]]:
        # The limit is global to the process; it is only ever raised, so that no other reader fails because of it.
        csv.field_size_limit(max(csv.field_size_limit(), MAX_FIELD))
        if self.quoting:
            reader = csv.reader(lines, delimiter=self.delimiter, strict=True)
        else:
            reader = csv.reader(lines, delimiter=self.delimiter, quoting=csv.QUOTE_NONE)
        while True:
            line = before + reader.line_num + 1
            try:
                fields = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                raise self._malformed(line, before + reader.line_num, error) from None
            if fields:
                yield line, fields

    def _check_width(self, line: int, fields: list[str]) -> None:
        if len(fields) != len(self.columns):
            raise self._ragged(line, len(fields))

    def _ragged(self, line: int, fields: int) -> DataError:
        fix = "put texts that hold the delimiter or line ends in double quotes"
        return DataError(
            f"{self.path}, line {line} has {fields} {'field' if fields == 1 else 'fields'}, "
            f"the first line {len(self.columns)}.",
            accepted={"columns": ", ".join(shown_names(self.columns)), "delimiter": repr(self.delimiter)},
            fix=[fix, option("delimiter", "tab", note=", or whatever separates its fields")],
        )

    def _malformed(self, line: int, last: int, error: csv.Error) -> DataError:
        text = str(error)
        if "unexpected end of data" in text or "field limit" in text:
            what = f"the quote opened in the row at line {line} is never closed"
        elif "expected after" in text:
            at = "" if last == line else f" (in the row that begins at line {line})"
            return DataError(
                f"{self.path}, line {last}: a closing quote is followed by more text{at}.",
                accepted={"quotes": 'inside a quoted text they are doubled: "he said ""no"""'},
                fix="double the quotes inside quoted texts",
            )
        else:
            what = f"the row at line {line} cannot be parsed: {text}"
        return DataError(
            f"{self.path}: {what}.",
            accepted={"quotes": 'a text that begins with a quote must be quoted: """no"" he said"'},
            fix="close the quote, or double it inside a quoted text",
        )


def check_names(columns: tuple[str, ...], source: str) -> None:
    """Raise DataError if two columns have the same name."""
    twice = [name for name, count in Counter(columns).items() if count > 1]
    if twice:
        raise DataError(
            f"{source} has {Counter(columns)[twice[0]]} columns {twice[0]!r}.",
            accepted={"columns": ", ".join(shown_names(columns))},
            fix="give every column its own name",
        )


def _likely(path: Path, encoding: str, delimiters: str) -> str:
    """Return the first of ``delimiters`` that occurs in the first line, or the first of all if none does."""
    first = next(text_lines(path, encoding=encoding, newline=""), "")
    for delimiter in delimiters:
        if len(next(csv.reader([first], delimiter=delimiter), [])) > 1:
            return delimiter
    return delimiters[0]


def _has_quoting(path: Path, encoding: str) -> bool:
    """Return whether a tab-separated file uses quoting.

    It does not when every line has as many tabs as the first (so no field needs quotes) and some field starts
    with a quote without being a well-formed quoted field: '"No," she said', as in GLUE's files.
    """
    tabs, plain = -1, False
    for line in text_lines(path, encoding=encoding, newline=""):
        count = line.count("\t")
        tabs = count if tabs < 0 else tabs
        if count != tabs or tabs == 0:
            return True
        if '"' in line and not plain:
            fields = line.rstrip("\r\n").split("\t")
            plain = any(field.startswith('"') and not _QUOTED.fullmatch(field) for field in fields)
    return not plain
