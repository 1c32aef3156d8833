"""Turn the flags of a command into a recipe.

Flags and --set override the recipe file. The same command makes the same recipe every time, which is what lets it
resume. Local paths are made absolute, so that a later command, started in another folder, still finds the data.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from liteft.cli.groups import Reading, Settings
from liteft.config import make_recipe, read_recipe, toml_value
from liteft.data import Dataset
from liteft.data.formats import exists
from liteft.data.trainable import resolve_data
from liteft.errors import ConfigError
from liteft.foreign import Said, read_labels
from liteft.recipe_checks import require_choice
from liteft.recipes import DataRecipe, Recipe
from liteft.tasks import task_asked

__all__ = [
    "absolute",
    "data_arguments",
    "data_of_models",
    "load_data",
    "only_base",
    "resolve",
    "said_of_model",
    "teacher_of",
    "teachers_of",
]

_COMMAND = "the command line"
_VERBS = ("pretrain", "export", "search")  # tables that have the name of a command
_PATHS = {
    "data": ("source",),
    "teacher": ("base", "vocabulary_file"),
    "student": ("student", "unlabeled", "general"),
    "pretrain": ("texts", "base", "vocabulary_file"),
}
_FLAGS = {"task", *(field.name for field in fields(Reading))}


def resolve(settings: Settings, **flags: Mapping[str, Any]) -> Recipe:
    """Return the recipe of a command.

    Args:
        settings: the recipe file and the values of --set.
        flags: for each table that the command reads, key -> value; None keeps the file's value.

    Raises:
        ConfigError: an unknown key, a table that the command does not read, a value that does not fit, or two values
            for one setting.
    """
    overrides = {
        table: {key: value for key, value in values.items() if value is not None and value != []}
        for table, values in flags.items()
    }
    for entry in settings.assigned or ():
        table, key, value = _parse_setting(entry, tuple(flags))
        if table in Recipe.model_fields and table not in flags:
            verb = [f"liteft {table}, which reads it"] if table in _VERBS else []
            raise ConfigError(
                f"--set {entry} changes nothing: this command reads no table {table}.",
                accepted={"tables": ", ".join(flags)},
                fix=[f"leave out --set {table}.{key}", *verb],
            )
        given = overrides.setdefault(table, {})
        inner, dot, last = key.partition(".")
        if dot and inner == "trainer":  # the only table within a table
            given, key, table = given.setdefault(inner, {}), last, f"{table}.{inner}"
        if key in given and given[key] != value:
            raise ConfigError(f"{table}.{key} is given twice: {given[key]!r} and {value!r}.", fix="give it once")
        given[key] = value
    alone = make_recipe(overrides, origin=_COMMAND)
    recipe = alone if settings.recipe is None else read_recipe(settings.recipe, overrides=overrides)
    for table in ("teacher", "student"):
        if table in flags:
            require_choice(getattr(recipe, table), table=table)
    tables = {table: _with_absolute_paths(getattr(recipe, table), names) for table, names in _PATHS.items()}
    return recipe.model_copy(update=tables)


def load_data(recipe: Recipe, *, example: str = "--data reviews.csv --text COLUMN --label COLUMN") -> Dataset:
    """Return the data set that a recipe names.

    Args:
        recipe: of the command.
        example: how to name data, for the error if the recipe names none.

    Raises:
        ConfigError: the recipe names no data.
        DataError: the data cannot be read or trained on.
    """
    if recipe.data.source is None:
        raise ConfigError(
            "no data was given.",
            accepted={"data": "a file, a folder of train, dev and test files, or a hub name (owner/name)"},
            fix=example,
        )
    return resolve_data(recipe.data.source, recipe)


def teachers_of(recipe: Recipe, named: Sequence[str] | None) -> list[str]:
    """Return the teachers that a command or its recipe names; a path that exists is made absolute.

    Raises:
        ConfigError: neither names a teacher.
    """
    given = [part for each in named or () for part in ([each] if exists(Path(each)) else each.split(",")) if part]
    sources = given or ([] if recipe.teacher.base is None else [recipe.teacher.base])
    if not sources:
        raise ConfigError(
            "no teacher was named.",
            accepted={"teacher": "a base to fine-tune (folder or hub name), a finished run, or a classifier"},
            fix=["--teacher minilm", "--teacher RUN"],
        )
    return [absolute(source) for source in sources]


def teacher_of(recipe: Recipe, named: Sequence[str] | None) -> str:
    """Return the only teacher that a command or its recipe names.

    Raises:
        ConfigError: none is named, or several.
    """
    first, *others = teachers_of(recipe, named)
    if others:
        raise ConfigError(
            f"{1 + len(others)} teachers were named, and a search has one.",
            accepted={"several teachers": "of liteft distill"},
            fix=f"--teacher {first}",
        )
    return first


def data_of_models(recipe: Recipe, models: Sequence[str]) -> tuple[str | None, dict[str, Any]]:
    """Return the data to test models on (or None) and the arguments for ``load_dataset``.

    If the recipe names no data, or those that one of the runs was trained on, they are read as that run read them: with
    the same columns, and with the same texts in a test split that was made.

    Args:
        recipe: of the command.
        models: folders of runs, artifacts or models.
    """
    given = recipe.data.model_dump(include=recipe.data.model_fields_set - {"task"})
    source = given.pop("source", None)
    for model in models:
        stored = Path(model) / "recipe.toml"
        if not stored.is_file():
            continue
        table = read_recipe(stored).data.model_dump(exclude={"task"}, exclude_none=True)
        known = table.pop("source", None)
        if known is not None and source in (None, absolute(known)):
            return known, {**table, **given}
    return source, given


def only_base(bases: list[str] | None) -> str | None:
    """Return the base that --base names. Raises ConfigError if it names several."""
    if bases and len(bases) > 1:
        raise ConfigError(
            f"--base is given {len(bases)} times: {', '.join(bases)}.",
            accepted={"--base": "one base to train"},
            fix=[f"--base {bases[-1]}", f"liteft advise DATA --base {' --base '.join(bases)}, to compare them"],
        )
    return bases[0] if bases else None


def said_of_model(
    labels: str | None, task: str | None = None, pair: str | None = None, activation: str | None = None
) -> Said:
    """Return what the command line says about a model that transformers wrote.

    Args:
        labels: a file of label names.
        task: --task.
        pair: --pair: a column of second texts, or "" for a model of single texts.
        activation: --activation.

    Raises:
        ConfigError: the file cannot be read, or the task is unknown.
    """
    names = None if labels is None else read_labels(Path(labels))
    return Said(names, task_asked(task), None if pair is None else pair != "", activation=activation)


def data_arguments(data: DataRecipe) -> list[str]:
    """Return the flags with which a command reads the same data as a recipe."""
    words = [] if data.source is None else ["--data", data.source]
    defaults = DataRecipe()
    for name in DataRecipe.model_fields:
        value = getattr(data, name)
        if name == "source" or value == getattr(defaults, name):
            continue
        if name in _FLAGS and isinstance(value, list):
            words += _flags(name, value)
        elif name in _FLAGS:
            words += [f"--{name.replace('_', '-')}", *([] if value is True else [str(value)])]
        else:
            words += ["--set", f"data.{name}={value}"]
    return words


def _flags(name: str, values: Sequence[str]) -> list[str]:
    """Return a list as one flag with commas; where a value contains one, as a flag that repeats, or as the key."""
    flag = f"--{name.replace('_', '-')}"
    if not any("," in value for value in values):
        return [flag, ",".join(values)]
    if name == "label":
        return [word for value in values for word in (flag, value)]
    return ["--set", f"data.{name}={json.dumps(values, ensure_ascii=False)}"]


def absolute(path: str) -> str:
    """Return the absolute path of a file or folder that exists; anything else, such as a hub name, unchanged."""
    local = Path(path).expanduser()
    return str(local.resolve()) if path and exists(local) else path


def _parse_setting(entry: str, tables: Sequence[str]) -> tuple[str, str, Any]:
    """Return table, key and value of a --set; ``tables`` are those that the command reads, for the error."""
    name, equals, text = entry.partition("=")
    table, dot, key = name.strip().partition(".")
    if not equals or not dot or not key:
        tables_with = [home for home, model in Recipe() if table in type(model).model_fields]
        homes = [] if key else [home for home in tables_with if home in tables]
        raise ConfigError(
            f"--set {entry} does not set anything.",
            accepted={"--set": "TABLE.KEY=VALUE", "tables": ", ".join(tables)},
            fix=[f"--set {home}.{table}={text or 'VALUE'}" for home in homes] or f"--set {table}.{key or 'KEY'}=VALUE",
        )
    return table, key, toml_value(text)


def _with_absolute_paths(table: BaseModel, names: Sequence[str]) -> BaseModel:
    given = {name: getattr(table, name) for name in names}
    paths = {
        name: [absolute(each) for each in value] if isinstance(value, list) else absolute(value)
        for name, value in given.items()
        if value
    }
    return table.model_copy(update=paths)
