"""Every block of code on every page: what it says exists, and what it says to run runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.checking import problems_of
from tests.docs.pages import PAGES, Block, blocks_of, calls_of, commands_of, name_of

FENCED = PAGES


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_flags_extras_recipes_and_syntax_are_right(page: Path) -> None:
    found = blocks_of(page.read_text(encoding="utf-8"))
    assert [(block.line, problem) for block in found for problem in problems_of(block)] == []


@pytest.mark.parametrize("page", FENCED, ids=name_of)
def test_code_is_between_fences(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    outside = re.sub(r"^( *)```.*?^\1```$", "", text, flags=re.MULTILINE | re.DOTALL)
    assert not re.findall(r"^[^-*\d\s].*\n\n {4}\S.*", outside, re.MULTILINE)
    assert "```" not in re.sub(r"<!--.*?-->", "", outside, flags=re.DOTALL)


@pytest.mark.parametrize(
    ("language", "code", "problem"),
    [
        ("sh", "liteft check reviews.csv --lable stars\n", "No such option: --lable"),
        ("sh", "cat new.txt | liteft predict runs/reviews --output\n", "--output"),
        ("sh", "torchrun -m liteft.cli finetune --bse x\n", "--bse"),
        ("sh", "liteft train reviews.csv\n", "there is no liteft train"),
        ("sh", "pip install '.[cpu,training]'\n", "no extra training"),
        ("sh", "make demmo\n", "no target demmo"),
        ("sh", "python bench/no_such.py --all\n", "there is no bench/no_such.py"),
        ("python", "liteft.load(\n", "SyntaxError"),
        ("toml", "[teacher]\nepoch = 3\n", "epoch"),
        ("toml", "[teacher]\nepochs = -1\n", "epochs"),
        ("json", '{"label": ...}\n', "JSONDecodeError"),
        ("csv", "text,label\na,b,c\n", "as many cells"),
        ("bash", "ls\n", "the language is 'bash'"),
        ("", "ls\n", "the language is ''"),
    ],
)
def test_what_is_wrong_in_a_block_is_found_without_running_it(language: str, code: str, problem: str) -> None:
    for reason in (None, "a hub"):
        (found,) = problems_of(Block(language, code, 1, reason))
        assert problem in found


def test_blocks_are_read_with_their_lines_and_reasons() -> None:
    text = "# A\n\n```python\nx = 1\n```\n\n- item\n\n  ```sh\n  ls \\\n    -l\n  ```\n\n"
    text += "<!-- not run: a GPU -->\n```sh\nmake gpu\n```\n"
    assert blocks_of(text) == [
        Block("python", "x = 1\n", 4),
        Block("sh", "ls \\\n  -l\n", 10),
        Block("sh", "make gpu\n", 16, "a GPU"),
    ]
    assert commands_of("ls \\\n  -l\n# nothing\nliteft check x  # why\n") == ["ls  -l", "liteft check x  # why"]


def test_calls_of_liteft_are_found_in_pipes_and_behind_variables() -> None:
    command = "LITEFT_THREADS=1 liteft predict runs/reviews < new.txt | head && liteft doctor   # says more"
    assert calls_of(command) == [["predict", "runs/reviews"], ["doctor"]]
    assert calls_of("pip install liteft") == []
