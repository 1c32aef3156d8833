"""Which candidate wins, and what to report if none does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from liteft.data import Split
from liteft.frontier.budget import Budget
from liteft.frontier.result import Candidate
from liteft.metrics import mcnemar
from liteft.tasks import Task

__all__ = ["choose_winner", "compromises", "nearest"]

_SIGNIFICANCE = 0.05


def choose_winner(
    candidates: Sequence[Candidate], logits: Mapping[str, np.ndarray], split: Split, task: Task
) -> tuple[Candidate | None, str]:
    """Return the winner of those within the budget and the rule that decided, in words; (None, "") without any.

    The most accurate wins, unless smaller ones cannot be told from it by a paired test on the same texts (McNemar's,
    p >= 0.05; for multi-label tasks, a paired bootstrap of micro F1 whose 95% interval contains 0): then the smallest
    of these does.

    Args:
        candidates: all of them.
        logits: by name, float32 (texts, labels), of those within the budget.
        split: the texts, with labels.
        task: of the labels.
    """
    within = [candidate for candidate in candidates if candidate.within]
    if not within:
        return None, ""
    best = min(within, key=lambda each: (-(each.quality or 0.0), each.size_bytes or 0, each.latency_ms or 0.0))
    if len(within) == 1:
        return best, "the only one within the budget"
    alike = [each for each in within if each is best or not _differs(logits[best.name], logits[each.name], split, task)]
    winner = min(alike, key=lambda each: (each.size_bytes or 0, each.latency_ms or 0.0))
    if winner is best:
        others = "no smaller one within the budget is as good by a paired test"
        return best, f"the most accurate of {len(within)} within the budget; {others}"
    return winner, f"the smallest of {len(alike)} that a paired test cannot tell from the most accurate, {best.name}"


def nearest(candidates: Sequence[Candidate], budget: Budget, *, most: int = 3) -> list[Candidate]:
    """Return the measured candidates that exceed the budget least: fewest limits, then least beyond, relative to them.

    A drop is seen relative to one point where the limit is smaller.
    """
    limits = {"max_mb": budget.max_mb, "max_ms": budget.max_ms, "max_drop": max(1.0, budget.max_drop or 0.0)}
    measured = [each for each in candidates if each.status == "measured"]

    def beyond(each: Candidate) -> tuple[int, float]:
        return len(each.excess), sum(more / (limits[name] or 1.0) for name, more in each.excess.items())

    return sorted(measured, key=beyond)[:most]


def compromises(candidates: Sequence[Candidate]) -> list[str]:
    """Return which limit would have to be raised for a measured candidate to win, one line per such limit."""
    found: dict[str, tuple[float, Candidate]] = {}
    for each in candidates:
        if each.status != "measured" or len(each.excess) != 1:
            continue
        ((limit, more),) = each.excess.items()
        if limit not in found or more < found[limit][0]:
            found[limit] = (more, each)
    costs = {limit: each.costs[limit] for limit, (_, each) in found.items()}
    return [f"--{limit.replace('_', '-')} {_rounded_up(costs[limit]):g}: {found[limit][1].name}" for limit in costs]


def _rounded_up(value: float) -> float:
    """The next hundredth."""
    return float(np.ceil(round(100 * value, 6)) / 100)


def _differs(first: np.ndarray, second: np.ndarray, split: Split, task: Task) -> bool:
    assert split.labels is not None
    interval = task.primary_difference(first, second, split.labels, unseen_label=split.unseen_label)
    if interval is not None:
        return interval[0] > 0 or interval[1] < 0
    right = [task.correct(each, split.labels, unseen_label=split.unseen_label) for each in (first, second)]
    return mcnemar(right[0], right[1]).p_value < _SIGNIFICANCE
