"""examples/README.md lists every example, and each says in its head how it is run."""

from __future__ import annotations

import re

import pytest

from tests.examples.conftest import EXAMPLES

SCRIPTS = sorted(
    path.relative_to(EXAMPLES).as_posix()
    for path in (*EXAMPLES.glob("*.*"), *EXAMPLES.glob("clients/*.*"))
    if path.suffix in (".py", ".sh", ".js")
)
RUN = r"^(#|//)? +(python|sh|spark-submit|k6 run .*) examples/"


def test_the_index_links_every_script_and_notebook_and_nothing_else() -> None:
    linked = set(re.findall(r"\]\(([^):]+)\)", (EXAMPLES / "README.md").read_text(encoding="utf-8")))
    notebooks = {f"notebooks/{path.name}" for path in EXAMPLES.glob("notebooks/*.ipynb")}
    assert linked == {*SCRIPTS, *notebooks, "browser/index.html"}
    assert all((EXAMPLES / path).is_file() for path in linked)


@pytest.mark.parametrize("script", SCRIPTS)
def test_the_head_says_how_it_is_run(script: str) -> None:
    head = (EXAMPLES / script).read_text(encoding="utf-8")[:1000]
    assert re.search(RUN + re.escape(script), head, re.MULTILINE)
