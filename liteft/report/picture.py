"""A comparison as a picture: the main metric against latency, each circle's area showing the size of the model's file.

Vertical bars are 95% intervals, horizontal bars reach from the fastest to the slowest round. The latency axis is
logarithmic if the models are far apart. matplotlib is used without pyplot, whose figures and settings belong to the
whole process, so drawing does not affect a notebook or a service.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from liteft import files
from liteft.errors import ConfigError, MissingExtraError, RunError, option
from liteft.installation import install_hint
from liteft.report.placing import Box, Label, place_labels
from liteft.report.result import Comparison
from liteft.text_tables import metric_words

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

__all__ = ["draw", "figure_of", "new_figure", "require_drawable", "require_matplotlib", "save"]

_FORMATS = ("png", "svg", "pdf")
_AUTHOR = "LiteFT"
_LARGEST_DIAMETER = 40.0  # points
_LOGARITHMIC_FROM = 4.0  # ratio of the slowest to the fastest latency
_LEADER_FROM = 10.0  # distance in points between a circle and its label from which a line connects them
_LONGEST_NAME = 34
_COLORS = {"torch": "#3b6fb6", "onnxruntime": "#d2691e"}
_ENGINES = {"torch": "torch", "onnxruntime": "ONNX file"}
_INK, _GREY, _PALE = "#222222", "#6b6b6b", "#e6e6e6"
_NAME_SIZE, _DETAIL_SIZE = 9.0, 7.5
_LEFT = 0.085  # left edge of the axes and the title, as a share of the width


@dataclass(frozen=True, slots=True)
class _Point:
    name: str
    engine: str
    latency_ms: float
    latency_range: tuple[float, float]
    quality: float
    interval: tuple[float, float]
    megabytes: float


def draw(comparison: Comparison, path: str | os.PathLike[str]) -> Path:
    """Draw the main metric against latency into a file and return its path.

    Args:
        comparison: a comparison whose models were timed.
        path: the file; its suffix is the format: .png, .svg or .pdf. Missing folders are created.

    Raises:
        MissingExtraError: matplotlib is not installed.
        ConfigError: the models were not timed, or the suffix is unknown.
        RunError: the path has a file that LiteFT did not draw, or the system refuses to write.
    """
    path = Path(path)
    require_drawable(path)
    save(figure_of(comparison), path)
    return path


def require_drawable(path: Path) -> None:
    """Check that a picture can be drawn and may be written to a path.

    Raises:
        ConfigError: the suffix is unknown.
        MissingExtraError: matplotlib is not installed.
        RunError: the path has a file that LiteFT did not draw.
    """
    if path.suffix.lower().removeprefix(".") not in _FORMATS:
        raise ConfigError(
            f"{path} does not have the suffix of a picture.",
            accepted={"suffixes": ", ".join(f".{name}" for name in _FORMATS)},
            fix=option("picture", path.with_suffix(".png") if path.name else "comparison.png"),
        )
    if path.is_file() and _AUTHOR.encode() not in path.read_bytes():
        raise RunError(f"{path} exists and was not drawn by LiteFT.", fix="choose another file, or move it elsewhere")
    require_matplotlib()


def require_matplotlib() -> None:
    """Refuse to draw, before anything is measured, where nothing can be drawn.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    try:
        import matplotlib.backends.backend_agg
        import matplotlib.figure  # noqa: F401
    except ImportError as error:
        raise MissingExtraError(
            f"a picture needs {error.name or 'matplotlib'}, which is not installed.",
            fix=install_hint("report"),
        ) from None


def save(figure: Figure, path: Path) -> None:
    """Write a figure in the format of the path's suffix, with LiteFT as its author and without a date."""
    kind = path.suffix.lower().removeprefix(".")
    signed: dict[str, Any] = {
        "png": {"Software": _AUTHOR},
        "svg": {"Creator": _AUTHOR, "Date": None},
        "pdf": {"Creator": _AUTHOR, "CreationDate": None},
    }
    with files.writing_file(path) as temporary:
        figure.savefig(temporary, format=kind, metadata=signed[kind])


