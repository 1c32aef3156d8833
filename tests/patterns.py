"""A regular expression of which it is not known that it ends soon."""

from __future__ import annotations

import json
from pathlib import Path

__all__ = ["add_pattern"]


def add_pattern(folder: Path) -> None:
    """Let the tokenizer in a folder split by such an expression, too, which usual texts do not match."""
    path = folder / "tokenizer.json"
    content = json.loads(path.read_text("utf-8"))
    custom = {"type": "Split", "pattern": {"Regex": r"(?:z+)+$"}, "behavior": "Isolated", "invert": False}
    content["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [content["pre_tokenizer"], custom]}
    path.write_text(json.dumps(content), "utf-8")
