"""What may be shown of texts: all of it, as is usual; what a function leaves of it; or nothing.

Everything that puts a text into a message, a log, a card, a list or a file of predictions asks here first. The answer
is one for the whole process, since an error deep in a reader has no arguments of the verb that called it. It is kept
in the environment, so that processes that are started later do the same:

    LITEFT_NO_TEXTS=1               no text is shown; rows are named by file and number
    LITEFT_REDACT=module:function   what this function returns is shown instead of a text

A function of Python cannot be handed to other processes: they show no text then. LITEFT_PRIVATE=1, by which files are
their owner's alone, is obeyed in files.py.
"""

from __future__ import annotations

import importlib
import os
import re
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, Literal

from liteft.errors import ConfigError, LiteftError, first_line

__all__ = [
    "HIDDEN",
    "NO_TEXTS",
    "PRIVATE",
    "REDACT",
    "Shown",
    "hide_texts",
    "hides_all",
    "inherited",
    "policy",
    "quoted",
    "reason_of",
    "shown",
    "shown_names",
    "shown_parts",
    "shown_value",
    "shows_all",
    "switched_on",
    "traceback_of",
]

NO_TEXTS, REDACT, PRIVATE = "LITEFT_NO_TEXTS", "LITEFT_REDACT", "LITEFT_PRIVATE"
HIDDEN = "[hidden]"
"""Stands for a text that is not shown."""

Redaction = Callable[[str], str]
Shown = Literal["shown", "redacted", "hidden"]

_NAME = re.compile(r"[\w.-]{1,30}")
_OFF, _ON = ("", "0", "false", "no", "off"), ("1", "true", "yes", "on")
_redaction: Redaction | None = None  # of this process; NO_TEXTS is set for those that it starts


@contextmanager
def hide_texts(redact: Redaction | None = None) -> Iterator[None]:
    """Show no texts while the body runs, or only what a function leaves of them.

    This holds for the whole process: for every verb's cards, logs, lists, files of predictions, progress and errors.
    Results in memory keep their texts. Processes that are started in the body show no text.

    Args:
        redact: given a text, returns what may be shown of it; None hides texts. Where it raises an error, or returns
            anything but a string, the text is hidden.

    Raises:
        ConfigError: ``redact`` cannot be called.
    """
    global _redaction
    if redact is not None and not callable(redact):
        raise ConfigError(
            f"redact must be a function, got a {type(redact).__name__}.",
            accepted={"redact": "a function that takes a text and returns what may be shown of it, or None"},
            fix="hide_texts(redact=lambda text: ...)",
        )
    before = _redaction, os.environ.get(NO_TEXTS)
    if redact is None or not _hidden_by_environment():  # who hid all texts wants no function to show some
        _redaction = redact
    os.environ[NO_TEXTS] = "1"
    try:
        yield
    finally:
        _redaction = before[0]
        if before[1] is None:
            del os.environ[NO_TEXTS]
        else:
            os.environ[NO_TEXTS] = before[1]


def inherited() -> dict[str, str]:
    """Return the variables of this process that say what is shown and who may read, for workers on other machines."""
    return {name: os.environ[name] for name in (NO_TEXTS, REDACT, PRIVATE) if name in os.environ}


def _hidden_by_environment() -> bool:
    return _redaction is None and switched_on(NO_TEXTS)


def switched_on(name: str) -> bool:
    """Return whether a variable of the environment switches something on.

    Raises:
        ConfigError: it has a value that might mean either.
    """
    value = os.environ.get(name, "").strip().lower()
    if value in _OFF or value in _ON:
        return value in _ON
    raise ConfigError(f"the environment's {name} is {value!r}.", accepted={name: "1 or 0"}, fix=f"export {name}=1")


def _current() -> Redaction | None:
    """Return what is shown of a text, as a function; None for all of it."""
    if _redaction is not None:
        return _redaction
    if switched_on(NO_TEXTS):
        return _nothing
    named = os.environ.get(REDACT, "").strip()
    return _named(named) if named else None


def _nothing(text: str) -> str:  # noqa: ARG001  # the signature of every redaction
    return HIDDEN


@lru_cache(maxsize=4)
def _named(name: str) -> Redaction:
    """Return the function that LITEFT_REDACT names."""
    module, _, attribute = name.partition(":")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        raise ConfigError(
            f"the environment's {REDACT} is {name!r}, which cannot be imported: {error}.",
            accepted={REDACT: "module:function, of a module that Python finds"},
            fix=[f"export PYTHONPATH=FOLDER, in which {module or 'the module'} is", f"export {NO_TEXTS}=1"],
        ) from None
    if not callable(found):
        raise ConfigError(
            f"the environment's {REDACT} names {name!r}, which cannot be called.",
            accepted={REDACT: "module:function"},
            fix=f"export {NO_TEXTS}=1",
        )
    return found  # type: ignore[no-any-return]


def shows_all() -> bool:
    """Return whether texts are shown as they are."""
    return _current() is None


def hides_all() -> bool:
    """Return whether no text is shown, not even a part of it."""
    return _current() is _nothing


def policy() -> Shown:
    """Return "shown", "redacted" or "hidden", as files say of themselves how they were written."""
    return "shown" if shows_all() else "hidden" if hides_all() else "redacted"


def shown(text: str) -> str:
    """Return what may be shown of a text. It is given whole, before anything cuts it."""
    redaction = _current()
    if redaction is None:
        return text
    try:
        found = redaction(text)
    except Exception:  # of the caller's function: a text that it cannot judge is not shown
        return HIDDEN
    return found if isinstance(found, str) else HIDDEN


def shown_parts(parts: list[str], text: str) -> list[str]:
    """Return what may be shown of parts of a text: all of them where all of the text may be, else none.

    A function that knows a name may not know half of it, so parts are never judged alone.
    """
    return parts if shown(text) == text else [HIDDEN] * len(parts)


def shown_value(value: Any) -> Any:
    """Return a value in which every string is what may be shown of it."""
    if shows_all():
        return value
    if isinstance(value, str):
        return shown(value)
    if isinstance(value, bytes):
        return HIDDEN.encode()
    if isinstance(value, Mapping):
        return {key: shown_value(entry) for key, entry in value.items()}
    return type(value)(map(shown_value, value)) if type(value) in (list, tuple) else value


def shown_names(names: Iterable[str]) -> list[str]:
    """Return names of columns as an error lists them: where texts are hidden, those that are one short word.

    A table without a line of names has its first row in their place.
    """
    return [name if shows_all() or _NAME.fullmatch(name) else HIDDEN for name in names]


def quoted(value: Any, most: int = 40) -> str:
    """Return a cell as an error quotes it: as Python writes it, in at most ``most`` characters."""
    if not shows_all() and not isinstance(value, bool | int | float | type(None)):
        value = shown_value(value)
        if hides_all():
            return f"a value of type {type(value).__name__} that is {HIDDEN}"
    text = repr(value)
    return text if len(text) <= most else f"{text[: most - 3]}..."


def reason_of(error: BaseException) -> str:
    """Return the first line of another library's error, which may quote a text; where texts are hidden, its class."""
    return first_line(error) if shows_all() or isinstance(error, LiteftError | OSError) else type(error).__name__


def traceback_of(error: BaseException) -> list[str]:
    """Return the lines of an error's traceback; where texts are not shown, without what it says: it may quote one."""
    if shows_all():
        return traceback.format_exception(error)
    lines = []
    cause: BaseException | None = error
    while cause is not None:
        lines += [*traceback.format_tb(cause.__traceback__), f"{type(cause).__name__}\n"]
        cause = cause.__cause__ or cause.__context__
    return lines
