"""Every page as a reader follows it: all its blocks in order, in one folder and one Python."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="the pages train models, with the extra 'train'")

from tests.docs.given import GIVEN
from tests.docs.pages import PAGES, Block, blocks_of, name_of
from tests.docs.running import PageRun
from tests.docs.worlds import copy_world, quick_trainings

FIRST = ("README.md", "docs/quickstart.md")  # what a new user does first is tested with the quick tests


def pages() -> Iterator[object]:
    """Return the pages with something to run; those that train are slow."""
    for page in PAGES:
        found = blocks_of(page.read_text(encoding="utf-8"))
        if any(block.reason is None and block.language in ("python", "sh") for block in found):
            slow = any(block.trains for block in found) and name_of(page) not in FIRST
            yield pytest.param(page, id=name_of(page), marks=[pytest.mark.slow] if slow else [])


@pytest.fixture
def page_run(
    world: Path, package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[str], PageRun]]:
    """A function that begins a page in a folder of its own."""
    folder, tools = tmp_path / "page", tmp_path / "tools"
    tools.mkdir()
    copy_world(world, folder)
    monkeypatch.chdir(folder)
    before = dict(os.environ)
    with quick_trainings(package):
        yield lambda name: PageRun(name, tools)
    os.environ.clear()
    os.environ.update(before)


@pytest.mark.parametrize("page", pages())
def test_all_blocks_of_a_page_run_in_order(page: Path, page_run: Callable[[str], PageRun]) -> None:
    GIVEN.get(name_of(page), lambda _: None)(Path.cwd())
    with page_run(name_of(page)) as run:
        for block in blocks_of(page.read_text(encoding="utf-8")):
            run.run(block)


@pytest.mark.parametrize(
    ("language", "code", "error"),
    [
        ("python", "import liteft\nliteft.load('runs/nowhere')\n", Exception),
        ("python", "assert 1 == 2\n", AssertionError),
        ("sh", "liteft predict runs/nowhere 'great film'\n", AssertionError),
        ("sh", "liteft predict runs/reviews --no-such-flag\n", AssertionError),
        ("sh", "cat nothing.txt | liteft predict runs/reviews\n", AssertionError),
        ("sh", "ls runs/nowhere\n", AssertionError),
        ("sh", "cd runs\n", AssertionError),
    ],
)
def test_a_block_that_fails_fails_its_page(
    language: str, code: str, error: type[Exception], page_run: Callable[[str], PageRun]
) -> None:
    with page_run("page.md") as run:
        run.run(Block(language, code, 1, "it would fail"))
        with pytest.raises(error):
            run.run(Block(language, code, 1))


def test_nothing_is_installed_and_nothing_made(page_run: Callable[[str], PageRun]) -> None:
    install = "python -m venv .venv && . .venv/bin/activate\npip install '.[cpu,train]'  # minutes\nmake demo  # more\n"
    with page_run("page.md") as run:
        run.run(Block("sh", install, 1))
    assert not Path(".venv").exists()


def test_blocks_share_names_files_variables_and_a_server(page_run: Callable[[str], PageRun]) -> None:
    pytest.importorskip("msgspec", reason="serving needs the extra 'serve'")
    with page_run("page.md") as run:
        run.run(Block("python", "text = 'great film'\n", 1))
        run.run(Block("python", "open('new.txt', 'w').write(text)\n", 1))
        run.run(Block("sh", 'export NEW=new.txt\ngrep -q "great film" $NEW && liteft --version > version.txt\n', 1))
        run.run(Block("sh", "liteft serve runs/reviews --port 9000 &\n", 1))
        run.run(Block("sh", 'curl -sf 127.0.0.1:9000/predict -d \'{"inputs": "great film"}\' > answer.json\n', 1))
        asked = "import urllib.request\nurllib.request.urlopen('http://127.0.0.1:9000/info').read()\n"
        run.run(Block("python", asked, 1))
    assert Path("version.txt").read_text().startswith("liteft ")
    assert "label" in Path("answer.json").read_text()
