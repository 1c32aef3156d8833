"""What ``--help`` looks like: flags by panel, in one order, without the types that Python gives them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from liteft.cli.flags.panels import ORDER

__all__ = ["Command", "Group"]


def _plain(option: Any) -> Any:
    """Return click's own --help as one of our flags: in the last panel, and without a type."""
    if option is not None:
        option.metavar, option.rich_help_panel = "", ORDER[-1]
    return option


def _by_panel(parameters: Iterable[Any]) -> list[Any]:
    """Return parameters in the order of their panels; arguments come first, and say no type either."""
    for parameter in parameters:
        if parameter.param_type_name == "argument":
            parameter.display_type_rich = lambda ctx: None  # noqa: ARG005  # typer passes it by name
    panels = {title: place for place, title in enumerate(ORDER)}
    return sorted(parameters, key=lambda each: panels.get(each.rich_help_panel, -1))


class Command(TyperCommand):
    """A command of ``liteft``."""

    def get_help_option(self, ctx: typer.Context) -> Any:  # type: ignore[override]
        """Return the flag --help."""
        return _plain(super().get_help_option(ctx))

    def get_params(self, ctx: typer.Context) -> list[Any]:  # type: ignore[override]
        """Return arguments and flags, as the help shows them."""
        return _by_panel(super().get_params(ctx))


class Group(TyperGroup):
    """``liteft`` itself."""

    def get_help_option(self, ctx: typer.Context) -> Any:  # type: ignore[override]
        """Return the flag --help."""
        return _plain(super().get_help_option(ctx))
