"""mkdocs' hook: fills in the tables that are made from the code, and takes linked files of the repository along."""

from __future__ import annotations

import logging
import posixpath
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from mkdocs.structure.files import File, Files

from _reference.made import filled
from _reference.markdown import replace_links, with_anchors
from _reference.repository import DOCS, ROOT, is_shown, linked_files, page_text, resolve, site_path

_log = logging.getLogger("mkdocs.plugins.reference")
_origins: dict[str, str] = {}  # page of the site -> path in the repository


def on_files(files: Files, *, config: Any) -> Files:
    """Add the files of the repository that pages lead to."""
    own = {f"{DOCS}/{each.src_uri}": each for each in files.documentation_pages()}
    _origins.update({each.src_uri: path for path, each in own.items()})
    for path in linked_files({path: filled(each.content_string) for path, each in own.items()}):
        place = site_path(path)
        if place.endswith(".md"):
            _origins[place] = f"{path}/README.md" if (ROOT / path).is_dir() else path
            files.append(File.generated(config, place, content=page_text(path)))
        else:
            files.append(File.generated(config, place, abs_src_path=str(ROOT / path)))
    return files


def on_page_markdown(markdown: str, *, page: Any, config: Any, files: Files) -> str:  # noqa: ARG001  # mkdocs' names
    """Fill in a page's tables, and let its links lead to where files of the repository are on the site."""
    here = page.file.src_uri
    origin = _origins[here]
    if not origin.startswith(f"{DOCS}/"):
        page.meta["search"] = {"exclude": True}
    if is_shown(origin):
        return markdown

    def on_the_site(target: str) -> str:
        path = resolve(origin, target)
        if path is None or path.startswith("..") or not (ROOT / path).exists():
            return target
        anchor = target.partition("#")[2]
        there = posixpath.relpath(site_path(path), posixpath.dirname(here) or ".")
        return f"{there}#{anchor}" if anchor else there

    text = filled(markdown)
    return replace_links(with_anchors(text) if origin == "CONTRIBUTING.md" else text, on_the_site)
