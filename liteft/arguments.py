"""What a verb's caller may hand over: wrong kinds are refused before anything is read, in three parts."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from typing import Any

from liteft.errors import ConfigError, leave_out, option

__all__ = ["checked_callbacks", "checked_progress", "require_count", "require_path"]


def checked_progress(progress: Callable[[str], None] | bool | None) -> Callable[[str], None] | None:
    """Return what is told about progress: a function as it is; for True, one that prints to stderr; else None.

    Raises:
        ConfigError: something else.
    """
    if progress is None or progress is False:
        return None
    if progress is True:
        return _to_stderr
    if not callable(progress):
        raise ConfigError(
            f"progress is {_kind(progress)}, and not a function.",
            accepted={"progress": "a function that takes a line of text; True, to print to stderr; or None"},
            fix="progress=print",
        )
    return progress


def checked_callbacks(callbacks: Any, kind: type) -> tuple[Any, ...]:
    """Return callbacks of a training, each an instance of ``kind`` or a class of them.

    Raises:
        ConfigError: something else.
    """
    listed = tuple(callbacks) if isinstance(callbacks, Iterable) and not isinstance(callbacks, str) else (callbacks,)
    for one in listed:
        if not isinstance(one, kind) and not (isinstance(one, type) and issubclass(one, kind)):
            raise ConfigError(
                f"callbacks contains {_kind(one)}.",
                accepted={"callbacks": f"a list of {kind.__module__.split('.')[0]}.{kind.__name__}"},
                fix="progress=print, to follow the training" if callable(one) else "leave out callbacks",
            )
    return listed


def require_path(name: str, value: Any, *, kinds: tuple[type, ...] = (), accepted: str) -> None:
    """Refuse an argument that is neither a string nor a path, nor of further kinds.

    Args:
        name: of the argument.
        value: what was handed over.
        kinds: what else is taken.
        accepted: in words, what is taken.

    Raises:
        ConfigError: it is something else.
    """
    if (isinstance(value, str | os.PathLike) and os.fspath(value)) or isinstance(value, kinds):
        return
    saved = hasattr(value, "save_pretrained")
    raise ConfigError(
        f"{name} is {_kind(value) if value != '' else 'empty'}.",
        accepted={name: accepted},
        fix=f"save it and its tokenizer with save_pretrained(FOLDER), then {name}=FOLDER"
        if saved
        else option(name, "PATH"),
    )


def require_count(name: str, value: object) -> None:
    """Refuse an argument that is not a positive integer. Raises ConfigError."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ConfigError(
            f"{name} must be a positive integer, got {value!r}.", accepted={name: "1 or more"}, fix=leave_out(name)
        )


def _to_stderr(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _kind(value: object) -> str:
    if value is None:
        return "None"
    name = type(value).__name__
    what = f" ({value.__name__})" if callable(value) and hasattr(value, "__name__") else ""
    return f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}{what}"
