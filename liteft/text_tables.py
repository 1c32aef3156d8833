"""Tables of text: in aligned columns for a terminal, or in Markdown."""

from __future__ import annotations

from collections.abc import Collection, Sequence

__all__ = ["Rows", "aligned", "markdown", "metric_words", "one_line", "points", "share", "shortened"]

Rows = Sequence[Sequence[str]]
_ABBREVIATED = {"ndcg_10": "nDCG@10", "mrr": "MRR", "rmse": "RMSE", "mae": "MAE"}


def aligned(rows: Rows, *, texts: int | Collection[int], rule: bool = True) -> str:
    """Return rows as a table in columns: text is aligned left, numbers are aligned right.

    Args:
        rows: the cells, in rows of the same length; the first row is the header.
        texts: the columns with text: the number of first columns, or their indices from 0.
        rule: add a line of dashes below the header.
    """
    left = range(texts) if isinstance(texts, int) else texts
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = enumerate(zip(row, widths, strict=True))
        padded = [cell.ljust(width) if column in left else cell.rjust(width) for column, (cell, width) in cells]
        lines.append("  ".join(padded).rstrip())
    if rule:
        lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(lines)


def markdown(rows: Rows, *, texts: int) -> str:
    """Return rows as a Markdown table; the first row is the header, the first ``texts`` columns are aligned left."""
    escaped = [tuple(cell.replace("|", "\\|") for cell in row) for row in rows]
    marks = tuple("---" if column < texts else "---:" for column in range(len(rows[0])))
    return "\n".join(f"| {' | '.join(row)} |" for row in [escaped[0], marks, *escaped[1:]])


def metric_words(metric: str) -> str:
    """Return a metric's name as people write it: "macro F1" for "macro_f1"."""
    return _ABBREVIATED.get(metric) or metric.replace("_", " ").replace("f1", "F1")


def share(value: float, interval: tuple[float, float] | None = None) -> str:
    """Return a share in percent, followed by its interval if there is one: "87.6 [82.5, 91.4]"."""
    text = f"{100 * value:.1f}"
    return text if interval is None else f"{text} [{100 * interval[0]:.1f}, {100 * interval[1]:.1f}]"


def one_line(text: str) -> str:
    """Return a text with single spaces for all white space."""
    return " ".join(text.split())


def shortened(text: str, most: int) -> str:
    """Return a text of at most ``most`` characters: the text, or its beginning and three dots."""
    return text if len(text) <= most else f"{text[: most - 3]}..."


def points(gain: float, interval: tuple[float, float]) -> str:
    """Return a difference of two shares in points, with its interval: "+1.3 [+0.4, +2.0]"."""
    return f"{100 * gain:+.1f} [{100 * interval[0]:+.1f}, {100 * interval[1]:+.1f}]"
