"""Pages as blocks of code: what a reader would copy, and what is said of blocks that a test cannot run."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "examples" / "README.md", *(ROOT / "docs").rglob("*.md")])
LANGUAGES = ("python", "sh", "text", "toml", "json", "csv", "dockerfile")
TRAINING = re.compile(r"liteft[ .](advise|demo|distill|export|finetune|pretrain|search)\b|\bLiteftClassifier\(")
OPERATORS = {"|", "||", "&&", ";", "&", "(", ")", "<", ">", ">>", "<<"}

_BLOCK = re.compile(
    r"(?:^ *<!-- not run: (?P<reason>[^\n]+?) -->\n)?"
    r"^(?P<indent> *)```(?P<language>[^\n]*)\n(?P<code>.*?)^(?P=indent)```$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Block:
    """Code between two fences.

    Attributes:
        language: the word after the first fence.
        code: the lines between, without their indentation.
        line: number of its first line in the page, from 1.
        reason: why no test runs it; None if it is run.
    """

    language: str
    code: str
    line: int
    reason: str | None = None

    @property
    def trains(self) -> bool:
        """True if it is run and takes its time."""
        return self.reason is None and self.language in ("python", "sh") and TRAINING.search(self.code) is not None


def blocks_of(text: str) -> list[Block]:
    """Return the fenced blocks of a page, in order."""
    found = []
    for each in _BLOCK.finditer(text):
        indent = len(each["indent"])
        code = "".join(line[indent:] for line in each["code"].splitlines(keepends=True))
        line = text.count("\n", 0, each.start("code")) + 1
        found.append(Block(each["language"].strip(), code, line, each["reason"]))
    return found


def commands_of(code: str) -> list[str]:
    """Return the commands of an sh block, each on one line: comments are dropped, continued lines joined.

    A block with a here document is one command.
    """
    if "<<" in code:
        return [code]
    joined = re.sub(r"\\\n\s*", " ", code)
    return [line for line in map(str.strip, joined.splitlines()) if line and not line.startswith("#")]


def words_of(command: str) -> list[str]:
    """Return the words of a command, with those of the shell, such as | and >, as words of their own."""
    lexer = shlex.shlex(command, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    return list(lexer)


def calls_of(command: str) -> list[list[str]]:
    """Return what follows ``liteft`` in each call of it in a command, also of ``python -m liteft.cli``."""
    found: list[list[str]] = []
    words = words_of(command)
    for place, word in enumerate(words):
        begins = place == 0 or words[place - 1] in OPERATORS or re.fullmatch(r"[A-Z_]+=.*", words[place - 1])
        if (word == "liteft" and begins) or (word == "liteft.cli" and words[place - 1] == "-m"):
            rest = words[place + 1 :]
            ends = next((number for number, each in enumerate(rest) if each in OPERATORS), len(rest))
            found.append(rest[:ends])
    return found


def name_of(page: Path) -> str:
    """Return a page's path in the repository."""
    return page.relative_to(ROOT).as_posix()
