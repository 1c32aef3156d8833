"""The loader's arguments, checked before anything is opened."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Integral, Real
from typing import Any

from liteft.errors import ConfigError, leave_out, option
from liteft.tasks import Task, task_asked

__all__ = ["check_arguments", "known_names", "known_task", "one_name"]


def check_arguments(*, label: Any, seed: Any, max_chars: Any, fractions: Mapping[str, Any], **texts: Any) -> None:
    """Raise ConfigError for a column name, encoding or the like that is not a string, or a number out of its range.

    ``label`` may be a list.
    """
    for name, share in fractions.items():
        if isinstance(share, bool) or not isinstance(share, Real) or not 0 <= float(share) < 1:
            raise ConfigError(
                f"{name} must be a number from 0 to below 1, got {share!r}.",
                accepted={name: "the share of the rows, such as 0.1; 0 makes no split"},
                fix=option(name, 0.1),
            )
    whole = isinstance(max_chars, Integral) and not isinstance(max_chars, bool)
    if max_chars is not None and not (whole and max_chars > 0):
        raise ConfigError(
            f"max_chars must be a positive integer, got {max_chars!r}.",
            accepted={"max_chars": "a whole number, above 0; or None"},
            fix=option("max_chars", 20_000),
        )
    if isinstance(seed, bool) or not isinstance(seed, Integral) or seed < 0:
        raise ConfigError(f"seed is {seed!r}.", accepted={"seed": "a whole number, 0 or above"}, fix=option("seed", 0))
    for name, value in texts.items():
        if value is not None and not isinstance(value, str):
            raise ConfigError(
                f"{name} is {value!r}, of type {type(value).__name__}.",
                accepted={name: "a string, or None"},
                fix=leave_out(name),
            )
    several = isinstance(label, Sequence) and not isinstance(label, str | bytes)
    if label is None or isinstance(label, str) or (several and label and all(isinstance(one, str) for one in label)):
        return
    raise ConfigError(
        f"label is {label!r}, of type {type(label).__name__}.",
        accepted={"label": "the name of the label's column, or a list of the names of columns of 0 and 1"},
        fix=option("label", str(label) if isinstance(label, int | float) else "COLUMN"),
    )


def known_names(given: str | Sequence[str] | None) -> tuple[str, ...] | None:
    """Return label names as a tuple. Raises ConfigError for fewer than two, duplicates or non-strings."""
    if given is None:
        return None
    listed = given.split(",") if isinstance(given, str) else given
    names = tuple(name.strip() for name in listed if isinstance(name, str)) if isinstance(listed, Sequence) else ()
    if len(names) < 2 or len(names) != len(listed) or "" in names or len(set(names)) < len(names):
        raise ConfigError(
            f"label_names is {given!r}.",
            accepted={"label_names": "at least two different names: what 0, 1, 2 and so on stand for"},
            fix=option("label_names", ["negative", "positive"]),
        )
    return names


def known_task(task: str | None, separator: str | None) -> Task | None:
    """Return the task. Raises ConfigError if its name is unknown or it does not go with the separator."""
    found = task_asked(task)
    if separator is not None and (not separator or (found is not None and not found.several)):
        raise ConfigError(
            "a label separator needs a multi-label task and at least one character.",
            accepted={"task": task, "label_separator": repr(separator)},
            fix=[option("task", "multi_label"), leave_out("label_separator")],
        )
    return found


def one_name(label: str | Sequence[str]) -> str:
    """Return the name of a single label column, which may be given in a list."""
    return label if isinstance(label, str) else label[0]
