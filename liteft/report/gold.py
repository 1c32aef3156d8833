"""The texts that models are scored on, with labels in the models' order.

Labels meet by name. Models may list the same labels in different orders, and a data set may lack some or know
more: a label that the models do not know can never be predicted, so its rows count as wrong.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from liteft.config import read_recipe
from liteft.data import Dataset, Split, load_dataset
from liteft.data.relabeling import meet_labels
from liteft.errors import ConfigError, DataError, Hint, ModelError, option
from liteft.foreign import adopted_labels
from liteft.foreign.meaning import LABELS_HINT, renamed_text
from liteft.report.subjects import Subject
from liteft.tasks import Task, task_of_labels

__all__ = ["Gold", "find_gold", "find_test", "in_order"]

ALL = "all"


@dataclass(frozen=True, slots=True)
class Gold:
    """What models are scored on.

    Attributes:
        split: texts; its labels are indices into, or columns of, ``labels``.
        labels: label names, in the first model's order.
        task: of the labels.
        data: name of the data set; "" for a split that came alone.
        notes: caveats for reading the numbers.
        subjects: the models, with what the texts showed of those that transformers wrote: pairs, and labels by name.
        named: the notes on the latter.
        dataset: that the split is one of, so that another need not be read anew; None for a split that came alone.
    """

    split: Split
    labels: tuple[str, ...]
    task: Task
    data: str
    notes: tuple[str, ...]
    subjects: tuple[Subject, ...] = ()
    named: tuple[str, ...] = ()
    dataset: Dataset | None = None

    @property
    def targets(self) -> np.ndarray:
        """Gold labels, int64 (texts,) or bool (texts, labels)."""
        if self.split.labels is None:
            raise DataError(f"split {self.split.name!r} has no labels.", fix="give a split with labels")
        return self.split.labels


def find_gold(
    on: Split | Dataset | str | os.PathLike[str] | None,
    subjects: Sequence[Subject],
    *,
    split: str,
    settings: dict[str, Any],
) -> Gold:
    """Return the texts and labels to score on.

    Args:
        on: a split, whose labels meet the models' by name where it knows them, and else are in the first model's order;
            a data set; what ``load_dataset`` takes; or None
            for the data that the first run was trained on.
        subjects: the models.
        split: which split of a data set; "all" for every row of a source that is one file.
        settings: of ``load_dataset``.

    Raises:
        DataError: no such split, no labels, no texts, or texts and labels that do not fit the models.
        ConfigError: no data were named, and the first model is not a run, which would know its own.
    """
    first = subjects[0]
    if isinstance(on, Split):
        chosen, names, data, dataset = on, on.label_names, "", None
    else:
        dataset = on if isinstance(on, Dataset) else _load(on, first, split, settings)
        chosen = dataset.split("train" if split == ALL else split)
        names, data = dataset.labels, dataset.name
    _check(chosen, subjects)
    subjects, named = _settled(subjects, chosen, names)
    first = subjects[0]
    aligned, notes = _aligned(chosen, names, first)
    if not isinstance(on, Split) and chosen.name in ("train", "validation"):
        use = "trained" if chosen.name == "train" else "chosen"
        notes += (f"models may have been {use} on {chosen.name}: its numbers flatter them",)
    return Gold(aligned, first.labels, first.task, data, named + notes, subjects, named, dataset)


def find_test(
    on: Dataset | str | os.PathLike[str] | None, subjects: Sequence[Subject], *, split: str, settings: dict[str, Any]
) -> Split | None:
    """Return the test split with its labels, as ``find_gold`` does; None where the data have none that fits.

    None, too, where ``split``, which the models are verified on, is "all": a test split made of the same rows says
    nothing more.
    """
    if split == ALL:
        return None
    try:
        return find_gold(on, subjects, split="test", settings=settings).split
    except DataError:
        return None


def in_order(logits: np.ndarray, labels: Sequence[str], order: Sequence[str]) -> np.ndarray:
    """Return logits (texts, labels) with their columns in another order of the same labels."""
    if tuple(labels) == tuple(order):
        return logits
    column = {label: index for index, label in enumerate(labels)}
    return logits[:, [column[label] for label in order]]


def _load(on: str | os.PathLike[str] | None, first: Subject, split: str, settings: dict[str, Any]) -> Dataset:
    if split == ALL:
        settings = {**settings, "validation_fraction": 0, "test_fraction": 0}
    if on is not None:
        dataset = load_dataset(on, **({"task": first.task} if first.stated else {}) | settings)
    else:
        recipe = first.path / "recipe.toml"
        table = read_recipe(recipe).data.model_dump() if recipe.is_file() else {}
        source = table.pop("source", None)
        if source is None:
            raise ConfigError(
                f"no data were named to compare on, and {first.name} does not say what it was trained on.",
                fix=Hint("on=DATA", "--data DATA"),
            )
        dataset = load_dataset(source, **{**table, **settings})
    if split == ALL and len(dataset.splits) > 1:
        raise ConfigError(
            f"{dataset.name} has splits, so there is no scoring all of it.",
            accepted={"splits": ", ".join(dataset.splits)},
            fix=option("split", "test"),
        )
    return dataset


def _check(split: Split, subjects: Sequence[Subject]) -> None:
    first = subjects[0]
    if split.labels is None:
        raise DataError(
            f"split {split.name!r} has no labels, so there is nothing to score against.", fix="give a split with labels"
        )
    if not len(split):
        raise DataError(f"split {split.name!r} has no texts.", fix="give a split with texts")
    paired = split.pairs is not None
    other = next((subject for subject in subjects if subject.paired not in (None, paired)), None)
    if other is not None:
        raise DataError(
            f"split {split.name!r} has {'pairs' if paired else 'single texts'}, and {other.name} reads "
            f"{'pairs' if other.paired else 'single texts'}.",
            fix=Hint('pair="COLUMN"', "--pair COLUMN")
            if other.paired
            else Hint("leave out pair, or pair=''", "leave out --pair, or --pair ''"),
        )
    task = task_of_labels(split.labels)
    if task != first.task:
        if not first.stated:
            raise DataError(
                f"split {split.name!r} is {task}, and config.json of {first.name} does not say whether its texts have "
                "one label or several.",
                accepted={"task": "single_label, by softmax, or multi_label, by a sigmoid for each label"},
                fix=option("task", task, note=", if the model was trained so"),
            )
        raise DataError(
            f"split {split.name!r} is {task}, and the models are {first.task}.", fix=option("task", first.task)
        )


def _settled(
    subjects: Sequence[Subject], split: Split, names: Sequence[str] | None
) -> tuple[tuple[Subject, ...], tuple[str, ...]]:
    """Return the models with what the texts show of them, and notes on what was taken from there."""
    paired = split.pairs is not None
    notes: tuple[str, ...] = ()
    found = [
        replace(subject, paired=paired, said=replace(subject.said, paired=subject.said.paired, seen_pairs=paired))
        for subject in subjects
    ]
    for number, subject in enumerate(found):
        wanted = found[0].labels if number else names
        taken = None if wanted is None else adopted_labels(subject.labels, wanted)
        if taken is not None and taken != subject.labels:
            shown = renamed_text(subject.labels, taken)
            notes += (f"the labels of {subject.name} are named as the data name them: {shown}",)
            found[number] = replace(subject, labels=taken)
    for other in found[1:]:
        if set(other.labels) != set(found[0].labels):
            raise ModelError(
                f"{other.name} and {found[0].name} have different labels.",
                accepted={each.name: ", ".join(each.labels[:8]) for each in (found[0], other)},
                fix=LABELS_HINT,
            )
    return tuple(found), notes


def _aligned(split: Split, names: Sequence[str] | None, first: Subject) -> tuple[Split, tuple[str, ...]]:
    """Return the split with labels in the model's order, and notes on labels that the model does not know."""
    labels = split.labels
    if labels is None:
        return split, ()
    if names is None:
        task = task_of_labels(labels)
        if task.misfit(labels, len(first.labels)):
            raise DataError(
                f"split {split.name!r} has {task.label_count(labels)} labels, and {first.name} has "
                f"{len(first.labels)}.",
                fix="give the Dataset instead of its split: labels then meet by name",
            )
        return split, ()
    if tuple(names) == first.labels:
        return split, ()
    return meet_labels(replace(split, label_names=tuple(names)), first.labels, own=first.own)
