"""The engine of one machine: processes that score a unit each, and are replaced when they die."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Generator
from typing import IO, Any

from liteft.bulk.attempts import Attempts, Event
from liteft.bulk.job import Failure, Job, failure_of, scored_blocks
from liteft.bulk.plan import Unit
from liteft.errors import RunError
from liteft.runtime.scored_blocks import Counts
from liteft.runtime.scored_kinds import Model

__all__ = ["here", "local"]

_COMMAND = (sys.executable, "-P", "-m", "liteft.bulk.worker")
_STARTS = 5
_SHOWN = 1000  # characters of what a dead process wrote to stderr


def here(job: Job, attempts: Attempts, classifier: Model) -> Generator[Event, None, None]:
    """Score the units in this process, one after the other, by a classifier that is open."""
    while (unit := attempts.take()) is not None:
        scoring = scored_blocks(job, unit, classifier)
        while not isinstance(rows := next(scoring), Counts | Failure):
            yield Event(unit, rows)
        yield attempts.ended(unit, rows)


def local(job: Job, attempts: Attempts, *, workers: int, threads: int) -> Generator[Event, None, None]:
    """Score the units in so many processes of so many threads each.

    Raises:
        RunError: no process can be started.
    """
    events: queue.SimpleQueue[Event | BaseException | None] = queue.SimpleQueue()
    crew = [_Worker(job, threads, attempts, events) for _ in range(workers)]
    try:
        for worker in crew:
            worker.start()
        left = workers
        while left:
            event = events.get()
            if isinstance(event, BaseException):
                raise event
            left -= event is None
            if event is not None:
                yield event
    finally:
        for worker in crew:
            worker.stop()


class _Worker(threading.Thread):
    """A thread that gives units to a process, and starts another one when it has died."""

    def __init__(
        self, job: Job, threads: int, attempts: Attempts, events: queue.SimpleQueue[Event | BaseException | None]
    ) -> None:
        super().__init__(name="liteft-score", daemon=True)
        self._begin = {"job": job.to_dict(), "threads": threads}
        self._attempts, self._events = attempts, events
        self._process: subprocess.Popen[str] | None = None
        self._stopped = threading.Event()
        self._errors: IO[str] = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115

    def run(self) -> None:
        try:
            while not self._stopped.is_set() and (unit := self._attempts.take()) is not None:
                self._events.put(self._attempts.ended(unit, self._scored(unit)))
            self._events.put(None)
        except BaseException as error:  # raised again in the caller's thread
            self._events.put(error)
        finally:
            self._end()

    def stop(self) -> None:
        """End the process, whatever it does, and the thread."""
        self._stopped.set()
        if self._process is not None:
            self._process.kill()
        if self.is_alive():
            self.join()
        self._errors.close()

    def _scored(self, unit: Unit) -> Counts | Failure:
        """Return what became of a unit in the process."""
        try:
            process = self._running()
            self._send(process, unit.to_dict())
            while True:
                answer = self._answer(process)
                if "rows" in answer:
                    self._events.put(Event(unit, answer["rows"]))
                elif "counts" in answer:
                    return Counts(**answer["counts"])
                else:
                    return Failure.of(answer["failure"])
        except (_DiedError, OSError) as error:
            self._end()
            return failure_of(unit, RunError(f"the worker {error}.", fix="see the rows of this unit"))

    def _running(self) -> subprocess.Popen[str]:
        """Return the process, started if there is none."""
        died: Exception | None = None
        for _ in range(_STARTS):
            if self._process is not None:
                return self._process
            self._process = _start(self._errors)
            try:
                self._send(self._process, self._begin)
                self._answer(self._process)
            except (_DiedError, OSError) as error:
                died = error
                self._end()
                if self._stopped.is_set():
                    break
            else:
                return self._process
        raise RunError(f"a worker cannot be started: it {died}.", fix="fewer workers, if the memory does not suffice")

    def _send(self, process: subprocess.Popen[str], content: dict[str, Any]) -> None:
        assert process.stdin is not None  # it is a pipe
        process.stdin.write(json.dumps(content) + "\n")
        process.stdin.flush()

    def _answer(self, process: subprocess.Popen[str]) -> dict[str, Any]:
        """Return the next line of the process."""
        assert process.stdout is not None  # it is a pipe
        line = process.stdout.readline()
        if not line.endswith("\n"):
            status = process.wait()
            raise _DiedError(f"died of signal {-status}" if status < 0 else f"ended with status {status}{self._said()}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _said(self) -> str:
        """Return the end of what the process wrote to stderr."""
        self._errors.seek(0)
        text = self._errors.read().strip()[-_SHOWN:]
        return f": {text}" if text else ""

    def _end(self) -> None:
        """End the process, if there is one."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                with contextlib.suppress(OSError):
                    pipe and pipe.close()


class _DiedError(Exception):
    """The process has ended; the text says how."""


def _start(errors: IO[str]) -> subprocess.Popen[str]:
    errors.seek(0)
    errors.truncate()
    return subprocess.Popen(
        _COMMAND,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=errors,
        text=True,
        encoding="utf-8",
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        start_new_session=True,  # Ctrl-C is for the driver, which ends its workers
    )
