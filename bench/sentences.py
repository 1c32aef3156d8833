"""Cuts an unlabelled pool of sentences out of the training half of IMDB, for the experiments with SST-2.

    python bench/sentences.py --data ../shared/data --out RUNS/imdb_sentences.txt

Reviews are cut behind ., ! and ? that a space and a capital letter or a quotation mark follow. Sentences of 3 to 40
words are kept once each, and 200,000 of them drawn by a seed. SST-2's texts are movie reviews too, of other sources;
liteft distill leaves sentences out that validation or test texts repeat. IMDB's labels and its test half are not read.
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path

import numpy as np
from machine import tell

_END = re.compile(r"(?<=[.!?])\s+(?=[\"'(]?[A-Z])")
_FEWEST, _MOST = 3, 40  # words
_SENTENCES = 200_000


def main() -> None:
    """Write the pool, one sentence a line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    with open(given.data / "imdb" / "train.jsonl", encoding="utf-8") as file:
        found = list(dict.fromkeys(one for line in file for one in sentences(json.loads(line)["text"])))
    chosen = np.sort(np.random.default_rng(0).permutation(len(found))[:_SENTENCES])
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text("".join(f"{found[row]}\n" for row in chosen), encoding="utf-8")
    tell(f"{given.out}: {len(chosen):,} of {len(found):,} different sentences")


def sentences(review: str) -> list[str]:
    """Return the sentences of a review that are neither very short nor very long, without its line breaks."""
    text = re.sub(r"\s+", " ", re.sub(r"<br\s*/?>", " ", review)).strip()
    return [one for one in _END.split(text) if _FEWEST <= len(one.split()) <= _MOST]


if __name__ == "__main__":
    main()
