"""The rule that picks the winner among the candidates, and what to report if none is within the budget."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from liteft.data import Split
from liteft.frontier.budget import Budget
from liteft.frontier.result import Candidate
from liteft.metrics import mcnemar
from liteft.ragged import Rows
from liteft.tasks import Task

__all__ = ["choose_winner", "compromises", "nearest"]

_SIGNIFICANCE = 0.05


def choose_winner(
    candidates: Sequence[Candidate], logits: Mapping[str, Rows], split: Split, task: Task
) -> tuple[Candidate | None, str]:
    """Return the winner and the reason in words; (None, "") if no candidate is within the budget.

    The winner is the smallest candidate within the budget that a paired test on the same texts cannot tell from the
    most accurate one (McNemar's, p >= 0.05; for multi-label tasks and tags, a paired bootstrap of the main F1 whose
    95% interval contains 0).

    Args:
        candidates: all candidates of the search.
        logits: logits on ``split`` of each candidate within the budget, by name, float32 (texts, labels).
        split: texts with labels.
        task: what the labels mean.
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
    """Return up to ``most`` measured candidates that exceed the budget least.

    They are ordered by how many limits they exceed, then by the sum of the excesses relative to the limits. A limit on
    the drop below one point counts as one point.
    """
    limits = {"max_mb": budget.max_mb, "max_ms": budget.max_ms, "max_drop": max(1.0, budget.max_drop or 0.0)}
    measured = [each for each in candidates if each.status == "measured"]

    def beyond(each: Candidate) -> tuple[int, float]:
        return len(each.excess), sum(more / (limits[name] or 1.0) for name, more in each.excess.items())

    return sorted(measured, key=beyond)[:most]


def compromises(candidates: Sequence[Candidate]) -> list[str]:
    """Return the limits that, raised alone, would let a measured candidate win: one line per limit, as a flag."""
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
    """Return a value rounded up to hundredths."""
    return float(np.ceil(round(100 * value, 6)) / 100)


def _differs(first: Rows, second: Rows, split: Split, task: Task) -> bool:
    """Return whether a paired test tells the logits of two candidates apart."""
    assert split.labels is not None
    interval = task.primary_difference(first, second, split.labels, unseen_label=split.unseen_label)
    if interval is not None:
        return interval[0] > 0 or interval[1] < 0
    right = [task.correct(each, split.labels, unseen_label=split.unseen_label) for each in (first, second)]
    return mcnemar(right[0], right[1]).p_value < _SIGNIFICANCE
