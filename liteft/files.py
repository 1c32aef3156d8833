"""Writing files and folders so that a crash leaves the old content or the new, never a half.

A file is written to a temporary sibling, flushed to the disk and renamed over its target. A folder is built
in a temporary sibling and exchanged with its target: ``rename`` alone fails on a folder that is not empty, so
Linux' ``renameat2(RENAME_EXCHANGE)`` is used, and two renames where the system has none. Reading JSON and
hashing live here too. Nothing in this module knows what it writes.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import hashlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from liteft.errors import LiteftError, RunError

__all__ = [
    "os_reason",
    "read_json",
    "replace_folder",
    "sha256_file",
    "sync_folder",
    "write_json",
    "write_text",
    "writing_file",
    "writing_folder",
]

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


def sha256_file(path: Path) -> str:
    """Return the SHA-256 of a file's bytes as 64 hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_json(path: Path) -> Any:
    """Return the content of a UTF-8 JSON file.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is no UTF-8 or no JSON.
    """
    return json.loads(path.read_text(encoding="utf-8"))


def write_json(path: Path, content: Any) -> None:
    """Write ``content`` as indented UTF-8 JSON, atomically. NaN is refused with a ValueError."""
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 text file atomically. Raises RunError when the system refuses."""
    with writing_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


@contextlib.contextmanager
def writing_file(path: Path) -> Iterator[Path]:
    """Yield a temporary sibling of ``path`` that replaces it when the block ends without an error.

    Raises:
        RunError: no space, no permission, or another refusal of the system; the old file stays.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        _sync(temporary)
        os.replace(temporary, path)
        sync_folder(path.parent)
    except OSError as error:
        raise _refused(path, error) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def writing_folder(target: Path, *, kind: type[LiteftError] = RunError) -> Iterator[Path]:
    """Yield a temporary sibling folder that takes the place of ``target`` when the block ends without an error.

    An error inside the block removes the temporary folder and leaves ``target`` as it was. A target that is a link
    stays one: the folder that it names is replaced.

    Raises:
        LiteftError: of class ``kind``, when the system refuses (no space, read-only, no permission).
    """
    target = Path(target)
    if target.is_symlink():
        target = target.resolve()
    temporary: Path | None = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".tmp", dir=target.parent))
        temporary.chmod(0o755)
        yield temporary
        for path in temporary.rglob("*"):
            if path.is_file():
                _sync(path)
        replace_folder(temporary, target)
    except OSError as error:
        raise _refused(target, error, kind) from error
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)


def replace_folder(new: Path, target: Path) -> None:
    """Put folder ``new`` in the place of ``target`` and remove what stood there.

    Both must lie on one file system. With renameat2 there is no moment without a complete ``target``.
    """
    if not target.exists():
        os.rename(new, target)
    elif _exchange(new, target):
        shutil.rmtree(new, ignore_errors=True)
    else:
        aside = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".old", dir=target.parent))
        os.rename(target, aside / target.name)
        os.rename(new, target)
        shutil.rmtree(aside, ignore_errors=True)
    sync_folder(target.parent)


def os_reason(error: OSError) -> str:
    """Return the system's own words for an OSError, without path or number."""
    return os.strerror(error.errno) if error.errno else str(error)


def _exchange(new: Path, target: Path) -> bool:
    if not sys.platform.startswith("linux"):
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "renameat2"):
        return False
    result = libc.renameat2(_AT_FDCWD, os.fsencode(new), _AT_FDCWD, os.fsencode(target), _RENAME_EXCHANGE)
    if result == 0:
        return True
    code = ctypes.get_errno()
    if code in (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP):
        return False
    raise OSError(code, os.strerror(code), str(target))


def _sync(path: Path) -> None:
    with open(path, "rb+") as file:
        os.fsync(file.fileno())


def sync_folder(path: Path) -> None:
    """Flush a folder's entries to the disk where the system can (not on Windows)."""
    if os.name == "nt":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _refused(path: Path, error: OSError, kind: type[LiteftError] = RunError) -> LiteftError:
    fix = {
        errno.ENOSPC: "free some space, or choose another folder",
        errno.EACCES: "choose a folder that you may write to",
        errno.EPERM: "choose a folder that you may write to",
        errno.EROFS: "choose a folder on a file system that is not read-only",
        errno.ENOTDIR: "choose a path whose parent is a folder",
        errno.EEXIST: "choose a path whose parent is a folder",
    }.get(error.errno or 0, "choose another folder")
    return kind(f"{path} could not be written: {os_reason(error)}.", fix=fix)
