"""Matching a split's labels by name with a model's, which may be in another order, fewer or more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from liteft.data.split import Split
from liteft.errors import DataError, Hint
from liteft.foreign.meaning import LABELS_HINT
from liteft.tasks import task_of_labels

__all__ = ["meet_labels", "relabeled"]

_NAMED = 5


def relabeled(split: Split, names: Sequence[str]) -> Split:
    """Return a split with its labels as indices into other names, or as columns of them.

    A label that is not among them always counts as wrong: an index becomes -1, a multi-label row is marked as unseen.

    Args:
        split: a split that names its labels, or has none.
        names: the labels in their new order.
    """
    if split.labels is None or split.label_names == tuple(names):
        return split
    assert split.label_names is not None
    index = {name: number for number, name in enumerate(names)}
    place = np.array([index.get(name, -1) for name in split.label_names], dtype=np.int64)
    unseen_label = split.unseen_label
    moved, lost = task_of_labels(split.labels).relabel(split.labels, place, len(index))
    soft = None
    if split.soft_labels is not None:
        soft = np.zeros((len(split), len(index)), dtype=split.soft_labels.dtype)
        soft[:, place[place >= 0]] = split.soft_labels[:, place >= 0]
    if lost is not None and lost.any():
        unseen_label = lost if unseen_label is None else lost | unseen_label
    return replace(split, labels=moved, unseen_label=unseen_label, label_names=tuple(names), soft_labels=soft)


def meet_labels(split: Split, labels: Sequence[str], *, own: bool) -> tuple[Split, tuple[str, ...]]:
    """Return a split with labels in a model's order, and a note if it has labels that the model lacks.

    Args:
        split: a split that names its labels.
        labels: the model's, in the order of its logits.
        own: True if LiteFT made the model.

    Raises:
        DataError: they have no label in common.
    """
    assert split.label_names is not None
    names = split.label_names
    strange = [name for name in names if name not in set(labels)]
    if len(strange) == len(names):
        raise DataError(
            "the data and the models have no label in common.",
            accepted={"the data": ", ".join(names[:8]), "the models": ", ".join(labels[:8])},
            fix=[
                *([] if own else [LABELS_HINT]),
                Hint('label="COLUMN", if another column holds the label', "--label COLUMN, if another holds the label"),
            ],
        )
    met = relabeled(split, labels)
    count = int((_wrong(met) & ~_wrong(split)).sum())
    if not count:
        return met, ()
    shown = ", ".join(strange[:_NAMED]) + (", ..." if len(strange) > _NAMED else "")
    texts = "1 text has" if count == 1 else f"{count:,} texts have"
    return met, (f"{texts} a label that the models lack ({shown}) and can only be wrong there",)


def _wrong(split: Split) -> np.ndarray:
    """Return for which rows no prediction can be right: bool, shape (texts,)."""
    assert split.labels is not None
    unseen_label = np.zeros(len(split), dtype=bool) if split.unseen_label is None else split.unseen_label
    return np.asarray(unseen_label | ~task_of_labels(split.labels).known(split.labels))
