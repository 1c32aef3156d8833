"""The classes of liteft/errors.py: what each means, the exit status of a command and the answer of a server."""

from __future__ import annotations

from _reference.markdown import table
from liteft import errors
from liteft.errors import ConfigError, InputError, LiteftError

__all__ = ["classes", "error_classes"]


def classes() -> list[type[LiteftError]]:
    """Return the classes of errors, the base first."""
    found = [each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, LiteftError)]
    return sorted(found, key=lambda each: (each is not LiteftError, each.__name__))


def error_classes() -> str:
    """Return a table of all classes."""
    return table(("class", "raised for", "also a", "exit status", "answer of `liteft serve`"), map(_row, classes()))


def _row(kind: type[LiteftError]) -> tuple[str, ...]:
    said = (kind.__doc__ or "").splitlines()[0].rstrip(".")
    said = said[:1].lower() + said[1:]
    others = [
        f"`{each.__name__}`" for each in kind.__bases__ if not issubclass(each, LiteftError) and each is not Exception
    ]
    status = "2" if issubclass(kind, ConfigError) else "1"
    return f"`{kind.__name__}`", said, ", ".join(others), status, _http(kind)


def _http(kind: type[LiteftError]) -> str:
    if issubclass(kind, InputError):
        return "422, `input`"
    return "500, `failed`; while an artifact is loaded again 409, `reload`"
