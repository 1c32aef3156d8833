"""The unlabelled texts that a student is distilled on: the data set's own pool, and those that a recipe names.

Texts that a scored split repeats, exactly or nearly, are left out of both, and counted: the score of a student that
has seen its test texts proves nothing. Texts that the labelled training split repeats may stay; there the teacher's
opinion only counts twice.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from liteft.data.cells import counted
from liteft.data.dataset import Dataset, Split
from liteft.data.findings import short_place
from liteft.data.near_duplicates import NearDuplicates, bare_text
from liteft.data.split import joined
from liteft.data.unlabeled import load_beside
from liteft.errors import DataError, leave_out, option

if TYPE_CHECKING:  # recipes need pydantic, and reading data does not
    from liteft.recipes import Recipe

__all__ = ["Unlabeled", "cleaned", "unlabeled_once", "unlabeled_texts"]

Unlabeled = Callable[[], Split | None]

_AT_A_TIME = 1 << 16  # texts that are compared at a time, so that millions take little memory


def unlabeled_texts(dataset: Dataset, recipe: Recipe, tell: Callable[[str], None] | None = None) -> Split | None:
    """Return the data set's pool and the texts of ``student.unlabeled`` as one split without labels.

    It is None without any, also if all texts of the data set's pool were left out.

    Args:
        dataset: its pool comes first; texts that its scored splits repeat are left out.
        recipe: its ``student.unlabeled`` is what ``load_unlabeled`` takes, or None; ``data`` says how they are read.
        tell: called with a line on what was left out.

    Raises:
        DataError: the texts cannot be read, all of ``student.unlabeled`` were left out, or they are pairs where the
            data are single texts, or the reverse.
    """
    parts = [] if dataset.pool is None else [_without_scored(dataset.pool, dataset, tell)]
    if recipe.student.unlabeled is not None:
        texts = load_beside(recipe.student.unlabeled, recipe.data, dataset.task)
        more, note = cleaned(texts, dataset, what="unlabelled texts")
        if not len(more):
            raise DataError(
                f"{note}: no text is left to learn from.",
                accepted={"unlabeled": "texts that validation and test do not have"},
                fix=[option("unlabeled", "OTHER_TEXTS"), leave_out("unlabeled")],
            )
        parts.append(more)
        if tell is not None:
            tell(note)
    for part in parts:
        _require_same_kind(dataset.train, part)
    return joined("unlabeled", parts) if any(len(part) for part in parts) else None


def unlabeled_once(dataset: Dataset, recipe: Recipe, tell: Callable[[str], None] | None = None) -> Unlabeled:
    """Return a function that returns ``unlabeled_texts``, reading and cleaning them at its first call only.

    Every arm, seed and export of a recipe learns from these texts, and large pools take minutes to clean.
    """
    return functools.cache(functools.partial(unlabeled_texts, dataset, recipe, tell))


def _without_scored(pool: Split, dataset: Dataset, tell: Callable[[str], None] | None) -> Split:
    """Return a data set's own pool; of one that was put together by hand, without texts that a scored split repeats."""
    left, note = cleaned(pool, dataset, what="the pool")
    if tell is not None and len(left) < len(pool):
        tell(note)
    return left


def cleaned(split: Split, dataset: Dataset, *, what: str) -> tuple[Split, str]:
    """Return a split without the texts that a scored split of the data set repeats, and a note that counts them.

    Args:
        split: texts without labels.
        dataset: all its splits but "train" are scored.
        what: the name of the texts in the note.
    """
    scored = [(name, row) for name, part in dataset.splits.items() if name != "train" for row in range(len(part))]
    equal, near = _repeated(split, [part for name, part in dataset.splits.items() if name != "train"])
    same, alike = int((equal >= 0).sum()), int((near >= 0).sum())
    note = f"{what}: {counted(len(split))}"
    if not same + alike:
        return split, f"{note}, none of them like a text of a scored split"
    gone = (equal >= 0) | (near >= 0)
    first = int(np.flatnonzero(gone)[0])
    name, row = scored[max(equal[first], near[first])]
    return split.take(~gone), (
        f"{note}; left out because a scored split repeats them: {same:,} equal, {alike:,} nearly equal, such as "
        f"{short_place(split.where(first))}, and {short_place(dataset.splits[name].where(row))}"
    )


def _repeated(split: Split, scored: list[Split]) -> tuple[np.ndarray, np.ndarray]:
    """Return for each text an equal scored text, or a nearly equal one, or -1: twice int64, shape (texts,)."""
    others = [key for part in scored for key in _keys(part, range(len(part)))]
    place = {key: row for row, key in reversed(list(enumerate(others))) if key.strip("\0")}
    alike = NearDuplicates(others)
    equal, near = (np.full(len(split), -1, dtype=np.int64) for _ in range(2))
    for start in range(0, len(split), _AT_A_TIME):
        rows = slice(start, start + _AT_A_TIME)
        keys = _keys(split, range(len(split))[rows])
        equal[rows] = [place.get(key, -1) for key in keys]
        near[rows] = alike.of(keys)
    near[equal >= 0] = -1
    return equal, near


def _keys(split: Split, rows: range) -> list[str]:
    """Return what is compared of some of the texts."""
    return [bare_text(split.texts[row], None if split.pairs is None else split.pairs[row]) for row in rows]


def _require_same_kind(train: Split, unlabeled: Split) -> None:
    if (train.pairs is None) != (unlabeled.pairs is None):
        raise DataError(
            f"the unlabelled texts are {'single texts' if unlabeled.pairs is None else 'pairs'}, "
            f"the data {'single texts' if train.pairs is None else 'pairs'}.",
            accepted={"unlabelled": "of the data's own kind"},
            fix="unlabelled rows with the same columns of texts as the data",
        )
    if (train.marked is None) != (unlabeled.marked is None):
        raise DataError(
            f"the labels of the data {'are' if train.marked is not None else 'are not'} about a predicate of each "
            f"text, those of the unlabelled texts {'would be' if unlabeled.marked is not None else 'would not be'}.",
            accepted={"unlabelled": "of the data's own kind; a predicate is the number of a word, from 0"},
            fix="unlabelled rows with a column 'predicate' or 'predicates' exactly if the data have one",
        )
