"""README.md and docs/: numbers stand in regions, which are what the stored results say."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.bench.conftest import load_script

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"


def bench(name: str) -> ModuleType:
    """Import a module of bench/."""
    pytest.importorskip("tomli_w", reason="the cards of models need the extra 'train'")
    return load_script(name)


PAGES = [README, *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_regions_of_a_page_are_what_the_results_say(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert bench("readme").filled(text) == text, "run make readme"


def test_every_region_is_on_some_page() -> None:
    text = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    assert set(re.findall(r"<!-- begin ([a-z0-9-]+) -->", text)) == set(bench("readme").REGIONS)


def test_a_number_that_was_changed_by_hand_is_put_right() -> None:
    text = README.read_text(encoding="utf-8")
    changed = text.replace("| 90.3 |", "| 9.3 |", 1)
    assert changed != text
    assert bench("readme").filled(changed) == text


@pytest.mark.parametrize(
    ("page", "said"),
    [
        ("<!-- begin nothing -->\n<!-- end nothing -->", "unknown regions: nothing"),
        ("<!-- begin demo -->\n", "not in pairs"),
        ("<!-- begin demo -->\n<!-- end arms -->", "not in pairs"),
        ("<!-- begin demo -->\n<!-- begin arms -->\n<!-- end arms -->\n<!-- end demo -->", "not in pairs"),
    ],
)
def test_marks_that_make_no_region_are_an_error(page: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        bench("readme").filled(page)


def test_text_outside_of_regions_stays_as_it_is() -> None:
    readme = bench("readme")
    page = "above\n<!-- begin one -->\nold\n<!-- end one -->\nbelow\n"
    assert readme.filled(page, {"one": lambda: r"new \1"}) == page.replace("old", "\nnew \\1\n")


def test_the_readme_states_no_measured_number_outside_of_regions() -> None:
    text = re.sub(r"<!-- begin ([a-z0-9-]+) -->.*?<!-- end \1 -->", "", README.read_text(encoding="utf-8"), flags=re.S)
    prose = re.sub(r"```.*?```", "", text, flags=re.S).replace("Python 3.11 to 3.13", "").replace("Apache-2.0", "")
    assert re.findall(r"\d+[.,]\d+|\d+ ?%|\d+ (?:times|ms|MB|points)", prose) == []


def test_the_readme_is_short_and_begins_with_how_to_install_and_use_it() -> None:
    text = README.read_text(encoding="utf-8")
    assert len([word for word in text.split() if re.search(r"[A-Za-z0-9]", word)]) <= 900
    screen = "\n".join(text.splitlines()[:60])
    for piece in ("pip install", "import liteft", "liteft distill", "<!-- end demo -->", "peers.png", "quickstart.md"):
        assert piece in screen


def test_the_quickstart_is_followed_block_by_block() -> None:
    quickstart = bench("quickstart")
    page = (ROOT / "docs" / "quickstart.md").read_text(encoding="utf-8")
    found = quickstart.blocks(page, install=False)
    commands = [re.findall(r"^(?:liteft \w+|curl)", content, re.M) for _, content in found]
    assert [command for each in commands for command in each] == [
        "liteft check", "liteft advise", "liteft distill", "liteft compare", "liteft predict", "liteft predict",
        "liteft serve", "curl",
    ]  # fmt: skip
    (_, first), *others = quickstart.blocks(page, install=True)
    assert first.startswith("pip install -c constraints.txt '.[") and others == found


def test_a_block_that_fails_ends_the_quickstart(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="ended with status 3"):
        bench("quickstart").follow([("sh", "exit 3\n")], tmp_path, Path(sys.executable))


def test_what_a_block_prints_is_kept_without_the_folder(tmp_path: Path) -> None:
    block = "import os; print(os.path.join(os.getcwd(), 'a'))\n"
    (step,) = bench("quickstart").follow([("python", block)], tmp_path, Path(sys.executable))
    assert step["output"] == "a\n"
