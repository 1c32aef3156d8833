"""What bench/peers.py times, in which order, and how its time is shared out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from peer_contestants import Cores

BATCHES = (1, 8, 32, 128)
_CALL_TOKENS = 30  # a call costs about as much as that many tokens


@dataclass(frozen=True)
class Task:
    """A cell: what all contestants do in turn.

    Attributes:
        texts: name of the set.
        order: "arrival", or "sorted" by tokens.
        batch: texts of one call.
        tokenized: token ids are given, so that tokenizing is outside of the clock.
        cores: what a contestant may use.
        weight: how much time it needs, beside the others.
    """

    texts: str
    order: str
    batch: int
    tokenized: bool
    cores: Cores
    weight: float


def plan(cores: Sequence[Cores], lengths: Mapping[str, Sequence[int]], batches: Sequence[int]) -> list[Task]:
    """Return all cells, those on the same cores together.

    The first cores get all batches in both orders, and batches of 1 and 32 in arrival order once more, without
    tokenization in the clock. The others get batches of 1 and 32 only; but several calls at a time, which nobody makes
    for the sake of one text, all batches but 1. An order makes no difference where one text, or all, are a batch, and
    batches larger than the set do not exist.

    Args:
        cores: the first ones count most.
        lengths: tokens of each text, for each set.
        batches: texts of a call.
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
    return tasks


def allowance(tasks: Sequence[Task], done: int, seconds: float) -> float:
    """Return how many of the seconds that are left are for the task after those done."""
    left = tasks[done:]
    return seconds * left[0].weight / sum(task.weight for task in left)
