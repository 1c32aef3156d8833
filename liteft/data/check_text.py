"""The data check as text: a table of the splits, the labels, and what deserves attention."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING

from liteft.data.cells import counted
from liteft.data.notes import Words
from liteft.data.notes import lines as worded_lines

if TYPE_CHECKING:
    from liteft.data.check import DataCheck, SplitCheck

__all__ = ["render", "warnings_of"]

_SHOWN = 6


def render(check: DataCheck) -> Words:
    """Return a check as text for a terminal, without a newline at the end."""
    labels = f"{len(check.labels)} label{'s' if len(check.labels) != 1 else ''}"
    lines = [f"data: {check.name} ({check.task.replace('_', '-')}, {labels})", ""]
    lines += [f"  {line}" for line in _table(check)]
    counted = [f"{split.name} {split.lengths.sampled:,}" for split in check.splits if split.lengths.sampled]
    if counted:
        lines.append(f"  lengths from an even sample of rows: {', '.join(counted)}")
    train = next((split for split in check.splits if split.name == "train" and split.labels), None)
    if train is not None and train.labels is not None:
        lines += ["", f"  labels in train: {_distribution(train.labels, train.rows)}"]
    lines += [_after("  note: ", note) for note in check.notes]
    lines += [_after("  warning: ", warning) for warning in warnings_of(check)]
    return worded_lines(lines)


def _after(start: str, text: str) -> Words:
    return Words(start + text, start + getattr(text, "command", text))


def warnings_of(check: DataCheck) -> tuple[str, ...]:
    """Return what deserves attention, one line each, the gravest first."""
    found = [
        f"{counted(overlap.rows)} of {overlap.split} ({_share(overlap.share)}) with texts that stand in "
        f"{overlap.other}, too: {_short(overlap.example[0])}, and {_short(overlap.example[1])}"
        for overlap in check.overlaps
    ]
    for split in check.splits:
        if split.unseen:
            found.append(f"{split.name} has labels that train lacks, and counts them as wrong: {_some(split.unseen)}")
    for split in check.splits:
        found += _split_warnings(split)
    if check.rare:
        found.append(
            f"{len(check.rare)} of {len(check.labels)} labels with under {check.rare_below} rows in train: "
            f"{_some(check.rare)}"
        )
    found += [f"labels that differ in case or white space only: {', '.join(group)}" for group in check.alike]
    found += [line for split in check.splits for line in _truncation(split, check.max_tokens)][:1]
    return tuple(found)


def _split_warnings(split: SplitCheck) -> Iterable[str]:
    if split.contradictions and split.contradiction_example is not None:
        one, two = split.contradiction_example
        yield (
            f"{counted(split.contradictions)} of {split.name} whose text stands under another label, too: "
            f"{_short(one)}, and {_short(two)}"
        )
    if split.empty:
        yield f"{counted(split.empty)} of {split.name} without a text"
    for place, length in list(split.endless.items())[:3]:
        yield f"{_short(place)} ({split.name}) is endless: {length:,} {split.lengths.unit}"
    if len(split.endless) > 3:
        yield f"more endless texts in {split.name}"
    if split.duplicates and split.name == "train":
        yield f"{counted(split.duplicates)} of {split.name} repeating the text of an earlier one exactly"


def _truncation(split: SplitCheck, max_tokens: int | None) -> Iterable[str]:
    share = split.lengths.truncated
    if share is not None and share > 0.05 and max_tokens is not None:
        cut = f"{share:.1%} of the texts of {split.name} are cut at {max_tokens} tokens"
        most = f"95% have at most {round(split.lengths.p95):,}"
        yield Words(f"{cut} (max_tokens); {most}", f"{cut} (--max-tokens); {most}")


def _table(check: DataCheck) -> list[str]:
    unit = check.splits[0].lengths.unit if check.splits else "tokens"
    header = [
        "split",
        "rows",
        f"{unit}: median",
        "95%",
        "longest",
        "cut",
        "empty",
        "duplicates",
        "contradictory",
    ]
    rows = [header]
    for split in check.splits:
        lengths = split.lengths
        cut = "-" if lengths.truncated is None else _share(lengths.truncated)
        rows.append(
            [
                split.name,
                f"{split.rows:,}",
                f"{lengths.median:g}",
                f"{lengths.p95:g}",
                f"{lengths.max:,}",
                cut,
                f"{split.empty:,}",
                f"{split.duplicates:,}",
                "-" if split.labels is None else f"{split.contradictions:,}",
            ]
        )
    return _aligned(rows)


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(
            cell.rjust(width) if column else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def _distribution(labels: Mapping[str, int], rows: int) -> str:
    by_count = sorted(labels.items(), key=lambda item: -item[1])
    if len(by_count) <= 2 * _SHOWN:
        return ", ".join(f"{label} {count:,} ({count / max(1, rows):.1%})" for label, count in labels.items())
    if by_count[0][1] == by_count[-1][1]:
        return f"{len(labels)}, {by_count[0][1]:,} rows each"
    most = ", ".join(f"{label} {count:,}" for label, count in by_count[:3])
    least = ", ".join(f"{label} {count:,}" for label, count in by_count[-3:])
    return f"{most}, ..., {least}"


def _some(counts: Mapping[str, int]) -> str:
    shown = [f"{label} {count:,}" for label, count in list(counts.items())[:_SHOWN]]
    more = len(counts) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")


def _share(share: float) -> str:
    return "under 0.1%" if 0 < share < 0.001 else f"{share:.1%}"


def _short(place: str) -> str:
    """Return a place with the file's name instead of its path."""
    path, comma, row = place.rpartition(", ")
    return f"{PurePath(path).name}{comma}{row}"
