"""Reading JSON: one object per line (jsonl), or one document with all rows (json).

jsonl is streamed. A json document is read as a whole: a list of objects, an object of columns, or an object of
splits.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from liteft.data.text_files import EMPTY, text_encoding, text_lines
from liteft.errors import DataError
from liteft.privacy import shown

__all__ = ["JsonLines", "read_json_document"]

MAX_DOCUMENT = 1 << 30
_PEEK = 200


@dataclass(frozen=True)
class JsonLines:
    """A file with one JSON object per line.

    Attributes:
        path: the file.
        encoding: the encoding it is read with.
        columns: keys of the first 200 objects, in order of appearance.
    """

    path: Path
    encoding: str
    columns: tuple[str, ...]

    @classmethod
    def open(cls, path: Path, *, encoding: str | None = None) -> JsonLines:
        """Detect a file's encoding and columns.

        Raises:
            DataError: the file is not text, is empty or is not JSON, a line is not an object, or the first object has a
                duplicate key.
        """
        file = cls(path, text_encoding(path, encoding), ())
        keys: dict[str, None] = {}
        for _, row in islice(file.rows(), _PEEK):
            keys.update(dict.fromkeys(row))
        if not keys:
            raise DataError(f"{path} is empty.", accepted={"format": "one JSON object per line"}, fix=EMPTY)
        return cls(path, file.encoding, tuple(keys))

    def rows(self, *, start: int = 0) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield (line, object) from object ``start`` (counted from 0) on; lines before it are not parsed.

        Raises:
            DataError: a line is not a JSON object, or ``text_lines`` raises it.
        """
        yield from self.rows_in(text_lines(self.path, encoding=self.encoding, newline=None), start=start)

    def rows_in(self, lines: Iterator[str], *, start: int = 0) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield (line counted from 1, object) of some of the file's lines, from object ``start`` of them on.

        Raises:
            DataError: as `rows`.
        """
        row = -1
        for number, line in enumerate(lines, start=1):
            if line.isspace():
                continue
            row += 1
            if row < start:
                continue
            try:
                content = json.loads(line) if row else json.loads(line, object_pairs_hook=_unique)
            except (ValueError, RecursionError) as error:
                raise self._no_json(number, line, error) from None
            if not isinstance(content, dict):
                document = isinstance(content, list) and content and isinstance(content[0], dict | list)
                hint = (
                    "rename it to end in .json"
                    if document
                    else 'write each line as an object: {"text": ..., "label": ...}'
                )
                raise DataError(
                    f"{self.path}, line {number} is a JSON {_kind(content)}, not an object.",
                    accepted={"format": "one JSON object per line"},
                    fix=hint,
                )
            yield number, content

    def _no_json(self, number: int, line: str, error: Exception) -> DataError:
        if isinstance(error, json.JSONDecodeError):
            what, place = error.msg, f" at column {error.pos + 1}"
        else:
            what, place = str(error) or "it cannot be parsed", ""
        document = line.strip() in ("[", "{")
        fix = "rename it to end in .json, if the file is one JSON document" if document else "correct that line"
        return DataError(
            f"{self.path}, line {number} is not valid JSON: {what}{place}.",
            accepted={"line": shown(line.strip())[:80], "format": "one JSON object per line"},
            fix=fix,
        )


def read_json_document(path: Path, *, encoding: str | None = None) -> Any:
    """Return the content of a json file; None if it contains several documents (jsonl under another name).

    Raises:
        DataError: the file is not text, is empty or is not JSON.
    """
    lines, characters = [], 0
    for line in text_lines(path, encoding=text_encoding(path, encoding), newline=None):
        lines.append(line)
        characters += len(line)
        if characters > MAX_DOCUMENT:
            raise DataError(
                f"{path} holds over {MAX_DOCUMENT:,} characters, and a JSON document is read whole.",
                accepted={"format": "one JSON object per line (.jsonl), which is read row by row"},
                fix="write it as jsonl or parquet",
            )
    text = "".join(lines)
    if not text.strip():
        raise DataError(f"{path} is empty.", accepted={"format": "a JSON list of objects"}, fix=EMPTY)
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        if error.msg == "Extra data" and text.lstrip().startswith("{"):
            return None
        raise DataError(
            f"{path}, line {error.lineno} is not valid JSON: {error.msg} at column {error.colno}.",
            accepted={"format": "a JSON list of objects, or one object per line"},
            fix="correct that line",
        ) from None
    except (ValueError, RecursionError) as error:
        raise DataError(
            f"{path} cannot be read as JSON: {error}.",
            accepted={"format": "a JSON list of objects, or one object per line"},
            fix="write one object per line, into a file that ends in .jsonl",
        ) from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {shown(str(twice))!r} occurs twice in one object")
    return content


def _kind(content: Any) -> str:
    return {list: "list", str: "string", bool: "boolean", type(None): "null"}.get(type(content), "number")
