"""What is wrong with a block, without running it: flags, syntax, extras, recipes."""

from __future__ import annotations

import csv
import json
import re
import shlex
import tomllib
from typing import Any

import typer

from liteft.cli import app
from liteft.config import make_recipe
from liteft.recipes import Recipe
from tests.docs.pages import LANGUAGES, ROOT, Block, calls_of, commands_of

_USAGE_ERROR: Any = typer.BadParameter.__mro__[1]  # click's; newer typers carry it inside
_LIST = re.compile(r"(?:liteft|\.|\.whl|\])\[([a-z,]+)\]")


def problems_of(block: Block) -> list[str]:
    """Return what is wrong with a block; nothing if it may be run, or shown."""
    if block.language not in LANGUAGES:
        return [f"the language is {block.language!r}, and must be one of {', '.join(LANGUAGES)}"]
    if block.language == "sh":
        return [problem for command in commands_of(block.code) for problem in _of_command(command)]
    check: Any = {"python": _of_python, "toml": _of_toml, "json": _of_json, "csv": _of_csv}.get(block.language)
    if check is None:
        return []
    try:
        check(block.code)
    except Exception as error:  # whatever a parser or a model raises is a problem of the block
        return [f"{type(error).__name__}: {error}"]
    return []


def _of_command(command: str) -> list[str]:
    problems = [problem for words in calls_of(command) if (problem := _of_call(words))]
    if re.search(r"\bpip3? install\b", command):
        named = {extra for extras in _LIST.findall(command) for extra in extras.split(",")}
        problems += [f"pyproject.toml has no extra {extra}" for extra in sorted(named - _extras())]
    if command.startswith("make "):
        targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
        asked = [word for word in shlex.split(command, comments=True)[1:] if "=" not in word]
        problems += [f"the Makefile has no target {word}" for word in asked if word not in targets]
    for script in re.findall(r"\bpython3? ((?:bench|examples)/\S+\.py)", command):
        if not (ROOT / script).is_file():
            problems.append(f"there is no {script}")
    return problems


def _of_call(words: list[str]) -> str | None:
    """Return why ``liteft`` would refuse its words, which are parsed and not acted upon."""
    command: Any = typer.main.get_command(app)
    if not words or words[0].startswith("-"):
        return None if words in (["--help"], ["--version"]) else f"liteft {shlex.join(words)} names no command"
    if words[0] not in command.commands:
        return f"there is no liteft {words[0]}"
    if "--help" in words:
        return None
    try:
        command.commands[words[0]].make_context(words[0], words[1:]).close()
    except _USAGE_ERROR as error:
        return f"liteft {shlex.join(words)}: {error.format_message()}"
    return None


def _extras() -> set[str]:
    return set(tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"])


def _of_python(code: str) -> None:
    compile(code, "block", "exec")


def _of_toml(code: str) -> None:
    content = tomllib.loads(code)
    if set(content) & set(Recipe.model_fields):
        make_recipe(content, origin="the block")


def _of_json(code: str) -> None:
    try:
        json.loads(code)
    except json.JSONDecodeError:
        for line in code.strip().splitlines():  # a document in each line
            json.loads(line)


def _of_csv(code: str) -> None:
    rows = list(csv.reader(code.strip().splitlines()))
    if len(rows) < 2 or len({len(row) for row in rows}) > 1:
        raise ValueError("rows must have as many cells as the first line, and there must be two at least")
