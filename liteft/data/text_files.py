"""Reading text files line by line, with errors that name the byte, the line and what to do.

Encodings are never guessed: a file is UTF-8, or what its byte-order mark says (UTF-8, UTF-16, UTF-32), or what the
caller names. Byte statistics would silently misread a file, and a model trains on mojibake without
complaint. Line length is bounded, so that a file without line ends cannot fill the memory.
"""

from __future__ import annotations

import codecs
import io
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Literal

from liteft.data.compressed import BROKEN, COMPRESSED, inner_name, open_bytes
from liteft.errors import DataError, Hint, closest, option
from liteft.files import is_lfs_pointer, os_reason
from liteft.privacy import shown
from liteft.text_tables import one_line

__all__ = ["EMPTY", "MAX_LINE", "checked_lines", "head_of", "refuse_pages", "text_encoding", "text_lines"]

EMPTY = "write or download the file again: there is nothing in it"
MAX_LINE = 1 << 26
_HEAD = 1 << 16

_DAMAGED = "download the file again if it is truncated or damaged; remove the ending if it is not compressed"
_ENCODING = Hint('encoding="NAME"', "--encoding NAME")
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_MAGIC = (
    (b"PAR1", "a parquet file", "rename it to end in .parquet"),
    (b"PK\x03\x04", "a zip archive or an Excel workbook", "unpack it, or save the sheet as csv (UTF-8)"),
    (b"\x1f\x8b", "a gzip archive", "rename it to NAME.gz"),
    (b"BZh91AY", "a bzip2 archive", "rename it to NAME.bz2"),
    (b"\x28\xb5\x2f\xfd", "a zstd archive", "unzstd it first"),
    (b"\xfd7zXZ\x00", "an xz archive", "rename it to NAME.xz"),
    (b"%PDF-", "a PDF", "export its text"),
    (b"\xd0\xcf\x11\xe0", "an old Office document", "save it as csv (UTF-8)"),
    (b"SQLite format 3\x00", "an SQLite database", "export the table as csv"),
    (b"ARROW1\0\0", "an Arrow file", "rename it to end in .arrow"),
    (b"\x93NUMPY", "a numpy file", "save it as csv, jsonl or parquet"),
    (b"\x89PNG", "a picture", "give a text file"),
    (b"\xff\xd8\xff", "a picture", "give a text file"),
)
_COMMON = (
    "utf-8",
    "utf-16",
    "utf-16-le",
    "cp1252",
    "latin-1",
    "gb18030",
    "big5",
    "shift_jis",
    "cp1251",
    "euc-kr",
)


def head_of(path: Path) -> bytes:
    """Return a file's first 64 KiB.

    Raises:
        DataError: the file is missing or cannot be read.
    """
    try:
        with open_bytes(path) as file:
            return file.read(_HEAD)
    except BROKEN as error:
        raise _damaged(path, error) from None
    except OSError as error:
        raise DataError(
            f"{path} cannot be read: {os_reason(error)}.", fix="check that the file exists and may be read"
        ) from None


def refuse_pages(path: Path, head: bytes) -> None:
    """Raise DataError for content that is not the file itself: a web page, or a git-lfs pointer."""
    if is_lfs_pointer(head):
        raise DataError(
            f"{path} is a git-lfs pointer: the file itself is not here.", fix="git lfs pull, in its repository"
        )
    start = head.removeprefix(codecs.BOM_UTF8).lstrip()[:100].lower()
    for begin, what in ((b"<!doctype html", "an HTML page"), (b"<html", "an HTML page"), (b"<?xml", "an XML document")):
        if start.startswith(begin) and inner_name(path).suffix.casefold() != ".txt":
            raise DataError(
                f"{path} is {what}, not data: perhaps an error page or a login page instead of the download.",
                accepted={"begins": one_line(shown(start[:60].decode("utf-8", "replace")))},
                fix="download the file itself; web sites that show a file have a link to the raw file",
            )


def text_encoding(path: Path, encoding: str | None = None) -> str:
    """Return the encoding to read a file with.

    Args:
        path: the file.
        encoding: the caller's choice; None for UTF-8 or as the byte-order mark says.

    Raises:
        DataError: there is no such encoding, or the file is not text.
    """
    head = head_of(path)
    refuse_pages(path, head)
    if encoding is not None:
        return _named(encoding, head)
    for mark, name in _MARKS:
        if head.startswith(mark):
            return name
    for magic, what, fix in _MAGIC:
        if head.startswith(magic):
            raise DataError(f"{path} is {what}, not a text file.", fix=fix.replace("NAME", path.name))
    if b"\0" in head:
        _refuse_binary(path, head)
    return "utf-8"


def text_lines(path: Path, *, encoding: str, newline: Literal["", "\n"] | None) -> Iterator[str]:
    r"""Yield the lines of a text file, line ends included, as ``open(newline=...)`` splits them.

    Args:
        path: the file.
        encoding: from ``text_encoding``.
        newline: "" keeps every kind of line end (csv), None turns them into "\n", "\n" splits there
            alone.

    Raises:
        DataError: the file cannot be read, or has a byte that is invalid in the encoding, a NUL, or a line of more
            than 64 Mi characters.
    """
    try:
        with _open_text(path, encoding, newline) as file:
            yield from checked_lines(file, path)
    except UnicodeError:
        raise _undecodable(path, encoding) from None
    except BROKEN as error:
        raise _damaged(path, error) from None
    except OSError as error:
        raise DataError(
            f"{path} cannot be read: {os_reason(error)}.", fix="check that the file exists and may be read"
        ) from None


