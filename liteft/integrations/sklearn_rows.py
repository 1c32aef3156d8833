"""Texts and labels as scikit-learn's callers have them: arrays, lists and tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.utils.multiclass import check_classification_targets, type_of_target

from liteft.errors import InputError
from liteft.tasks import MULTI_LABEL, SINGLE_LABEL

__all__ = ["Gold", "columns_of", "gold_of"]

_FORMS = {"X": "texts: a list, array or Series of str; pairs: two columns, or a list of (text, text)"}


@dataclass(frozen=True, slots=True)
class Gold:
    """Labels that a classifier is fitted on.

    Attributes:
        classes: (classes,) as they were given, sorted; of several labels the numbers of columns.
        names: of the classes, as LiteFT calls them.
        rows: each row's name, (texts,), or 0 and 1 for each class, (texts, classes).
        several: whether a row may have several labels.
    """

    classes: np.ndarray
    names: tuple[str, ...]
    rows: list[Any]
    several: bool

    @property
    def task(self) -> str:
        """The name of LiteFT's task."""
        return (MULTI_LABEL if self.several else SINGLE_LABEL).name


def columns_of(X: Any) -> tuple[list[str], list[str] | None]:
    """Return the texts of X, and the second texts if it holds pairs.

    Raises:
        InputError: a single text, no sequence, another shape, or a value that is not a text; it is a ValueError.
    """
    if isinstance(X, str | bytes):
        raise InputError("X is one text.", accepted=_FORMS, fix="[text], for a single one")
    if isinstance(X, dict | set | frozenset):
        raise InputError(f"X is a {type(X).__name__}.", accepted=_FORMS, fix="a list of texts")
    try:
        values = np.asarray(X if hasattr(X, "__array__") else list(X), dtype=object)
    except (TypeError, ValueError) as error:
        raise InputError(f"X is not a list of texts: {error}.", accepted=_FORMS, fix="a list of texts") from None
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim not in (1, 2) or (values.ndim == 2 and values.shape[1] != 2):
        raise InputError(f"X has the shape {values.shape}.", accepted=_FORMS, fix="one column of texts, or two")
    for place, value in enumerate(values.ravel().tolist()):
        if not isinstance(value, str):
            row = place // (values.shape[1] if values.ndim == 2 else 1)
            raise InputError(
                f"row {row} of X is of type {type(value).__name__}, not a text.", accepted=_FORMS, fix="leave it out"
            )
    if values.ndim == 1:
        return [str(value) for value in values], None
    return [str(value) for value in values[:, 0]], [str(value) for value in values[:, 1]]


def refuse_empty(texts: Sequence[str]) -> None:
    """Refuse a training text without a word.

    Raises:
        InputError: there is one; it is a ValueError.
    """
    for row, text in enumerate(texts):
        if not text.strip():
            raise InputError(
                f"row {row} of X is empty.", accepted={"X": "texts with at least one word"}, fix="leave it out"
            )


def gold_of(y: Any) -> Gold:
    """Return the labels in y.

    Raises:
        ValueError: they are numbers to predict, lists of labels, or of one class alone.
    """
    try:
        kind = type_of_target(y, input_name="y")
    except TypeError:  # None, or not a number, among strings
        kinds = sorted({type(value).__name__ for value in np.asarray(y, dtype=object).ravel().tolist()})
        raise InputError(
            f"y holds labels of several types, which have no order: {', '.join(kinds)}.",
            accepted={"y": "labels of one type: strings, integers or booleans"},
            fix="leave out rows without a label, or [str(label) for label in y]",
        ) from None
    check_classification_targets(y)
    values = np.asarray(y.todense() if hasattr(y, "todense") else y)
    if kind == "multilabel-indicator":
        names = tuple(f"label{number}" for number in range(values.shape[1]))
        return Gold(np.arange(values.shape[1]), names, values.astype(int).tolist(), several=True)
    if kind not in ("binary", "multiclass"):
        raise InputError(
            f"y holds {kind} targets.",
            accepted={"y": "a label for each text, (texts,), or a matrix of 0 and 1, (texts, classes)"},
            fix="sklearn.preprocessing.MultiLabelBinarizer().fit_transform(y), for lists of labels",
        )
    classes, numbers = np.unique(values.ravel(), return_inverse=True)
    if len(classes) < 2:
        raise InputError(
            f"y has 1 class, {classes[0] if len(classes) else 'none'}.",
            accepted={"y": "at least two classes"},
            fix="texts of another class too",
        )
    names = tuple(str(each) for each in classes)
    if len({name for name in names if name and name == name.strip()}) < len(names):  # LiteFT's names are stripped
        names = tuple(f"class{number}" for number in range(len(classes)))
    return Gold(classes, names, [names[number] for number in numbers], several=False)
