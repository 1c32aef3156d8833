"""Counts the tokens of real texts, so that bench/cuda_engines.py can use their lengths without the data sets.

    python bench/cuda_lengths.py --data FOLDER

Writes cuda_lengths.json beside this file: the lengths of a random sample of each test set, in random order, as texts
would arrive. Tokens are those of MiniLM's tokenizer (BERT's uncased WordPiece), special tokens included, at most 512.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
from pathlib import Path
from typing import Any

from machine import ROOT, tell
from peer_texts import open_tokenizer

FILE = Path(__file__).with_suffix(".json")
MOST_TOKENS = 512
MOST_TEXTS = 4096
SETS = {"clinc150": "clinc150/test.jsonl", "sst2": "sst2/test.jsonl", "imdb": "imdb/test.jsonl"}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = Path(os.environ.get("LITEFT_DATA", ROOT.parent / "shared" / "data"))
    parser.add_argument("--data", type=Path, default=default, help="folder of the data sets")
    parser.add_argument("--tokenizer", type=Path, help="a tokenizer.json; default: that of the installed MiniLM")
    parser.add_argument("--out", type=Path, default=FILE)
    arguments = parser.parse_args()
    if arguments.tokenizer is None:
        from peer_models import base_folder

        arguments.tokenizer = base_folder() / "tokenizer.json"
    found = {name: lengths_of(arguments.data / file, arguments.tokenizer) for name, file in SETS.items()}
    write(arguments.out, found)
    for name, lengths in found.items():
        tell(f"{name}: {len(lengths)} texts of {sum(lengths) / len(lengths):.1f} tokens, at most {max(lengths)}")
    return 0


def lengths_of(file: Path, tokenizer: Path) -> list[int]:
    """Return the number of tokens of each text in a sample of a file, which is the same sample each time."""
    lines = file.read_text(encoding="utf-8").rstrip("\n").split("\n")  # splitlines would also split within texts
    chosen = random.Random(0).sample(lines, min(MOST_TEXTS, len(lines)))
    opened = open_tokenizer(tokenizer)
    opened.enable_truncation(MOST_TOKENS)
    return [len(each.ids) for each in opened.encode_batch([json.loads(line)["text"] for line in chosen])]


def write(path: Path, found: dict[str, list[int]]) -> None:
    """Write the lengths, each set on a line of its own."""
    lines = [f"  {json.dumps(name)}: {json.dumps(lengths, separators=(',', ':'))}" for name, lengths in found.items()]
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def read_lengths(path: Path = FILE) -> dict[str, list[int]]:
    """Return the lengths of each set, in order of arrival."""
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


if __name__ == "__main__":
    sys.exit(main())
