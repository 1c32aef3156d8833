"""Links between the repository's pages: each leads to a file that exists, and to a heading that is in it."""

from __future__ import annotations

import subprocess
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.docs.pages import ROOT, name_of

FOLDERS = ("docs", "examples", "models", "deploy", "cpp_ext", "bench", ".github")
LINKED = sorted(
    page for page in [*ROOT.glob("*.md"), *(page for folder in FOLDERS for page in (ROOT / folder).rglob("*.md"))]
)


@pytest.fixture(scope="module")
def markdown(reference: ModuleType) -> Any:
    import _reference.markdown

    return _reference.markdown


@pytest.fixture(scope="module")
def read(reference: ModuleType, markdown: Any) -> Any:
    """A function that reads a page with what is made from the code."""

    def text_of(page: Path) -> str:
        text = reference.filled(page.read_text(encoding="utf-8"))
        return str(markdown.with_anchors(text)) if page == ROOT / "CONTRIBUTING.md" else text

    return text_of


def leads(page: Path, target: str, text: str, markdown: Any, read: Any) -> bool:
    """Return whether a link of a page leads to a file of the repository, and to a heading in it if it names one."""
    place, _, anchor = target.partition("#")
    there = (page.parent / place).resolve() if place else page
    if not there.exists() or not there.is_relative_to(ROOT):
        return False
    return not anchor or there.suffix != ".md" or anchor in markdown.anchors(text if there == page else read(there))


def broken(page: Path, text: str, markdown: Any, read: Any) -> list[str]:
    """Return the links of a page that lead nowhere; those to other sites are not followed."""
    own = [target for target in markdown.links(text) if "://" not in target and not target.startswith("mailto:")]
    return [target for target in own if not leads(page, target, text, markdown, read)]


@pytest.mark.parametrize("page", LINKED, ids=name_of)
def test_every_link_leads_to_a_file_and_a_heading(page: Path, markdown: Any, read: Any) -> None:
    assert broken(page, read(page), markdown, read) == []


def test_pages_link_files_of_the_repository_only(markdown: Any, read: Any) -> None:
    done = subprocess.run(["git", "-C", str(ROOT), "ls-files"], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip("not a git checkout")
    kept = set(done.stdout.splitlines()) | {name_of(page) for page in LINKED}
    kept |= {parent.as_posix() for name in kept for parent in Path(name).parents}
    for page in LINKED:
        for target in markdown.links(read(page)):
            place = target.partition("#")[0]
            if place and "://" not in target and not target.startswith("mailto:"):
                assert name_of((page.parent / place).resolve()) in kept, (page, target)


@pytest.mark.parametrize(
    ("link", "wrong"),
    [
        ("[a](glossary.md)", False),
        ("[a](glossary.md#texts)", False),
        ("[a](#here-and-there)", False),
        ("[`a` [b]](../examples/README.md)", False),
        ("[a](https://example.com/x.md#y)", False),
        ("`[a](nowhere.md)`", False),
        ("```sh\n[a](nowhere.md)\n```", False),
        ("[a](../CONTRIBUTING.md#decisions-and-why)", False),
        ("[a](nowhere.md)", True),
        ("[a](glossary.md#nothing)", True),
        ("[a](#elsewhere)", True),
        ("[a\nb](nowhere.md)", True),
        ("![a](nowhere.png)", True),
        ("[a](../../outside.md)", True),
    ],
)
def test_a_link_that_leads_nowhere_is_found(link: str, wrong: bool, markdown: Any, read: Any) -> None:
    text = f"# Here, and *there*\n\n## Texts\n\nA text with {link} in it.\n"
    assert bool(broken(ROOT / "docs" / "glossary.md", text, markdown, read)) == wrong
