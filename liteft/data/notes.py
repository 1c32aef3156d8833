"""Sentences that name options, worded for Python and for the command line."""

from __future__ import annotations

from collections.abc import Iterable

from liteft.errors import Hint

__all__ = ["Words", "lines", "worded"]


class Words(str):
    """A text for Python that has another wording for the command line.

    Attributes:
        command: the text as the command line prints it.
    """

    command: str

    def __new__(cls, python: str, command: str | None = None) -> Words:
        """Return the text in both wordings."""
        made = super().__new__(cls, python)
        made.command = python if command is None else command
        return made


def worded(sentence: str, hint: Hint, after: str = "") -> Words:
    """Return "sentence; hint" in both wordings."""
    return Words(f"{sentence}; {hint.python}{after}", f"{sentence}; {hint.command}{after}")


def lines(parts: Iterable[str]) -> Words:
    """Return the lines joined into one text, in both wordings."""
    found = list(parts)
    return Words("\n".join(found), "\n".join(getattr(line, "command", line) for line in found))
