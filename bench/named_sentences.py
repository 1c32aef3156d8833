"""Cuts an unlabelled pool of sentences with names out of news and articles, for the experiment with CoNLL-2003.

    python bench/named_sentences.py --data ../shared/data --out RUNS/named_sentences.txt

The news are the premises and hypotheses of RTE, the articles those of WikiText-103's validation and test halves, whose
tokenization is undone. Sentences of 4 to 60 words that have a word in capitals after the first are kept once each. No
labels of these sets are read; liteft distill leaves out sentences that CoNLL-2003's validation or test texts repeat.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterator
from pathlib import Path

from machine import tell

_END = re.compile(r"(?<=[.!?])\s+(?=[\"'(]?[A-Z])")
_JOINED = re.compile(r" @([-,.])@ ")  # WikiText's mark of what stood inside of a word
_NAME = re.compile(r"\s[\"'(]?[A-Z]\w")
_FEWEST, _MOST = 4, 60  # words


def main() -> None:
    """Write the pool, one sentence a line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    found = list(dict.fromkeys(one for text in texts(given.data) for one in sentences(text)))
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text("".join(f"{one}\n" for one in found), encoding="utf-8")
    tell(f"{given.out}: {len(found):,} different sentences")


def texts(data: Path) -> Iterator[str]:
    """Yield the texts of both sets."""
    for name, columns in (
        ("rte/train.jsonl", ("text", "text_b")),
        ("rte/dev.jsonl", ("text", "text_b")),
        ("wikitext103_evaltext/valid.jsonl", ("text",)),
        ("wikitext103_evaltext/test.jsonl", ("text",)),
    ):
        with open(data / name, encoding="utf-8") as file:
            for line in file:
                row = json.loads(line)
                yield from (row[column] for column in columns)


def sentences(text: str) -> list[str]:
    """Return the sentences of a text that are neither very short nor very long, and have a name perhaps."""
    if text.startswith("= ") or "<unk>" in text:
        return []
    plain = " ".join(_JOINED.sub(r"\1", text).split())
    return [one for one in _END.split(plain) if _FEWEST <= len(one.split()) <= _MOST and _NAME.search(one)]


if __name__ == "__main__":
    main()
