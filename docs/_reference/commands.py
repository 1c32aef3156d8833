"""The commands of ``liteft``: what each does, its flags by panel with their defaults, and its examples."""

from __future__ import annotations

from typing import Any

import typer

from _reference.markdown import cell, table
from liteft.cli import app
from liteft.cli.flags.panels import ORDER

__all__ = ["commands"]


def commands() -> str:
    """Return a section for each command."""
    every: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    return "\n\n".join(_section(name, command) for name, command in every.items())


def _section(name: str, command: Any) -> str:
    arguments = [each for each in command.params if each.param_type_name == "argument"]
    words = [_usage(each) for each in arguments]
    parts = [f"## liteft {name}", str(command.help), f"```text\n{' '.join(['liteft', name, *words, '[FLAGS]'])}\n```"]
    if arguments:
        parts.append(table(("argument", ""), [(f"`{each.metavar}`", each.help or "") for each in arguments]))
    for panel in ORDER:
        flags = [each for each in command.params if getattr(each, "rich_help_panel", None) == panel]
        if flags:
            parts.append(f"**{panel}**\n\n" + table(("flag", "", "default"), [_row(each) for each in flags]))
    examples = [line for line in str(command.epilog).split("\n\n") if line.startswith("liteft ")]
    return "\n\n".join([*parts, "```sh\n" + "\n".join(examples) + "\n```"])


def _usage(argument: Any) -> str:
    word = argument.metavar or argument.name.upper()
    return word if argument.required else f"[{word}]"


def _row(flag: Any) -> tuple[str, str, str]:
    names = ", ".join(f"`{name}`" for name in [*flag.opts, *flag.secondary_opts])
    value = f" {cell(flag.metavar)}" if flag.metavar else ""
    said = f"{flag.help or ''}{' Can be given several times.' if flag.multiple else ''}"
    return f"{names}{value}", said, _default(flag.default)


def _default(value: Any) -> str:
    """Return a default in code; nothing for what is off or left open."""
    return "" if value in (None, False, (), [], "") or callable(value) else f"`{value}`"
