"""Benchmarks use LiteFT as everybody else does: by its public names."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

BENCH = Path(__file__).resolve().parents[2] / "bench"


def _private(source: str) -> Iterator[str]:
    """Yield private names of LiteFT that a module imports, or reads off a loaded classifier or a LiteFT module."""
    tree = ast.parse(source)
    modules = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "liteft":
            modules |= {alias.asname or alias.name for alias in node.names}
            yield from (alias.name for alias in node.names if alias.name.startswith("_"))
        elif isinstance(node, ast.Import):
            modules |= {alias.asname or "liteft" for alias in node.names if alias.name.split(".")[0] == "liteft"}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.startswith("__"):
            base = ast.unparse(node.value).split(".")
            if base[0] in modules or "classifier" in base[-1] or base[-1] == "engine":
                yield ast.unparse(node)


@pytest.mark.parametrize("path", sorted(BENCH.glob("*.py")), ids=lambda path: path.name)
def test_a_benchmark_uses_no_private_name(path: Path) -> None:
    assert list(_private(path.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    "source",
    [
        "from liteft.runtime.classifier import _open",
        "import liteft\nliteft.load('a')\nliteft._thing()",
        "classifier._engine.run(x)",
    ],
)
def test_private_names_are_found(source: str) -> None:
    assert list(_private(source))
