"""Trained floors: their metrics and their decisions, as data and as a table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from liteft.ragged import Rows, applied
from liteft.results import Result
from liteft.tasks import Task
from liteft.text_tables import aligned, metric_words, share

__all__ = ["Floor", "Floors", "as_logits", "metrics_of", "not_beaten"]

_OF_PROBABILITIES = ("log_loss", "calibration_error")


@dataclass(frozen=True, slots=True, eq=False)
class Floor:
    """A simple model that was trained on the labels.

    Attributes:
        name: such as "naive Bayes".
        settings: what was chosen: the features in words, numbers by name.
        scores: split -> metric -> value, as ``Task.score`` returns it; without log_loss and calibration_error if the
            floor has no probabilities.
        intervals: split -> metric -> 95% interval.
        decisions: split -> predicted labels, in the form of ``Task.decide``.
        seconds: of training and scoring.
    """

    name: str
    settings: Mapping[str, float | str]
    scores: Mapping[str, Mapping[str, float]]
    intervals: Mapping[str, Mapping[str, tuple[float, float]]]
    decisions: Mapping[str, Rows]
    seconds: float

    def logits(self, split: str, task: Task, count: int) -> Rows:
        """Return logits (texts, labels) that give the floor's decisions, for the paired tests of ``Task``."""
        return as_logits(self.decisions[split], task, count)

    def to_dict(self) -> dict[str, Any]:
        """Return everything but the decisions as plain data."""
        return {
            "name": self.name,
            "settings": dict(self.settings),
            "metrics": {split: dict(scores) for split, scores in self.scores.items()},
            "intervals": {
                split: {name: list(interval) for name, interval in intervals.items()}
                for split, intervals in self.intervals.items()
            },
            "seconds": self.seconds,
        }


@dataclass(frozen=True, eq=False, repr=False)
class Floors(Result):
    """The floors of a data set.

    Attributes:
        rows: the floors.
        task: what the labels mean.
        labels: label names; decisions are indices into them, or columns in their order.
        data: name of the data set.
        training_texts: number of texts that the floors were trained on.
        notes: caveats for the reader of the numbers.
        fingerprint: of the data set; "" for a split alone.
    """

    rows: tuple[Floor, ...]
    task: Task
    labels: tuple[str, ...]
    data: str
    training_texts: int
    notes: tuple[str, ...] = field(default_factory=tuple)
    fingerprint: str = ""

    def __repr__(self) -> str:
        return f"Floors({self.data or 'a split'}: {', '.join(row.name for row in self.rows)})"

    @property
    def splits(self) -> tuple[str, ...]:
        """Names of the splits that the floors were scored on."""
        return tuple(self.rows[0].scores)

    def best(self, split: str, metric: str | None = None) -> Floor:
        """Return the floor with the highest value of a metric on a split; None is the task's primary metric."""
        name = metric or self.task.primary_metric
        return max(self.rows, key=lambda row: row.scores[split][name])

    def render(self) -> str:
        """Return the floors as a table: a line for each floor and split."""
        shown = self.task.headline_metrics
        rows: list[tuple[str, ...]] = [("floor", "split", *(f"{metric_words(name)} %" for name in shown))]
        for row in self.rows:
            for split in self.splits:
                cells = [share(row.scores[split][name], row.intervals[split].get(name)) for name in shown]
                rows.append((row.name, split, *cells))
        return "\n".join([aligned(rows, texts=2), *(f"Note: {note}." for note in self.notes)])

    def to_dict(self) -> dict[str, Any]:
        """Return the floors as plain data for JSON, without decisions."""
        return {
            "data": self.data,
            "fingerprint": self.fingerprint,
            "task": str(self.task),
            "training_texts": self.training_texts,
            "floors": [row.to_dict() for row in self.rows],
            "notes": list(self.notes),
        }


def not_beaten(own: Mapping[str, float], floors: Mapping[str, Mapping[str, float]], task: Task) -> list[str]:
    """Return the names of the floors that a model does not beat in every metric of ``Task.judged_by`` that it has.

    Args:
        own: metrics of the model.
        floors: name -> metrics on the same texts.
        task: what the labels mean.
    """
    names = [name for name in task.judged_by if name in own]
    return [floor for floor, scores in floors.items() if any(own[name] <= scores[name] for name in names)]


def as_logits(decisions: Rows, task: Task, count: int) -> Rows:
    """Return logits that give these decisions: float32 (texts, labels), 10 for a predicted label and -10 for others."""
    return applied(lambda chosen: np.where(chosen, np.float32(10), np.float32(-10)), task.indicators(decisions, count))


def metrics_of(
    task: Task, logits: Rows, labels: Rows, unseen_label: np.ndarray | None, *, probable: bool = False
) -> dict[str, float]:
    """Return the metrics of logits; those of probabilities only if the logits are ``probable``."""
    scores = task.score(logits, labels, unseen_label=unseen_label)
    return {name: value for name, value in scores.items() if probable or name not in _OF_PROBABILITIES}
