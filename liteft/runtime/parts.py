"""A file that is written in parts, so that a killed run resumes where it stopped.

While OUTPUT is unfinished, there is a folder OUTPUT.parts beside it:

    state.json      what is being written: input, artifact, settings
    done.jsonl      one line per finished part, appended after the part is safely on the disk
    part-000000...  the parts
    lock            held by the writing process
    moved.json      what OUTPUT looks like once it is in place

A part counts once its line is in done.jsonl; anything else that a killed process left is written
again. At the end the parts are joined inside the folder, the joined file is renamed to OUTPUT, and the folder
is removed: OUTPUT is never an incomplete file. An error before the first part is finished leaves no folder behind.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from liteft import files
from liteft.errors import Hint, RunError, option
from liteft.locks import LOCK, one_writer

__all__ = ["ANOTHER_OUTPUT", "RESTART", "Done", "Parts", "open_parts"]

ANOTHER_OUTPUT = Hint("another output", "another --output")
RESTART = option("restart", note=", to discard the finished parts")
_OTHER_FOLDER = Hint("an output in another folder", "--output in another folder")
_GO_ON = Hint("the same call as before, to continue", "the same command as before, to continue")

_STATE = "state.json"
_DONE = "done.jsonl"
_JOINED = "joined"
_MOVED = "moved.json"
_OURS = re.compile(r"\.?(part-\d{6,}|state\.json|done\.jsonl|lock|joined|moved\.json)(\..*)?")


@dataclass(frozen=True, slots=True)
class Done:
    """A finished part: its rows, and what happened to them."""

    bytes: int
    rows: int
    refused: int
    truncated: int
    empty: int


class Parts:
    """The parts of one unfinished file. Made by ``open_parts``.

    Attributes:
        done: the finished parts, in order.
        moved: True if a killed run had already put OUTPUT in place; only the folder remains to be removed.
    """

    def __init__(self, output: Path, folder: Path) -> None:
        self._output = output
        self._folder = folder
        self.moved = _was_moved(output, folder)
        self.done = self._finished()

    @property
    def paths(self) -> list[Path]:
        """The files of the finished parts."""
        return [self._path(number) for number in range(len(self.done))]

    @property
    def rows(self) -> int:
        """Number of rows in finished parts."""
        return sum(part.rows for part in self.done)

    def add(self, write: Callable[[Path], None], **counts: int) -> None:
        """Write the next part with ``write`` and record it as finished. The keyword arguments are Done's counts.

        Raises:
            RunError: writing failed; the finished parts stay.
        """
        path = self._path(len(self.done))
        with _refusal_named(self._output, self.rows):
            with _removed_on_error(path):
                write(path)
                _sync(path)
            part = Done(bytes=path.stat().st_size, **counts)
            with open(self._folder / _DONE, "ab") as log:
                log.write(json.dumps(asdict(part)).encode() + b"\n")
                log.flush()
                os.fsync(log.fileno())
            files.sync_folder(self._folder)
        self.done.append(part)

    def join(self, write: Callable[[Sequence[Path], Path], None]) -> None:
        """Join the parts with ``write``, put the result in OUTPUT's place and remove the parts.

        Raises:
            RunError: writing failed; the parts stay, and OUTPUT is unchanged.
        """
        with _refusal_named(self._output, self.rows):
            if not self.moved:
                joined = self._folder / (_JOINED + self._output.suffix)
                with _removed_on_error(joined):
                    write(self.paths, joined)
                    _sync(joined)
                    files.write_json(self._folder / _MOVED, _identity(joined))
                    joined.replace(self._output)
            files.sync_folder(self._output.parent)
            for path in self.paths:
                path.unlink(missing_ok=True)
            (self._folder / _STATE).unlink()  # without it, the rest of the folder only has to be removed
        shutil.rmtree(self._folder, ignore_errors=True)

    def _path(self, number: int) -> Path:
        return self._folder / f"part-{number:06d}{self._output.suffix}"

    def _finished(self) -> list[Done]:
        """Read the log up to the first line that is torn or whose part is missing; drop the rest."""
        log = self._folder / _DONE
        done: list[Done] = []
        kept = b""
        for line in log.read_bytes().splitlines(keepends=True) if log.exists() else ():
            try:
                part = Done(**json.loads(line))
                here = self.moved or self._path(len(done)).stat().st_size == part.bytes
                whole = here and line.endswith(b"\n")
            except (ValueError, TypeError, OSError):
                whole = False
            if not whole:
                break
            done.append(part)
            kept += line
        if log.exists() and log.stat().st_size != len(kept):
            os.truncate(log, len(kept))
        return done


@contextlib.contextmanager
def open_parts(
    output: Path, state: Mapping[str, Mapping[str, Any]], *, overwrite: bool, restart: bool
) -> Iterator[Parts]:
    """Begin a file in parts, or resume one.

    Args:
        output: the file to be written.
        state: what determines the content: groups of names and JSON values. Parts of another state are not resumed.
        overwrite: replace an ``output`` that exists.
        restart: discard the parts of an earlier run.

    Yields:
        The Parts, including those already finished; locked against other processes.

    Raises:
        RunError: the output exists, the state differs, another process is writing, or writing failed.
    """
    folder = output.with_name(output.name + ".parts")
    with _refusal_named(output, 0):
        _check_free(output, folder, overwrite=overwrite, restart=restart)
        _refuse_foreign(folder)
    with one_writer(folder / LOCK, target=output, stays=True):
        with _refusal_named(output, 0):
            folder.mkdir(parents=True, exist_ok=True)  # if this fails, taking the lock says why
            _check_free(output, folder, overwrite=overwrite, restart=restart)  # another may have finished by now
            parts = Parts(output, folder)
            if (parts.done or parts.moved) and (folder / _STATE).exists() and not restart:
                _check_same(output, folder, state)
            else:
                _clear(folder)
                files.write_json(folder / _STATE, state)
                parts = Parts(output, folder)
        try:
            yield parts
        except BaseException:
            if not parts.done:
                shutil.rmtree(folder, ignore_errors=True)
            raise


def _check_free(output: Path, folder: Path, *, overwrite: bool, restart: bool) -> None:
    if output.is_dir():
        raise RunError(f"{output} is a folder.", fix=option("output", "NAME.csv"))
    if output.exists() and not overwrite and (restart or not _was_moved(output, folder)):
        raise RunError(f"{output} exists.", fix=[option("overwrite"), ANOTHER_OUTPUT])


def _identity(file: Path) -> dict[str, int]:
    """Return what identifies a file even after it was renamed."""
    found = file.stat()
    return {"bytes": found.st_size, "modified_ns": found.st_mtime_ns, "inode": found.st_ino}


def _was_moved(output: Path, folder: Path) -> bool:
    try:
        return bool(files.read_json(folder / _MOVED) == _identity(output)) and (folder / _STATE).exists()
    except (OSError, ValueError):
        return False


def _refuse_foreign(folder: Path) -> None:
    entries = folder.iterdir() if folder.is_dir() else ()
    if foreign := sorted(entry.name for entry in entries if not _OURS.fullmatch(entry.name)):
        raise RunError(
            f"{folder} contains something that no prediction wrote: {foreign[0]}.", fix=["move it away", ANOTHER_OUTPUT]
        )


def _clear(folder: Path) -> None:
    (folder / _DONE).unlink(missing_ok=True)  # first: without it, no part counts
    for entry in folder.iterdir():
        if entry.name != LOCK:
            entry.unlink()


@contextlib.contextmanager
def _removed_on_error(path: Path) -> Iterator[None]:
    """Leave no incomplete file behind: on a full disk, it would occupy the space that is needed to resume."""
    try:
        yield
    except BaseException:
        with contextlib.suppress(OSError):
            path.unlink()
        raise


def _check_same(output: Path, folder: Path, state: Mapping[str, Mapping[str, Any]]) -> None:
    try:
        was = _flat(files.read_json(folder / _STATE))
    except ValueError:
        was = {}
    now = _flat(json.loads(json.dumps(state)))
    differences = {
        name: f"was {was.get(name)!r}, is {now.get(name)!r}" for name in now | was if was.get(name) != now.get(name)
    }
    if differences:
        raise RunError(
            f"{output} was begun with other settings.",
            accepted=differences,
            fix=[_GO_ON, RESTART],
        )


def _flat(state: Any) -> dict[str, Any]:
    groups = state.items() if isinstance(state, dict) else ()
    return {
        f"{group} {name}": value
        for group, values in groups
        if isinstance(values, dict)
        for name, value in values.items()
    }


@contextlib.contextmanager
def _refusal_named(output: Path, rows: int) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        fix: list[str | Hint] = [*(["free some space"] if full else []), _OTHER_FOLDER, *([_GO_ON] if rows else [])]
        raise RunError(
            f"{output} could not be written: {files.os_reason(error)}.",
            accepted={"rows that are saved": f"{rows:,}"} if rows else None,
            fix=fix,
        ) from error


def _sync(path: Path) -> None:
    with open(path, "rb+") as file:
        os.fsync(file.fileno())
