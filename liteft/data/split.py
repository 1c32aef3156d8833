"""A split of a data set: texts, their labels as an array, and where each row came from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from liteft.errors import DataError
from liteft.ragged import Ragged, Rows, concatenated
from liteft.tasks import task_of_labels
from liteft.words import misplaced

__all__ = ["MAIN_SPLITS", "SPLIT_ALIASES", "Provenance", "Split", "canonical_split", "joined"]

SPLIT_ALIASES: Mapping[str, str] = {
    "train": "train",
    "training": "train",
    "trn": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "development": "validation",
    "test": "test",
    "testing": "test",
    "tst": "test",
}
MAIN_SPLITS = ("train", "validation", "test")


def canonical_split(name: str) -> str:
    """Return "train", "validation" or "test" for their usual names, and any other name unchanged."""
    return SPLIT_ALIASES.get(name.casefold(), name)


@dataclass(frozen=True, eq=False)
class Provenance:
    """Where the rows of a split came from.

    Attributes:
        sources: names of the files, or of the objects in memory.
        source: index into ``sources``, int32, shape (texts,).
        rows: line in a text file, row in anything else, counted from 1; int64, shape (texts,).
        unit: what ``rows`` counts: "line" or "row".
    """

    sources: tuple[str, ...]
    source: np.ndarray
    rows: np.ndarray
    unit: str = "row"

    def where(self, index: int) -> str:
        """Return the place of one text, such as "reviews.csv, line 17"."""
        return f"{self.sources[int(self.source[index])]}, {self.unit} {int(self.rows[index])}"

    def places(self, indices: Sequence[int], *, most: int = 3) -> str:
        """Return the places of some texts, such as "reviews.csv, lines 3, 17, 20 and 12 more"."""
        if len(indices) == 1:
            return self.where(indices[0])
        source = int(self.source[indices[0]])
        shown = [index for index in indices[:most] if int(self.source[index]) == source]
        rows = ", ".join(str(int(self.rows[index])) for index in shown)
        more = f" and {len(indices) - len(shown):,} more" if len(indices) > len(shown) else ""
        return f"{self.sources[source]}, {self.unit}{'s' if len(shown) > 1 else ''} {rows}{more}"

    def take(self, indices: np.ndarray) -> Provenance:
        """Return the provenance of some of the texts."""
        return Provenance(self.sources, self.source[indices], self.rows[indices], self.unit)


@dataclass(frozen=True, eq=False)
class Split:
    """Texts and their labels.

    Attributes:
        name: "train", "validation", "test" or an extra's own name.
        texts: the texts, or the first text of each pair.
        pairs: the second texts, one per text; None if the task has no pairs.
        labels: single label: int64, shape (texts,), -1 for a label that the training split lacks;
            multi-label: bool, shape (texts, labels); tokens: Ragged int64 with a label for each word; scores: float64,
            shape (texts,), NaN for an unknown one; answers: AnswerLabels, whose contexts are ``pairs``; None:
            unlabelled.
        unseen_label: bool, shape (texts,): True for rows with a label that the training split lacks, which count as
            wrong; None if there are none.
        provenance: where the rows came from; None for splits made by hand.
        label_names: the names that ``labels`` are indices into, or columns of: those of the split's data set; None for
            splits made by hand.
        soft_labels: the probability of each label, by which training rows are learned: float32, shape (texts, labels);
            rows of a single-label task sum to 1. None if labels have no probabilities.
        words: where the words of each text begin and end, in code points: Ragged int32, (words, 2) for each text. None
            for tasks whose labels belong to texts.
        marked: the word of each text that its labels are about, such as the predicate of its semantic roles, counted
            from 0: int64, shape (texts,); None if the task has none.

    Raises:
        DataError: the lengths differ, or there are fewer label names than labels.
    """

    name: str
    texts: list[str]
    pairs: list[str] | None = None
    labels: Rows | None = None
    unseen_label: np.ndarray | None = None
    provenance: Provenance | None = None
    label_names: tuple[str, ...] | None = None
    soft_labels: np.ndarray | None = None
    words: Ragged | None = None
    marked: np.ndarray | None = None

    def __repr__(self) -> str:
        what = "texts" if self.pairs is None else "pairs"
        return f"Split({self.name!r}: {len(self):,} {what}, {'no ' if self.labels is None else ''}labels)"

    def __post_init__(self) -> None:
        rows = len(self.texts)
        lengths = {
            "pairs": None if self.pairs is None else len(self.pairs),
            "labels": None if self.labels is None else len(self.labels),
            "unseen_label": None if self.unseen_label is None else len(self.unseen_label),
            "soft_labels": None if self.soft_labels is None else len(self.soft_labels),
            "words": None if self.words is None else len(self.words),
            "marked": None if self.marked is None else len(self.marked),
            "provenance": None if self.provenance is None else len(self.provenance.rows),
        }
        wrong = {name: f"{length:,}" for name, length in lengths.items() if length not in (None, rows)}
        if wrong:
            raise DataError(
                f"split {self.name!r} has {rows:,} texts but a different number of {', '.join(wrong)}.",
                accepted=wrong,
                fix="give one entry per text in each of them",
            )
        if self.words is not None:
            self._check_words(self.words)
        if self.labels is None or self.label_names is None or not rows:
            return
        if not isinstance(self.labels, np.ndarray | Ragged) or self.labels.dtype.kind not in "iubf":
            raise DataError(
                f"the labels of split {self.name!r} are not an array of integers, booleans or scores.",
                accepted=_LABELS,
                fix="labels=np.array([0, 1, ...])",
            )
        names = len(self.label_names)
        if found := task_of_labels(self.labels).misfit(self.labels, names):
            raise DataError(
                f"split {self.name!r} has {found}, and names for {names}.",
                accepted=_LABELS,
                fix="give one name for every label that occurs",
            )

    def _check_words(self, words: Ragged) -> None:
        wrong = misplaced(self.texts, words, self.marked)
        if not wrong and isinstance(self.labels, Ragged) and not words.fits(self.labels):
            wrong = "other numbers of labels than of words"
        if wrong:
            raise DataError(
                f"split {self.name!r} has {wrong}.",
                accepted={"words": "places within their text, in order", "labels": "one for each word"},
                fix="liteft.load_dataset(...), which finds the words",
            )

    def __len__(self) -> int:
        return len(self.texts)

    def take(self, indices: Sequence[int] | np.ndarray | slice) -> Split:
        """Return a split of the same name with some of the rows, in the order given.

        Args:
            indices: row indices, a bool mask of shape (texts,), or a slice.
        """
        rows = np.arange(len(self))
        if isinstance(indices, slice):
            chosen = rows[indices]
        else:
            index = np.asarray(indices)
            chosen = rows[index if index.size else index.astype(np.int64)]
        return Split(
            name=self.name,
            texts=[self.texts[index] for index in chosen],
            pairs=None if self.pairs is None else [self.pairs[index] for index in chosen],
            labels=None if self.labels is None else self.labels[chosen],
            unseen_label=None if self.unseen_label is None else self.unseen_label[chosen],
            provenance=None if self.provenance is None else self.provenance.take(chosen),
            label_names=self.label_names,
            soft_labels=None if self.soft_labels is None else self.soft_labels[chosen],
            words=None if self.words is None else self.words[chosen],
            marked=None if self.marked is None else self.marked[chosen],
        )

    def where(self, index: int) -> str:
        """Return the origin of one row, for messages: "reviews.csv, line 17", or "train, row 17"."""
        if self.provenance is None:
            return f"{self.name}, row {index + 1}"
        return self.provenance.where(index)


_LABELS = {
    "labels": "int64 (texts,), below the number of names; bool (texts, labels), a column for each name; or float "
    "(texts,), scores"
}


def joined(name: str, parts: Sequence[Split]) -> Split:
    """Return the texts of several splits, all single texts or all pairs, as one; with labels, if all have them.

    Rows without probabilities of their labels, beside rows with some, get 0 and 1 by their label.
    """
    origins = [part.provenance for part in parts]
    known = [origin for origin in origins if origin is not None]
    provenance = None
    if len(known) == len(origins):
        offsets = np.cumsum([0] + [len(origin.sources) for origin in known])
        provenance = Provenance(
            sources=tuple(source for origin in known for source in origin.sources),
            source=np.concatenate(
                [origin.source + offset for origin, offset in zip(known, offsets, strict=False)]
            ).astype(np.int32),
            rows=np.concatenate([origin.rows for origin in known]),
            unit=known[0].unit if len({origin.unit for origin in known}) == 1 else "row",
        )
    labels = [part.labels for part in parts if part.labels is not None]
    unseen = [part.unseen_label for part in parts]
    return Split(
        name,
        [text for part in parts for text in part.texts],
        None if parts[0].pairs is None else [pair for part in parts for pair in part.pairs or ()],
        concatenated(labels) if len(labels) == len(parts) else None,
        unseen_label=None
        if all(each is None for each in unseen)
        else np.concatenate(
            [np.zeros(len(part), dtype=bool) if part.unseen_label is None else part.unseen_label for part in parts]
        ),
        provenance=provenance,
        soft_labels=_joined_soft(parts),
        words=_joined_words(parts),
        marked=_joined_marks(parts),
    )


def _joined_words(parts: Sequence[Split]) -> Ragged | None:
    words = [part.words for part in parts if part.words is not None]
    return Ragged.join(words) if len(words) == len(parts) else None


def _joined_marks(parts: Sequence[Split]) -> np.ndarray | None:
    marks = [part.marked for part in parts if part.marked is not None]
    return np.concatenate(marks) if len(marks) == len(parts) else None


def _joined_soft(parts: Sequence[Split]) -> np.ndarray | None:
    """Return the probabilities of all rows' labels, float32 (texts, labels); None if no part has any."""
    width = next((part.soft_labels.shape[1] for part in parts if part.soft_labels is not None), None)
    if width is None:
        return None
    rows = []
    for part in parts:
        if part.labels is None:
            return None
        hard = part.labels if part.labels.ndim == 2 else np.arange(width) == part.labels[:, None]
        rows.append(hard if part.soft_labels is None else part.soft_labels)
    return np.concatenate(rows).astype(np.float32)
