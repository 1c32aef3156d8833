"""Mistakes in a command line, in three parts: what was seen, what is accepted, what to do.

Nothing here knows a single flag: what is said of a flag that a command does not have follows from the flags of all
commands and the keys of recipes.
"""

from __future__ import annotations

import difflib
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from liteft.cli.flags.panels import TABLES
from liteft.errors import LiteftError, closest

__all__ = ["usage_text"]

_NUMBERS = {"int": "a whole number", "integer": "a whole number", "float": "a number"}
_NEAR = 0.6  # of difflib's ratio: "batch" is still near "batch-size", "base" is not near "task"
_SPECIFIC = 2  # flags at most that share a word of their metavar, for the word to say what they are about


def usage_text(error: Any, arguments: Sequence[str], root: Any) -> str:
    """Return what to print about a mistake in the command line.

    Args:
        error: click's UsageError, from whichever place typer keeps it.
        arguments: what follows ``liteft``.
        root: the command ``liteft``, with its commands.
    """
    verb = _verb(error, arguments, root)
    place = "liteft" if verb is None else f"liteft {verb}"
    command = root if verb is None else root.commands[verb]
    kind, parameter = type(error).__name__, getattr(error, "param", None)
    if kind == "NoSuchOption":
        found = _unknown_flag(error.option_name, place, command, root)
    elif verb is None and "No such command" in error.format_message():
        found = _unknown_command(arguments, root)
    elif kind == "BadOptionUsage":
        found = _with_or_without_value(error, place, command)
    elif kind == "MissingParameter" and parameter is not None:
        found = LiteftError(
            f"{_name(parameter)} is missing.", accepted=_meaning(parameter), fix=[*_example(command), f"{place} --help"]
        )
    elif kind == "BadParameter" and parameter is not None:
        found = _wrong_value(parameter, place, arguments)
    elif surplus := re.search(r"extra arguments? \((.*)\)|extra argument\(s\) \((.*)\)", error.format_message()):
        known = [_name(each) for each in command.params if _is_argument(each)]
        found = LiteftError(
            f"there are more arguments than the command takes: {surplus[1] or surplus[2]}.",
            accepted={"arguments": " ".join(known) or "none"},
            fix=[*_example(command), f"{place} --help"],
        )
    else:
        found = LiteftError(error.format_message(), fix=f"{place} --help")
    return f"{place}: {found}"


def _verb(error: Any, arguments: Sequence[str], root: Any) -> str | None:
    """Return the command that a mistake was made in; None if it is in what stands before the command."""
    context = getattr(error, "ctx", None)
    if context is not None:
        return context.command.name if context.parent is not None else None
    first = next((word for word in arguments if word[:1] != "-"), None)
    return first if first in root.commands else None


def _unknown_command(arguments: Sequence[str], root: Any) -> LiteftError:
    word = next(argument for argument in arguments if argument[:1] != "-")
    near = closest(word, root.commands)
    return LiteftError(
        f"there is no command {word!r}.",
        accepted={"commands": ", ".join(root.commands)},
        fix=[f"liteft {near}"] if near else ["liteft --help"],
    )


def _with_or_without_value(error: Any, place: str, command: Any) -> LiteftError:
    """Explain a flag that lacks its value, or that got one and takes none."""
    parameter = _flags(command).get(error.option_name)
    if parameter is None:
        return LiteftError(error.format_message(), fix=f"{place} --help")
    wrong = "takes no value" if parameter.is_flag else "needs a value"
    return LiteftError(
        f"{error.option_name} {wrong}.", accepted=_meaning(parameter), fix=[_usage(parameter), f"{place} --help"]
    )


def _wrong_value(parameter: Any, place: str, arguments: Sequence[str]) -> LiteftError:
    described = getattr(parameter, "type_descriptor", None)  # of a typer that has click inside
    kind = parameter.type.name if described is None else getattr(described.annotation, "__name__", "")
    accepted = _NUMBERS.get(str(kind), "of another type")
    name = _name(parameter)
    given = next(iter(_values(arguments, parameter.opts)), None)
    variable = getattr(parameter, "envvar", None)
    if given is None and isinstance(variable, str) and variable in os.environ:
        name, given = f"the environment's {variable}, for {name},", os.environ[variable]
    got = "" if given is None else f", got {given!r}"
    return LiteftError(f"{name} must be {accepted}{got}.", accepted=_meaning(parameter), fix=f"{place} --help")


def _values(arguments: Sequence[str], names: Sequence[str]) -> Iterator[str]:
    """Yield the values that a flag is given, the last first: it is the one that counts."""
    for number in reversed(range(len(arguments))):
        name, equals, value = arguments[number].partition("=")
        if name in names and (equals or number + 1 < len(arguments)):
            yield value if equals else arguments[number + 1]


