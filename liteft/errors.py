"""The errors that LiteFT raises deliberately.

An error has three parts: what was seen, what would have been accepted, and what to do. The first is the message, the
second a mapping of names to values, the third a list of things to try. Printed, they read

    DataError: reviews.csv has no column 'lable'.
      columns: id, text, label
      try: --label label

The class name is not part of ``str(error)``: Python's traceback and the command line both put it in front.

A hint that names an option has two forms: ``option("label", "lable")`` reads ``label="lable"`` in ``str(error)``, for
Python, and ``--label lable`` in ``error.command_text()``, which the command line prints.
"""

from __future__ import annotations

import difflib
import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

__all__ = [
    "REPORT",
    "ArtifactError",
    "ConfigError",
    "DataError",
    "DeviceError",
    "Hint",
    "HubError",
    "InputError",
    "LiteftError",
    "MissingExtraError",
    "ModelError",
    "RunError",
    "VerificationError",
    "closest",
    "first_line",
    "leave_out",
    "misspelt",
    "option",
    "spelling",
]

_CODES = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b.|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
REPORT = "please report it: this is a bug in LiteFT"
"""Hint for errors that no input can cause."""
_NO_NEWS = re.compile(r"[\s=*_#~-]*")  # a line without information, such as a rule


@dataclass(frozen=True, slots=True)
class Hint:
    """One thing to try, worded for Python and for the command line.

    Attributes:
        python: the hint with arguments and calls.
        command: the hint with flags and commands.
    """

    python: str
    command: str

    def __str__(self) -> str:
        return self.python


def option(name: str, value: object = True, *, note: str = "") -> Hint:
    """Return a hint to give an option.

    Args:
        name: the argument's name, "max_tokens" for ``max_tokens=512`` and ``--max-tokens 512``; or a recipe's table and
            key, "student.augmentation" for ``augmentation="none"`` and ``--set student.augmentation=none``.
        value: the value to suggest; True for a flag without a value.
        note: text after the option in both forms, such as ", to leave such rows out".
    """
    table, _, key = name.rpartition(".")
    listed = ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    if table:
        command = f"--set {shlex.quote(f'{name}={str(value).lower() if isinstance(value, bool) else value}')}"
    else:
        command = _flag(name) if value is True else f"{_flag(name)} {shlex.quote(listed)}"
    return Hint(f"{key}={_python_value(value)}{note}", f"{command}{note}")


def leave_out(name: str) -> Hint:
    """Return a hint to leave an option out; ``name`` as for ``option``."""
    table, _, key = name.rpartition(".")
    return Hint(f"leave out {key}", f"leave out {f'--set {name}' if table else _flag(name)}")


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _python_value(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) and '"' not in value else repr(value)


class LiteftError(Exception):
    """Base class of every error that LiteFT raises deliberately.

    Args:
        message: what was seen, in one sentence.
        accepted: what would have been accepted (or what was found): name -> value, one line each.
        fix: one thing to try, or several; Hints if the wording differs between Python and the command line.
    """

    def __init__(
        self,
        message: str,
        *,
        accepted: Mapping[str, object] | None = None,
        fix: str | Hint | Iterable[str | Hint] = (),
    ) -> None:
        self.message = message
        self.accepted = {name: str(value) for name, value in (accepted or {}).items()}
        self.fix = (fix,) if isinstance(fix, str | Hint) else tuple(fix)
        super().__init__(message)

    def __str__(self) -> str:
        return self._text([str(hint) for hint in self.fix])

    def command_text(self) -> str:
        """Return the text for the command line, whose hints name flags."""
        return self._text(self.command_hints())

    def command_hints(self) -> list[str]:
        """Return the hints alone, worded for the command line."""
        return [hint.command if isinstance(hint, Hint) else hint for hint in self.fix]

    def _text(self, hints: list[str]) -> str:
        lines = [self.message]
        lines += [f"  {name}: {value}" for name, value in self.accepted.items()]
        lines += [f"  try: {hint}" for hint in hints]
        return "\n".join(lines)

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.message, self.accepted, self.fix)


def _rebuild(
    kind: type[LiteftError], message: str, accepted: Mapping[str, object], fix: tuple[str | Hint, ...]
) -> LiteftError:
    return kind(message, accepted=accepted, fix=fix)


class DataError(LiteftError):
    """A data set, file, column or row that cannot be used."""


class ConfigError(LiteftError):
    """A recipe or a setting that is unknown, of the wrong type or out of range."""


class ModelError(LiteftError):
    """A base model, teacher or student that cannot be loaded or does not fit the task."""


class RunError(LiteftError):
    """A run folder that cannot be written, resumed or read."""


class ArtifactError(LiteftError):
    """An artifact folder that is incomplete, was changed, or has an unknown format."""


class HubError(LiteftError):
    """A model hub that cannot be reached, refuses what it was asked for, or does not have it."""


class VerificationError(LiteftError):
    """An exported model that does not agree with its source model."""


class DeviceError(LiteftError):
    """A requested device or backend that is not available."""


class InputError(LiteftError, ValueError):
    """An input that a classifier cannot classify."""


class MissingExtraError(LiteftError, ImportError):
    """A function that needs packages of an extra that is not installed."""


def first_line(error: BaseException | str, *, most: int = 200) -> str:
    """Return the first meaningful line of another library's error as plain text.

    Terminal codes, other control characters and a full stop at the end are removed.

    Args:
        error: the exception, or its text; an exception without a text gives the name of its class.
        most: maximum number of characters; a longer line ends in an ellipsis.
    """
    for line in _CODES.sub("", str(error)).splitlines():
        if not _NO_NEWS.fullmatch(line):
            text = " ".join(line.split()).removesuffix(".")
            return text if len(text) <= most else f"{text[: most - 1]}…"
    return type(error).__name__ if isinstance(error, BaseException) else "no reason was given"


def closest(name: str, known: Iterable[str]) -> str | None:
    """Return the entry of ``known`` that is most similar to ``name``, or None if none is similar.

    The comparison ignores case.
    """
    by_folded = {entry.casefold(): entry for entry in known}
    matches = difflib.get_close_matches(name.casefold(), by_folded, n=1, cutoff=0.5)
    return by_folded[matches[0]] if matches else None


def misspelt(path: Path) -> list[str]:
    """Return the question whether the nearest path is meant, for a path that is not there; [] if none is near."""
    try:
        near = closest(path.name, [entry.name for entry in path.parent.iterdir()])
    except (OSError, ValueError):
        return []
    return [f"did you mean {path.with_name(near)}?"] if near else []


def spelling(path: Path) -> str:
    """Return what to do about a path that is not there: take the nearest name beside it, or check the spelling."""
    return next(iter(misspelt(path)), f"check the spelling; relative paths start at {Path.cwd()}")
