"""The description that a package index shows: the README, without what leads nowhere there.

A provider of dynamic metadata for scikit-build-core. An index shows the README alone, so links to files of the checkout
and pictures in it would be broken. Where pyproject.toml states a ``Source`` among its urls, they become absolute; else
a link becomes its text, and a picture is left out. Comments, such as those for tests, are left out as well.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["dynamic_metadata", "long_description"]

# Code, which is left alone; or a comment; or a picture or link with its text and target.
_CODE = r"(?P<code>^(?P<fence>```+|~~~+).*?^(?P=fence)\s*?$|(?P<ticks>`+)(?!`).+?(?<!`)(?P=ticks)(?!`))"
_COMMENT = r"(?P<comment>^<!--.*?-->[ ]*\n?)"
_TARGET = r"\(\s*(?P<target>[^()\s]+)(?:\s+\"[^\"]*\")?\s*\)"
_LABEL = r"(?:!\[[^\]]*\]\([^)]*\)|`[^`]*`|[^\[\]])*"
_PICTURE = re.compile(rf"{_CODE}|{_COMMENT}|!\[(?P<text>[^\]]*)\]{_TARGET}", re.DOTALL | re.MULTILINE)
_LINK = re.compile(rf"{_CODE}|{_COMMENT}|(?<!!)\[(?P<text>{_LABEL})\]{_TARGET}", re.DOTALL | re.MULTILINE)
_ABSOLUTE = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)


def dynamic_metadata(settings: Mapping[str, Any], project: Mapping[str, Any]) -> dict[str, Any]:
    """Return the readme of the project in the current folder, as scikit-build-core asks for it."""
    source = (project.get("urls") or {}).get("Source")
    text = Path(settings.get("input", "README.md")).read_text(encoding="utf-8")
    found = long_description(text, source, f"v{project['version']}")
    return {"readme": {"content-type": "text/markdown", "text": found}}


def long_description(readme: str, source: str | None = None, revision: str = "HEAD") -> str:
    """Return Markdown that reads well outside of its checkout.

    Args:
        readme: Markdown with links relative to the checkout.
        source: address of the repository, whose files are at ``blob/`` and ``raw/``; None for none.
        revision: tag or branch of the files.
    """

    def picture(found: re.Match[str]) -> str:
        return _rewritten(found, "!", "", source and f"{source}/raw/{revision}")

    def link(found: re.Match[str]) -> str:
        return _rewritten(found, "", found["text"] or "", source and f"{source}/blob/{revision}")

    return re.sub(r"\n{3,}", "\n\n", _LINK.sub(link, _PICTURE.sub(picture, readme)))


def _rewritten(found: re.Match[str], mark: str, without: str, base: str | None) -> str:
    """Return a match with an absolute target, or ``without`` where there is none; code as it is."""
    if found["code"]:
        return found[0]
    if found["comment"]:
        return ""
    if _ABSOLUTE.match(found["target"]):
        return found[0]
    if base is None or found["target"].startswith("#"):
        return without
    return f"{mark}[{found['text']}]({base}/{found['target'].removeprefix('./')})"
