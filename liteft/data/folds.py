"""Texts with their duplicates, and the folds of a split: every label in each, and a text and its duplicates in one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from liteft.data.label_counts import label_sets
from liteft.data.split import Split
from liteft.data.splitting import fold_numbers, text_keys
from liteft.tasks import Task

__all__ = ["count_different", "folds_of_split", "text_groups", "with_duplicates"]


def text_groups(split: Split) -> np.ndarray:
    """Return a number for each text, from 0 and without gaps, the same for duplicates: int64 (texts,)."""
    numbers: dict[str, int] = {}
    keys = text_keys(split.texts, split.pairs)
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys], dtype=np.int64)


def count_different(split: Split, task: Task) -> int:
    """Return how many texts of a split are no duplicates of one another, so the most folds that it can have."""
    return len(set(_keys(split, task)))


def with_duplicates(split: Split, chosen: np.ndarray) -> np.ndarray:
    """Return which texts are chosen or duplicates of one that is, bool (texts,); ``chosen`` has the same form."""
    groups = text_groups(split)
    return np.isin(groups, groups[chosen])


def folds_of_split(split: Split, task: Task, labels: Sequence[str], count: int, *, seed: int) -> np.ndarray:
    """Return the fold of each row, from 0: int64 (texts,).

    Args:
        split: with labels, and at least ``count`` different texts.
        task: what the labels mean.
        labels: label names.
        count: number of folds.
        seed: of the order in which texts are dealt out.
    """
    assert split.labels is not None
    return fold_numbers(_keys(split, task), label_sets(task, split.labels, labels), count, seed=seed)


def _keys(split: Split, task: Task) -> list[str]:
    """Return a key for each text, the same for texts of one fold."""
    return text_keys(split.texts, None if task.numeric else split.pairs)  # candidates of one query stay together
