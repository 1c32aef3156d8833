"""docs/_reference: where files of the repository are on the site, and how links and tables are written."""

from __future__ import annotations

from types import ModuleType

import pytest


@pytest.mark.parametrize(
    ("origin", "target", "path", "place"),
    [
        ("docs/guides/serving.md", "../glossary.md#texts", "docs/glossary.md", "glossary.md"),
        ("docs/guides/serving.md", "../../deploy/README.md", "deploy/README.md", "repository/deploy/README.md"),
        ("docs/internals.md", "../CONTRIBUTING.md#floors", "CONTRIBUTING.md", "repository/CONTRIBUTING.md"),
        ("README.md", "docs/glossary.md", "docs/glossary.md", "glossary.md"),
        ("README.md", "examples/", "examples", "repository/examples/README.md"),
        (
            "examples/README.md",
            "fastapi_app.py",
            "examples/fastapi_app.py",
            "repository/examples/fastapi_app.py.md",
        ),
        ("README.md", "LICENSE", "LICENSE", "repository/LICENSE.md"),
        ("README.md", "bench/results/peers.json", "bench/results/peers.json", "repository/bench/results/peers.json"),
        ("docs/internals.md", "_reference/made.py", "docs/_reference/made.py", "repository/docs/_reference/made.py.md"),
    ],
)
def test_a_link_leads_to_the_file_that_it_names_on_the_site(
    origin: str, target: str, path: str, place: str, reference: ModuleType
) -> None:
    from _reference.repository import resolve, site_path

    assert resolve(origin, target) == path
    assert site_path(path) == place


@pytest.mark.parametrize("target", ["https://example.com/a.md", "mailto:a@example.com", "#texts", "/etc/hosts"])
def test_a_link_to_elsewhere_is_left_alone(target: str, reference: ModuleType) -> None:
    from _reference.repository import resolve

    assert resolve("docs/glossary.md", target) is None


def test_files_are_taken_along_through_the_pages_that_link_them(reference: ModuleType) -> None:
    from _reference.repository import linked_files, page_text

    found = linked_files({"docs/x.md": "[a](../examples/README.md), [b](glossary.md), [c](../no/such.md)"})
    assert {"examples/README.md", "examples/fastapi_app.py"} <= set(found)
    assert not [path for path in found if path.startswith("docs/")] and "no/such.md" not in found
    assert page_text("examples/fastapi_app.py").startswith("# examples/fastapi_app.py\n\n`````python\n")


def test_links_in_code_and_comments_stay(reference: ModuleType) -> None:
    from _reference.markdown import links, replace_links

    text = "[a](x.md) `[b](y.md)`\n\n```python\n[c](z.md)\n```\n<!-- [d](w.md) --> [`e` [f]](v.md#g)\n"
    assert links(text) == ["x.md", "v.md#g"]
    assert replace_links(text, str.upper) == text.replace("x.md", "X.MD").replace("v.md#g", "V.MD#G")


@pytest.mark.parametrize(
    ("heading", "anchor"),
    [
        ("Decisions, and why", "decisions-and-why"),
        ("`--engine ray`: seeds", "--engine-ray-seeds"),
        ("A - b", "a---b"),
        ("[Texts](x.md) *of* any size", "texts-of-any-size"),
    ],
)
def test_anchors_are_those_of_github_and_of_the_site(heading: str, anchor: str, reference: ModuleType) -> None:
    from _reference.markdown import anchors

    slugs = pytest.importorskip("pymdownx.slugs", reason="the site needs the extra 'docs'")
    assert anchors(f"## {heading}\n") == {anchor}
    plain = {"`--engine ray`: seeds": "--engine ray: seeds", "[Texts](x.md) *of* any size": "Texts of any size"}
    assert slugs.slugify(case="lower")(plain.get(heading, heading), "-") == anchor


def test_bars_are_escaped_in_cells_outside_of_code(reference: ModuleType) -> None:
    from _reference.markdown import table

    assert table(("a", "b"), [("x | y", "`int | None`\n|")]) == "| a | b |\n|---|---|\n| x \\| y | `int | None` \\| |"
