"""Pictures of where each model of a comparison is wrong: reliability, confusion, errors by length, scores."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from liteft.errors import ConfigError, RunError, option
from liteft.report.diagnosis import ByLength, Confusion, Diagnosis, Reliability, ScorePairs, length_words
from liteft.report.picture import new_figure, require_drawable, require_matplotlib, save
from liteft.report.result import Comparison

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["diagnosis_figures", "draw_diagnoses", "require_folder"]

_BLUE, _ORANGE, _GREY, _INK = "#3b6fb6", "#d2691e", "#8a8a8a", "#222222"
_MOST_NAMES = 16  # of a confusion matrix that can be read
_LONGEST = 22


def require_folder(folder: str | os.PathLike[str]) -> None:
    """Refuse a path for a folder of pictures that is a file, and to draw without matplotlib.

    Raises:
        MissingExtraError: matplotlib is not installed.
        RunError: the path is a file.
    """
    require_matplotlib()
    if Path(folder).exists() and not Path(folder).is_dir():
        raise RunError(
            f"{folder} is a file, and pictures of each model need a folder.", fix=option("diagnose", "FOLDER")
        )


def draw_diagnoses(comparison: Comparison, folder: str | os.PathLike[str]) -> list[Path]:
    """Draw where each model is wrong into png files of a folder, "MODEL-reliability.png" and so on, and return these.

    Args:
        comparison: of ``liteft.compare(..., diagnose=True)``.
        folder: is created if it is missing.

    Raises:
        MissingExtraError: matplotlib is not installed.
        ConfigError: the comparison holds no diagnoses.
        RunError: a file exists that LiteFT did not draw, or the system refuses to write.
    """
    require_folder(folder)
    found = [(model.subject.name, model.diagnosis) for model in comparison.models if model.diagnosis is not None]
    if not found:
        raise ConfigError("the models were compared without a diagnosis.", fix="liteft.compare(..., diagnose=True)")
    drawn: list[Path] = []
    for name, diagnosis in found:
        stem = re.sub(r"[^\w.-]+", "-", name).strip("-.") or "model"
        for kind, figure in diagnosis_figures(diagnosis, name).items():
            path = Path(folder) / f"{stem}-{kind}.png"
            if path in drawn:
                path = path.with_name(f"{stem}-{len(drawn)}-{kind}.png")
            require_drawable(path)
            save(figure, path)
            drawn.append(path)
    return drawn


def diagnosis_figures(diagnosis: Diagnosis, name: str) -> dict[str, Figure]:
    """Return a matplotlib Figure for each part that a diagnosis has: reliability, confusion, length, scores."""
    parts: dict[str, tuple[Any, Callable[..., str]]] = {
        "reliability": (diagnosis.reliability, _draw_reliability),
        "confusion": (diagnosis.confusion, _draw_confusion),
        "length": (diagnosis.by_length, _draw_length),
        "scores": (diagnosis.scores, _draw_scores),
    }
    figures = {}
    for kind, (part, drawn) in parts.items():
        if part is None:
            continue
        figure, _ = new_figure((6.4, 5.6), dpi=130)
        axes = figure.add_axes((0.2, 0.2, 0.76, 0.73) if kind == "confusion" else (0.11, 0.1, 0.86, 0.83))
        title = drawn(axes, part)
        axes.set_title(f"{_short(name)}: {title}", fontsize=11, color=_INK, loc="left", parse_math=False)
        axes.tick_params(labelsize=8)
        figures[kind] = figure
    return figures


def _draw_reliability(axes: Axes, found: Reliability) -> str:
    full = found.counts > 0
    shares = found.counts / max(1, found.counts.sum())
    axes.plot([0, 1], [0, 1], color=_GREY, linewidth=1, linestyle="--", label="as sure as it is right")
    edges = (np.arange(len(shares)) + 0.5) / len(shares)
    axes.bar(edges, shares, width=1 / len(shares), color=_GREY, alpha=0.25, label=f"share of the {found.of}")
    axes.plot(found.confidence[full], found.right[full], color=_BLUE, marker="o", markersize=5, label="right")
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="confidence", ylabel=f"share of {found.of} that are right")
    axes.legend(fontsize=8, frameon=False, loc="upper left")
    return f"calibration error {100 * found.error:.1f}%"


def _draw_confusion(axes: Axes, found: Confusion) -> str:
    shown = found.part(_MOST_NAMES)
    totals = shown.counts.sum(axis=1, keepdims=True)
    shares = shown.counts / np.maximum(totals, 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    names = [_short(name) for name in shown.names]
    axes.set_xticks(range(len(names)), names, rotation=60, ha="right", parse_math=False)
    axes.set_yticks(range(len(names)), names, parse_math=False)
    for row, column in np.argwhere(shown.counts > 0).tolist():
        color = "white" if shares[row, column] > 0.5 else _INK
        axes.text(column, row, str(shown.counts[row, column]), ha="center", va="center", fontsize=7, color=color)
    axes.set(xlabel="predicted", ylabel="true")
    left_out = len(found.names) - len(shown.names)
    return f"confused {found.of}" + (f", {len(shown.names)} of {len(found.names)} labels" if left_out else "")


def _draw_length(axes: Axes, found: ByLength) -> str:
    factor = 1.0 if found.metric == "absolute_error" else 100.0
    middle = (found.edges[:-1] + found.edges[1:]) / 2
    half = (found.edges[1:] - found.edges[:-1]) / 2
    low, high = factor * found.intervals.T
    bars = np.nan_to_num(np.abs(np.stack([factor * found.values - low, high - factor * found.values])))
    axes.errorbar(middle, factor * found.values, yerr=bars, xerr=half, fmt="o", color=_BLUE, ecolor=_GREY, linewidth=1)
    for x, y, count in zip(middle, factor * found.values, found.counts, strict=True):
        if np.isfinite(y):
            axes.annotate(f"{count:,}", (x, y), textcoords="offset points", xytext=(4, 5), fontsize=7, color=_GREY)
    if found.edges[-1] > 8 * max(1, found.edges[1]):
        axes.set_xscale("symlog", linthresh=max(1, int(found.edges[1])))
    axes.set(xlabel=f"length, {found.unit}", ylabel=length_words(found))
    return "errors by length" if factor == 1.0 else "quality by length"


def _draw_scores(axes: Axes, found: ScorePairs) -> str:
    both = np.concatenate([found.true, found.predicted])
    low, high = float(both.min()), float(both.max())
    axes.plot([low, high], [low, high], color=_GREY, linewidth=1, linestyle="--")
    axes.scatter(found.true, found.predicted, s=9, color=_ORANGE, alpha=0.5, linewidths=0)
    axes.set(xlabel="true score", ylabel="predicted score")
    return f"{len(found.true):,} scores"


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…"
