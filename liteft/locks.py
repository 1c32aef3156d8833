"""One writer at a time: a lock file, whose lock the kernel lets go of when its process dies, however it dies.

The file says who holds it, for the message that the second one gets. It is removed by whoever held it; one that a
killed process left behind holds nobody up. Systems without such locks (Windows, some network file systems) and
folders that nobody may write to go without: a lock hinders a second writer and nothing else.
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
    """Close what a forked child has inherited: while one is open anywhere, its lock holds, its process dead or not."""
    for file in _held:
        file.close()
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_in_child)


@contextlib.contextmanager
def one_writer(lock: Path, *, target: Path, stays: bool = False) -> Iterator[bool]:
    """Hold a lock file while the body runs. Its folder is made, and goes again if it was made here and stays empty.

    Args:
        lock: the file.
        target: what is written, for the error.
        stays: leave the file there, for a folder that is removed as a whole.

    Yields:
        Whether it is held; False where the system has no locks or the file cannot be made.

    Raises:
        RunError: another process holds it; says which one.
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
    """Say whether nobody holds a lock file that lies there; False where that cannot be said."""
    try:
        import fcntl

        with open(lock, "rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (ImportError, OSError):
        return False
    return True


def _taken(lock: Path, target: Path) -> BinaryIO | None:
    try:
        import fcntl
    except ImportError:
        return None
    for _ in range(_ATTEMPTS):
        made = False
        try:
            lock.parent.mkdir(parents=True, exist_ok=True)
            made = True
            file = open(lock, "a+b")  # noqa: SIM115  # kept open: closing it lets go
        except OSError as error:
            if isinstance(error, FileNotFoundError if made else FileExistsError) and not lock.parent.is_file():
                continue  # whoever held it has just removed the folder
            return None
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(file.fileno()), lock.stat()):
                _sign(file)
                return file
            file.close()  # whoever held it has finished meanwhile, and removed the file
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
    """Write into a lock file who holds it."""
    with contextlib.suppress(OSError):  # a full disk: the lock holds all the same
        file.truncate(0)
        file.write(json.dumps({"pid": os.getpid(), "host": socket.gethostname()}).encode())
        file.flush()


def _busy(file: BinaryIO, target: Path) -> RunError:
    """Return the error of who comes second, with what the first has written into its lock file."""
    try:
        file.seek(0)
        signed = json.loads(file.read(4096))
        who = {"its process": f"pid {int(signed['pid'])} on {signed['host']}"}
    except (OSError, ValueError, KeyError, TypeError):
        who = {}
    return RunError(f"another process is writing {target}.", accepted=who, fix="wait for it, or end it")
