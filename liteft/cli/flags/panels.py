"""Panels: the boxes in which ``--help`` shows flags that belong together."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import typer

__all__ = ["panel"]


def panel(title: str) -> Callable[..., Any]:
    """Return ``typer.Option`` for the flags of one panel."""
    return partial(typer.Option, rich_help_panel=title)
