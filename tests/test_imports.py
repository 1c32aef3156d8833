"""What depends on what: no module on itself by way of others, no function on a name that another one changes.

Imports in functions, for type checkers, and of classes that a string names count too.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
_CONTESTANT = re.compile(r"(\w+):[A-Z]\w+")  # "module:Class", as bench names what another process imports


def modules_of(folder: Path, prefix: str) -> dict[str, ast.Module]:
    """Return the modules below a folder by the names that they are imported by."""
    found = {}
    for path in sorted(folder.rglob("*.py")):
        parts = [part for part in (prefix, *path.relative_to(folder).with_suffix("").parts) if part]
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found[name] = ast.parse(path.read_text(encoding="utf-8"))
    return found


def imports_of(modules: Mapping[str, ast.Module]) -> dict[str, set[str]]:
    """Return which of the modules each of them names, wherever it does."""
    graph: dict[str, set[str]] = {}
    for name, tree in modules.items():
        named: set[str] = set()
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                named |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                whole = {f"{node.module}.{alias.name}" for alias in node.names}
                named |= whole & modules.keys() or {str(node.module)}
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                named |= {match[1] for match in _CONTESTANT.finditer(node.value)}
        graph[name] = (named & modules.keys()) - {name}
    return graph


def first_cycle(graph: Mapping[str, set[str]]) -> list[str]:
    """Return the modules of a cycle, the first one again at the end; [] where there is none."""
    done: set[str] = set()

    def below(name: str, path: list[str]) -> list[str]:
        if name in path:
            return [*path[path.index(name) :], name]
        if name in done:
            return []
        for other in sorted(graph[name]):
            if found := below(other, [*path, name]):
                return found
        done.add(name)
        return []

    return next((found for name in sorted(graph) if (found := below(name, []))), [])


@pytest.mark.parametrize(("folder", "prefix"), [("liteft", "liteft"), ("bench", "")])
def test_no_module_imports_itself_by_way_of_others(folder: str, prefix: str) -> None:
    assert first_cycle(imports_of(modules_of(ROOT / folder, prefix))) == []


@pytest.mark.parametrize(
    "back",
    [
        "import one",
        "def later():\n    from one import x",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import one",
        "NAME = 'one:Class'",
    ],
)
def test_a_cycle_is_found_wherever_the_import_stands(back: str) -> None:
    graph = imports_of({"one": ast.parse("import two"), "two": ast.parse(back), "three": ast.parse("import one")})
    assert first_cycle(graph) == ["one", "two", "one"]


def test_no_function_changes_a_name_of_the_function_around_it() -> None:
    trees = modules_of(ROOT / "liteft", "liteft")
    assert [name for name, tree in trees.items() for node in ast.walk(tree) if isinstance(node, ast.Nonlocal)] == []
