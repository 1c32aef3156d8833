"""The texts that models are scored on, with gold labels in the first model's order.

Labels are matched by name. Models may list the same labels in different orders, and a data set may have fewer labels
or additional ones: the models cannot predict an additional label, so its rows count as wrong.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from liteft.config import read_recipe
from liteft.data import Dataset, Split, load_dataset
from liteft.data.relabeling import meet_labels
from liteft.errors import ConfigError, DataError, Hint, ModelError, option
from liteft.foreign import adopted_labels
from liteft.foreign.folders import run_of
from liteft.foreign.meaning import LABELS_HINT, renamed_text
from liteft.ragged import Rows, columns
from liteft.report.seen import check_unseen
from liteft.report.subjects import Subject
from liteft.tasks import Task, task_of_labels

__all__ = ["Gold", "find_gold", "find_test", "in_order"]

ALL = "all"


@dataclass(frozen=True, slots=True)
class Gold:
    """Texts with gold labels, and the models to score on them.

    Attributes:
        split: the texts; their labels are indices into ``labels``, or columns in the order of ``labels``.
        labels: label names in the first model's order.
        task: what the labels mean.
        data: name of the data set; "" if a split was given without its data set.
        notes: caveats for the reader of the numbers.
        subjects: the models; for folders that transformers wrote, ``paired`` and label names are taken from the data.
        named: those of the notes that are about label names taken from the data.
        dataset: the data set of the split, so that other splits need not be read again; None if only a split was given.
        seen: those of the notes that are about texts that models were trained on or chosen by.
    """

    split: Split
    labels: tuple[str, ...]
    task: Task
    data: str
    notes: tuple[str, ...]
    subjects: tuple[Subject, ...] = ()
    named: tuple[str, ...] = ()
    dataset: Dataset | None = None
    seen: tuple[str, ...] = ()

    @property
    def targets(self) -> Rows:
        """Gold labels: int64 (texts,), bool (texts, labels), or a Ragged of words."""
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
        on: a split, whose labels are matched by name if it has label names and otherwise are in the first model's
            order; a data set; a source for ``load_dataset``; or None for the data that the first run was trained on.
        subjects: the models.
        split: name of the split; "all" for every row of a single file, and the name of the split that is returned.
        settings: arguments of ``load_dataset``.

    Raises:
        DataError: the split does not exist, has no labels or no texts, does not fit the models, or is a test split that
            was drawn from texts that a model was trained on or chosen by.
        ConfigError: no data was given, and the first model is not a run that names its own.
    """
    first = subjects[0]
    if isinstance(on, Split):
        chosen, names, data, dataset = on, on.label_names, "", None
    else:
        dataset = on if isinstance(on, Dataset) else _load(on, first, split, settings)
        chosen = _chosen(dataset, split)
        names, data = dataset.labels, dataset.name
    _check(chosen, subjects)
    subjects, named = _settled(subjects, chosen, names)
    first = subjects[0]
    aligned, notes = _aligned(chosen, names, first)
    seen = check_unseen(chosen, dataset, subjects)
    if not isinstance(on, Split) and chosen.name in ("train", "validation"):
        use = "trained" if chosen.name == "train" else "chosen"
        notes += (f"models may have been {use} on {chosen.name}: its numbers flatter them",)
    task = first.task.bound(first.labels)
    return Gold(aligned, first.labels, task, data, named + seen + notes, subjects, named, dataset, seen)


def find_test(
    on: Dataset | str | os.PathLike[str] | None, subjects: Sequence[Subject], *, split: str, settings: dict[str, Any]
) -> Split | None:
    """Return the test split with labels as ``find_gold`` does, or None if the data has no test split that fits.

    None, too, if the models are verified on "all" rows (``split``): a test split of the same rows would add nothing.
    """
    if split == ALL:
        return None
    try:
        return find_gold(on, subjects, split="test", settings=settings).split
    except DataError:
        return None


def in_order(logits: Rows, labels: Sequence[str], order: Sequence[str]) -> Rows:
    """Return logits, (texts, labels) or a Ragged of words, with the columns reordered from ``labels`` to ``order``."""
    if tuple(labels) == tuple(order):
        return logits
    column = {label: index for index, label in enumerate(labels)}
    return columns(logits, [column[label] for label in order])


