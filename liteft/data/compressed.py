"""Opening a file's bytes, compressed or not: .gz, .bz2, .xz, and .zip with a single file.

The content is streamed: nothing is unpacked to disk or held in memory as a whole.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import zipfile
import zlib
from pathlib import Path
from typing import IO, Any, cast

from liteft.errors import DataError

__all__ = ["BROKEN", "COMPRESSED", "inner_name", "open_bytes"]

COMPRESSED = (".gz", ".bz2", ".xz", ".zip")
BROKEN = (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile, zipfile.BadZipFile, NotImplementedError, RuntimeError)
_NO_DATA = ("__MACOSX/", ".")


def inner_name(path: Path) -> Path:
    """Return the path under its uncompressed name: a.csv for a.csv.gz, and for a.zip that contains a.csv.

    Raises:
        DataError: a zip that contains no file, or several.
    """
    suffix = path.suffix.casefold()
    if suffix not in COMPRESSED:
        return path
    inner = path.with_suffix("")
    if suffix == ".zip" and path.is_file():
        return inner.with_suffix(Path(_member(path)).suffix)
    return inner


def open_bytes(path: Path) -> IO[bytes]:
    """Open a file's content for reading.

    Raises:
        DataError: a zip that contains no file, or several, or is not a zip file.
        OSError: it cannot be parsed.
    """
    suffix = path.suffix.casefold()
    if suffix == ".gz":
        return cast(IO[bytes], gzip.open(path, "rb"))
    if suffix == ".bz2":
        return cast(IO[bytes], bz2.open(path, "rb"))
    if suffix == ".xz":
        return cast(IO[bytes], lzma.open(path, "rb"))
    if suffix == ".zip":
        return cast(IO[bytes], _opened_member(path))
    return cast(IO[bytes], open(path, "rb"))


def _opened_member(path: Path) -> Any:
    name = _member(path)
    with zipfile.ZipFile(path) as archive:  # the member keeps the file open
        try:
            return archive.open(name)
        except RuntimeError as error:  # it needs a password
            raise DataError(f"{path} cannot be read: {error}.", fix="unpack it first") from None


def _member(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            names = [entry.filename for entry in archive.infolist() if not entry.is_dir()]
    except (zipfile.BadZipFile, NotImplementedError) as error:
        raise DataError(
            f"{path} cannot be read as a zip archive: {error}.", fix="unpack it first, or download it again"
        ) from None
    names = [name for name in names if not name.startswith(_NO_DATA)]
    if any(name.startswith("xl/") for name in names):
        raise DataError(f"{path} is an Excel workbook.", fix="save the sheet as csv (UTF-8)")
    if len(names) != 1:
        raise DataError(
            f"{path} holds {len(names)} files.",
            accepted={"zip": "a single file", "files": ", ".join(names[:6]) or "none"},
            fix="unpack it, and give the folder",
        )
    return names[0]
