"""A search as a picture: the main metric against the folder's megabytes, and against milliseconds.

In both panels the step line is the frontier, dotted lines are the budget's limits, filled points are within all limits,
and the ring is the winner. matplotlib is used without pyplot, whose figures and settings belong to the whole process.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from liteft.frontier.result import Candidate, Frontier
from liteft.report.picture import new_figure, require_drawable, save
from liteft.text_tables import metric_words

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw", "figure_of"]

_INK, _GREY, _PALE, _BLUE, _RED = "#222222", "#6b6b6b", "#e6e6e6", "#3b6fb6", "#b03a2e"
_FAR = 3.0  # a limit beyond this many times the largest value is not drawn: it would squeeze all points into a corner
_LABELS: dict[str, Any] = {"color": _INK, "fontsize": 9.5}
_PANELS = (("max_mb", "artifact's folder, MB"), ("max_ms", "one text, median in ms"))


def draw(found: Frontier, path: Path) -> Path:
    """Draw a search into a PNG file and return its path.

    Raises:
        MissingExtraError: matplotlib is not installed.
        RunError: the path has a file that LiteFT did not draw, or the system refuses to write.
    """
    require_drawable(path)
    save(figure_of(found), path)
    return path


def figure_of(found: Frontier) -> Figure:
    """Return the picture as a matplotlib Figure with two Axes, each with one point per measured candidate.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    figure, _ = new_figure((10.0, 4.8), dpi=150)
    panels = figure.subplots(1, 2, sharey=True)
    metric = metric_words(found.metric)
    for axes, (cost, label), stairs in zip(
        panels, _PANELS, (found.best_for_size(), found.best_for_latency()), strict=True
    ):
        _draw_panel(axes, found, cost, stairs)
        limit = _limit(found, cost)
        shown = limit is None or _near(found, cost, limit)
        axes.set_xlabel(label if shown else f"{label} (the budget, {limit:g}, is far to the right)", **_LABELS)
    panels[0].set_ylabel(f"validation {metric}, %", **_LABELS)
    winner = "nothing within it" if found.winner is None else f"winner {found.winner.name}"
    figure.suptitle(
        f"{found.data}: within {found.budget.text(metric)}: {winner}", fontsize=10.5, color=_INK, x=0.07, ha="left"
    )
    figure.subplots_adjust(left=0.07, right=0.985, top=0.9, bottom=0.11, wspace=0.05)
    return figure


def _draw_panel(axes: Axes, found: Frontier, cost: str, stairs: Sequence[Candidate]) -> None:
    """Draw the candidates, the frontier and the limits into one panel; ``cost`` is the limit's name, as in `Budget`."""
    axes.grid(True, color=_PALE, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(colors=_GREY, labelsize=8.5, length=0)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.axhline(100 * found.teacher, color=_GREY, linewidth=1.0, gid="teacher")
    small: dict[str, Any] = {"fontsize": 7.5, "color": _GREY}
    place = (0.995, 100 * found.teacher)
    axes.annotate("teacher", place, xycoords=("axes fraction", "data"), ha="right", va="bottom", **small)
    budget = found.budget
    if budget.max_drop is not None:
        axes.axhline(100 * found.teacher - budget.max_drop, color=_RED, linewidth=1.0, linestyle=":", gid="max_drop")
    limit = _limit(found, cost)
    if limit is not None and _near(found, cost, limit):
        axes.axvline(limit, color=_RED, linewidth=1.0, linestyle=":", gid=cost)
    steps = [(each.costs[cost], 100 * (each.quality or 0.0)) for each in stairs]
    xs, ys = [x for x, _ in steps], [y for _, y in steps]
    axes.step(xs, ys, where="post", color=_BLUE, linewidth=1.2, alpha=0.6, gid="frontier")
    for each in found.measured:
        x, y = each.costs[cost], 100 * (each.quality or 0.0)
        inside = _BLUE if each.within else "white"
        axes.scatter([x], [y], s=26, zorder=3, gid=each.name, facecolors=inside, edgecolors=_BLUE)
        if each is found.winner:
            axes.scatter([x], [y], s=120, facecolors="none", edgecolors=_RED, zorder=4, gid="winner")
        beside: dict[str, Any] = {"textcoords": "offset points", "xytext": (5, 4), "parse_math": False}
        axes.annotate(each.name, (x, y), fontsize=7, color=_INK, **beside)
    axes.margins(x=0.18, y=0.12)


def _limit(found: Frontier, cost: str) -> float | None:
    return found.budget.max_mb if cost == "max_mb" else found.budget.max_ms


def _near(found: Frontier, cost: str, limit: float) -> bool:
    """Return whether a limit is close enough to the measured values to be drawn."""
    return limit <= _FAR * max((each.costs[cost] for each in found.measured), default=limit)
