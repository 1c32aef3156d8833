"""How often each label occurs: as texts with it or, where words are tagged, as spans of each type."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from liteft.data.tag_schemes import OUTSIDE, type_of_tag
from liteft.ragged import Ragged, Rows
from liteft.tasks import Task

__all__ = ["count_labels", "count_touching", "counted_labels", "label_sets", "outside_share"]


def counted_labels(labels: Sequence[str], *, per_word: bool) -> tuple[str, ...]:
    """Return what `count_labels` counts: the labels; of tags, the types of spans and the tags that are of none."""
    if not per_word:
        return tuple(labels)
    return tuple(dict.fromkeys(type_of_tag(tag) for tag in labels if tag != OUTSIDE))


def count_labels(task: Task, values: Rows, labels: Sequence[str]) -> dict[str, int]:
    """Return how many texts have each label; of tags, how many spans of each type, and words with any other tag."""
    if not isinstance(values, Ragged):
        return dict(zip(labels, task.counts(values, len(labels)).tolist(), strict=True))
    counts = np.bincount(values.values[values.values >= 0], minlength=len(labels)).tolist()
    found = dict.fromkeys(counted_labels(labels, per_word=True), 0)
    for tag, count in zip(labels, counts, strict=True):
        kind = type_of_tag(tag)
        if tag != OUTSIDE and (kind == tag or tag.startswith("B-")):
            found[kind] += count
    return found


def label_sets(task: Task, values: Rows, labels: Sequence[str]) -> list[tuple[str, ...]]:
    """Return the label names of each text; of tags, the types of its spans and its other tags, but for O."""
    if not isinstance(values, Ragged):
        return [task.names_of(row, labels) for row in values]
    kinds = [() if tag == OUTSIDE else (type_of_tag(tag),) for tag in labels]
    return [tuple(dict.fromkeys(kind for tag in np.unique(row[row >= 0]) for kind in kinds[tag])) for row in values]


def outside_share(values: Ragged, labels: Sequence[str]) -> float | None:
    """Return the share of words with the tag O, 0 to 1; None without such a tag or without words."""
    if OUTSIDE not in labels or not len(values.values):
        return None
    return float((values.values == labels.index(OUTSIDE)).mean())


def count_touching(values: Ragged, labels: Sequence[str]) -> int:
    """Return how many spans begin right behind another of their type."""
    begins = np.array([type_of_tag(tag) != tag and tag.startswith("B-") for tag in labels], dtype=bool)
    kinds = {kind: number for number, kind in enumerate(dict.fromkeys(map(type_of_tag, labels)))}
    kind = np.array([kinds[type_of_tag(tag)] for tag in labels], dtype=np.int64)
    if len(values.values) < 2:
        return 0
    same_row = np.ones(len(values.values), dtype=bool)
    same_row[values.offsets[:-1][values.lengths > 0]] = False
    before, own = values.values[:-1], values.values[1:]
    known = same_row[1:] & (before >= 0) & (own >= 0)
    return int((known & begins[own] & (kind[before] == kind[own])).sum())
