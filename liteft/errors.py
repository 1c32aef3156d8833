"""Every error that LiteFT raises on purpose.

An error has three parts: what was seen, what would have been accepted, and what to do. The first is the
message, the second a mapping of names to values, the third a list of things to try. Printed, they read

    DataError: reviews.csv has no column 'lable'.
      columns: id, text, label
      try: --label label

The class name is not part of ``str(error)``: Python's traceback and the command line both put it in front.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping

__all__ = [
    "ArtifactError",
    "ConfigError",
    "DataError",
    "DeviceError",
    "InputError",
    "LiteftError",
    "MissingExtraError",
    "ModelError",
    "RunError",
    "VerificationError",
    "closest",
]


class LiteftError(Exception):
    """Base of every error that LiteFT raises on purpose.

    Args:
        message: what was seen, one sentence.
        accepted: names and values of what would have been accepted (or what was found), a line each.
        fix: one thing to try, or several: flags, commands or calls.
    """

    def __init__(
        self,
        message: str,
        *,
        accepted: Mapping[str, object] | None = None,
        fix: str | Iterable[str] = (),
    ) -> None:
        self.message = message
        self.accepted = {name: str(value) for name, value in (accepted or {}).items()}
        self.fix = (fix,) if isinstance(fix, str) else tuple(fix)
        super().__init__(message)

    def __str__(self) -> str:
        lines = [self.message]
        lines += [f"  {name}: {value}" for name, value in self.accepted.items()]
        lines += [f"  try: {hint}" for hint in self.fix]
        return "\n".join(lines)

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.message, self.accepted, self.fix)


def _rebuild(
    kind: type[LiteftError], message: str, accepted: Mapping[str, object], fix: tuple[str, ...]
) -> LiteftError:
    return kind(message, accepted=accepted, fix=fix)


class DataError(LiteftError):
    """A data set, file, column or row that cannot be used."""


class ConfigError(LiteftError):
    """A recipe or setting that is unknown, of the wrong type or out of range."""


class ModelError(LiteftError):
    """A base model, teacher or student that cannot be loaded or does not fit the task."""


class RunError(LiteftError):
    """A run folder that cannot be written, resumed or read."""


class ArtifactError(LiteftError):
    """An artifact folder that is missing something, was changed, or is of an unknown format."""


class VerificationError(LiteftError):
    """An exported model that does not agree with the model it came from."""


class DeviceError(LiteftError):
    """A device or backend that was asked for and cannot be had."""


class InputError(LiteftError, ValueError):
    """A text handed to a predictor that cannot be classified."""


class MissingExtraError(LiteftError, ImportError):
    """A verb that needs packages of an extra that is not installed."""


def closest(name: str, known: Iterable[str]) -> str | None:
    """Return the entry of ``known`` nearest to ``name``, or None when nothing is near.

    Case is ignored in the comparison and kept in the answer.
    """
    by_folded = {entry.casefold(): entry for entry in known}
    matches = difflib.get_close_matches(name.casefold(), by_folded, n=1, cutoff=0.5)
    return by_folded[matches[0]] if matches else None
