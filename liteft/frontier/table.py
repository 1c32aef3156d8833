"""A search as text for a terminal."""

from __future__ import annotations

from liteft.frontier.result import Candidate, Frontier
from liteft.report.table import aligned, share

__all__ = ["render"]

_LIMITS = {"max_mb": "MB", "max_ms": "ms", "max_drop": "points"}


def render(found: Frontier) -> str:
    """Return table, reasons and winner."""
    metric = found.metric.replace("_", " ")
    lines = [
        f"budget: {found.budget.text(metric)}",
        f"teacher: {share(found.teacher)}% {metric} on {found.texts:,} texts of {found.data} validation",
    ]
    if found.measured:
        lines += ["", _table(found, metric), "", *_explanations(found)]
    left = [each for each in found.candidates if each.status != "measured"]
    if left:
        lines += ["", "not made:", *(f"  {each.name}: {each.reason}" for each in left)]
    return "\n".join([*lines, "", *_ending(found, metric)])


def _table(found: Frontier, metric: str) -> str:
    frontier = {each.name for each in (*found.best_for_size(), *found.best_for_latency())}
    rows: list[tuple[str, ...]] = [("size", "form", "folder MB", "p50 ms", f"{metric} %", "vs teacher", "budget")]
    for each in found.measured:
        quality = share(each.quality or 0.0, each.interval)
        marks = "winner" if each is found.winner else "within" if each.within else _beyond(each)
        form = each.form + (" *" if each.name in frontier else "")
        mb, ms = f"{each.costs['max_mb']:.2f}", f"{each.costs['max_ms']:.2f}"
        rows.append((each.shape, form, mb, ms, quality, f"{-each.costs['max_drop']:+.1f}", marks))
    return aligned(rows, texts=2)


def _beyond(candidate: Candidate) -> str:
    return ", ".join(f"+{more:.2g} {_LIMITS[name]}" for name, more in candidate.excess.items())


def _explanations(found: Frontier) -> list[str]:
    threads = found.machine["threads"]
    return [
        "*: on the frontier, nothing as small or as fast is better. [ ]: 95% intervals. MB: 10^6 bytes, all files.",
        f"p50: one text, tokenization included; {found.machine['processor']}, {threads} thread{'s' * (threads != 1)}.",
    ]


def _ending(found: Frontier, metric: str) -> list[str]:
    winner = found.winner
    if winner is not None:
        lines = [f"winner: {winner.name}, {found.rule}"]
        if found.test is not None:
            tested = share(found.test["winner"], tuple(found.test["winner_interval"]))
            against = share(found.test["teacher"])
            lines.append(
                f"on {found.test['texts']:,} texts of test, which nothing was chosen by: {metric} {tested}%, "
                f"teacher {against}%"
            )
        lines.append(f"artifact: {found.artifact}")
    else:
        lines = ["nothing is within the budget."]
        known = {each.name: each for each in found.candidates}
        lines += [f"  nearest: {name}, {_beyond(known[name])}" for name in found.nearest]
        lines += [f"  it would take {line}" for line in found.compromises]
    return [*lines, *([] if found.picture is None else [f"picture: {found.picture}"])]