def new_figure(size: tuple[float, float], *, dpi: int) -> tuple[Figure, FigureCanvasAgg]:
    """Return an empty figure and the canvas that measures its texts; no display is needed.

    Args:
        size: width and height in inches.
        dpi: pixels per inch.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    require_matplotlib()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, dpi=dpi, facecolor="white")
    return figure, FigureCanvasAgg(figure)


def figure_of(comparison: Comparison) -> Figure:
    """Return the picture as a matplotlib Figure with an Agg canvas.

    Its single Axes has a scatter plot with one point per model: latency in milliseconds, main metric in percent.

    Raises:
        MissingExtraError: matplotlib is not installed.
        ConfigError: the models were not timed.
    """
    points = _points(comparison)
    figure, canvas = new_figure((8.4, 5.2), dpi=160)
    axes = figure.add_axes((_LEFT, 0.115, 0.965 - _LEFT, 0.715))
    _set_axes(axes, points, metric_words(comparison.task.primary_metric))
    diameters = _draw_points(axes, points)
    _draw_labels(axes, canvas.get_renderer(), points, diameters)
    _write_head(figure, comparison, points)
    return figure


def _points(comparison: Comparison) -> list[_Point]:
    """Return what is drawn of each model: latency, main metric, their ranges, and the size of its file."""
    metric = comparison.task.primary_metric
    points = []
    for model in comparison.models:
        if model.speed is None:
            raise ConfigError("the models were not timed, so there is no latency to draw.", fix="compare with rounds=5")
        rounds = [one[0] for one in model.speed.rounds] or [model.speed.p50_ms]
        quality = 100 * model.scores[metric]
        low, high = model.intervals.get(metric, (quality / 100, quality / 100))
        points.append(
            _Point(
                _shortened(model.subject.name),
                model.subject.engine,
                model.speed.p50_ms,
                (min(rounds), max(rounds)),
                quality,
                (100 * low, 100 * high),
                model.subject.model_bytes / 1e6,
            )
        )
    return points


def _set_axes(axes: Axes, points: list[_Point], metric: str) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    fastest = min(point.latency_range[0] for point in points)
    slowest = max(point.latency_range[1] for point in points)
    if slowest > _LOGARITHMIC_FROM * fastest:
        pad = (slowest / fastest) ** 0.16
        axes.set_xscale("log")
        axes.set_xlim(fastest / pad, slowest * pad)
        # up to about two decades 2 and 5 are labelled, too; beyond, only powers of ten fit
        steps = (1.0, 2.0, 5.0) if slowest < 200 * fastest else (1.0,)
        axes.xaxis.set_major_locator(LogLocator(subs=steps))
        axes.xaxis.set_minor_formatter(NullFormatter())
    else:
        pad = max(0.2 * (slowest - fastest), 0.1 * slowest)
        axes.set_xlim(max(0.0, fastest - pad), slowest + pad)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    low = min(point.interval[0] for point in points)
    high = max(point.interval[1] for point in points)
    pad = max(0.14 * (high - low), 0.5)
    axes.set_ylim(low - pad, high + pad)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}" if 0 <= value <= 100 else ""))
    axes.set_xlabel("latency of one text, median in ms", color=_INK, fontsize=9.5)
    axes.set_ylabel(f"{metric}, %", color=_INK, fontsize=9.5)
    axes.grid(True, color=_PALE, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(which="both", colors=_GREY, labelsize=8.5, length=0)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color("#b5b5b5")


def _draw_points(axes: Axes, points: list[_Point]) -> list[float]:
    """Draw circles and bars; return the circles' diameters in points."""
    largest = max(point.megabytes for point in points) or 1.0
    diameters = [_LARGEST_DIAMETER * math.sqrt(point.megabytes / largest) for point in points]
    colors = [_COLORS[point.engine] for point in points]
    latencies, qualities = [point.latency_ms for point in points], [point.quality for point in points]
    for point, color in zip(points, colors, strict=True):
        axes.vlines(point.latency_ms, *point.interval, color=color, linewidth=1.3, alpha=0.75, zorder=2)
        axes.hlines(point.quality, *point.latency_range, color=color, linewidth=1.3, alpha=0.75, zorder=2)
    areas = [diameter**2 for diameter in diameters]
    axes.scatter(latencies, qualities, s=areas, c=colors, alpha=0.3, linewidths=0, zorder=3, gid="sizes")
    # the circle of a small file may be smaller than the width of a line, so the centre is always marked
    axes.scatter(latencies, qualities, s=11, c=colors, linewidths=0, zorder=4, gid="centres")
    return diameters


