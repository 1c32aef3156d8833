"""A lock file that lets one process at a time write a folder; the kernel releases the lock when the process dies.

The file names the process that has locked it, for the error that a second process gets. That process removes the file;
one left by a killed process does not block anybody, since its lock is released. On systems without such locks (Windows,
some network file systems) and in read-only folders nothing is locked: the lock only guards against a second writer.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from liteft.errors import RunError

__all__ = ["LOCK", "is_free", "one_writer"]

LOCK = "lock"
_ATTEMPTS = 10
_held: set[BinaryIO] = set()


def _close_in_child() -> None:
    """Close the lock files that a forked child inherits: a lock lasts while any process has its file open."""
    for file in _held:
        file.close()
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_in_child)


@contextlib.contextmanager
def one_writer(lock: Path, *, target: Path, stays: bool = False) -> Iterator[bool]:
    """Lock a file while the body of the with statement runs.

    The file's folder is created if necessary, and then removed again at the end if it is empty.

    Args:
        lock: the lock file.
        target: the path that is written, for the error.
        stays: do not remove the file, for a folder that is removed as a whole.

    Yields:
        Whether the file is locked; False if the system has no locks or the file cannot be created.

    Raises:
        RunError: another process has locked it; the error names the process.
    """
    made = not lock.parent.exists()
    held = _taken(lock, target)
    if held is not None:
        _held.add(held)
    try:
        yield held is not None
    finally:
        if held in _held:  # not in a forked child
            if not stays:
                with contextlib.suppress(OSError):
                    lock.unlink()
            held.close()
            _held.discard(held)
        if made:
            with contextlib.suppress(OSError):
                lock.parent.rmdir()


def is_free(lock: Path) -> bool:
    """Return whether an existing lock file is not locked by any process; False if that cannot be determined."""
    try:
        import fcntl

        with open(lock, "rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (ImportError, OSError):
        return False
    return True


def _taken(lock: Path, target: Path) -> BinaryIO | None:
    """Return the open and locked file, or None if nothing can be locked here."""
    try:
        import fcntl
    except ImportError:
        return None
    for _ in range(_ATTEMPTS):
        made = False
        try:
            lock.parent.mkdir(parents=True, exist_ok=True)
            made = True
            file = open(lock, "a+b")  # noqa: SIM115  # kept open: closing it releases the lock
        except OSError as error:
            if isinstance(error, FileNotFoundError if made else FileExistsError) and not lock.parent.is_file():
                continue  # the process that had locked it has just removed the folder
            return None
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(file.fileno()), lock.stat()):
                _sign(file)
                return file
            file.close()  # the process that had locked it has finished and removed the file
        except BlockingIOError:
            with file:
                raise _busy(file, target) from None
        except FileNotFoundError:
            file.close()
        except OSError:  # no locks here
            file.close()
            with contextlib.suppress(OSError):
                lock.unlink()
            return None
    raise RunError(f"other processes keep writing {target}.", fix="wait for them, or end them")


def _sign(file: BinaryIO) -> None:
    """Write this process's id and host name into a lock file."""
    with contextlib.suppress(OSError):  # such as a full disk; the file is locked nevertheless
        file.truncate(0)
        file.write(json.dumps({"pid": os.getpid(), "host": socket.gethostname()}).encode())
        file.flush()


def _busy(file: BinaryIO, target: Path) -> RunError:
    """Return the error for a second writer, naming the process that has locked the file."""
    try:
        file.seek(0)
        signed = json.loads(file.read(4096))
        who = {"its process": f"pid {int(signed['pid'])} on {signed['host']}"}
    except (OSError, ValueError, KeyError, TypeError):
        who = {}
    return RunError(f"another process is writing {target}.", accepted=who, fix="wait for it, or end it")
