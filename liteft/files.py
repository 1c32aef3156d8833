"""Atomic writing of files and folders: a crash leaves the old content or the new, never a part of it.

A file is written to a temporary sibling, flushed to the disk and renamed over its target. A folder is built beside its
target, in ``.NAME.writing``, and then exchanged with it: ``rename`` fails on a folder that is not empty, so Linux's
``renameat2(RENAME_EXCHANGE)`` is used, and two renames on other systems. One process at a time builds a folder; the
next one removes what a killed process left. Files and folders get the permissions that the umask allows, or with
LITEFT_PRIVATE those of their owner alone. Reading JSON and hashing are here, too. This module is independent of what
it writes.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import hashlib
import json
import os
import secrets
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from liteft.errors import LiteftError, RunError
from liteft.locks import LOCK, is_free, one_writer
from liteft.privacy import PRIVATE, switched_on
from liteft.untrusted import parse_json, read_bytes

__all__ = [
    "is_lfs_pointer",
    "os_reason",
    "own",
    "read_json",
    "replace_folder",
    "settle",
    "sha256_file",
    "sha256_once",
    "sync_folder",
    "temporary_folder",
    "write_json",
    "write_privately",
    "write_text",
    "writing_file",
    "writing_folder",
]

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
_ABANDONED = 60.0  # seconds; a younger temporary folder may still be in the making


def write_privately() -> None:
    """Give files and folders that this process makes from now on, and its own processes, to their owner alone.

    The umask of the process is set, so this also holds for what other libraries write: 0600 for files, 0700 for
    folders.
    """
    os.environ[PRIVATE] = "1"
    os.umask(0o077)


def own(folder: Path) -> None:
    """Give a folder that was there before to its owner alone, if files are written privately."""
    if switched_on(PRIVATE):
        _chmod(folder, 0o700)


def sha256_file(path: Path) -> str:
    """Return the SHA-256 of a file's bytes as 64 hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


_hashed: dict[Path, tuple[tuple[int, int, int], str]] = {}


def sha256_once(path: Path) -> str:
    """Return the SHA-256 of a file's bytes as `sha256_file` does, cached in this process.

    The file is read again only if its inode, size or modification time has changed.
    """
    status = path.stat()
    identity = (status.st_ino, status.st_size, status.st_mtime_ns)
    known = _hashed.get(path)
    if known is None or known[0] != identity:
        _hashed[path] = known = (identity, sha256_file(path))
    return known[1]


def read_json(path: Path) -> Any:
    """Return the content of a UTF-8 JSON file.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is not a file, not UTF-8 or not JSON, or is implausibly large or deeply nested.
    """
    return parse_json(read_bytes(path))


def write_json(path: Path, content: Any) -> None:
    """Write ``content`` as indented UTF-8 JSON, atomically.

    Raises:
        ValueError: it has a NaN or an infinity.
        RunError: the system refuses to write.
    """
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 text file atomically.

    Raises:
        RunError: the system refuses to write.
    """
    with writing_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


@contextlib.contextmanager
def writing_file(path: Path) -> Iterator[Path]:
    """Yield a temporary sibling of ``path`` that replaces it when the block ends without an error.

    Raises:
        RunError: the system refuses to write (no space, no permission, ...); the old file is kept.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        _sync(temporary)
        _chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
        sync_folder(path.parent)
    except OSError as error:
        raise _refused(path, error) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def writing_folder(target: Path, *, kind: type[LiteftError] = RunError) -> Iterator[Path]:
    """Yield a new folder that replaces ``target`` when the block ends without an error.

    The new folder is in ``.NAME.writing`` beside the target; what a killed process left there is removed first. An
    error inside the block removes the new folder and leaves ``target`` unchanged. If the target is a link, the folder
    that it points to is replaced.

    Args:
        target: the folder to write.
        kind: class of the error for refusals of the system.

    Raises:
        LiteftError: of class ``kind``: the system refuses to write (no space, read-only, no permission, ...).
        RunError: another process is writing the same target.
    """
    target = Path(os.path.abspath(target))  # noqa: PTH100  # resolve() would follow the link
    if target.is_symlink():
        target = target.resolve()
    place = target.with_name(f".{target.name}.writing")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with one_writer(place / LOCK, target=target) as alone:
            new = place / ("new" if alone else f"new-{secrets.token_hex(4)}")
            try:
                if alone:
                    _put_back(place / _aside("new"), target)
                    _clear(place)
                new.mkdir(parents=True)
                yield new
                settle(new)
                replace_folder(new, target)
            finally:
                shutil.rmtree(new, ignore_errors=True)
                if alone:
                    _clear(place)
    except OSError as error:
        raise _refused(target, error, kind) from error
    finally:
        with contextlib.suppress(OSError):
            place.rmdir()


