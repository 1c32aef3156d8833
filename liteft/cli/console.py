"""What a command prints: results on stdout, everything else on stderr.

With --json, a command prints exactly one JSON document, which also names the next command.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import sys
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\x80-\x9f]")

__all__ = ["Console", "OutputClosed", "tell"]


class OutputClosed(Exception):
    """The reader of stdout has stopped reading, as in ``liteft ... | head``."""


class Console:
    """Where a command prints its result and its progress.

    Args:
        as_json: print the result as JSON.
        quiet: print nothing on stderr but errors.
    """

    def __init__(self, *, as_json: bool = False, quiet: bool = False) -> None:
        self.as_json = as_json
        self._quiet = quiet
        # torchrun starts the same command in several processes; only the first prints
        self._silent = os.environ.get("RANK", "0") != "0"

    def progress(self, line: object) -> None:
        """Print one line of progress to stderr."""
        if not self._quiet and not self._silent:
            tell(getattr(line, "command", str(line)))

    def artifact_of(self, path: str) -> str:
        """Return the path of an artifact: of that inside a pipeline's folder, or of the hub's cache, it is reported."""
        from liteft.artifact import artifact_folder

        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always", UserWarning)
            found = artifact_folder(path, quiet=self._quiet)
        for each in told:
            self.progress(f"warning: {each.message}")
        if found != Path(path):
            self.progress(f"{path} holds an artifact: {found}" if Path(path).exists() else f"{path} is in {found}")
        return str(found)

    def line(self, text: str) -> None:
        """Print one line of a result that is not complete yet; with --json, nothing."""
        if not self.as_json:
            self._print(text)

    def result(self, text: str, document: Mapping[str, Any], *, following: Sequence[str] = ()) -> None:
        """Print the result and the command to try next.

        Args:
            text: the result for people; "" if ``line`` has printed it already.
            document: the result for programs, ready for JSON.
            following: the words of the next command; none prints no hint.
        """
        command = shlex.join(following)
        if self.as_json:
            content = {**document, "next": command or None}
            ascii_only = (sys.stdout.encoding or "").casefold().replace("-", "") != "utf8"
            self._print(json.dumps(content, indent=2, ensure_ascii=ascii_only))
        elif text:
            self._print(getattr(text, "command", text))
        if command:
            self.progress(f"next: {command}")

    def _print(self, text: str) -> None:
        if self._silent:
            return
        try:
            print(text, flush=True)
        except BrokenPipeError as error:
            raise OutputClosed from error


def tell(line: str) -> None:
    """Print to stderr, with control characters (of file names and cells) escaped; a closed stderr is ignored."""
    line = _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), line)
    with contextlib.suppress(BrokenPipeError):
        print(line, file=sys.stderr, flush=True)
