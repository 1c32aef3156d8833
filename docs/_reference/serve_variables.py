"""The environment variables of ``liteft serve``'s flags."""

from __future__ import annotations

from typing import Any

import typer

from _reference.markdown import table
from liteft.cli import app

__all__ = ["serve_variables", "variables_of_flags"]

# Read by the command itself where the flag was left out, since other commands have these flags without a variable.
_BY_NAME = ("--device", "--backend", "--engine-precision", "--trust")


def variables_of_flags() -> dict[str, str]:
    """Return variable -> flag, for each flag of ``liteft serve`` that has one."""
    command: Any = typer.main.get_command(app).commands["serve"]  # type: ignore[attr-defined]
    found: dict[str, str] = {}
    for flag in command.params:
        name = next((each for each in flag.opts if each.startswith("--")), "")
        if name and (flag.envvar or name in _BY_NAME):
            found[flag.envvar or f"LITEFT_{name[2:].replace('-', '_').upper()}"] = name
    return found


def serve_variables() -> str:
    """Return a table of variables and flags."""
    rows = [(f"`{variable}`", f"`{flag}`") for variable, flag in variables_of_flags().items()]
    return table(("variable", "flag"), rows)
