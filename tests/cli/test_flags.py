"""Flags as a whole: one meaning each, groups of them, the help that shows them, and those that errors recommend."""

from __future__ import annotations

import importlib
import re
import shlex
from pathlib import Path
from typing import Annotated, Any

import pytest
import typer

import liteft
from liteft import cli
from liteft.cli import app, groups

FOREIGN = {"--force-reinstall", "--no-deps", "--upgrade", "--query-gpu", "--format", "--gpus"}  # pip's, nvidia's
FOREIGN |= {"--include"}  # onnxruntime's build, --include_ops_by_config
FOREIGN |= {"--model-repository"}  # Triton's
KEYS = {"source", "task", "seed"}  # of [data]: --data, --task, and --set data.seed


PANELS = ("Data", "Teacher", "Model", "Student", "Training", "Export", "Machine", "General")
EXPORT = {"vocabulary", "fill_vocabulary"}  # --vocabulary, where there is one to trim; --set export.fill_vocabulary


def flags_of(command: Any) -> set[str]:
    return {name for parameter in command.params for name in parameter.opts}


def kind_of(parameter: Any) -> Any:
    """What a flag takes, for versions of typer with click beside them and inside."""
    return getattr(parameter, "type", None) or parameter.type_descriptor.annotation


@pytest.fixture(scope="module")
def verbs() -> dict[str, set[str]]:
    """The flags of every verb."""
    return {name: flags_of(command) for name, command in typer.main.get_command(app).commands.items()}


def test_every_flag_that_an_error_recommends_exists(verbs: dict[str, set[str]]) -> None:
    known = set().union(*verbs.values()) | FOREIGN | {"--help"}
    folder = Path(liteft.__file__).parent
    for path in folder.rglob("*.py"):
        if path.relative_to(folder).parts[0] != "cli":
            recommended = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", path.read_text(encoding="utf-8")))
            assert recommended <= known, path


@pytest.mark.parametrize("verb", ["finetune", "distill", "search", "export", "compare"])
def test_every_key_of_the_data_table_is_a_flag(verbs: dict[str, set[str]], verb: str) -> None:
    from liteft.recipes import DataRecipe

    for key in DataRecipe.model_fields.keys() - KEYS:
        assert f"--{key.replace('_', '-')}" in verbs[verb]


def test_a_flag_has_one_meaning_in_all_commands_that_have_it() -> None:
    meanings: dict[str, set[Any]] = {}
    for command in typer.main.get_command(app).commands.values():
        for parameter in command.params:
            for name in (each for each in parameter.opts if each.startswith("-")):
                kind = (str(kind_of(parameter)), parameter.multiple, parameter.is_flag)
                panel = getattr(parameter, "rich_help_panel", None)
                meanings.setdefault(name, set()).add((parameter.help, parameter.metavar, *kind, panel))
    assert {name: found for name, found in meanings.items() if len(found) > 1} == {}
    assert len(meanings) > 60


def test_every_flag_is_stated_once() -> None:
    folder = Path(cli.__file__).parent
    sources = {path: path.read_text(encoding="utf-8") for path in folder.rglob("*.py")}
    flags = [text for path, text in sources.items() if path.parent.name == "flags"]
    stated = re.findall(r'_\w+\(\s*"(--[a-z-]+)"', "\n".join(flags))
    assert len(stated) > 60
    assert sorted(stated) == sorted(set(stated))
    for path, text in sources.items():
        assert path.parent.name == "flags" or path.name == "__init__.py" or "typer.Option(" not in text


def test_the_help_of_a_task_names_all_tasks() -> None:
    from liteft.tasks import TASKS

    told = next(each.help for each in typer.main.get_command(app).commands["check"].params if "--task" in each.opts)
    assert all(task in told for task in TASKS)


@pytest.mark.parametrize("verb", ["distill", "search", "export"])
def test_every_key_of_the_export_table_is_a_flag_where_something_is_exported(
    verbs: dict[str, set[str]], verb: str
) -> None:
    from liteft.recipes import ExportRecipe

    for key in ExportRecipe.model_fields.keys() - EXPORT:
        assert f"--{key.replace('_', '-')}" in verbs[verb]


@pytest.mark.parametrize("name", sorted(typer.main.get_command(app).commands))
def test_the_help_of_a_command_shows_panels_and_two_examples_that_parse(name: str, capsys: Any) -> None:
    module = importlib.import_module(f"liteft.cli.{name}")
    assert len(module.EXAMPLES) == 2
    command = typer.main.get_command(app)
    for example in module.EXAMPLES:
        program, verb, *words = shlex.split(example)
        assert (program, verb) == ("liteft", name)
        command.commands[name].make_context(name, words).close()  # raises where the command would refuse the words
    assert cli.main([name, "--help"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert all(f"─ {panel} ─" in shown for panel in {"distill": PANELS}.get(name, ("General",)))
    assert all(example in shown for example in module.EXAMPLES)


def test_a_group_of_flags_arrives_as_one_value_with_none_for_what_was_left_out() -> None:
    seen: list[groups.Reading] = []

    @groups.flat
    def verb(*, name: Annotated[str, typer.Argument()], reading: groups.Reading) -> None:
        """A verb."""
        assert name == "x"
        seen.append(reading)

    small = typer.Typer()
    small.command()(verb)
    command = typer.main.get_command(small)
    with command.make_context("small", ["x", "--text", "body", "--drop-empty", "--max-chars", "9"]) as context:
        command.invoke(context)
    assert seen == [groups.Reading(text="body", drop_empty=True, max_chars=9)]
    assert seen[0].drop_long is None