def _load(on: str | os.PathLike[str] | None, first: Subject, split: str, settings: dict[str, Any]) -> Dataset:
    """Load the data set to score on: the given source, or that of the first run."""
    if split == ALL:
        settings = {**settings, "validation_fraction": 0, "test_fraction": 0}
    if on is not None:
        dataset = load_dataset(on, **({"task": first.task} if first.stated else {}) | settings)
    else:
        recipe = first.path / "recipe.toml"
        table = read_recipe(recipe).data.model_dump() if recipe.is_file() else {}
        source = table.pop("source", None)
        if source is None:
            run = run_of(first.path)
            raise ConfigError(
                f"no data was given to compare on, and {first.name} does not name the data that it was trained on.",
                accepted={"data": "labelled texts; liteft export takes --unlabeled TEXTS instead, too"},
                fix=[
                    *([] if run is None else [f"give the run: {run}"]),
                    Hint("on=DATA", "--on DATA (liteft compare), --data DATA (liteft export)"),
                ],
            )
        dataset = load_dataset(source, **{**table, **settings})
    if split == ALL and len(dataset.splits) > 1:
        raise ConfigError(
            f"{dataset.name} has splits, so it cannot be scored as a whole.",
            accepted={"splits": ", ".join(dataset.splits)},
            fix=option("split", "test"),
        )
    return dataset


def _chosen(dataset: Dataset, name: str) -> Split:
    """Return a split by its name; for "all" the only one, under that name."""
    if name == ALL:
        return replace(dataset.train, name=ALL)
    if name == "test" and name not in dataset.splits:
        raise DataError(
            f"{dataset.name} has no test split.",
            accepted={"splits": ", ".join(dataset.splits)},
            fix=[
                Hint('on="OTHER_TEXTS", split="all"', "--on OTHER_TEXTS --split all"),
                option("split", "validation", note=", whose numbers flatter the models"),
            ],
        )
    return dataset.split(name)


def _check(split: Split, subjects: Sequence[Subject]) -> None:
    """Refuse a split without texts or labels, or one that does not fit the models."""
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
                fix=option("task", task, note=", if the model was trained that way"),
            )
        raise DataError(
            f"split {split.name!r} is {task}, and the models are {first.task}.", fix=option("task", first.task)
        )


def _settled(
    subjects: Sequence[Subject], split: Split, names: Sequence[str] | None
) -> tuple[tuple[Subject, ...], tuple[str, ...]]:
    """Return the models with pairs and label names as the data has them, and notes on label names taken from it."""
    paired = split.pairs is not None
    notes: tuple[str, ...] = ()
    found = [
        replace(subject, paired=paired, said=replace(subject.said, paired=subject.said.paired, seen_pairs=paired))
        for subject in subjects
    ]
    for number, subject in enumerate(found):
        wanted = found[0].labels if number else names
        adopted = None if wanted is None else adopted_labels(subject.labels, wanted)
        if adopted is not None and adopted != subject.labels:
            shown = renamed_text(subject.labels, adopted)
            notes += (f"the labels of {subject.name} are named as in the data: {shown}",)
            found[number] = replace(subject, labels=adopted)
    for other in found[1:]:
        if set(other.labels) != set(found[0].labels):
            raise ModelError(
                f"{other.name} and {found[0].name} have different labels.",
                accepted={each.name: ", ".join(each.labels[:8]) for each in (found[0], other)},
                fix=LABELS_HINT,
            )
    return tuple(found), notes


def _aligned(split: Split, names: Sequence[str] | None, first: Subject) -> tuple[Split, tuple[str, ...]]:
    """Return the split with labels in the model's order, and notes on labels that the model does not have."""
    labels = split.labels
    if labels is None:
        return split, ()
    if names is None:
        task = task_of_labels(labels)
        if task.misfit(labels, len(first.labels)):
            raise DataError(
                f"split {split.name!r} has {task.label_count(labels)} labels, and {first.name} has "
                f"{len(first.labels)}.",
                fix="give the Dataset instead of its split: labels are then matched by name",
            )
        return split, ()
    if tuple(names) == first.labels:
        return split, ()
    return meet_labels(replace(split, label_names=tuple(names)), first.labels, own=first.own)