def _unknown_flag(flag: str, place: str, command: Any, root: Any) -> LiteftError:
    """Explain a flag that the command does not have: another command's, a recipe's key, or one that is misspelt."""
    own, keys = _flags(command), _keys(command)
    homes = {
        other: [each for each, one in root.commands.items() if other in _flags(one)]
        for one in root.commands.values()
        for other in _flags(one)
        if other not in own
    }
    found = _meant(flag, own, homes, keys)
    accepted: dict[str, str] = {}
    fix: list[str] = []
    if found in own:
        accepted, fix = _meaning(own[found]), [_usage(own[found])]
    elif found in homes:
        accepted[found] = f"a flag of {', '.join(f'liteft {each}' for each in homes[found])}"
        related = list(_related(found, command, root))
        for parameter in related:
            accepted |= _meaning(parameter)
        fix = [f"{place} {_usage(each)}" if _is_argument(each) else _usage(each) for each in related]
        fix = fix or [f"liteft {homes[found][0]} {_usage(_all_flags(root)[found])}", f"leave out {flag}"]
    elif found is not None:
        accepted[found] = f"a key of the recipe, in {', '.join(f'[{table}]' for table in keys[found])}"
        fix = [f"--set {table}.{found.lstrip('-').replace('-', '_')}=VALUE" for table in keys[found]]
    else:
        accepted["flags"] = ", ".join(own)
    return LiteftError(f"there is no flag {flag}.", accepted=accepted, fix=[*fix, f"{place} --help"])


def _meant(flag: str, *kinds: Iterable[str]) -> str | None:
    """Return the known flag that is meant: the same, one with these initials, or the nearest in spelling; else None.

    Where several are near, it is one of the first of ``kinds``.
    """
    name = flag.lstrip("-").replace("_", "-")
    known = [{each.lstrip("-"): each for each in kind} for kind in kinds]
    for names in known:
        if name in names:
            return names[name]
    for names in known:
        initials = (each for each in names if "-" in each and name == "".join(word[0] for word in each.split("-")))
        near = next(initials, None) or next(iter(difflib.get_close_matches(name, names, n=1, cutoff=_NEAR)), None)
        if near is not None:
            return names[near]
    return None


def _related(flag: str, command: Any, root: Any) -> Iterator[Any]:
    """Yield the parameters of a command that do what another command's flag does there.

    They take a value of the same special kind, such as POINTS or DATA, or the flag's name begins with theirs.
    """
    words = Counter(word for one in _all_flags(root).values() for word in _words(one))
    asked = {word for word in _words(_all_flags(root)[flag]) if words[word] <= _SPECIFIC}
    for parameter in command.params:
        long = [name for name in parameter.opts if name.startswith("--")]
        if asked & set(_words(parameter)) or flag.startswith(tuple(long)):
            yield parameter


def _words(parameter: Any) -> list[str]:
    """Return the words of a metavar: BASE and RUN of BASE_OR_RUN. Single letters say nothing."""
    return [word for word in (parameter.metavar or "").split("_OR_") if len(word) > 1]


def _flags(command: Any) -> dict[str, Any]:
    return {name: each for each in command.params for name in each.opts if name.startswith("--")}


def _all_flags(root: Any) -> dict[str, Any]:
    return {name: parameter for command in root.commands.values() for name, parameter in _flags(command).items()}


def _keys(command: Any) -> dict[str, list[str]]:
    """Return the recipe's keys that a command takes by --set, written as flags -> the tables that have them."""
    from liteft.recipes import CLASSIFIERS_ONLY, Recipe

    keys: dict[str, list[str]] = {}
    if "--set" in _flags(command):
        tables = {TABLES.get(getattr(each, "rich_help_panel", None) or "") for each in command.params}
        for table, model in Recipe():
            refused = CLASSIFIERS_ONLY if table == "pretrain" else ()
            for key in type(model).model_fields:
                if table in tables and key not in refused:
                    keys.setdefault(f"--{key.replace('_', '-')}", []).append(table)
    return keys


def _is_argument(parameter: Any) -> bool:
    return bool(parameter.param_type_name == "argument")


def _name(parameter: Any) -> str:
    return str(parameter.metavar or parameter.name) if _is_argument(parameter) else str(parameter.opts[0])


def _usage(parameter: Any) -> str:
    """Return how a parameter is written: --epochs N, --json, DATA."""
    name = _name(parameter)
    return name if _is_argument(parameter) or not parameter.metavar else f"{name} {parameter.metavar}"


def _meaning(parameter: Any) -> dict[str, str]:
    return {_usage(parameter): parameter.help}


def _example(command: Any) -> list[str]:
    """Return the first example of a command's help."""
    return [line for line in (command.epilog or "").split("\n\n") if line.startswith("liteft")][:1]
