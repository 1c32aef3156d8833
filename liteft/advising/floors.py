"""The floors as judges: fitted on any rows, with their first settings, so that they have learning curves too."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from liteft.advising.judges import Judge, as_many_as_fitted
from liteft.advising.sample import Sample
from liteft.floors.kinds import Kind, kinds_of

__all__ = ["floor_judges"]


def floor_judges(sample: Sample, base: Path | None) -> Iterator[tuple[str, Judge]]:
    """Yield the name and the judge of each floor.

    Args:
        sample: the texts.
        base: folder of the base whose word vectors the last floor has; None leaves it out.
    """
    for kind in kinds_of(base, sample.task):
        yield kind.name, _judging(kind, sample)


def _judging(kind: Kind, sample: Sample) -> Judge:
    def judge(fitted: np.ndarray, scored: np.ndarray) -> np.ndarray:
        train = sample.split.take(fitted)
        assert train.labels is not None  # draw
        features = kind.features(train)
        logits = kind.fit(features(train), train.labels, sample.task, len(sample.labels), **kind.grid[0])
        return as_many_as_fitted(logits(features(sample.split.take(scored))), fitted, sample)

    return judge
