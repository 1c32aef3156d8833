"""The tasks that bench/cuda_engines.py times, the most important ones first, and their batches.

Nothing here needs a GPU, torch or LiteFT. If LITEFT_REHEARSAL is set, models and texts are tiny, for the emulated GPU
of bench/cuda_all.py --rehearse.
"""

from __future__ import annotations

import os
import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

REHEARSES = bool(os.environ.get("LITEFT_REHEARSAL"))
PARTS = ("decisive", "ratios", "rest")
FIRST_WORD = 1000  # ids below are special tokens or unused
VOCABULARY = 1200 if REHEARSES else 30522
CLS, SEP = 101, 102
MIXES = (("sst2", "sorted"), ("sst2", "arrival"), ("imdb", "sorted"), ("imdb", "arrival"))  # whose ratios are targets
DENSE = (16, 32, 64, 128, 256, 512)
MODELS = {
    "MiniLM-L6": {"layers": 6, "width": 384, "inner": 1536, "heads": 12},
    "student": {"layers": 3, "width": 384, "inner": 1536, "heads": 12},
    "BERT-base": {"layers": 12, "width": 768, "inner": 3072, "heads": 12},
}
if REHEARSES:
    MODELS = {name: {"layers": 2, "width": 64, "inner": 128, "heads": 2} for name in MODELS}
MOST_TOKENS = 12 if REHEARSES else 512  # of a text
_PASS_TOKENS = 60 if REHEARSES else 262_144  # of a pass, about
_SINGLES = 2 if REHEARSES else 64
_TEXTS = 3  # of a batch in a rehearsal


@dataclass(frozen=True)
class Task:
    """A model and batches of texts that contestants are timed on.

    Attributes:
        model: a key of MODELS.
        texts: "dense N" for texts of N tokens each, or the name of a set of lengths.
        order: "arrival", or "sorted" by length.
        batch: texts per call.
        part: one of PARTS: "decisive" if an absolute target needs the task, "ratios" if a target against torch does.
    """

    model: str
    texts: str
    order: str
    batch: int
    part: str = "rest"

    def describe(self) -> dict[str, Any]:
        """Return the fields of a result row that identify the task."""
        return {key: value for key, value in asdict(self).items() if key != "part"}


def plan(sets: Sequence[str]) -> list[Task]:
    """Return all tasks once: first those that targets need, then a little of everything, then the rest.

    Args:
        sets: names of the sets of lengths.
    """
    tasks = [
        Task("MiniLM-L6", "dense 128", "arrival", 256, "decisive"),
        Task("MiniLM-L6", "dense 32", "arrival", 1, "decisive"),
        Task("BERT-base", "dense 128", "arrival", 256, "decisive"),
        Task("BERT-base", "dense 32", "arrival", 1, "decisive"),
        *(Task("MiniLM-L6", name, order, 256, "ratios") for name, order in MIXES),
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


def tasks_of(part: str, tasks: Sequence[Task]) -> list[Task]:
    """Return the tasks of a part of the comparison.

    "decisive" includes the four mixes, for LiteFT alone. "ratios" has the mixes followed by MiniLM-L6's dense texts, on
    which torch.compile is tried too. "rest" has all other tasks, or two of them in a rehearsal.
    """
    if part == "decisive":
        return [task for task in tasks if task.part != "rest"]
    if part == "ratios":
        dense = [task for task in tasks if task.part == "decisive" and task.model == "MiniLM-L6" and task.batch > 1]
        return [task for task in tasks if task.part == "ratios"] + dense
    rest = [task for task in tasks if task.part == "rest"]
    return rest[:2] if REHEARSES else rest


def lengths_of(task: Task, sets: Mapping[str, Sequence[int]]) -> list[int]:
    """Return the number of tokens of each text of a pass, in the task's order.

    A pass has about a quarter of a million tokens, in 1 to 16 whole batches, or 64 single texts. If a set has fewer
    texts, they are repeated.
    """
    name, _, tokens = task.texts.partition(" ")
    source = [int(tokens)] if name == "dense" else sets[task.texts]
    source = [min(length, MOST_TOKENS) for length in source]
    batch = batch_of(task)
    mean = sum(source) / len(source)
    batches = _SINGLES if batch == 1 else max(1, min(16, round(_PASS_TOKENS / mean / batch)))
    count = batches * batch
    lengths = [source[place % len(source)] for place in range(count)]
    return sorted(lengths) if task.order == "sorted" else lengths


def batch_of(task: Task) -> int:
    """Return how many texts a call has, which are few in a rehearsal."""
    return min(task.batch, _TEXTS) if REHEARSES else task.batch


def ids_of(lengths: Sequence[int], seed: int = 0) -> list[list[int]]:
    """Return random token ids of the given lengths, each text between [CLS] and [SEP]."""
    draw = random.Random(seed)
    return [
        [CLS, *(draw.randrange(FIRST_WORD, VOCABULARY) for _ in range(length - 2)), SEP][: max(length, 1)]
        for length in lengths
    ]


def batches_of(task: Task, ids: Sequence[list[int]]) -> list[list[list[int]]]:
    """Split texts into the task's batches."""
    size = batch_of(task)
    return [list(ids[start : start + size]) for start in range(0, len(ids), size)]


def width_of(lengths: Sequence[int]) -> int:
    """Return the width to which texts are padded by engines that prepare each shape, so that there are few shapes.

    If all texts have the same length it is that length, without padding. Otherwise it is the length of the longest,
    rounded up to a multiple of 8, or of 4 up to 32.
    """
    longest = max(lengths)
    if min(lengths) == longest:
        return longest
    step = 4 if longest <= 32 else 8
    return -(-longest // step) * step


def token_bucket(tokens: int) -> int:
    """Round up a number of packed tokens to a step of an eighth of a power of two, so that there are few shapes."""
    power = 128
    while power * 2 < tokens:
        power *= 2
    return -(-tokens // (power // 8)) * (power // 8)
