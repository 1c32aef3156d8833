"""Recipes read from TOML, overridden by flags and keywords, written back and compared.

A key that does not exist is an error that names the closest one, so a typo never goes unnoticed. The run folder keeps
the recipe as it was resolved, and a finished run is compared with the one that is asked for.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ValidationError

from liteft import files
from liteft.errors import ConfigError, Hint, closest, option
from liteft.field_words import field_words
from liteft.form import overridden
from liteft.recipes import Recipe
from liteft.tasks import nearest_task

__all__ = [
    "differences",
    "make_recipe",
    "read_recipe",
    "resolve_recipe",
    "toml_value",
    "write_recipe",
]


_READ = Hint('liteft.read_recipe("FILE.toml")', "--recipe FILE.toml")


def make_recipe(settings: Mapping[str, Any], *, origin: str = "the recipe") -> Recipe:
    """Return a recipe from nested mappings.

    Raises:
        ConfigError: an unknown key (with the closest one), a wrong type or a value out of range.
    """
    try:
        return Recipe.model_validate(dict(settings))
    except ValidationError as error:
        raise _explain(error, origin) from None


def read_recipe(path: str | Path, *, overrides: Mapping[str, Mapping[str, Any]] | None = None) -> Recipe:
    """Return the recipe in a TOML file, with overrides (table -> key -> value) on top.

    Raises:
        ConfigError: no such file, no TOML, or settings that do not fit.
    """
    path = Path(path)
    try:
        settings = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {files.os_reason(error)}.", fix=_READ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{path} is not valid TOML: {error}.",
            accepted={"syntax": "https://toml.io"},
            fix="correct that line; the recipe.toml of any run shows how settings are written",
        ) from None
    for table, values in (overrides or {}).items():
        merged = settings.setdefault(table, {})
        if not isinstance(merged, dict):
            raise ConfigError(
                f"{path}: {table} must be a table, got {merged!r}.",
                accepted={"tables": _tables()},
                fix=f"write [{table}] on a line of its own, and its keys below it",
            )
        settings[table] = overridden(merged, values) if table == "export" else _laid_over(merged, values)
    return make_recipe(settings, origin=str(path))


def toml_value(text: str) -> Any:
    """Return a TOML value (a number, a string, true or false, a list, a table {...}), or the text where it is none."""
    try:
        parsed = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    value = parsed.get("value")
    return value if len(parsed) == 1 and isinstance(value, str | int | float | list | dict) else text


def resolve_recipe(
    recipe: Recipe | None,
    table: Literal["pretrain", "teacher", "student", "export", "search"],
    settings: Mapping[str, Any],
) -> Recipe:
    """Return a recipe with ``settings`` laid over one of its tables. Raises ConfigError."""
    if recipe is not None and not isinstance(recipe, Recipe):
        raise ConfigError(
            f"recipe must be a Recipe, got a {type(recipe).__name__}.",
            accepted={"recipe": "what liteft.read_recipe(FILE) returns"},
            fix=f"recipe=liteft.read_recipe({str(recipe) if isinstance(recipe, str | Path) else 'FILE.toml'!r})",
        )
    tables = (recipe or Recipe()).model_dump()
    before = tables[table]
    tables[table] = overridden(before, settings) if table == "export" else _laid_over(before, settings)
    return make_recipe(tables, origin="settings")


def write_recipe(recipe: Recipe, path: Path) -> None:
    """Write a recipe as TOML, atomically; settings that are None are left out."""
    import tomli_w

    files.write_text(path, tomli_w.dumps(recipe.model_dump(mode="json", exclude_none=True)))


def differences(old: BaseModel, new: BaseModel, *, prefix: str = "") -> dict[str, str]:
    """Return the settings that differ, as dotted name -> "old -> new"."""
    found: dict[str, str] = {}
    before, after = old.model_dump(), new.model_dump()
    for name in before | after:
        left, right = getattr(old, name, None), getattr(new, name, None)
        if isinstance(left, BaseModel) and isinstance(right, BaseModel):
            found |= differences(left, right, prefix=f"{prefix}{name}.")
        elif isinstance(left, dict) and isinstance(right, dict):
            keys = [key for key in left | right if left.get(key) != right.get(key)]
            found |= {f"{prefix}{name}.{key}": f"{left.get(key)!r} -> {right.get(key)!r}" for key in keys}
        elif left != right:
            found[f"{prefix}{name}"] = f"{left!r} -> {right!r}"
    return found


def _laid_over(before: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings with others on top; of a table within (``trainer``) only the keys that are given change."""
    both = {
        name: {**before[name], **value}
        for name, value in values.items()
        if isinstance(value, dict) and isinstance(before.get(name), dict)
    }
    return {**before, **values, **both}


