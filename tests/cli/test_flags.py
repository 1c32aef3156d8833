"""Flags as a whole: groups of them, and those that the library's errors recommend."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

import pytest
import typer

import liteft
from liteft.cli import app, options

FOREIGN = {"--force-reinstall", "--no-deps", "--upgrade", "--query-gpu", "--format", "--gpus"}  # pip's, nvidia's
FOREIGN |= {"--include"}  # onnxruntime's build, --include_ops_by_config
KEYS = {"source", "task", "seed"}  # of [data]: --data, --task, and --set data.seed


def flags_of(command: Any) -> set[str]:
    return {name for parameter in command.params for name in parameter.opts}


@pytest.fixture(scope="module")
def verbs() -> dict[str, set[str]]:
    """The flags of every verb."""
    return {name: flags_of(command) for name, command in typer.main.get_command(app).commands.items()}


def test_every_flag_that_an_error_recommends_exists(verbs: dict[str, set[str]]) -> None:
    known = set().union(*verbs.values()) | FOREIGN
    folder = Path(liteft.__file__).parent
    for path in folder.rglob("*.py"):
        if path.parent.name != "cli":
            recommended = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", path.read_text(encoding="utf-8")))
            assert recommended <= known, path


@pytest.mark.parametrize("verb", ["finetune", "distill", "export", "compare"])
def test_every_key_of_the_data_table_is_a_flag(verbs: dict[str, set[str]], verb: str) -> None:
    from liteft.config import DataRecipe

    for key in DataRecipe.model_fields.keys() - KEYS:
        assert f"--{key.replace('_', '-')}" in verbs[verb]


def test_a_group_of_flags_arrives_as_one_value_with_none_for_what_was_left_out() -> None:
    seen: list[options.Reading] = []

    @options.flat
    def verb(*, name: Annotated[str, typer.Argument()], reading: options.Reading) -> None:
        """A verb."""
        assert name == "x"
        seen.append(reading)

    small = typer.Typer()
    small.command()(verb)
    command = typer.main.get_command(small)
    with command.make_context("small", ["x", "--text", "body", "--drop-empty", "--max-chars", "9"]) as context:
        command.invoke(context)
    assert seen == [options.Reading(text="body", drop_empty=True, max_chars=9)]
    assert seen[0].drop_long is None
