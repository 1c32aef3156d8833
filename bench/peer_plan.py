"""The tasks that bench/peers.py times, their order, and how the available time is divided among them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from peer_contestants import Cores

BATCHES = (1, 8, 32, 128)
_CALL_TOKENS = 30  # the overhead of a call costs about as much as this many tokens


@dataclass(frozen=True)
class Task:
    """A cell of the comparison, in which all contestants are timed in turn.

    Attributes:
        texts: name of the set.
        order: "arrival", or "sorted" by number of tokens.
        batch: texts per call.
        tokenized: whether calls get token ids, so that tokenization is not timed.
        cores: what a contestant may use.
        weight: the time it needs, relative to other cells.
    """

    texts: str
    order: str
    batch: int
    tokenized: bool
    cores: Cores
    weight: float


def plan(
    cores: Sequence[Cores], lengths: Mapping[str, Sequence[int]], batches: Sequence[int], *, words: bool = False
) -> list[Task]:
    """Return all cells, those on the same cores together.

    On the first cores all batch sizes are timed in both orders, and batches of 1 and 32 in arrival order also without
    tokenization. On other cores only batches of 1 and 32 are timed; with several calls at a time, all batches but 1.
    Orders are not distinguished if a batch is one text or all texts, and batches larger than the set are left out.
    Models of words are timed in arrival order with tokenization only.

    Args:
        cores: the cores to use; the first are the most important.
        lengths: number of tokens of each text, for each set.
        batches: numbers of texts per call.
        words: whether the model is one of words.
    """
    tasks = []
    for place, each in enumerate(cores):
        for name, tokens in lengths.items():
            for batch in batches:
                wanted = batch > 1 if each.lanes > 1 else not place or batch in (1, 32)
                if not wanted or batch > len(tokens):
                    continue
                weight = (sum(tokens) + _CALL_TOKENS * len(tokens) / batch) / each.used
                for order in ("arrival", "sorted"):
                    if order == "sorted" and batch in (1, len(tokens)):
                        continue
                    tasks.append(Task(name, order, batch, False, each, weight))
                    if order == "arrival" and batch in (1, 32) and not place:
                        tasks.append(Task(name, order, batch, True, each, weight))
    return [task for task in tasks if not words or (task.order == "arrival" and not task.tokenized)]


def allowance(tasks: Sequence[Task], done: int, seconds: float) -> float:
    """Return how many of the remaining seconds the next task gets, after ``done`` tasks."""
    left = tasks[done:]
    return seconds * left[0].weight / sum(task.weight for task in left)
