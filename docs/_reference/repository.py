"""Where files of the repository are on the site.

Pages of docs/ keep their names. A page elsewhere in the repository, a folder, and any file that such pages link is
taken along under ``repository/``: Markdown as a page, a program as a page that shows it, anything else as it is.
"""

from __future__ import annotations

import posixpath
from pathlib import Path

from _reference.markdown import links

__all__ = ["DOCS", "ROOT", "is_shown", "linked_files", "page_text", "resolve", "site_path"]

ROOT = Path(__file__).resolve().parents[2]
DOCS = "docs"
_PREFIX = "repository"
_LANGUAGES = {
    **{".py": "python", ".sh": "sh", ".js": "js", ".mjs": "js", ".toml": "toml", ".yaml": "yaml", ".yml": "yaml"},
    **{".cpp": "cpp", ".h": "cpp", ".inc": "cpp", ".cu": "cpp", "": "text"},
}


def resolve(origin: str, target: str) -> str | None:
    """Return the path in the repository that a link leads to; None of a link to elsewhere or within its page.

    Args:
        origin: path in the repository of the page that has the link.
        target: what the link says.
    """
    place = target.partition("#")[0]
    if not place or "://" in target or target.startswith(("mailto:", "/")):
        return None
    return posixpath.normpath(posixpath.join(posixpath.dirname(origin), place))


def site_path(path: str) -> str:
    """Return the file of the site's sources that stands for a file or folder of the repository."""
    if _is_of_the_site(path):
        return path.removeprefix(f"{DOCS}/")
    if (ROOT / path).is_dir():
        return f"{_PREFIX}/{path}/README.md"
    return f"{_PREFIX}/{path}{'.md' if is_shown(path) else ''}"


def _is_of_the_site(path: str) -> bool:
    return path.startswith(f"{DOCS}/") and not path.startswith(f"{DOCS}/_reference") and (ROOT / path).is_file()


def is_shown(path: str) -> bool:
    """Return whether a file is a program or a text without a format, which becomes a page that shows it."""
    return (ROOT / path).is_file() and Path(path).suffix in _LANGUAGES


def page_text(path: str) -> str:
    """Return the Markdown of the page for a file or folder."""
    place = ROOT / path
    if place.is_dir():
        readme = place / "README.md"
        if readme.is_file():
            return readme.read_text(encoding="utf-8")
        return f"# {path}\n\n" + "\n".join(f"- {each.name}" for each in sorted(place.iterdir()) if each.name[0] != ".")
    text = place.read_text(encoding="utf-8")
    if not is_shown(path):
        return text
    return f"# {path}\n\n`````{_LANGUAGES[place.suffix]}\n{text.rstrip()}\n`````\n"


def linked_files(pages: dict[str, str]) -> list[str]:
    """Return the files and folders outside of docs/ that pages lead to, directly or through each other.

    Args:
        pages: path in the repository -> Markdown.
    """
    found: list[str] = []
    open_pages = list(pages.items())
    while open_pages:
        origin, text = open_pages.pop()
        for target in links(text):
            path = resolve(origin, target)
            if path is None or path in found or _is_of_the_site(path):
                continue
            if path.startswith("..") or not (ROOT / path).exists():
                continue  # the link stays as it is, and mkdocs says that it leads nowhere
            found.append(path)
            if (ROOT / path).is_dir():
                open_pages.append((f"{path}/README.md", page_text(path)))
            elif path.endswith(".md"):
                open_pages.append((path, page_text(path)))
    return sorted(found)