def checked_lines(file: IO[str], path: Path, before: int = 0) -> Iterator[str]:
    """Yield the lines of an open text.

    Args:
        file: the text.
        path: what errors name.
        before: number of the line before the first one.

    Raises:
        DataError: a line has a NUL, or more than 64 Mi characters.
    """
    number = before
    while line := file.readline(MAX_LINE):
        number += 1
        if "\0" in line:
            raise DataError(
                f"{path}, line {number} contains a NUL byte.",
                accepted={"text": "no U+0000; the file may be damaged, or in another encoding"},
                fix=[
                    option("encoding", "utf-16-le", note=", if it is UTF-16"),
                    f"tr -d '\\000' < {path.name} > clean.txt",
                ],
            )
        if len(line) >= MAX_LINE and not line.endswith(("\n", "\r")):
            raise DataError(
                f"{path}, line {number} has over {MAX_LINE:,} characters.",
                accepted={"format": "one row per line"},
                fix="end each row with a line break, or write the file as parquet",
            )
        yield line


def _open_text(path: Path, encoding: str, newline: Literal["", "\n"] | None) -> IO[str]:
    if path.suffix.casefold() not in COMPRESSED:
        return open(path, encoding=encoding, newline=newline)
    return io.TextIOWrapper(open_bytes(path), encoding=encoding, newline=newline)


def _damaged(path: Path, error: BaseException) -> DataError:
    first = str(error).strip() or type(error).__name__
    return DataError(f"{path} cannot be unpacked: {first}.", fix=_DAMAGED)


def _named(encoding: str, head: bytes) -> str:
    try:
        "".encode(encoding)  # LookupError also for codecs that do not encode text ("hex")
        name = codecs.lookup(encoding).name
    except (LookupError, ValueError):
        near = closest(encoding, _COMMON)
        raise DataError(
            f"there is no encoding {encoding!r}.",
            accepted={"encoding": ", ".join(_COMMON) + " and any other that Python knows"},
            fix=option("encoding", near or "utf-8"),
        ) from None
    for mark, marked in _MARKS:  # with a named encoding, the mark would stay in the first column's name
        if head.startswith(mark) and name.removesuffix("-le").removesuffix("-be") == marked.removesuffix("-sig"):
            return marked
    return name


def _refuse_binary(path: Path, head: bytes) -> None:
    """Raise for a head with NULs, unless it is otherwise UTF-8: then a later error names the line."""
    for name, high, low in (("utf-16-le", head[1::2], head[0::2]), ("utf-16-be", head[0::2], head[1::2])):
        if high.count(0) > 0.7 * len(high) and low.count(0) < 0.05 * len(low):  # a program has zeros in both halves
            raise DataError(
                f"{path} looks like UTF-16 without a byte-order mark.",
                accepted={"encoding": "UTF-8, UTF-16 with a byte-order mark, or an encoding that you specify"},
                fix=option("encoding", name),
            )
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        offset = head.index(b"\0")
        raise _binary(path, 0, offset) from None


def _binary(path: Path, byte: int, offset: int) -> DataError:
    return DataError(
        f"{path} is not a text file: byte 0x{byte:02x} at offset {offset:,} is not UTF-8.",
        accepted={"formats": "csv, tsv, jsonl, json, txt (text), parquet, arrow"},
        fix="check where the file comes from: it is damaged, encrypted, or not what its name says",
    )


def _undecodable(path: Path, encoding: str) -> DataError:
    """Return the error for a file that ``encoding`` cannot decode; a second, careful pass finds the place."""
    decoder = codecs.getincrementaldecoder(encoding)()
    offset, line = 0, 1
    with open_bytes(path) as file:
        while True:
            chunk = file.read(_HEAD)
            state = decoder.getstate()
            try:
                line += decoder.decode(chunk, final=not chunk).count("\n")
            except UnicodeDecodeError as error:
                pending = len(error.object) - len(chunk)
                decoder.setstate(state)
                line += decoder.decode(chunk[: max(0, error.start - pending)]).count("\n")
                return _wrong_byte(path, encoding, error, offset - pending + error.start, line)
            except UnicodeError as error:
                return DataError(f"{path} is not {encoding}: {error}.", fix=_ENCODING)
            offset += len(chunk)
            if not chunk:
                return DataError(f"{path} is not {encoding}.", fix=_ENCODING)


def _wrong_byte(path: Path, encoding: str, error: UnicodeDecodeError, offset: int, line: int) -> DataError:
    byte = error.object[error.start]
    sample = error.object[:4000]
    if sum(one < 0x20 and one not in b"\t\n\r\f\x1b" for one in sample) > 0.02 * len(sample):
        return _binary(path, byte, offset)
    name = encoding.removesuffix("-sig").upper()
    return DataError(
        f"{path} is not {name}: byte 0x{byte:02x} at offset {offset:,}, line {line}.",
        accepted={"encoding": "UTF-8, UTF-16 with a byte-order mark, or an encoding that you specify"},
        fix=[
            option("encoding", guess, note=f" ({whose})")
            for guess, whose in _guesses(error.object[max(0, error.start - 2000) :])
        ],
    )


def _guesses(sample: bytes) -> list[tuple[str, str]]:
    """Return encodings worth trying and who uses them, the most likely first. Only for a hint in an error."""
    sample = sample[:4000]
    high = sum(byte >= 0x80 for byte in sample) / max(1, len(sample))
    if high < 0.25:
        return [("cp1252", "Western Europe"), ("latin-1", "any byte is a character")]
    return [
        ("gb18030", "Chinese"),
        ("big5", "traditional Chinese"),
        ("shift_jis", "Japanese"),
        ("cp1251", "Cyrillic"),
    ]
