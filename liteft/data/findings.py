"""What the data check found, per split: as plain data, and as text with what deserves attention."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import PurePath
from typing import Any

from liteft.data.cells import counted
from liteft.data.lengths import Lengths
from liteft.data.notes import Words
from liteft.data.notes import lines as worded_lines
from liteft.data.spread import Spread
from liteft.results import Result
from liteft.tasks import Task
from liteft.text_tables import aligned

__all__ = ["SURE", "DataCheck", "Overlap", "SplitCheck", "short_place"]

SURE = 0.8  # a label of a lower probability is uncertain
_SHOWN = 6


@dataclass(frozen=True)
class SplitCheck:
    """What was found in one split.

    Attributes:
        name: the split.
        rows: number of texts.
        labels: label -> number of rows with it, in the order of classes; where words are labelled, type -> number of
            spans, and other tags than O -> number of words. None without labels.
        unlabelled: multi-label rows without any label.
        unseen: label that the training split lacks -> number of rows.
        lengths: the lengths of its texts.
        empty: rows without a visible character.
        endless: place -> length of texts with over 10,000 tokens or 50,000 characters, at most 20.
        duplicates: rows whose exact text occurs in an earlier row of the split.
        contradictions: rows whose text also occurs under other labels.
        contradiction_example: places of two of them, or None.
        confidence: mean probability of the rows' labels, as far as they have probabilities: of the row's label or,
            multi-label, of each label's more probable answer; None without probabilities.
        uncertain: share of rows of which this is below 0.8, 0 to 1; None without probabilities.
        outranked: rows of a single-label task with another label that is more probable than theirs.
        tied: rows of a single-label task with another label that is as probable as theirs, and none more.
        words: number of words; None for tasks whose labels belong to whole texts.
        outside: share of words with the tag O, 0 to 1; None without such a tag.
        touching: spans that begin right behind another of their type.
        scores: how the scores are distributed, where labels are numbers; else None.
    """

    name: str
    rows: int
    labels: Mapping[str, int] | None
    unlabelled: int
    unseen: Mapping[str, int]
    lengths: Lengths
    empty: int
    endless: Mapping[str, int]
    duplicates: int
    contradictions: int
    contradiction_example: tuple[str, str] | None
    confidence: float | None = None
    uncertain: float | None = None
    outranked: int = 0
    tied: int = 0
    words: int | None = None
    outside: float | None = None
    touching: int = 0
    scores: Spread | None = None


@dataclass(frozen=True)
class Overlap:
    """Texts that occur in two splits.

    Attributes:
        split: the split that is scored.
        other: the split that also has the texts.
        rows: number of rows of ``split`` whose text occurs in ``other``.
        share: ``rows`` divided by all rows of ``split``, 0 to 1.
        example: places of one such text in both.
    """

    split: str
    other: str
    rows: int
    share: float
    example: tuple[str, str]


@dataclass(frozen=True)
class DataCheck(Result):
    """What ``check_dataset`` found.

    Attributes:
        name: the data set.
        task: its task.
        labels: its labels.
        fingerprint: SHA-256 of its content.
        max_tokens: the length to which texts are truncated; None without a tokenizer.
        splits: findings by split.
        pool: findings in the unlabelled pool; None without one.
        left_out: number of texts that are not in the pool because a scored split repeats them, exactly or nearly.
        overlaps: texts in two splits, the largest overlap first.
        rare: label -> number of training rows, or spans, for labels with fewer than ``rare_below``.
        rare_below: the bound.
        alike: groups of labels that differ only in case or white space.
        notes: what the loader decided on its own.
    """

    name: str
    task: Task
    labels: tuple[str, ...]
    fingerprint: str
    max_tokens: int | None
    splits: tuple[SplitCheck, ...]
    overlaps: tuple[Overlap, ...]
    rare: Mapping[str, int]
    rare_below: int
    alike: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...]
    pool: SplitCheck | None = None
    left_out: int = 0

    @property
    def warnings(self) -> tuple[str, ...]:
        """What deserves attention, one line each, the most serious first."""
        return _warnings(self)

    def render(self) -> str:
        """Return the check as text for a terminal, without a newline at the end."""
        return _render(self)

    def __repr__(self) -> str:
        rows = sum(split.rows for split in self.splits)
        return f"DataCheck({self.name}: {rows:,} rows, {len(self.labels)} labels, {len(self.warnings)} warnings)"

    def to_dict(self) -> dict[str, Any]:
        """Return the check as plain dicts, lists, numbers and strings, for JSON."""
        return {**asdict(self), "warnings": list(self.warnings)}


def _render(check: DataCheck) -> Words:
    kind = "tag" if check.task.per_word else "label"
    labels = f"{len(check.labels)} {kind}{'s' if len(check.labels) != 1 else ''}"
    counted_in = "" if check.task.extractive else f", {labels}"
    lines = [f"data: {check.name} ({check.task.replace('_', '-')}{counted_in})", ""]
    lines += [f"  {line}" for line in _table(check).splitlines()]
    sampled = [f"{split.name} {split.lengths.sampled:,}" for split in check.splits if split.lengths.sampled]
    if sampled:
        lines.append(f"  lengths from an even sample of rows: {', '.join(sampled)}")
    train = next((split for split in check.splits if split.name == "train" and split.labels), None)
    if train is not None and train.labels is not None and train.words is not None:
        lines += ["", *(f"  {line}" for line in _words(check))]
    elif check.task.numeric:
        lines += ["", *(f"  scores in {each.name}: {each.scores.words()}" for each in check.splits if each.scores)]
        lines += [] if train is None or train.scores is None else [f"  {_learned(check.task, train.scores)}"]
    elif train is not None and train.labels is not None:
        what = "questions" if check.task.extractive else "labels"
        lines += ["", f"  {what} in train: {_distribution(train.labels, train.rows)}"]
    lines += [
        f"  probabilities of {split.name}'s labels: {split.confidence:.2f} on average; "
        f"below {SURE} in {_share(split.uncertain)} of the rows"
        for split in check.splits
        if split.confidence is not None and split.uncertain is not None
    ]
    lines += [_after("  note: ", note) for note in check.notes]
    lines += [_after("  warning: ", warning) for warning in _warnings(check)]
    return worded_lines(lines)


def _words(check: DataCheck) -> Iterable[str]:
    """Yield the lines on labels of words: how many there are of each, by split."""
    spans = any(label.startswith("B-") for label in check.labels)
    for split in check.splits:
        if split.labels is None or split.words is None:
            continue
        what = f"{sum(split.labels.values()):,} spans in " if spans else ""
        outside = "" if split.outside is None else f", {_share(split.outside)} of them outside"
        touching = f"; {split.touching:,} begin right behind another of their type" if split.touching else ""
        yield f"{split.name}: {what}{split.words:,} words{outside}{touching}: {_distribution(split.labels)}"


def _learned(task: Task, scores: Spread) -> str:
    """Return how scores will be learned, and why."""
    if task.activation == "sigmoid":
        return "all scores of train lie from 0 to 1: learned through a sigmoid, by cross entropy"
    end = f"up to {scores.largest:.12g}" if scores.largest > 1 else f"down to {scores.least:.12g}"
    return f"scores of train go {end}, and not all lie from 0 to 1: learned by squared error, without a sigmoid"


def _after(start: str, text: str) -> Words:
    return Words(start + text, start + getattr(text, "command", text))


def _warnings(check: DataCheck) -> tuple[str, ...]:
    found = [
        f"{counted(overlap.rows)} of {overlap.split} ({_share(overlap.share)}) with texts that "
        f"{overlap.other} also contains: {short_place(overlap.example[0])}, and {short_place(overlap.example[1])}"
        for overlap in check.overlaps
    ]
    for split in check.splits:
        if split.unseen:
            found.append(f"{split.name} has labels that train lacks; they count as wrong: {_some(split.unseen)}")
    for split in check.splits:
        found += _split_warnings(split)
    if check.rare:
        train = next(split for split in check.splits if split.name == "train")
        of_words = train.words is not None
        found.append(
            f"{len(check.rare)} of {len(train.labels or ())} labels with under {check.rare_below} "
            f"{'spans or words' if of_words else 'rows'} in train: {_some(check.rare)}"
        )
    found += [f"labels that differ only in case or white space: {', '.join(group)}" for group in check.alike]
    if not check.task.extractive:  # a long context becomes several windows
        found += [line for split in check.splits for line in _truncation(split, check.max_tokens)][:1]
    return tuple(found)


def _split_warnings(split: SplitCheck) -> Iterable[str]:
    if split.contradictions and split.contradiction_example is not None:
        one, two = split.contradiction_example
        yield (
            f"{counted(split.contradictions)} of {split.name} whose text also has another "
            f"{'label' if split.scores is None else 'score'}: "
            f"{short_place(one)}, and {short_place(two)}"
        )
    if split.outranked:
        yield (
            f"{counted(split.outranked)} of {split.name} whose label is less probable than another, "
            "which shares what a low confidence leaves"
        )
    if split.tied:
        yield (
            f"{counted(split.tied)} of {split.name} with two or more equally probable labels: "
            "the stated one is theirs or, in a map, the first by name"
        )
    if split.scores is not None and split.scores.least == split.scores.largest:
        yield f"all scores of {split.name} are {split.scores.least:.4g}: correlations with them are 0 for any model"
    if split.empty:
        yield f"{counted(split.empty)} of {split.name} without a text"
    for place, length in list(split.endless.items())[:3]:
        yield f"{short_place(place)} ({split.name}) is very long: {length:,} {split.lengths.unit}"
    if len(split.endless) > 3:
        yield f"more very long texts in {split.name}"
    if split.duplicates and split.name == "train":
        yield f"{counted(split.duplicates)} of {split.name} that repeat an earlier text exactly"


def _truncation(split: SplitCheck, max_tokens: int | None) -> Iterable[str]:
    share = split.lengths.truncated
    if share is not None and share > 0.05 and max_tokens is not None:
        cut = f"{share:.1%} of the texts of {split.name} are cut at {max_tokens} tokens"
        most = f"95% have at most {round(split.lengths.p95):,}"
        yield Words(f"{cut} (max_tokens); {most}", f"{cut} (--max-tokens); {most}")


def _table(check: DataCheck) -> str:
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
    for split in (*check.splits, *([] if check.pool is None else [check.pool])):
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
    return aligned(rows, texts=1, rule=False)


def _distribution(labels: Mapping[str, int], rows: int | None = None) -> str:
    """Return how many there are of each label, and of how many rows that is which share."""
    by_count = sorted(labels.items(), key=lambda item: -item[1])
    if len(by_count) <= 2 * _SHOWN and rows is None:
        return ", ".join(f"{label} {count:,}" for label, count in labels.items())
    if len(by_count) <= 2 * _SHOWN and rows is not None:
        return ", ".join(f"{label} {count:,} ({count / max(1, rows):.1%})" for label, count in labels.items())
    if by_count[0][1] == by_count[-1][1]:
        return f"{len(labels)}, {by_count[0][1]:,} {'each' if rows is None else 'rows each'}"
    most = ", ".join(f"{label} {count:,}" for label, count in by_count[:3])
    least = ", ".join(f"{label} {count:,}" for label, count in by_count[-3:])
    return f"{most}, ..., {least}"


def _some(counts: Mapping[str, int]) -> str:
    shown = [f"{label} {count:,}" for label, count in list(counts.items())[:_SHOWN]]
    more = len(counts) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")


def _share(share: float) -> str:
    return "under 0.1%" if 0 < share < 0.001 else f"{share:.1%}"


def short_place(place: str) -> str:
    """Return a place with its file's name instead of the path."""
    path, comma, row = place.rpartition(", ")
    return f"{PurePath(path).name}{comma}{row}"
