"""Draws the results of bench/peers.py: a panel for each set of texts, with a line for each contestant.

A bar is the rate in arrival order with batches of 32; a mark is the best rate over all orders, batch sizes and threads.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from peer_ratios import TABLE_BATCH, Row, fastest

_OURS, _SAME_FILE, _PEER = "#d2691e", "#e8b48a", "#3b6fb6"
_INK, _GREY, _PALE = "#222222", "#6b6b6b", "#e6e6e6"


def draw(rows: Sequence[Row], cores: str, tokens: dict[str, float], place: str, path: Path) -> None:
    """Draw texts per second, tokenization included.

    Args:
        rows: all rows of the result.
        cores: the cores whose rates are drawn as bars.
        tokens: mean tokens per text, for each set.
        place: the machine, in words.
        path: of the png.
    """
    from matplotlib.figure import Figure

    inside = [row for row in rows if not row["tokenized"]]
    names = list(dict.fromkeys(row["contestant"] for row in inside))[::-1]
    sets = list(dict.fromkeys(row["texts"] for row in inside))
    if not sets:
        return
    figure = Figure(figsize=(2.7 * len(sets) + 2.2, 0.27 * len(names) + 1.7), facecolor="white", layout="constrained")
    panels = figure.subplots(1, len(sets), sharey=True, squeeze=False)[0]
    for panel, name in zip(panels, sets, strict=True):
        own = [row for row in inside if row["texts"] == name]
        arrival = [_rate(own, each, order="arrival", batch=TABLE_BATCH, cores=cores) for each in names]
        best = [_rate(own, each) for each in names]
        panel.barh(range(len(names)), arrival, color=[_color(each) for each in names], height=0.72)
        panel.scatter(best, range(len(names)), marker="|", s=70, color=_INK, linewidths=1.4, zorder=3)
        for line, (rate, top) in enumerate(zip(arrival, best, strict=True)):
            panel.annotate(
                f"{rate:,.0f}" if rate else "not timed",
                (max(rate, top), line),
                xytext=(5, 0),
                textcoords="offset points",
                va="center",
                fontsize=7.5,
                color=_INK if rate else _GREY,
            )
        panel.set_title(f"{name}, {tokens[name]:.0f} tokens", fontsize=9.5, color=_INK)
        panel.set_xlim(0, 1.25 * max(*best, 1.0))
        panel.set_yticks(range(len(names)), names)
        panel.tick_params(length=0, labelsize=8, colors=_GREY)
        panel.tick_params(axis="y", colors=_INK)
        panel.grid(axis="x", color=_PALE, linewidth=0.7)
        panel.set_axisbelow(True)
        panel.spines[:].set_visible(False)
    figure.supxlabel(
        f"texts/s, tokenization included, on {place}. Bar: batches of {TABLE_BATCH} in arrival order; "
        "mark: the best order, batch and threads",
        fontsize=8,
        color=_GREY,
    )
    figure.savefig(path, dpi=160, metadata={"Software": None})


def _rate(rows: Sequence[Row], contestant: str, **wanted: Any) -> float:
    """Return the best rate among a contestant's rows with the ``wanted`` values; 0 if there are none."""
    wanted |= {"contestant": contestant}
    found = fastest(row for row in rows if all(row[key] == value for key, value in wanted.items()))
    return 0.0 if found is None else float(found["texts_per_second"])


def _color(contestant: str) -> str:
    if not contestant.startswith("LiteFT"):
        return _PEER
    return _SAME_FILE if "ONNX Runtime" in contestant else _OURS
