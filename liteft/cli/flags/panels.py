"""Panels: the boxes in which ``--help`` shows flags that belong together."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import typer

__all__ = ["ORDER", "TABLES", "panel"]

TABLES = {
    **{"Data": "data", "Teacher": "teacher", "Student": "student", "Export": "export", "Budget": "search"},
    "Pretraining": "pretrain",
    "Hub": "hub",
}
"""Panels whose flags set a table of the recipe: a command that shows one takes the table's other keys by --set."""
ORDER = (
    *("Data", "Pretraining", "Teacher", "Model", "Student", "Training", "Export", "Budget", "Hub"),
    *("Listening", "Limits", "Ending", "Watching", "Checking"),
    *("Predictions", "Tables", "Comparison", "Advice", "Machine", "General"),
)
"""All panels, as the help shows them from top to bottom."""


def panel(title: str) -> Callable[..., Any]:
    """Return ``typer.Option`` for the flags of one panel; a flag without a metavar takes no value."""
    return partial(typer.Option, rich_help_panel=title, metavar="")
