"""Labels that are maps from names to numbers, also written as text: {"joy": 0.7, "anger": 0.3}.

JSON and Python's own form ({'joy': 0.7}, as ``str(dict)`` and pandas write it) are read. A text that looks like a map
and cannot be read as one is an error, because it would become the name of a class.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from liteft.data.dataset import Provenance
from liteft.errors import DataError
from liteft.privacy import quoted

__all__ = ["opened"]

_LOOKS = re.compile(r"\{\s*['\"].*['\"]\s*:|\{[^{}:]*:\s*[-+]?[.\d]", re.DOTALL)
_PIECE = re.compile(r"\{|.*\}$|['\"].*['\"]\s*:\s*[-+]?[.\d]", re.DOTALL)


def opened(labels: Sequence[Any], place: Provenance) -> list[Any]:
    """Return the cells, with objects written as text, maps of parquet and spaCy's ``cats`` as mappings to values.

    Raises:
        DataError: a text looks like a map and is not a valid one.
    """
    found = [_opened(value) for value in labels]
    looks = _PIECE if any(isinstance(value, Mapping) for value in found) else _LOOKS
    for row, value in enumerate(found):
        if isinstance(value, str) and looks.match(value.strip()):
            raise DataError(
                f"{place.where(row)}: the label {quoted(value, 80)} looks like a map of labels, "
                "and is not a valid one.",
                accepted={"label": 'JSON with one finite number for each name, such as {"joy": 0.7, "anger": 0.3}'},
                fix="correct that row, or write the column again as JSON",
            )
    return found


def _opened(value: Any) -> Any:
    if isinstance(value, str) and value.strip().startswith("{") and value.strip().endswith("}"):
        value = _read(value)
    elif isinstance(value, list) and value and all(_is_item(entry) for entry in value):
        return dict(value)
    if isinstance(value, Mapping) and isinstance(value.get("cats"), Mapping):
        return value["cats"]
    return value


def _read(text: str) -> Any:
    """Return the map in a text; the text itself if it holds none."""
    try:
        return json.loads(text, parse_constant=_not_finite)
    except (ValueError, RecursionError):
        pass
    try:
        found = ast.literal_eval(text.strip())  # runs no code
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return text
    exact = isinstance(found, dict) and all(
        isinstance(name, str) and isinstance(share, int | float) for name, share in found.items()
    )
    return found if exact else text


def _not_finite(name: str) -> float:
    raise ValueError(f"{name} is not a finite number")


def _is_item(value: Any) -> bool:
    """Return whether a value is an entry of a map as pyarrow reads it: a name and a number."""
    return isinstance(value, tuple) and len(value) == 2 and isinstance(value[0], str) and isinstance(value[1], float)
