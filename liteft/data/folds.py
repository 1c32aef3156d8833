"""The folds of a split: every label in each of them, and a text and its duplicates in one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from liteft.data.split import Split
from liteft.data.splitting import fold_numbers, text_keys
from liteft.tasks import Task

__all__ = ["count_different", "folds_of_split"]


def count_different(split: Split) -> int:
    """Return how many texts of a split are no duplicates of one another, so the most folds that it can have."""
    return len(set(text_keys(split.texts, split.pairs)))


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
    names = [task.names_of(row, labels) for row in split.labels]
    return fold_numbers(text_keys(split.texts, split.pairs), names, count, seed=seed)
