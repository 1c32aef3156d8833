"""The training texts that are looked at: all of them, or as many as the time allows, drawn by a seed.

The number follows from an estimate of the work, not from a clock, so the same call draws the same texts on any machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from transformers import PretrainedConfig

from liteft.data import Dataset, Split
from liteft.data.folds import text_groups
from liteft.ragged import Rows
from liteft.tasks import Task

__all__ = ["FOLDS", "Sample", "draw", "texts_within"]

FOLDS = 5
_RATE = 40e9  # arithmetic operations per second of a forward pass; a core with bfloat16 does more
_SHARE = 0.4  # of the time for forward passes; the rest is for floors, discriminants and curves
_MOST, _FEWEST = 4_000, 300


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """Labelled training texts, and the fold in which each is scored.

    Attributes:
        split: the texts.
        task: what their labels mean.
        labels: the names of the labels.
        of: number of labelled texts in the training split.
        groups: int64 (texts,), a number for each text, the same for texts that differ only in case or white space.
        folds: int64 (texts,), 0 to 4. Texts of one group are in the same fold.
    """

    split: Split
    task: Task
    labels: tuple[str, ...]
    of: int
    groups: np.ndarray
    folds: np.ndarray

    def __len__(self) -> int:
        return len(self.split)

    @property
    def gold(self) -> Rows:
        """The label array: int64 (texts,), bool (texts, labels), or a Ragged of words."""
        assert self.split.labels is not None  # draw
        return self.split.labels


def texts_within(minutes: float, configs: Sequence[PretrainedConfig], *, tokens: float) -> int:
    """Return how many texts can be passed through some encoders in a time, between 300 and 4,000.

    Args:
        minutes: time for everything; forward passes get 40% of it.
        configs: the configurations of the encoders.
        tokens: mean length of a text.
    """
    operations = sum(2 * _layer_weights(config) * int(config.num_hidden_layers) * tokens for config in configs)
    return _MOST if not operations else int(np.clip(60 * minutes * _SHARE * _RATE / operations, _FEWEST, _MOST))


def _layer_weights(config: PretrainedConfig) -> int:
    width = int(config.hidden_size)
    return 4 * width**2 + 2 * width * int(getattr(config, "intermediate_size", None) or 4 * width)


def draw(dataset: Dataset, *, most: int, seed: int) -> Sample:
    """Return at most ``most`` labelled texts of the training split, in the order of the split.

    Args:
        dataset: the data; only its training split is read.
        most: number of texts.
        seed: draws the texts and the folds.
    """
    labels = dataset.train.labels
    assert labels is not None  # require_trainable
    rows = np.flatnonzero(dataset.task.known(labels))
    chosen = rows
    if len(rows) > most:
        chosen = np.sort(np.random.default_rng(seed).choice(rows, most, replace=False))
    split = dataset.train.take(chosen)
    groups = text_groups(split)
    return Sample(split, dataset.task, dataset.labels, len(rows), groups, _folds(split, groups, dataset, seed))


def _folds(split: Split, numbers: np.ndarray, dataset: Dataset, seed: int) -> np.ndarray:
    """Return the fold of each text: texts of a label are dealt out in turn, those with the same content together."""
    assert split.labels is not None
    held = dataset.task.indicators(split.labels, len(dataset.labels))
    frequency = held.sum(axis=0)
    groups = [np.flatnonzero(numbers == number) for number in range(numbers.max(initial=-1) + 1)]
    rarest = [min(np.flatnonzero(held[group[0]]), key=lambda one: frequency[one], default=-1) for group in groups]
    order = np.random.default_rng(seed).permutation(len(groups))
    folds = np.zeros(len(split), dtype=np.int64)
    for place, group in enumerate(sorted(order, key=lambda one: rarest[one])):
        folds[groups[group]] = place % FOLDS
    return folds
