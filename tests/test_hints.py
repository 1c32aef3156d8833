"""Hints in the words of the surface that is read: outside of the command line, none is written as a flag."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1] / "liteft"
COMMAND_LINE = {"cli", "doctor", "errors.py"}
NOT_YET: set[str] = set()
COMMAND = re.compile(r"\bliteft [a-z]+ |^pip ")
FLAG = re.compile(r"(^|[\s(])--[a-z]")


def flags(tree: ast.AST) -> Iterator[str]:
    """Yield the strings of a module that hold a flag, but for docstrings, whole commands and a Hint's second half."""
    spared: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            spared.add(id(node.value))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("Hint", "Words"):
            spared |= {id(part) for each in [*node.args[1:], *node.keywords] for part in ast.walk(each)}
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "install_hint":
            spared |= {id(part) for part in ast.walk(node)}  # pip's own
        if isinstance(node, ast.JoinedStr) and isinstance(node.values[0], ast.Constant):
            spared |= {id(part) for part in node.values} if COMMAND.search(str(node.values[0].value)) else set()
    for node in ast.walk(tree):
        text = node.value if isinstance(node, ast.Constant) and id(node) not in spared else None
        if isinstance(text, str) and FLAG.search(text) and not COMMAND.search(text):
            yield f"line {node.lineno}: {text}"


def test_no_hint_of_the_library_is_written_as_a_flag() -> None:
    found = {}
    for path in ROOT.rglob("*.py"):
        name = path.relative_to(ROOT).as_posix()
        if name.split("/")[0] in COMMAND_LINE | NOT_YET:
            continue
        if lines := list(flags(ast.parse(path.read_text(encoding="utf-8")))):
            found[name] = lines
    assert not found


def test_the_search_finds_what_it_should() -> None:
    code = (
        '"""--a docstring"""\nf(fix="--out X")\ng(f"leave out --pair {x}")\n'
        'Hint("out=1", "--out 1")\nh("liteft export RUN --out X")'
    )
    assert list(flags(ast.parse(code))) == ["line 2: --out X", "line 3: leave out --pair "]
