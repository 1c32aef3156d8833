"""What bench/cuda_engines.py times, the most important things first, and the batches of each.

Nothing here needs a GPU, torch or LiteFT.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

VOCABULARY = 30522
FIRST_WORD = 1000  # below: special tokens and what is not used
CLS, SEP = 101, 102
DENSE = (16, 32, 64, 128, 256, 512)
MODELS = {
    "MiniLM-L6": {"layers": 6, "width": 384, "inner": 1536, "heads": 12},
    "student": {"layers": 3, "width": 384, "inner": 1536, "heads": 12},
    "BERT-base": {"layers": 12, "width": 768, "inner": 3072, "heads": 12},
}
BUCKETS = (16, 32, 48, 64, 96, 128, 192, 256, 384, 512)  # of lengths, for who needs few shapes
_PASS_TOKENS = 262_144  # of a pass, about


@dataclass(frozen=True)
class Task:
    """One thing that all contestants do.

    Attributes:
        model: a name of MODELS.
        texts: "dense 128", or the name of a set of lengths.
        order: "arrival", or "sorted" by length.
        batch: texts of a call.
        decisive: a target hangs on it, so that who needs minutes to prepare does so here, and only here.
    """

    model: str
    texts: str
    order: str
    batch: int
    decisive: bool = False

    def describe(self) -> dict[str, Any]:
        """Return the task as keys of a row."""
        return asdict(self)


def plan(sets: Sequence[str]) -> list[Task]:
    """Return all tasks without repetition: those that targets ask for, then a little of everything, then the rest.

    Args:
        sets: names of the sets of lengths.
    """
    tasks = [
        Task("MiniLM-L6", "dense 128", "arrival", 256, True),
        Task("MiniLM-L6", "dense 32", "arrival", 1, True),
        *(Task("MiniLM-L6", name, order, 256, True) for name in ("sst2", "imdb") for order in ("sorted", "arrival")),
        Task("BERT-base", "dense 128", "arrival", 256, True),
        Task("BERT-base", "dense 32", "arrival", 1, True),
        Task("student", "dense 128", "arrival", 256),
        Task("student", "dense 32", "arrival", 1),
        *(Task("MiniLM-L6", f"dense {tokens}", "arrival", 256) for tokens in DENSE),
        *(Task("MiniLM-L6", name, "arrival", 1) for name in sets),
        *(Task("MiniLM-L6", name, order, 256) for name in sets for order in ("arrival", "sorted")),
        *(Task("MiniLM-L6", "sst2", "arrival", batch) for batch in (8, 32, 128, 1024, 4096)),
        *(Task(model, name, "arrival", 256) for model in ("student", "BERT-base") for name in sets),
        *(Task("MiniLM-L6", f"dense {tokens}", "arrival", 1) for tokens in DENSE),
        *(Task("BERT-base", f"dense {tokens}", "arrival", 64) for tokens in DENSE),
        *(Task(model, "dense 32", "arrival", batch) for model in MODELS for batch in (8, 64, 4096)),
        *(Task("MiniLM-L6", name, "arrival", batch) for name in sets for batch in (8, 32, 128, 1024, 4096)),
        *(Task(model, name, "sorted", 256) for model in ("student", "BERT-base") for name in sets),
    ]
    first: dict[tuple[str, str, str, int], Task] = {}
    for task in tasks:
        dense = task.texts.startswith("dense")
        if dense or task.texts in sets:
            first.setdefault((task.model, task.texts, task.order, task.batch), task)
    return list(first.values())


def lengths_of(task: Task, sets: Mapping[str, Sequence[int]]) -> list[int]:
    """Return the tokens of each text of a pass, in the task's order.

    There are as many texts as come to about a quarter of a million tokens, in whole batches of which there is at least
    one, and of single texts no more than 64. A set that has fewer texts is gone through again.
    """
    name, _, tokens = task.texts.partition(" ")
    source = [int(tokens)] if name == "dense" else sets[task.texts]
    mean = sum(source) / len(source)
    batches = 64 if task.batch == 1 else max(1, min(16, round(_PASS_TOKENS / mean / task.batch)))
    count = batches * task.batch
    lengths = [source[place % len(source)] for place in range(count)]
    return sorted(lengths) if task.order == "sorted" else lengths


def ids_of(lengths: Sequence[int], seed: int = 0) -> list[list[int]]:
    """Return random token ids of the given lengths, each text between [CLS] and [SEP]."""
    draw = random.Random(seed)
    return [
        [CLS, *(draw.randrange(FIRST_WORD, VOCABULARY) for _ in range(length - 2)), SEP][: max(length, 1)]
        for length in lengths
    ]


def batches_of(task: Task, ids: Sequence[list[int]]) -> list[list[list[int]]]:
    """Return texts cut into the task's batches."""
    return [list(ids[start : start + task.batch]) for start in range(0, len(ids), task.batch)]


def bucket_of(tokens: int) -> int:
    """Return the least length of BUCKETS that holds a text."""
    return next(bucket for bucket in BUCKETS if bucket >= tokens)
