"""Checks of arguments that several public functions share: wrong types are refused before anything is read."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from typing import Any

from liteft.errors import ConfigError, closest, leave_out, option
from liteft.notebook import NotebookProgress, in_notebook

__all__ = [
    "ProgressFunction",
    "checked_callbacks",
    "checked_progress",
    "checked_top_k",
    "require_count",
    "require_known",
    "require_list",
    "require_path",
]

ProgressFunction = Callable[[str], None]  # takes a line of text


def checked_progress(progress: ProgressFunction | bool | None) -> ProgressFunction | None:
    """Return the function that is called with progress: a given one, or None.

    For True it is one that prints to stderr, in a notebook one that moves bars (`NotebookProgress`).

    Raises:
        ConfigError: the argument is neither a function nor a bool nor None.
    """
    if progress is None or progress is False:
        return None
    if progress is True:
        return NotebookProgress() if in_notebook() else _to_stderr
    if not callable(progress):
        raise ConfigError(
            f"progress must be a function, got {_kind(progress)}.",
            accepted={"progress": "a function that takes a line of text; True, to print or to show bars; or None"},
            fix="progress=print",
        )
    return progress


def checked_callbacks(callbacks: Any, kind: type) -> tuple[Any, ...]:
    """Return callbacks of a training as a tuple.

    Args:
        callbacks: one callback or several, each an instance of ``kind`` or a subclass of it.
        kind: the base class of callbacks.

    Raises:
        ConfigError: one of them is neither.
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
    """Check that an argument is a non-empty string, a path, or of another accepted type.

    Args:
        name: name of the argument.
        value: its value.
        kinds: other accepted types.
        accepted: the accepted values in words, for the error.

    Raises:
        ConfigError: the value is not accepted.
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


def checked_top_k(top_k: int | None) -> int | None:
    """Return how many of the best labels or answers are asked for, None for none. Raises ConfigError for any other."""
    if top_k is None or (isinstance(top_k, int) and not isinstance(top_k, bool) and top_k >= 1):
        return top_k
    raise ConfigError(
        f"top_k must be a positive integer, got {top_k!r}.",
        accepted={"top_k": "1 or more, or None"},
        fix=option("top_k", 3),
    )


def require_known(given: Iterable[str], known: Iterable[str], *, call: str) -> None:
    """Refuse keyword arguments that a function takes by ``**`` and does not know. Raises ConfigError for the first."""
    known = sorted(known)
    for name in given:
        if name not in known:
            near = closest(name, known)
            raise ConfigError(
                f"{call} has no argument {name!r}.",
                accepted={"arguments": ", ".join(known)},
                fix=f"did you mean {near!r}?" if near else leave_out(name),
            )


def require_list(name: str, value: object) -> None:
    """Refuse a string where several are taken, which would be read letter by letter. Raises ConfigError."""
    if isinstance(value, str | bytes):
        raise ConfigError(
            f"{name} is {_kind(value)}.", accepted={name: "a list of strings, or None"}, fix=option(name, [value])
        )


def _to_stderr(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _kind(value: object) -> str:
    """Return a value's type with its article, and the name of a function or class."""
    if value is None:
        return "None"
    type_name = type(value).__name__
    own_name = f" ({value.__name__})" if callable(value) and hasattr(value, "__name__") else ""
    return f"{'an' if type_name[:1].lower() in 'aeiou' else 'a'} {type_name}{own_name}"
