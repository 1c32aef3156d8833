"""Starts a server on cores of its own, waits until it is ready, watches its memory, and ends it.

There are two cores in all: the server has core 0, for its event loop and its engine, and whoever measures has core 1.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

SERVER_CORE, CLIENT_CORE = 0, 1
_PAGE_MB = os.sysconf("SC_PAGE_SIZE") / 1e6


class Server:
    """A server process on one core.

    Args:
        command: program and arguments.
        port: on 127.0.0.1, which the command names too.
        ready: route that answers 200 when the server is ready.
        log: file for its output.
        environment: variables beside those of this process.
    """

    def __init__(
        self, command: Sequence[str], port: int, ready: str, log: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        self.port, self._ready, self._log = port, ready, log
        threads = {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
        with log.open("ab") as output:
            self.started = time.perf_counter()
            self._process = subprocess.Popen(
                [*pinned(SERVER_CORE), *command],
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **threads, **(environment or {})},
            )

    def wait(self, seconds: float = 120.0, glance: float = 0.002) -> float:
        """Wait until the server is ready, asking every ``glance`` seconds, and return the seconds since its start."""
        while (now := time.perf_counter() - self.started) < seconds:
            if self._process.poll() is not None:
                raise RuntimeError(f"the server ended with status {self._process.returncode}:\n{self.tail()}")
            if status(self.port, self._ready) == 200:
                return time.perf_counter() - self.started
            time.sleep(glance)
        raise RuntimeError(f"the server is not ready after {now:.0f} s:\n{self.tail()}")

    def memory_mb(self) -> float:
        """Return the resident memory of the server and of its children, in 10^6 bytes."""
        total = 0.0
        for process in (self._process.pid, *children(self._process.pid)):
            with contextlib.suppress(OSError):
                total += int(Path(f"/proc/{process}/statm").read_text().split()[1]) * _PAGE_MB
        return total

    def cpu_seconds(self) -> tuple[float, float]:
        """Return the processor time of the main thread, and that of all other threads, user and system."""
        own = Path(f"/proc/{self._process.pid}")
        main = _cpu_seconds(own / "task" / own.name / "stat")
        return main, _cpu_seconds(own / "stat") - main

    def signal(self, number: int) -> None:
        """Send a signal to the server."""
        self._process.send_signal(number)

    def end(self, seconds: float = 60.0) -> int:
        """Wait for the end of a server that was told to end, and return its status; it is killed after the time."""
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()

    def stop(self) -> None:
        """End the server, and its children, at once."""
        for process in (*children(self._process.pid), self._process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        self._process.wait()

    def tail(self) -> str:
        """Return the last lines that the server wrote."""
        return "\n".join(self._log.read_text(encoding="utf-8", errors="replace").splitlines()[-20:])


@contextlib.contextmanager
def running(server: Server) -> Iterator[Server]:
    """Wait until a server is ready, and end it after use."""
    try:
        server.wait()
        yield server
    finally:
        server.stop()


def _cpu_seconds(file: Path) -> float:
    fields = file.read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def pinned(core: int) -> list[str]:
    """Return the words before a command that keep it on a core; none where the machine has no such program."""
    return ["taskset", "-c", str(core)] if shutil.which("taskset") else []


def stay_on(core: int) -> None:
    """Keep this process on a core, if there is such a core."""
    if hasattr(os, "sched_setaffinity") and core in os.sched_getaffinity(0):
        os.sched_setaffinity(0, {core})


def free_port() -> int:
    """Return a port of 127.0.0.1 on which nothing listens."""
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        return int(opened.getsockname()[1])


def status(port: int, path: str) -> int:
    """Return the status of a GET request, 0 if there is no answer."""
    return ask(port, "GET", path)[0]


def ask(
    port: int, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
) -> tuple[int, bytes]:
    """Return the status and the body of a request over a connection of its own; 0 and nothing if there is no answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request(method, path, body, dict(headers or {}))
        answer = connection.getresponse()
        return answer.status, answer.read()
    except OSError:
        return 0, b""
    except http.client.HTTPException:
        return 0, b""
    finally:
        connection.close()


def children(process: int) -> list[int]:
    """Return the numbers of a process's children and of theirs."""
    found: list[int] = []
    for file in Path(f"/proc/{process}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for number in map(int, file.read_text().split()):
                found += [number, *children(number)]
    return found


class Watch:
    """Memory of a server over the time of a run."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.rows: list[tuple[float, float]] = []

    def __call__(self, now: float) -> None:
        self.rows.append((round(now, 1), round(self._server.memory_mb(), 2)))

    def summary(self) -> dict[str, Any]:
        """Return the memory in MB at the start, in the middle and at the end, its greatest value, and its growth.

        The growth is the difference of the medians of the last quarter and of the second quarter of the run: what a
        server allocates for its first requests is not counted.
        """
        values = [value for _, value in self.rows]
        if len(values) < 8:
            return {"first_mb": values[0] if values else None, "most_mb": max(values, default=None), "growth_mb": None}
        quarter = len(values) // 4
        second, last = sorted(values[quarter : 2 * quarter]), sorted(values[-quarter:])
        step = max(len(self.rows) // 60, 1)
        return {
            "first_mb": values[0],
            "most_mb": max(values),
            "second_quarter_mb": second[quarter // 2],
            "last_quarter_mb": last[quarter // 2],
            "growth_mb": round(last[quarter // 2] - second[quarter // 2], 2),
            "over_time": self.rows[::step],
        }
