"""Small files for the tests of the loaders."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a file from text, bytes or rows (as jsonl) and return its path."""

    def _write(name: str, content: str | bytes | Iterable[Any], encoding: str = "utf-8") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes):
            path.write_bytes(content)
        elif isinstance(content, str):
            path.write_bytes(content.encode(encoding))
        else:
            lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in content]
            path.write_bytes("".join(lines).encode(encoding))
        return path

    return _write


@pytest.fixture
def reviews() -> list[dict[str, Any]]:
    """Forty labelled texts, all different."""
    return [
        {
            "text": f"review {number} was {'good' if number % 2 else 'bad'}",
            "label": "pos" if number % 2 else "neg",
        }
        for number in range(40)
    ]
