"""A data set in memory: named splits of texts, with labels as arrays.

Everything after loading works on `Dataset` and never sees a file, a column or a label's spelling again.
The labels are those of the training split, in a fixed order; a label that occurs only in another split is
*unseen*: its rows stay, with the label -1, and count as wrong. Each row knows where it came from, so
that a check or an error can name the file and line. A data set is a value: it does not change, and
`fingerprint` tells whether two are the same.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from liteft.data.check import check_dataset
from liteft.data.findings import DataCheck
from liteft.data.label_counts import count_labels, counted_labels
from liteft.data.split import MAIN_SPLITS, SPLIT_ALIASES, Provenance, Split, canonical_split
from liteft.errors import DataError, closest, option
from liteft.ragged import Ragged
from liteft.results import Result
from liteft.tasks import Task, task_named
from liteft.text_tables import aligned

__all__ = ["MAIN_SPLITS", "SPLIT_ALIASES", "Dataset", "Provenance", "Split", "canonical_split"]


@dataclass(frozen=True, eq=False, repr=False)
class Dataset(Result):
    """A labelled data set: splits that share one task and one list of labels.

    Attributes:
        name: for reports; the file's or folder's name.
        task: what a label means; its name, such as "single_label", is accepted too and compares equal.
        labels: label names; a label's index is its class.
        splits: by name; their labels are indices into, or columns of, ``labels`` of this data set, whatever their
            ``label_names`` were. "train", "validation" and "test" have a meaning; all others are extras: scored,
            never trained on.
        unseen: split -> label that the training split lacks -> number of rows with it.
        notes: what the loader decided on its own (columns guessed, splits made, rows dropped), one line each.
        pool: texts without labels, of the training split's own kind, for students to be distilled on; None without any.
        left_out: number of texts that are not in the pool because a scored split repeats them, exactly or nearly.
        made: names of the splits that the loader drew from the training split, as the source had none.
        subset: labels per class and the seed with which the training rows were drawn; None for all rows.
    """

    name: str
    task: Task
    labels: tuple[str, ...]
    splits: dict[str, Split]
    unseen: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    pool: Split | None = None
    left_out: int = 0
    made: tuple[str, ...] = ()
    subset: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        named = {
            name: split if split.label_names == self.labels else replace(split, label_names=self.labels)
            for name, split in self.splits.items()
        }
        object.__setattr__(self, "splits", named)
        task, train = task_named(self.task).bound(self.labels), self.splits.get("train")
        if train is not None and train.labels is not None:
            task = task.suited(train.labels)
        object.__setattr__(self, "task", task)

    def __repr__(self) -> str:
        rows = ", ".join(f"{name} {len(split):,}" for name, split in self._parts().items())
        return f"Dataset({self.name!r}: {self.task}, {len(self.labels)} labels, {rows})"

    def render(self) -> str:
        """Return the data set as text: how many rows of each split have each label, and the loader's notes.

        Of tags, spans of each type are counted, and words with a tag of another kind than O.
        """
        parts = self._parts()
        counts = {name: self._counts(split) for name, split in parts.items()}
        rows = [["label", *counts], ["(all rows)", *(f"{len(split):,}" for split in parts.values())]]
        for label in counted_labels(self.labels, per_word=self.task.per_word):
            rows.append([label, *("" if found is None else f"{found[label]:,}" for found in counts.values())])
        title = f"{self.name}: {self.task}, {len(self.labels)} labels"
        return "\n".join([title, "", aligned(rows, texts=1), *self.notes])

    def to_dict(self) -> dict[str, Any]:
        """Return the data set as plain data for JSON: counts, and no texts.

        Each split has its ``rows``, and under ``labels`` the number of rows with each label, or of spans of each type
        (None without labels), and under ``unseen`` those of labels that the training split lacks. ``pool`` has its
        ``rows`` and the number of texts ``left_out``; it is None without a pool.
        """
        return {
            "name": self.name,
            "task": str(self.task),
            "labels": list(self.labels),
            "splits": {
                name: {"rows": len(split), "labels": self._counts(split), "unseen": dict(self.unseen.get(name, {}))}
                for name, split in self.splits.items()
            },
            "pool": None if self.pool is None else {"rows": len(self.pool), "left_out": self.left_out},
            "notes": list(self.notes),
        }

    def _parts(self) -> dict[str, Split]:
        """Return the splits by name, and the pool last."""
        return self.splits if self.pool is None else {**self.splits, "pool": self.pool}

    def _counts(self, split: Split) -> dict[str, int] | None:
        if split.labels is None:
            return None
        return count_labels(self.task, split.labels, self.labels)

    @cached_property
    def check(self) -> DataCheck:
        """The data check: ``print(dataset.check)``. ``check_dataset`` is the same, and takes a tokenizer as well."""
        return check_dataset(self)

    @property
    def train(self) -> Split:
        """The training split. Raises DataError when there is none."""
        return self.split("train")

    @property
    def validation(self) -> Split:
        """The split on which choices are made. Raises DataError when there is none."""
        return self.split("validation")

    @property
    def test(self) -> Split:
        """The split that is scored once, at the end. Raises DataError when there is none."""
        return self.split("test")

    @property
    def paired(self) -> bool:
        """True when each row is a pair of texts."""
        return any(split.pairs is not None for split in self.splits.values())

    @property
    def marked(self) -> bool:
        """True when the labels of a text are about one of its words, such as a predicate."""
        return any(split.marked is not None for split in self.splits.values())

    @property
    def extras(self) -> tuple[str, ...]:
        """Names of the splits beyond train, validation and test."""
        return tuple(name for name in self.splits if name not in MAIN_SPLITS)

    def split(self, name: str) -> Split:
        """Return a split by its name; "dev", "val" and so on are the validation split.

        Raises:
            DataError: there is no such split.
        """
        for known in (name, canonical_split(name)):
            if known in self.splits:
                return self.splits[known]
        near = closest(name, self.splits)
        raise DataError(
            f"{self.name} has no split {name!r}.",
            accepted={"splits": ", ".join(self.splits) or "none"},
            fix=option("split", near or next(iter(self.splits), "train")),
        )

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the task, the labels, every text, pair and label of every split, and the pool: 64 hex digits."""
        digest = hashlib.sha256()
        _add(digest, [self.task, *self.labels])
        for name in sorted(self.splits):
            split = self.splits[name]
            _add(digest, [name])
            _add(digest, split.texts)
            _add(digest, split.pairs)
            for values in (split.labels, split.unseen_label):
                _add(digest, None if values is None else [str(values.shape)])
                if isinstance(values, Ragged):
                    if split.words is None:  # otherwise their rows are those of the words
                        digest.update(values.offsets.astype("<i8").tobytes())
                    values = values.values
                if values is not None:
                    kind = {"b": "u1", "f": "<f8"}.get(values.dtype.kind, "<i8")
                    digest.update(np.ascontiguousarray(values, dtype=kind).tobytes())
            if split.words is not None:
                _add_words(digest, split)
            if split.soft_labels is not None:
                _add(digest, ["", "soft labels", str(split.soft_labels.shape)])
                digest.update(np.ascontiguousarray(split.soft_labels, dtype="<f4").tobytes())
        if self.pool is not None:
            _add(digest, ["", "pool"])
            _add(digest, self.pool.texts)
            _add(digest, self.pool.pairs)
            if self.pool.words is not None:
                _add_words(digest, self.pool)
        return digest.hexdigest()


def _add(digest: Any, texts: Iterable[str] | None) -> None:
    """Hash texts with their lengths, so that different lists never give the same bytes."""
    if texts is None:
        digest.update(b"\xff" * 8)
        return
    parts = [text.encode("utf-8", "surrogatepass") for text in texts]
    digest.update(len(parts).to_bytes(8, "little"))
    digest.update(np.array([len(part) for part in parts], dtype="<i8").tobytes())
    digest.update(b"".join(parts))


def _add_words(digest: Any, split: Split) -> None:
    """Hash where the words of a split's texts are, and which of them are marked."""
    assert split.words is not None
    _add(digest, ["", "words", str(split.words.shape)])
    arrays = [split.words.offsets, split.words.values, *([] if split.marked is None else [split.marked])]
    for values in arrays:
        digest.update(np.ascontiguousarray(values, dtype="<i8").tobytes())