def _tables() -> str:
    return ", ".join(Recipe.model_fields)


def _explain(error: ValidationError, origin: str) -> ConfigError:
    first = error.errors()[0]
    location = [str(part) for part in first["loc"]]
    where = ".".join(location)
    if first["type"] != "extra_forbidden":
        given = repr(first.get("input"))[:80]
        expected = str(first.get("ctx", {}).get("expected", ""))
        near = closest(str(first.get("input")).casefold(), re.findall("'([^']+)'", expected))
        if location == ["data", "task"]:
            near = nearest_task(str(first.get("input")))
        accepted = _accepted(location)
        words = accepted.get("accepted", "a table")
        if first["type"] == "literal_error" and "," in words and " or " not in words and not words.startswith("a list"):
            words = f"one of {words}"
        if first["type"] == "finite_number":
            words = words.replace("a number", "a finite number")
        return ConfigError(
            f"{origin}: {'.'.join(location[:2])} must be {words}, got {given}.",
            accepted=accepted,
            fix=f"did you mean {near!r}?" if near else _within(location, first) or _default(location),
        )
    known = _known_keys(location[:-1])
    homes = [table for table, model in _models().items() if location[-1] in model.model_fields]
    later = "student" in homes and location[0] in ("export", "search")  # steps of a student, not of its teacher
    home = "student" if later else next(iter(homes), None)
    alike = next((key for key in known if key.endswith(f"_{location[-1]}")), None)
    near = _nearest(location, known, first.get("input")) if home is None else alike or f"{home}.{location[-1]}"
    if near is None:
        fix = _taking(first.get("input"), where)
    elif origin == "settings" and home == "data" and not alike:  # a keyword of a function
        fix = f"liteft.load_dataset(..., {location[-1]}=...), or the key {near} of a recipe"
    elif len(location) == 1 and homes:  # outside of all tables
        fix = _meant([f"{each}.{where}" for each in homes])
    else:
        fix = _meant([near])
    return ConfigError(f"{origin}: unknown key {where!r}.", accepted={"keys": ", ".join(sorted(known))}, fix=fix)


def _meant(names: list[str]) -> str:
    """Return a hint to one of some keys."""
    *first, last = names
    return f"did you mean {', '.join(map(repr, first))}{' or ' if first else ''}{last!r}?"


def _nearest(location: list[str], known: list[str], value: Any) -> str | None:
    """Return the known key that an unknown one resembles, unless only another key takes the value that it was given."""
    near = closest(location[-1], known)
    takes = near is None or not isinstance(value, str) or value in _accepted([*location[:-1], near])["accepted"]
    return near if takes or isinstance(_taking(value, ""), str) else None


def _within(location: list[str], error: Mapping[str, Any]) -> Hint | None:
    """Return a hint to give the highest value that is accepted, or a list of the one value that was given."""
    nearest = error.get("ctx", {}).get("le")
    if error["type"] == "list_type" and isinstance(error["input"], str):
        nearest = [error["input"]]
    return None if nearest is None or len(location) != 2 else option(".".join(location), nearest)


def _default(location: list[str]) -> str | Hint:
    """Return a hint to give a setting its default, or to leave it out."""
    model = _models().get(location[0])
    field = model.model_fields.get(location[1]) if model and len(location) > 1 else None
    if field is None or field.default is None:
        return f"leave out {'.'.join(location[:2])}"
    return option(".".join(location[:2]), field.default)


def _taking(value: Any, unknown: str) -> str | Hint:
    """Return a hint to give a value to the key that takes it: "edge" to ``target``; else to leave out the key."""
    for table, model in _models().items():
        for key, field in model.model_fields.items():
            if isinstance(value, str) and value in field_words(field).split(", "):
                return option(f"{table}.{key}", value)
    return f"leave out {unknown}"


def _models() -> dict[str, type[BaseModel]]:
    return {name: type(table) for name, table in Recipe()}


def _known_keys(parents: list[str]) -> list[str]:
    model = Recipe if not parents else _models().get(parents[0], Recipe)
    return list(model.model_fields)


def _accepted(location: list[str]) -> dict[str, str]:
    model = _models().get(location[0])
    field = model.model_fields.get(location[1]) if model and len(location) > 1 else None
    if field is None:
        return {"tables": _tables()}
    return {"accepted": field_words(field)}
