"""Times predictions of an artifact on a GPU from text to label, tokenization included, as a user would see them."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

_TEXTS = 2048
_SINGLE_CALLS = 500
_ROUNDS = 5
_LEAST_SAME = 0.9  # share of labels as on the CPU: random words lie near decision borders, and int8 rounds differently


def texts_of(lengths: Sequence[int], words: Sequence[str]) -> list[str]:
    """Return texts with the given numbers of tokens, made of random words that are one token each."""
    draw = random.Random(0)
    return [" ".join(draw.choice(words) for _ in range(max(1, length - 2))) for length in lengths]


def whole_words(tokenizer: Path) -> list[str]:
    """Return the lowercase words of a tokenizer's vocabulary that are one token each."""
    from tokenizers import Tokenizer

    found = [word for word in Tokenizer.from_file(str(tokenizer)).get_vocab() if word.isascii() and word.isalpha()]
    return sorted(word for word in found if word == word.lower() and len(word) > 2)


def time_labels(artifact: Path, sets: dict[str, list[int]]) -> list[dict[str, Any]]:
    """Time an artifact's predictions on texts with the lengths of each set: all at once, and single texts.

    The labels are first compared with those on the CPU; if too few are the same, the row has no timings.

    Returns:
        A row for each set, with texts per second, and percentiles of a single call in microseconds.
    """
    import liteft

    words = whole_words(artifact / "tokenizer.json")
    rows = []
    with (
        liteft.load(artifact, device="cuda", backend="native") as classifier,
        liteft.load(artifact, device="cpu", backend="native") as other,
    ):
        for name, lengths in sets.items():
            texts = texts_of(lengths[:_TEXTS], words)
            sample = texts[:256]
            same = float((np.argmax(classifier.logits(sample), 1) == np.argmax(other.logits(sample), 1)).mean())
            row: dict[str, Any] = {"texts": name, "artifact": artifact.name, "same_labels_as_cpu": round(same, 4)}
            rows.append(row)
            if same < _LEAST_SAME:
                row["error"] = "its labels differ from those on the CPU"
                continue
            classifier.predict(texts)
            times = []
            for _ in range(_ROUNDS):
                begin = time.perf_counter()
                classifier.predict(texts)
                times.append(time.perf_counter() - begin)
            row |= {"count": len(texts), "texts_per_second": round(len(texts) / statistics.median(times))}
            calls = []
            for number in range(_SINGLE_CALLS):
                begin = time.perf_counter()
                classifier.predict(texts[number % len(texts)])
                calls.append(time.perf_counter() - begin)
            row["call_us"] = {f"p{share}": round(1e6 * float(np.percentile(calls, share)), 1) for share in (50, 90, 99)}
    return rows
