"""Reading Markdown: its links and headings outside of code, and cells of tables."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

__all__ = ["anchors", "bold_bullets", "cell", "links", "replace_links", "slug", "table", "with_anchors"]

_FENCED = r"^(?P<indent> *)(?P<fence>```+|~~~+)[^\n]*\n.*?^(?P=indent)(?P=fence)[ ]*$"
_INLINE = r"(?P<tick>`+)(?!`).+?(?<!`)(?P=tick)(?!`)"
_LINK = r"(?P<text>!?\[(?:[^\[\]\n]|\n(?!\n)|\[[^\[\]\n]*\])*\])\((?P<target>[^()\s]+)\)"
_LINK_OR_CODE = re.compile(f"{_LINK}|<!--.*?-->|{_FENCED}|{_INLINE}", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^#{1,6} +(.+?) *#* *$", re.MULTILINE)
_BOLD_BULLET = re.compile(r"^- \*\*(.+?)\*\*", re.MULTILINE | re.DOTALL)


def replace_links(text: str, new_target: Callable[[str], str]) -> str:
    """Return Markdown with the target of each link outside of code replaced by ``new_target(target)``."""

    def replaced(found: re.Match[str]) -> str:
        if found["target"] is None:
            return found[0]
        return f"{found['text']}({new_target(found['target'])})"

    return _LINK_OR_CODE.sub(replaced, text)


def links(text: str) -> list[str]:
    """Return the targets of all links outside of code, in order."""
    return [found["target"] for found in _LINK_OR_CODE.finditer(text) if found["target"] is not None]


def slug(heading: str) -> str:
    """Return the anchor of a heading, as GitHub and the site make it."""
    plain = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").replace("*", "")
    return re.sub(r"[^\w\- ]", "", plain.strip().lower()).replace(" ", "-")


def anchors(text: str) -> set[str]:
    """Return the anchors of all headings outside of code, and those that are written as ``<a id="...">``."""
    prose = re.sub(_FENCED, "", text, flags=re.MULTILINE | re.DOTALL)
    return {slug(heading) for heading in _HEADING.findall(prose)} | set(re.findall(r'<a id="([^"]+)">', prose))


def with_anchors(text: str) -> str:
    """Return Markdown in which each list item that begins in bold has an anchor made of its bold words."""
    return _BOLD_BULLET.sub(lambda found: f'- <a id="{slug(_one_line(found[1]))}"></a>**{found[1]}**', text)


def bold_bullets(text: str) -> list[str]:
    """Return the bold words with which list items begin, each on one line."""
    return [_one_line(found) for found in _BOLD_BULLET.findall(text)]


def _one_line(text: str) -> str:
    return " ".join(text.split())


def cell(value: object) -> str:
    """Return text for a cell of a table: on one line, with bars escaped outside of code."""
    parts = _one_line(str(value)).split("`")
    return "`".join(part if place % 2 else part.replace("|", "\\|") for place, part in enumerate(parts))


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table of cells as they are given, with bars escaped outside of code."""
    lines = [f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}"]
    lines += [f"| {' | '.join(cell(value) for value in row)} |" for row in rows]
    return "\n".join(lines)
