"""CONTRIBUTING.md's decisions as a list of links to them."""

from __future__ import annotations

import re

from _reference.markdown import bold_bullets, slug
from _reference.repository import ROOT

__all__ = ["decisions"]


def _section(title: str) -> str:
    """Return the text of a second-level section of CONTRIBUTING.md."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    found = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    if found is None:
        raise ValueError(f"CONTRIBUTING.md has no section {title!r}")
    return found[1]


def _linked(text: str) -> str:
    return "\n".join(f"- [{each}](../CONTRIBUTING.md#{slug(each)})" for each in bold_bullets(text))


def decisions() -> str:
    """Return the decisions by the sections of CONTRIBUTING.md, each a link to its reasons."""
    parts = re.split(r"^### (.+)$", _section("Decisions, and why"), flags=re.MULTILINE)
    return "\n\n".join(
        f"## {title}\n\n{_linked(text)}" for title, text in zip(parts[1::2], parts[2::2], strict=True) if _linked(text)
    )
