"""The texts of bench/micro: the bundled support requests, short ones as they are and long ones joined from several.

They are the same each time and on each machine, and nothing has to be there but the checkout.
"""

from __future__ import annotations

import json
from itertools import cycle, islice

from machine import ROOT

LENGTHS = ("short", "long")
_SHORT = 80  # characters
_JOINED = 5  # requests of a long text: about 130 tokens


def requests() -> list[dict[str, str]]:
    """Return the rows of the bundled corpus, train: text and label."""
    file = ROOT / "liteft/data/corpus/train.jsonl"
    return [json.loads(line) for line in file.read_text(encoding="utf-8").rstrip("\n").split("\n")]


def texts_of(length: str, count: int) -> list[str]:
    """Return texts of a length, "short" or "long"; where there are too few, they come again."""
    texts = [row["text"] for row in requests()]
    if length == "short":
        found = [text for text in texts if len(text) < _SHORT]
    else:
        found = [" ".join(texts[first : first + _JOINED]) for first in range(0, len(texts) - _JOINED, _JOINED)]
    return list(islice(cycle(found), count))
