"""From text to label on a GPU, tokenization included: what a caller of liteft.load waits for."""

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
_LEAST_SAME = 0.9  # labels as on the CPU: words without sense lie near borders, and int8 rounds elsewhere


def texts_of(lengths: Sequence[int], words: Sequence[str]) -> list[str]:
    """Return texts of whole words of the vocabulary, so that each has the tokens asked for."""
    draw = random.Random(0)
    return [" ".join(draw.choice(words) for _ in range(max(1, length - 2))) for length in lengths]


def whole_words(tokenizer: Path) -> list[str]:
    """Return the words of a vocabulary that are one token each."""
    from tokenizers import Tokenizer

    found = [word for word in Tokenizer.from_file(str(tokenizer)).get_vocab() if word.isascii() and word.isalpha()]
    return sorted(word for word in found if word == word.lower() and len(word) > 2)


def time_labels(artifact: Path, sets: dict[str, list[int]]) -> list[dict[str, Any]]:
    """Return rows of an artifact's predictions, for batches of all sets and for single texts.

    The labels are compared with those of the CPU first; where too few are the same, there are no timings.
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
                row["error"] = "its labels are not those of the CPU"
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
