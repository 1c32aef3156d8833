"""Running the blocks of a page: Python in one namespace, commands in one folder, a server until the page ends."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

from liteft.cli import main
from tests.docs.pages import OPERATORS, ROOT, Block, commands_of, words_of
from tests.serving.serving import Server, running

_USUAL_PORT = 8080
_INSTALLS = re.compile(r"\bpip3? install\b|\bpython3? -m venv\b|\bbin/activate\b|^make ")
_QUOTED = re.compile(r"'[^']*'|#.*")
_EXPANDED = re.compile(r"[$*?~`]")  # by the shell
_SECONDS = 300  # of one command


class PageRun:
    """Runs blocks one after the other, in the current folder.

    ``liteft`` is called in this process, unless the shell joins it with something. ``liteft serve`` stays until the
    end, on a free port, which takes the place of the page's in what follows. What is installed is checked elsewhere.

    Args:
        page: name of the page, for tracebacks.
        tools: an empty folder for the commands ``liteft`` and ``python`` of this environment.
    """

    def __init__(self, page: str, tools: Path) -> None:
        self._page = page
        self._names: dict[str, Any] = {"__name__": "__main__"}
        self._servers = ExitStack()
        self._ports: dict[int, int] = {}
        self._environment = {"PATH": f"{tools}{os.pathsep}{os.environ['PATH']}", "HF_HUB_OFFLINE": "1"}
        self._environment["PYTHONPATH"] = os.pathsep.join([str(ROOT), *filter(None, sys.path)])
        for name, words in (("liteft", "-m liteft.cli "), ("python", ""), ("python3", "")):
            (tools / name).write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} {words}"$@"\n')
            (tools / name).chmod(0o755)

    def __enter__(self) -> PageRun:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, where: TracebackType | None) -> None:
        self._servers.close()

    def run(self, block: Block) -> None:
        """Run a block of Python or of commands; show what is neither.

        Raises:
            AssertionError: a command failed.
            Exception: what Python code raised.
        """
        if block.reason is not None:
            return
        if block.language == "python":
            code = "\n" * (block.line - 1) + self._with_ports(block.code)  # so that tracebacks name the page's lines
            exec(compile(code, self._page, "exec", dont_inherit=True), self._names)
        if block.language == "sh":
            for command in commands_of(block.code):
                self._run(self._with_ports(command))

    def _with_ports(self, text: str) -> str:
        for shown, taken in self._ports.items():
            text = re.sub(rf":{shown}\b", f":{taken}", text)
        return text

    def _run(self, command: str) -> None:
        words = words_of(command)
        if _INSTALLS.search(command):
            return
        assert words[0] != "cd", f"{command}: all commands of a page are in one folder"
        if words[0] == "export":
            self._environment |= dict(word.split("=", 1) for word in words[1:])
        elif words[:2] == ["liteft", "serve"]:
            self._serve([word for word in words[2:] if word != "&"])
        elif words[0] == "liteft" and not OPERATORS & set(words) and not _EXPANDED.search(_QUOTED.sub("", command)):
            words = shlex.split(command, comments=True)
            status = main(words[1:])
            assert status == 0, f"{command}: exit status {status}"
        else:
            done = subprocess.run(
                ["bash", "-euo", "pipefail", "-c", command],
                env=os.environ | self._environment,
                capture_output=True,
                text=True,
                timeout=_SECONDS,
                check=False,
            )
            assert done.returncode == 0, f"{command}: exit status {done.returncode}\n{done.stdout}{done.stderr}"
            print(done.stdout)

    def _serve(self, words: list[str]) -> None:
        shown = _USUAL_PORT
        if "--port" in words:
            place = words.index("--port")
            shown = int(words[place + 1])
            del words[place : place + 2]
        quick = [] if "--drain-delay" in words else ["--drain-delay", "0"]
        server: Server = self._servers.enter_context(running(words, *quick))
        self._ports[shown] = server.port