def replace_folder(new: Path, target: Path) -> None:
    """Replace the folder ``target`` by ``new`` and remove its old content.

    Both must be on one file system. With renameat2 a complete ``target`` exists at all times.
    """
    if not target.exists():
        os.rename(new, target)
    elif _exchange(new, target):
        shutil.rmtree(new, ignore_errors=True)
    else:
        aside = new.with_name(_aside(new.name))
        try:
            os.rename(target, aside)
            os.rename(new, target)
        except BaseException:
            _put_back(aside, target)
            raise
        shutil.rmtree(aside, ignore_errors=True)
    sync_folder(target.parent)


def _aside(name: str) -> str:
    """Return the name of the old folder between the two renames."""
    return f"{name}-old"


def _put_back(aside: Path, target: Path) -> None:
    """Undo the first of two renames if the process was killed or interrupted before the second."""
    if aside.is_dir() and not target.exists():
        os.rename(aside, target)


def settle(folder: Path) -> None:
    """Flush all files below a folder to the disk, and give files and folders the permissions that the umask allows.

    Some libraries set other permissions: safetensors writes files that only their owner may read.
    """
    umask = _umask()
    for path in (folder, *folder.rglob("*")):
        if path.is_symlink():
            continue
        if path.is_file():
            _sync(path)
        _chmod(path, (0o777 if path.is_dir() else 0o666) & ~umask)


@contextlib.contextmanager
def temporary_folder() -> Iterator[Path]:
    """Yield an empty folder in the system's temporary one, accessible to this user only and removed after the block.

    Folders that killed processes left are removed first.
    """
    _remove_abandoned(Path(tempfile.gettempdir()))
    place = Path(tempfile.mkdtemp(prefix="liteft-", suffix=".tmp"))
    try:
        with one_writer(place / LOCK, target=place):
            folder = place / "files"
            folder.mkdir()
            yield folder
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _remove_abandoned(root: Path) -> None:
    """Remove temporary folders of this user whose process has died: they have a lock file that nobody has locked."""
    for place in root.glob("liteft-*.tmp"):
        with contextlib.suppress(OSError):
            found = (place / LOCK).lstat()
            own = not hasattr(os, "geteuid") or found.st_uid == os.geteuid()
            if own and time.time() - found.st_mtime > _ABANDONED and is_free(place / LOCK):
                shutil.rmtree(place, ignore_errors=True)


def _clear(place: Path) -> None:
    """Remove everything in a folder except its lock file, which has to stay until the end to keep out other writers."""
    for path in place.iterdir():
        if path.name == LOCK:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _chmod(path: Path, mode: int) -> None:
    """Set a file's permissions if they differ; errors of file systems without permissions are ignored."""
    if path.stat().st_mode & 0o777 != mode:
        with contextlib.suppress(PermissionError, NotImplementedError):
            path.chmod(mode)


def _umask() -> int:
    """Return the process's umask: from the kernel on Linux; elsewhere it can only be read by setting another one."""
    with contextlib.suppress(OSError, StopIteration, ValueError):
        lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
        return int(next(line.split()[1] for line in lines if line.startswith("Umask:")), 8) | _closed()
    umask = os.umask(0o077)
    os.umask(umask)
    return umask | _closed()


def _closed() -> int:
    return 0o077 if switched_on(PRIVATE) else 0


def is_lfs_pointer(head: bytes) -> bool:
    """Return whether a file's first bytes, 64 or more, are those of a git-lfs pointer in the place of a large file."""
    return head.startswith(b"version https://git-lfs.github.com/spec/v1")


def os_reason(error: OSError) -> str:
    """Return the system's message for an OSError, without the path or the number."""
    return os.strerror(error.errno) if error.errno else str(error)


def _exchange(new: Path, target: Path) -> bool:
    """Exchange two folders atomically; return False if the system cannot."""
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
    """Flush a folder's entries to the disk; does nothing on Windows, which cannot."""
    if os.name == "nt":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _refused(path: Path, error: OSError, kind: type[LiteftError] = RunError) -> LiteftError:
    """Return the error for a refusal of the system to write."""
    fix = {
        errno.ENOSPC: "free some space, or choose another folder",
        errno.EACCES: "choose a folder that you may write to",
        errno.EPERM: "choose a folder that you may write to",
        errno.EROFS: "choose a folder on a file system that is not read-only",
        errno.ENOTDIR: "choose a path whose parent is a folder",
        errno.EEXIST: "choose a path whose parent is a folder",
    }.get(error.errno or 0, "choose another folder")
    return kind(f"{path} could not be written: {os_reason(error)}.", fix=fix)


if switched_on(PRIVATE):  # of a library's process; the command line says it with a flag
    write_privately()
