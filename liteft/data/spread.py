"""How the scores of a split are distributed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["Spread", "spread_of"]


@dataclass(frozen=True)
class Spread:
    """How the scores of a split are distributed: the least, quantiles, the largest, mean and standard deviation."""

    least: float
    p5: float
    median: float
    p95: float
    largest: float
    mean: float
    deviation: float

    def words(self) -> str:
        """Return the distribution in words."""
        return (
            f"{self.least:.4g} to {self.largest:.4g}, median {self.median:.4g}, 90% from {self.p5:.4g} to "
            f"{self.p95:.4g}; mean {self.mean:.4g}, deviation {self.deviation:.4g}"
        )


def spread_of(scores: np.ndarray) -> Spread | None:
    """Return how scores are distributed, float (texts,), without those that are NaN; None if there are none."""
    known = scores[~np.isnan(scores)]
    if not len(known):
        return None
    least, p5, median, p95, largest = np.quantile(known, [0, 0.05, 0.5, 0.95, 1]).tolist()
    return Spread(least, p5, median, p95, largest, float(known.mean()), float(known.std()))
