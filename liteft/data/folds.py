"""Texts with their duplicates, and the folds of a split: every label in each, and what belongs together in one."""

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
    """Return how many texts of a split, or groups that stay together, there are: the most folds that it can have."""
    return len(set(_kept_together(split, task)))


def with_duplicates(split: Split, chosen: np.ndarray) -> np.ndarray:
    """Return which texts are chosen or duplicates of one that is, bool (texts,); ``chosen`` has the same form."""
    groups = text_groups(split)
    return np.isin(groups, groups[chosen])


def folds_of_split(split: Split, task: Task, labels: Sequence[str], count: int, *, seed: int) -> np.ndarray:
    """Return the fold of each row, from 0: int64 (texts,).

    Args:
        split: with labels, and at least ``count`` different texts (`count_different`).
        task: what the labels mean.
        labels: label names.
        count: number of folds.
        seed: of the order in which texts are dealt out.
    """
    assert split.labels is not None
    names = label_sets(task, split.labels, labels)
    return fold_numbers(_kept_together(split, task), names, count, seed=seed)


def _kept_together(split: Split, task: Task) -> list[str]:
    """Return a key for each row; rows with the same one are in one fold.

    These are duplicates, candidates of one query, and questions about one context.
    """
    if task.extractive and split.pairs is not None:
        return text_keys(split.pairs, None)
    return text_keys(split.texts, None if task.numeric else split.pairs)
