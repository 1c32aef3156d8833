"""What a package index shows of the README: no link and no picture of it leads nowhere."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[1]
markdown_it = pytest.importorskip("markdown_it", reason="typer installs markdown-it-py with rich")


@pytest.fixture(scope="module")
def provider() -> ModuleType:
    spec = importlib.util.spec_from_file_location("long_description", ROOT / "cpp_ext" / "long_description.py")
    assert spec is not None and spec.loader is not None
    sys.modules[spec.name] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def targets(markdown: str) -> list[str]:
    """The targets of links and pictures, as a reader of Markdown finds them."""
    inline = [token for token in markdown_it.MarkdownIt("commonmark").enable("table").parse(markdown) if token.children]
    return [
        str(target)
        for token in inline
        for child in token.children or ()
        for target in (child.attrs.get("href"), child.attrs.get("src"))
        if target
    ]


def test_no_link_of_the_readme_is_relative_on_an_index(provider: ModuleType) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert [target for target in targets(readme) if "://" not in target], "the README has links to files"
    assert [target for target in targets(provider.long_description(readme)) if "://" not in target] == []


def test_a_link_becomes_its_text_and_a_picture_is_left_out(provider: ModuleType) -> None:
    shown = provider.long_description("See [the `guides`](docs/index.md), [here](#measured).\n\n![rates](a.png)\n\nEnd")
    assert shown == "See the `guides`, here.\n\nEnd"


def test_with_an_address_links_and_pictures_become_absolute(provider: ModuleType) -> None:
    shown = provider.long_description("[a](./docs/a.md) ![b](b.png) [c](#c)", "https://example.org/x", "v1")
    assert shown == "[a](https://example.org/x/blob/v1/docs/a.md) ![b](https://example.org/x/raw/v1/b.png) c"


@pytest.mark.parametrize(
    "text",
    [
        "[paper](https://example.org/a) and [mail](mailto:a@example.org)",
        "`[a](b.md)` is a link, ``![`c`](d.png)`` a picture",
        "```python\nnames = [a](b)\n# ![x](y)\n```\n",
    ],
)
def test_addresses_and_code_are_left_alone(provider: ModuleType, text: str) -> None:
    assert provider.long_description(text) == text


def test_a_picture_in_a_link_goes_with_it(provider: ModuleType) -> None:
    assert provider.long_description("[![b](b.svg)](ci.md) x") == " x"
    absolute = "[![b](https://e.org/b.svg)](https://e.org)"
    assert provider.long_description(absolute) == absolute


def test_comments_for_tests_are_left_out(provider: ModuleType) -> None:
    assert provider.long_description("a\n\n<!-- not run: a GPU -->\n```sh\nx\n```\n") == "a\n\n```sh\nx\n```\n"
