"""Writes a base with random weights and a vocabulary of its own, trained on texts: a student that knows nothing.

    python bench/random_base.py --text ../shared/data/sst2/train.jsonl --text RUNS/imdb_sentences.txt \\
        --size 2x128 --vocabulary 8000 --out RUNS/random-2x128
"""

from __future__ import annotations

import argparse
from pathlib import Path

from machine import tell

from liteft.data.unlabeled import load_texts
from liteft.pretraining.model import from_random, read_alone, write_trained
from liteft.pretraining.vocabulary import sample_of, train_vocabulary


def main() -> None:
    """Train the vocabulary and write the base."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--text", type=Path, action="append", required=True)
    parser.add_argument("--size", required=True)
    parser.add_argument("--vocabulary", type=int, default=8_000)
    parser.add_argument("--max-tokens", type=int, default=128)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    texts = sample_of(text for path in given.text for text in load_texts(path))
    given.out.mkdir(parents=True, exist_ok=True)
    write_trained(train_vocabulary(texts, kind="wordpiece", size=given.vocabulary), "wordpiece", given.out)
    model = from_random(read_alone(given.out), size=given.size, max_tokens=given.max_tokens, seed=given.seed)
    model.save(given.out)
    tell(f"{given.out}: {given.size}, {given.vocabulary:,} tokens")


if __name__ == "__main__":
    main()
