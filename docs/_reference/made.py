"""The parts of pages that are made from the code, by the names that pages call them by."""

from __future__ import annotations

import re
from collections.abc import Callable

from _reference.commands import commands
from _reference.decisions import decisions
from _reference.error_classes import error_classes
from _reference.manifest_keys import manifest_keys
from _reference.public_names import public_names
from _reference.recipe_keys import recipe_keys
from _reference.serve_variables import serve_variables

__all__ = ["MADE", "filled"]

MADE: dict[str, Callable[[], str]] = {
    "commands": commands,
    "decisions": decisions,
    "error classes": error_classes,
    "manifest keys": manifest_keys,
    "public names": public_names,
    "recipe keys": recipe_keys,
    "serve variables": serve_variables,
}
_PLACE = re.compile(r"^<!-- made from the code: ([a-z ]+) -->$", re.MULTILINE)


def filled(text: str) -> str:
    """Return a page's Markdown with its parts that are made from the code.

    Raises:
        KeyError: the page asks for a part that nothing here makes.
    """
    return _PLACE.sub(lambda found: MADE[found[1]](), text)
