"""Floors as rows of a comparison: found beside the compared runs, or trained on what the first run was trained on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from liteft import metrics
from liteft.data import Dataset
from liteft.data.relabeling import relabeled
from liteft.floors import FLOORS_FILE, Floor, Floors, can_train, read_floors, train_floors
from liteft.ragged import Rows
from liteft.report.gold import Gold
from liteft.report.subjects import Subject
from liteft.report.verdict import not_better_than_floors

__all__ = ["MeasuredFloor", "find_floors", "measured_floors", "verdicts", "why_no_floors"]


@dataclass(frozen=True, slots=True)
class MeasuredFloor:
    """A floor's numbers in a comparison.

    Attributes:
        name: such as "naive Bayes".
        scores, intervals: metrics by name, and 95% intervals of some of them.
        paired: McNemar's test against the first model.
        f1_difference: where the main metric is an F1 (micro F1, that of spans), the 95% interval of its own minus the
            first model's; else None.
        agreement: share of texts, or words, that get the same answer from the first model.
    """

    name: str
    scores: dict[str, float]
    intervals: dict[str, tuple[float, float]]
    paired: metrics.PairedTest
    f1_difference: tuple[float, float] | None
    agreement: float

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers as plain data."""
        return {
            "name": self.name,
            "metrics": self.scores,
            "intervals": {name: list(interval) for name, interval in self.intervals.items()},
            "against_first": self.paired.to_dict(),
            "micro_f1_difference": None if self.f1_difference is None else list(self.f1_difference),
            "agreement_with_first": self.agreement,
        }


def why_no_floors(gold: Gold) -> str:
    """Return why a comparison has no floors, which was not asked to leave them out."""
    dataset, split = gold.dataset, gold.split.name
    if gold.task.numeric:
        return "no floors: there are none for scores"
    if gold.task.extractive:
        return "no floors: they give labels, and these questions are answered from contexts"
    if dataset is None:
        return "no floors: a split alone has no texts to train them on"
    if split in ("all", "train") or "train" not in dataset.splits:
        return "no floors: there are no labelled texts to train them on besides those that are scored"
    if set(dataset.labels) != set(gold.labels):
        return "no floors: the data has other labels than the models"
    if not _trained_on(gold, _relabeled(dataset, gold)):
        return "no floors: none of the models is a run that was trained on this data"
    return "no floors: scikit-learn, which trains them, is not installed"


def find_floors(gold: Gold, asked: bool | None, progress: Callable[[str], None]) -> Floors | None:
    """Return the floors of the data that a compared run was trained on, in the first model's order of labels.

    They are read from floors.json beside a run if it has those of the same data, and trained otherwise: without a base,
    so without the floor of its word vectors.

    Args:
        gold: the texts to score on.
        asked: True trains them, False does not, None does if scikit-learn is installed.
        progress: called with a line of text before a training.

    Returns:
        None if they are not asked for, if questions are answered, if the data is not what a run was trained on, if it
        has no training split, or if the models have other labels.

    Raises:
        MissingExtraError: they are asked for, and scikit-learn is not installed.
    """
    dataset, split = gold.dataset, gold.split.name
    if (
        asked is False
        or not gold.task.of_labels
        or dataset is None
        or split in ("all", "train")
        or "train" not in dataset.splits
    ):
        return None
    if set(dataset.labels) != set(gold.labels):
        return None
    dataset = _relabeled(dataset, gold)
    trained = _trained_on(gold, dataset)
    if not trained:
        return None
    for subject in trained:
        found = read_floors(subject.path.parent / FLOORS_FILE, dataset)
        if found is not None and split in found.splits:
            return found
    if asked is None and not can_train():
        return None
    progress(f"training floors on {len(dataset.train):,} texts")
    return train_floors(dataset)


def _relabeled(dataset: Dataset, gold: Gold) -> Dataset:
    """Return the data set with its labels in the first model's order."""
    splits = {name: relabeled(each, gold.labels) for name, each in dataset.splits.items()}
    return replace(dataset, labels=gold.labels, splits=splits)


def _trained_on(gold: Gold, dataset: Dataset) -> list[Subject]:
    """Return the models that were trained on a data set, whose labels are in the first model's order."""
    fingerprint = dataset.fingerprint
    return [subject for subject in gold.subjects if _fingerprint(subject) == fingerprint]


def measured_floors(floors: Floors, gold: Gold, first: Rows) -> tuple[MeasuredFloor, ...]:
    """Return the floors' numbers beside those of the first model.

    Args:
        floors: in the first model's order of labels.
        gold: the texts and their labels.
        first: logits of the first model, float (texts, labels).
    """
    return tuple(_measured(row, floors, gold, first) for row in floors.rows)


def _measured(row: Floor, floors: Floors, gold: Gold, first: Rows) -> MeasuredFloor:
    task, split, unseen_label = gold.task, gold.split.name, gold.split.unseen_label
    logits = row.logits(split, task, len(floors.labels))
    one, other = (task.correct(each, gold.targets, unseen_label=unseen_label) for each in (first, logits))
    return MeasuredFloor(
        name=row.name,
        scores=dict(row.scores[split]),
        intervals=dict(row.intervals[split]),
        paired=metrics.mcnemar(one, other),
        f1_difference=task.primary_difference(first, logits, gold.targets, unseen_label=unseen_label),
        agreement=task.agreement(first, logits),
    )


def verdicts(floors: Floors, gold: Gold, logits: Sequence[Rows]) -> tuple[str, ...]:
    """Return a sentence for each of the compared models that does not beat the floors."""
    split = gold.split
    unseen = split.unseen_label
    found = (
        not_better_than_floors(
            subject.name, each, gold.targets, floors, split.name, unseen_label=unseen, tuned=subject.tuned
        )
        for subject, each in zip(gold.subjects, logits, strict=True)
    )
    return tuple(line for line in found if line)


def _fingerprint(subject: Subject) -> str | None:
    data = (subject.info or {}).get("data") or {}
    found: str | None = data.get("fingerprint")
    return found