def _draw_labels(axes: Axes, renderer: Any, points: list[_Point], diameters: list[float]) -> None:
    """Write each point's name and file size where they cover neither circles nor other labels, if possible."""
    pixels = axes.figure.dpi / 72
    frame = axes.get_window_extent(renderer)
    labels, obstacles = [], []
    for point, diameter in zip(points, diameters, strict=True):
        x, y = axes.transData.transform((point.latency_ms, point.quality))
        name = _extent(axes, renderer, point.name, _NAME_SIZE)
        detail = _extent(axes, renderer, _detail(point), _DETAIL_SIZE)
        width, height = max(name[0], detail[0]), name[1] + detail[1] + 2 * pixels
        radius = pixels * max(diameter / 2, 3)
        labels.append(Label(x, y, radius, width, height))
        obstacles.append(Box(x - radius, y - radius, x + radius, y + radius))
        left, right = (axes.transData.transform((value, point.quality))[0] for value in point.latency_range)
        bottom, top = (axes.transData.transform((point.latency_ms, value))[1] for value in point.interval)
        obstacles += [Box(x - pixels, bottom, x + pixels, top), Box(left, y - pixels, right, y + pixels)]
    inside = Box(frame.x0 + 4 * pixels, frame.y0 + 4 * pixels, frame.x1, frame.y1)
    for point, label, box in zip(points, labels, place_labels(labels, obstacles, inside, 4 * pixels), strict=True):
        _write_label(axes, point, label, box, pixels)


def _write_label(axes: Axes, point: _Point, label: Label, box: Box, pixels: float) -> None:
    """Write the name and size of a point into a box, with a line to the point if they are far apart."""
    left_of_point = box.right <= label.x
    side, x = ("right", box.right) if left_of_point else ("left", box.left)
    anchor = (point.latency_ms, point.quality)
    common: dict[str, Any] = {"xy": anchor, "textcoords": "offset points", "ha": side, "zorder": 6}
    distance = box.distance(label.x, label.y) - label.radius
    if distance > _LEADER_FROM * pixels:
        near = box.nearest(label.x, label.y)
        axes.annotate(
            "",
            xy=anchor,
            xytext=((near[0] - label.x) / pixels, (near[1] - label.y) / pixels),
            textcoords="offset points",
            zorder=5,
            arrowprops={
                "arrowstyle": "-",
                "color": "#8a8a8a",
                "linewidth": 0.7,
                "shrinkA": 1.5,
                "shrinkB": 0,
            },
        )
    lines = (
        (point.name, _NAME_SIZE, _INK, "top", box.top),
        (_detail(point), _DETAIL_SIZE, _GREY, "bottom", box.bottom),
    )
    for text, size, color, vertical, y in lines:
        offset = ((x - label.x) / pixels, (y - label.y) / pixels)
        axes.annotate(text, xytext=offset, va=vertical, fontsize=size, color=color, parse_math=False, **common)


def _write_head(figure: Figure, comparison: Comparison, points: list[_Point]) -> None:
    """Write the title, the explanations and the legend above the axes."""
    where = f"{comparison.data} {comparison.split}".strip()
    metric = metric_words(comparison.task.primary_metric)
    plural = "s" if comparison.threads > 1 else ""
    place = f"{comparison.machine['processor']}, {comparison.threads} thread{plural}"
    if comparison.device != "cpu":
        place = f"{comparison.device}, {place}"
    lines = [
        f"{comparison.texts:,} texts; {place}",
        "a circle's area is the size of the model's file; bars are 95% intervals, and the range over rounds",
    ]
    title = f"{where}: {metric} against latency".removeprefix(": ")
    figure.text(_LEFT, 0.95, title, fontsize=12.5, color=_INK, weight="bold", parse_math=False)
    for number, line in enumerate(lines):
        figure.text(_LEFT, 0.908 - 0.034 * number, line, fontsize=8, color=_GREY, parse_math=False)
    engines = list(dict.fromkeys(point.engine for point in points))
    if len(engines) > 1:
        from matplotlib.lines import Line2D

        marks = [Line2D([], [], marker="o", linestyle="", color=_COLORS[engine], markersize=6) for engine in engines]
        figure.legend(
            marks,
            [_ENGINES[engine] for engine in engines],
            loc="upper right",
            bbox_to_anchor=(0.975, 0.995),
            ncols=len(engines),
            frameon=False,
            fontsize=8.5,
            labelcolor=_INK,
            handletextpad=0.2,
            columnspacing=1.2,
        )


def _extent(axes: Axes, renderer: Any, text: str, size: float) -> tuple[float, float]:
    """Return the width and height of a text in pixels."""
    probe = axes.text(0, 0, text, fontsize=size, parse_math=False)
    extent = probe.get_window_extent(renderer)
    probe.remove()
    return float(extent.width), float(extent.height)


def _detail(point: _Point) -> str:
    size = f"{point.megabytes:.0f}" if point.megabytes >= 100 else f"{point.megabytes:#.3g}"
    return f"{point.quality:.1f}%, {size} MB"


def _shortened(name: str) -> str:
    half = _LONGEST_NAME // 2
    return name if len(name) <= _LONGEST_NAME else f"{name[:half]}…{name[1 - half :]}"
