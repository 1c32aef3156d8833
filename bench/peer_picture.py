"""bench/peers.py as a picture: one bar a contestant, batches of 32 in arrival order, one panel a set of texts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from peer_ratios import TABLE_BATCH, Row

_OURS, _SAME_FILE, _PEER = "#d2691e", "#e8b48a", "#3b6fb6"


def draw(rows: Sequence[Row], threads: int, path: Path) -> None:
    """Draw texts a second, tokenization in the clock, into a png."""
    from matplotlib.figure import Figure

    shown = [
        row
        for row in rows
        if not row["tokenized"]
        and (row["threads"], row["batch"], row["order"]) == (threads, TABLE_BATCH, "arrival")
    ]
    sets = list(dict.fromkeys(row["texts"] for row in shown))
    if not sets:
        return
    figure = Figure(figsize=(3.2 * len(sets) + 1.8, 3.8), layout="constrained")
    panels = figure.subplots(1, len(sets), sharey=True, squeeze=False)[0]
    for panel, name in zip(panels, sets, strict=True):
        own = [row for row in shown if row["texts"] == name][::-1]
        names = [row["contestant"] for row in own]
        rates = [row["texts_per_second"] for row in own]
        bars = panel.barh(names, rates, color=[_color(each) for each in names])
        panel.bar_label(bars, fmt="{:,.0f}", padding=2, fontsize=7)
        panel.set_title(name, fontsize=9)
        panel.set_xlim(0, 1.2 * max(rates))
        panel.tick_params(labelsize=7)
        panel.spines[["top", "right"]].set_visible(False)
    figure.supxlabel(
        f"texts/s, MiniLM-L6, batches of {TABLE_BATCH} in arrival order, {threads} threads, tokenization included",
        fontsize=8,
    )
    figure.savefig(path, dpi=150, metadata={"Software": None})


def _color(contestant: str) -> str:
    if not contestant.startswith("LiteFT"):
        return _PEER
    return _SAME_FILE if "ONNX Runtime" in contestant else _OURS
