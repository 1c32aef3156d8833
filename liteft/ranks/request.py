"""What the ranks and the process that started them tell each other, in files of a folder of their own.

The folder is accessible to this user only, lies in the system's temporary one, and is removed at the end.
"""

from __future__ import annotations

import pickle
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Failure", "LinesRead", "LinesWritten", "Request", "read_failure", "write_failure"]

REQUEST = "request.pickle"
_LINES = "lines.pickle"


@dataclass(frozen=True)
class Request:
    """A call that every rank makes.

    Attributes:
        function: of a module that can be imported; it takes ``progress``.
        arguments, keywords: what it gets.
        parent: the process that started the ranks; they end if it dies.
    """

    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    keywords: dict[str, Any]
    parent: int


@dataclass(frozen=True)
class Failure:
    """What a rank raised.

    Attributes:
        rank: which one.
        when: seconds since the epoch.
        error: the exception; None if it cannot be pickled.
        text: its traceback.
    """

    rank: int
    when: float
    error: BaseException | None
    text: str

    def raised(self) -> BaseException:
        """Return the exception to raise in the process that started the ranks, with the rank's traceback as cause."""
        error = self.error or RuntimeError(self.text.strip().splitlines()[-1])
        error.__cause__ = RankTraceback(self.text)
        return error


class RankTraceback(Exception):
    """The traceback of a rank, as text."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


def _failure_file(folder: Path, rank: int) -> Path:
    return folder / f"failure-{rank}.pickle"


def write_failure(folder: Path, rank: int, error: BaseException) -> None:
    """Store what a rank has raised."""
    text = "".join(traceback.format_exception(error))
    kept: BaseException | None = error
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        kept = None
    _failure_file(folder, rank).write_bytes(pickle.dumps(Failure(rank, time.time(), kept, text)))


def read_failure(folder: Path, rank: int) -> Failure | None:
    """Return what a rank has raised, or None if it left no word."""
    try:
        found: Failure = pickle.loads(_failure_file(folder, rank).read_bytes())
    except (OSError, EOFError, pickle.UnpicklingError):
        return None
    return found


class LinesWritten:
    """A function for ``progress`` whose lines the process that started the ranks reads."""

    def __init__(self, folder: Path) -> None:
        self._file = open(folder / _LINES, "ab")  # noqa: SIM115  # open as long as the rank

    def __call__(self, line: str) -> None:
        """Write a line."""
        self._file.write(pickle.dumps(line))
        self._file.flush()


class LinesRead:
    """The lines that a rank has written since the last look."""

    def __init__(self, folder: Path) -> None:
        (folder / _LINES).touch()
        self._file = open(folder / _LINES, "rb")  # noqa: SIM115  # closed by ``close``

    def __iter__(self) -> Iterator[str]:
        while True:
            place = self._file.tell()
            try:
                yield pickle.load(self._file)
            except (EOFError, pickle.UnpicklingError):  # not written yet, or half of it
                self._file.seek(place)
                return

    def close(self) -> None:
        """Close the file."""
        self._file.close()
