"""A server in a process of its own, for tests of how servers start, answer under load, and end."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


class Server:
    """A running ``liteft serve``."""

    def __init__(self, process: subprocess.Popen[str], port: int) -> None:
        self.process, self.port = process, port
        self.lines: list[str] = []

    def ask(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None, timeout: float = 30
    ) -> tuple[int, Any, dict[str, str]]:
        """Return status, decoded body and headers of one request on a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            content = body if isinstance(body, bytes | None) else json.dumps(body).encode()
            connection.request(method, path, content, headers or {})
            response = connection.getresponse()
            read = response.read()
            found = {name.lower(): value for name, value in response.getheaders()}
            decoded = json.loads(read) if read and "json" in found.get("content-type", "") else read
            return response.status, decoded, found
        finally:
            connection.close()

    def predict(self, text: str, **headers: str) -> tuple[int, Any, dict[str, str]]:
        """Ask for the labels of a text."""
        return self.ask("POST", "/predict", {"inputs": text}, headers)

    def signal(self, number: int) -> None:
        """Send a signal."""
        self.process.send_signal(number)

    def wait_for_line(self, text: str, seconds: float = 30) -> str:
        """Return the first line of stderr that contains ``text``."""
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            for line in list(self.lines):
                if text in line:
                    return line
            time.sleep(0.01)
        raise AssertionError(f"no line with {text!r} in {self.lines}")


@contextmanager
def running(artifacts: Sequence[str | Path], *flags: str, **environment: str) -> Iterator[Server]:
    """Run a server until the block ends; it must then have ended, or be killed."""
    command = [sys.executable, "-m", "liteft.cli", "serve", *map(str, artifacts), "--port", "0", *flags]
    process = subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
    )
    server = Server(process, 0)
    assert process.stderr is not None

    def read() -> None:
        for line in process.stderr or ():
            server.lines.append(line.rstrip("\n"))

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        line = server.wait_for_line("ready on http://")
        found = re.search(r":(\d+)$", line)
        assert found is not None
        server.port = int(found[1])
        yield server
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        process.wait(30)
        reader.join(10)
