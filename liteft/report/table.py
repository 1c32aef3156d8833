"""A comparison as tables: for a terminal and in Markdown, from the same cells."""

from __future__ import annotations

from collections.abc import Sequence

from liteft.metrics import primary_metric
from liteft.report.comparison import Comparison, Measured

__all__ = ["aligned", "markdown", "render", "share", "to_markdown"]

Rows = list[tuple[str, ...]]


def render(comparison: Comparison) -> str:
    """Return the comparison as text for a terminal: first how good, then how large and fast."""
    parts = [_title(comparison), "", aligned(_quality(comparison), texts=2), ""]
    parts += [aligned(_costs(comparison), texts=2), "", *_explanations(comparison)]
    return "\n".join(parts)


def to_markdown(comparison: Comparison) -> str:
    """Return the comparison as two Markdown tables with their explanations."""
    lines = [f"- {line}" for line in _explanations(comparison)]
    tables = [markdown(_quality(comparison), texts=2), markdown(_costs(comparison), texts=2)]
    return "\n\n".join([_title(comparison), *tables, "\n".join(lines)]) + "\n"


def aligned(rows: Rows, *, texts: int) -> str:
    """Return rows in columns, the first ``texts`` columns to the left and the others to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = zip(row, widths, strict=True)
        padded = [cell.ljust(width) if n < texts else cell.rjust(width) for n, (cell, width) in enumerate(cells)]
        lines.append("  ".join(padded).rstrip())
    return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]])


def markdown(rows: Rows, *, texts: int) -> str:
    """Return rows as a Markdown table, its first row the header."""
    escaped = [tuple(cell.replace("|", "\\|") for cell in row) for row in rows]
    marks = tuple("---" if column < texts else "---:" for column in range(len(rows[0])))
    return "\n".join(f"| {' | '.join(row)} |" for row in [escaped[0], marks, *escaped[1:]])


def share(value: float, interval: tuple[float, float] | None = None) -> str:
    """Return a share in percent, with its interval where there is one."""
    text = f"{100 * value:.1f}"
    return text if interval is None else f"{text} [{100 * interval[0]:.1f}, {100 * interval[1]:.1f}]"


def _quality(comparison: Comparison) -> Rows:
    single = comparison.task == "single_label"
    shown = ("accuracy", "macro_f1") if single else ("micro_f1", "macro_f1", "exact_match")
    first = comparison.models[0].subject.name
    several = len(comparison.models) > 1
    header: tuple[str, ...] = ("model", "form", *(f"{name.replace('_', ' ')} %" for name in shown))
    if several:
        header += (f"vs {first}", "p", "agree %")
    rows = [header]
    for model in comparison.models:
        cells = [share(model.scores[name], model.intervals.get(name)) for name in shown]
        if several:
            cells += [_difference(model), _p_value(model), f"{100 * model.agreement:.1f}"]
        rows.append((model.subject.name, model.subject.form, *cells))
    return rows


def _costs(comparison: Comparison) -> Rows:
    header = ("model", "form", "parameters", "file MB", "folder MB", "p50 ms", "p99 ms", "texts/s", "peak MB")
    rows: Rows = [header]
    mark = "~" if comparison.doubt else ""
    for model in comparison.models:
        subject, speed, peak = model.subject, model.speed, model.peak_memory_bytes
        rows.append(
            (
                subject.name,
                subject.form,
                f"{subject.parameters / 1e6:.1f} M",
                f"{subject.model_bytes / 1e6:.1f}",
                f"{subject.folder_bytes / 1e6:.1f}",
                "-" if speed is None else mark + _three_digits(speed.p50_ms),
                "-" if speed is None else mark + _three_digits(speed.p99_ms),
                "-" if speed is None else f"{mark}{speed.texts_per_second:,.0f}",
                "-" if peak is None else f"{peak / 1e6:,.0f}",
            )
        )
    return rows


def _difference(model: Measured) -> str:
    """Points gained on the first model, with a 95% interval."""
    if model.paired is None:
        return "-"
    if model.f1_difference is not None:
        low, high = model.f1_difference
        return f"[{100 * low:+.1f}, {100 * high:+.1f}]"
    low, high = model.paired.low, model.paired.high
    return f"{100 * model.paired.difference:+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]"


def _p_value(model: Measured) -> str:
    if model.paired is None:
        return "-"
    return "<0.001" if model.paired.p_value < 0.001 else f"{model.paired.p_value:.3f}"


def _three_digits(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _title(comparison: Comparison) -> str:
    where = f"{comparison.data} {comparison.split}".strip()
    majority = f"the most frequent answer alone: {100 * comparison.majority:.1f}%"
    return f"{where}: {comparison.texts:,} texts; {majority}"


def _explanations(comparison: Comparison) -> Sequence[str]:
    first = comparison.models[0].subject.name
    metric = primary_metric(comparison.task).replace("_", " ")
    lines = ["[ ]: 95% intervals. MB: 10^6 bytes; folder: every file beside the model, too."]
    if len(comparison.models) > 1:
        tested = "right texts" if comparison.task == "single_label" else "texts with every label right"
        lines.append(f"vs {first}: points of {metric} gained. p: McNemar's paired test on {tested}.")
    speed = comparison.models[0].speed
    if speed is not None:
        threads = f"{comparison.threads} thread{'s' if comparison.threads > 1 else ''}"
        place = f"{comparison.machine['processor']}, {threads}"
        if comparison.device != "cpu":
            place = f"{comparison.device}, {place}"
        rounds = f"{len(speed.rounds)} round{'s' if len(speed.rounds) > 1 else ''}"
        lines.append(
            f"Speed: {place}; from text to label, tokenization included; medians of {rounds} in turns, "
            f"{speed.calls} single texts and {speed.batches} calls of {comparison.batch_size} each."
        )
        if comparison.doubt:
            lines.append(f"~: {comparison.doubt}. No ratio of these speeds holds; compare again on a quiet machine.")
        lines.append("Peak MB: all of a fresh process that loads the model and is timed.")
    return [*lines, *(f"Note: {note}." for note in comparison.notes)]
