"""The texts of bench/peers.py: a random sample of each set of real texts, in random order, as they would arrive.

Models of words are given words: those of CoNLL-2003, and whole reviews, cut into words as LiteFT cuts them. Models that
find answers are given questions with their contexts.
"""

from __future__ import annotations

import json
import random
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

MAX_TOKENS = 256
# file and number of texts; there are few long texts, since they would take most of the time
SETS = {
    "clinc150": ("clinc150/test.jsonl", 256),
    "sst2": ("sst2/dev.jsonl", 256),
    "news": ("rte/train.jsonl", 128),  # the premises of RTE: sentences and short passages from the news
    "imdb": ("imdb/test.jsonl", 64),
}

WORD_SETS = {"conll2003": ("conll2003/test.jsonl", 256), "imdb": ("imdb/test.jsonl", 32)}
QUESTION_SETS = {"policyqa": ("policyqa/test.json", 96), "subjqa": ("subjqa/test.jsonl", 48)}
_LONGEST_WORD = 30  # so that no word has more tokens than a quarter of a window


def read_words(data: Path, name: str, most: int | None = None) -> list[tuple[str, ...]]:
    """Return the words of a set's texts, at most ``most`` texts; they are the same each time."""
    from liteft.words import find_words

    rows = _sample(data, *WORD_SETS[name], most)
    found = [row.get("tokens") or [row["text"][start:end] for start, end in find_words(row["text"])] for row in rows]
    return [tuple(word for word in words if word.isprintable() and len(word) <= _LONGEST_WORD) for words in found]


def read_texts(data: Path, name: str, most: int | None = None) -> list[str]:
    """Return the texts of a set, at most ``most``; they are the same each time."""
    return [row["text"] for row in _sample(data, *SETS[name], most)]


def read_questions(data: Path, name: str, most: int | None = None) -> list[tuple[str, ...]]:
    """Return a set's questions with their contexts, at most ``most``; they are the same each time."""
    return [(row["question"], row["context"]) for row in _sample(data, *QUESTION_SETS[name], most)]


def _sample(data: Path, file: str, count: int, most: int | None) -> list[dict[str, Any]]:
    """Return some rows of a file in random order."""
    rows = _rows((data / file).read_text(encoding="utf-8"), squad=file.endswith(".json"))
    return random.Random(0).sample(rows, min(count, most or count, len(rows)))


def _rows(content: str, *, squad: bool) -> list[dict[str, Any]]:
    """Return the rows of JSON Lines, or the questions of a document in SQuAD's form."""
    if not squad:
        return [json.loads(line) for line in content.rstrip("\n").split("\n")]  # splitlines would split within texts
    paragraphs = [paragraph for article in json.loads(content)["data"] for paragraph in article["paragraphs"]]
    return [{"question": own["question"], "context": each["context"]} for each in paragraphs for own in each["qas"]]


def open_tokenizer(file: Path) -> Any:
    """Return a tokenizer that truncates to MAX_TOKENS and does not pad."""
    from tokenizers import Tokenizer

    found = Tokenizer.from_file(str(file))
    found.no_padding()
    found.enable_truncation(MAX_TOKENS)
    return found


def describe(lengths: Sequence[int]) -> dict[str, Any]:
    """Return a summary of the lengths of texts in tokens, special tokens included."""
    return {
        "texts": len(lengths),
        "mean_tokens": round(statistics.mean(lengths), 1),
        "median_tokens": statistics.median(lengths),
        "most_tokens": max(lengths),
    }
