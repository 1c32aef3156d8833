"""The style of what LiteFT says: plain English, and errors in three parts."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import liteft.errors

PACKAGE = Path(liteft.errors.__file__).parent
KINDS = {name for name in liteft.errors.__all__ if name.endswith("Error")}

FOREIGN_TO_ENGLISH = {
    r"(?<!there )\b(is|are|was|were|be) (no|none)\b(?! longer| more)": "'is not a ...'",
    r"\bcannot be had\b|\bcan be had\b": "'is not available'",
    r"\bof one's own\b": "'your own'",
    r"\bthe whole way\b": "'end to end'",
    r"\bof [478] bits\b": "'4-bit', '7-bit', '8-bit'",
    r"\bone an? (label|row|text|token|line)\b|\ba scale a row\b": "'one per label'",
    r"\bto blame\b": "'most sensitive'",
    r"\bwas asked for\b": "'was requested'",
    r"\bmend\b": "'correct', 'repair', 'recover'",
    r"=\{[^}]*\} is no\b": "'NAME must be ..., got ...'",
}
"""Patterns of messages that an English reader stumbles over -> what to write instead."""


@cache
def _modules() -> list[tuple[Path, ast.Module]]:
    return [(path, ast.parse(path.read_text(encoding="utf-8"))) for path in sorted(PACKAGE.rglob("*.py"))]


def _docstrings(tree: ast.Module) -> set[int]:
    holders = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    bodies = [node.body for node in ast.walk(tree) if isinstance(node, holders)]
    return {id(body[0].value) for body in bodies if body and isinstance(body[0], ast.Expr)}


@cache
def _said(tree: ast.Module) -> list[tuple[int, str]]:
    """Return the line and content of each text in a module that is not a docstring; {} stands for what is filled in."""
    said = []
    skipped = _docstrings(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            skipped |= {id(part) for part in node.values}
            parts = (str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)
            said.append((node.lineno, "".join(parts)))
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in skipped:
            said.append((node.lineno, node.value))
    return said


def _errors(tree: ast.Module) -> Iterator[ast.Call]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in KINDS:
            yield node


@pytest.mark.parametrize("pattern", FOREIGN_TO_ENGLISH, ids=FOREIGN_TO_ENGLISH.get)
def test_no_text_reads_as_translated(pattern: str) -> None:
    found = [
        f"{path.relative_to(PACKAGE)}:{line}: {text[:100]!r}"
        for path, tree in _modules()
        for line, text in _said(tree)
        if re.search(pattern, text)
    ]
    assert not found, f"write {FOREIGN_TO_ENGLISH[pattern]}:\n" + "\n".join(found)


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        (next(iter(FOREIGN_TO_ENGLISH)), "part_rows=0 is no count."),
        (next(iter(FOREIGN_TO_ENGLISH)), "its merges are none"),
        (r"\bof [478] bits\b", "word embeddings of 4 bits"),
    ],
)
def test_the_patterns_find_what_they_are_for(pattern: str, text: str) -> None:
    assert pattern in FOREIGN_TO_ENGLISH and re.search(pattern, text)


def test_there_is_no_remains_english() -> None:
    assert not re.search(next(iter(FOREIGN_TO_ENGLISH)), "there is no file a.csv, and it is no longer there")


def test_every_error_says_what_to_do() -> None:
    bare = [
        f"{path.relative_to(PACKAGE)}:{call.lineno}"
        for path, tree in _modules()
        for call in _errors(tree)
        if not _rebuilds(call) and not any(keyword.arg == "fix" and not _may_lack(keyword) for keyword in call.keywords)
    ]
    assert not bare, "give fix=:\n" + "\n".join(bare)


def _may_lack(fix: ast.keyword) -> bool:
    """Whether a fix is nothing in one case of two."""
    return isinstance(fix.value, ast.IfExp) and isinstance(fix.value.orelse, ast.Tuple) and not fix.value.orelse.elts


def _rebuilds(call: ast.Call) -> bool:
    """Whether an error passes all parts of another on."""
    return any(isinstance(argument, ast.Starred) for argument in call.args)


def test_every_message_is_a_sentence_with_a_full_stop() -> None:
    cut = []
    for path, tree in _modules():
        for call in _errors(tree):
            message = call.args[0] if call.args else None
            if isinstance(message, ast.JoinedStr):
                message = message.values[-1]
            if isinstance(message, ast.Constant) and isinstance(message.value, str) and message.value[-1:] not in ".:":
                cut.append(f"{path.relative_to(PACKAGE)}:{call.lineno}: {message.value!r}")
    assert not cut, "end the message with a full stop:\n" + "\n".join(cut)
