"""What a single cell is: missing, blank, or a 0 or 1 in any spelling."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["bit", "counted", "is_blank", "is_empty", "is_list", "is_missing"]

_INVISIBLE = "\ufeff\u200b\u200c\u200d\u2060"
_BITS = {"0": 0, "1": 1, "0.0": 0, "1.0": 1, "false": 0, "true": 1}


def counted(rows: int) -> str:
    """Return "1 row" or "1,200 rows"."""
    return f"{rows:,} row{'' if rows == 1 else 's'}"


def is_missing(value: Any) -> bool:
    """Return True for None and NaN."""
    return value is None or (isinstance(value, float) and value != value)


def is_empty(value: Any) -> bool:
    """Return True for a missing value and for the empty string."""
    return is_missing(value) or (isinstance(value, str) and not value)


def is_blank(value: Any) -> bool:
    """Return True for a missing text and for one with only white space and invisible characters."""
    if type(value) is not str:
        return is_missing(value)
    stripped = value.strip()
    return not stripped or (stripped[0] in _INVISIBLE and not stripped.strip(_INVISIBLE).strip())


def is_list(value: Any) -> bool:
    """Return True for collections that can hold several labels: lists, tuples, sets and arrays."""
    return isinstance(value, list | tuple | set | frozenset) or (isinstance(value, np.ndarray) and value.ndim > 0)


def bit(value: Any) -> int | None:
    """Return 0 or 1 for a value that means it, as a number, a bool or text, and None for anything else."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, str):
        return _BITS.get(value.strip().casefold())
    return int(value) if isinstance(value, bool | int | float) and value in (0, 1) else None
