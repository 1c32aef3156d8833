"""The floors of texts and of words, each with its features, its classifier and the settings that are tried."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from liteft.data import Split
from liteft.floors.features import Counts, WeightedCounts
from liteft.floors.linear import Fitted, logistic_regression, most_frequent, naive_bayes, support_vectors
from liteft.floors.vectors import MeanVectors, WordVectors
from liteft.floors.words import Neighbours, SpellingIds
from liteft.tasks import Task

__all__ = ["Kind", "kinds_of"]


class Features(Protocol):
    """What turns the texts of a split into a matrix, fitted on training texts."""

    description: str
    notes: tuple[str, ...]

    def __call__(self, split: Split) -> Any:
        """Return a matrix (texts, features), or (words, features)."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A floor before it is trained.

    Attributes:
        name: for tables and sentences.
        features: from the training split to what turns texts into a matrix.
        fit: a classifier of `linear`.
        grid: the settings that are tried; of equally good ones the first is taken.
        probable: whether the logits stand for probabilities, so that they can be calibrated.
    """

    name: str
    features: Callable[[Split], Features]
    fit: Callable[..., Fitted]
    grid: Sequence[Mapping[str, float]]
    probable: bool


def kinds_of(base: Path | None, task: Task) -> list[Kind]:
    """Return the floors that can be trained: two, and of texts a third if the folder of a base is known."""
    if task.per_word:
        return [
            Kind("most frequent tag of each word", SpellingIds, most_frequent, [{"alpha": 0.1}], True),
            Kind(
                "linear SVM of words and their neighbours",
                Neighbours,
                support_vectors,
                [{"c": c} for c in (0.1, 0.3, 0.03)],
                False,
            ),
        ]
    found = [
        Kind("naive Bayes", Counts, naive_bayes, [{"alpha": alpha} for alpha in (1.0, 0.3, 0.1)], True),
        Kind("TF-IDF with a linear SVM", WeightedCounts, support_vectors, [{"c": c} for c in (0.3, 0.1, 1.0)], False),
    ]
    if base is not None:
        vectors = WordVectors.of_folder(base)
        found.append(
            Kind(
                "mean word vectors with logistic regression",
                lambda _train: MeanVectors(vectors),
                logistic_regression,
                [{"c": c} for c in (0.1, 0.01, 1.0)],
                True,
            )
        )
    return found
