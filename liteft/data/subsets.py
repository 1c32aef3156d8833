"""Training on few labels per class, with the rest of the training texts as an unlabelled pool.

The rows are drawn in one random order, which depends on the seed alone. A task of one label per text keeps the first
rows of each label in this order, so with one seed the rows of 5 per label are among those of 10 per label. In a
multi-label task the labels have their turns from the rarest to the most frequent, and each adds the first rows in
this order that have it, until the rows kept so far have it often enough; rows without any label count as one more
label. So each label has at least as many rows as were asked for, if there are as many, and a frequent label can have
more, because rows that were kept for rarer labels have it too. Where words are judged, a row has the tags that any of
its words has. What is kept stays in the order of the data.

Source: for the rule that the rarest label goes first, Sechidis et al. 2011, "On the stratification of multi-label
data", section 3.2.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from liteft.data.dataset import Dataset
from liteft.data.pool import cleaned
from liteft.data.split import Split, joined
from liteft.errors import ConfigError, leave_out, option

__all__ = ["few_labels", "with_labels_per_class"]

_POOL = "pool"


def few_labels(dataset: Dataset, count: int | None, *, seed: int = 0) -> Dataset:
    """Return the data set with ``count`` training rows per label, or itself without a count.

    Raises:
        ConfigError: a seed without a count, or as for ``with_labels_per_class``.
        DataError: there is no training split.
    """
    if count is not None:
        return with_labels_per_class(dataset, count, seed=seed)
    if seed:
        raise ConfigError(
            f"subset_seed={seed} draws the labels that labels_per_class keeps, and all are kept.",
            accepted={"subset_seed": "with labels_per_class"},
            fix=[option("labels_per_class", 10), leave_out("subset_seed")],
        )
    return dataset


def with_labels_per_class(dataset: Dataset, count: int, *, seed: int = 0) -> Dataset:
    """Return the data set with ``count`` training rows per label; the other training texts join its pool.

    Validation, test and all other splits stay as they are. Texts that one of them repeats, exactly or nearly, are left
    out of the pool (``liteft.data.near_duplicates``). A text of the pool may be equal to a labelled training text.

    Args:
        dataset: with a labelled training split.
        count: rows per label, above 0; a label with fewer rows keeps all of them.
        seed: of the draw, 0 or above.

    Raises:
        ConfigError: the count or the seed is out of range.
        DataError: there is no training split.
    """
    for name, value, least in (("labels_per_class", count, 1), ("subset_seed", seed, 0)):
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
            raise ConfigError(
                f"{name} must be a whole number, {least} or above, got {value!r}.",
                accepted={name: f"a whole number, {least} or above"},
                fix=option(name, 10 * least),
            )
    if dataset.task.numeric:
        raise ConfigError(
            f"labels_per_class draws texts by their label, and {dataset.name} has scores.",
            accepted={"labels_per_class": "for tasks whose labels have names"},
            fix=[leave_out("labels_per_class"), "give fewer training texts, and the others as unlabelled ones"],
        )
    train = dataset.train
    kept = _drawn(dataset, train, count, seed)
    rest = train.take(np.setdiff1d(np.arange(len(train)), kept))
    few = [name for name, rows in _rows(dataset, train).items() if rows < count]
    note = f"train keeps {len(kept):,} of {len(train):,} rows, {count:,} per label, drawn with seed {seed}"
    if few:
        note += f"; {len(few):,} of {len(dataset.labels):,} labels with fewer rows keep all"
    rest = Split(_POOL, rest.texts, rest.pairs, provenance=rest.provenance, words=rest.words, marked=rest.marked)
    clean, note_of_pool = cleaned(rest, dataset, what="the other training texts, without their labels")
    parts = [part for part in (dataset.pool, clean) if part is not None and len(part)]
    return replace(
        dataset,
        splits={**dataset.splits, "train": train.take(kept)},
        pool=joined(_POOL, parts) if parts else None,
        left_out=dataset.left_out + len(rest) - len(clean),
        subset=(int(count), int(seed)),
        notes=(*dataset.notes, note, note_of_pool),
    )


def _rows(dataset: Dataset, train: Split) -> dict[str, int]:
    assert train.labels is not None
    counts = dataset.task.present(train.labels, len(dataset.labels)).sum(axis=0)
    return dict(zip(dataset.labels, counts.tolist(), strict=True))


def _drawn(dataset: Dataset, train: Split, count: int, seed: int) -> np.ndarray:
    """Return the rows that stay in the training split, ascending: int64, shape (kept,)."""
    assert train.labels is not None
    order = np.random.default_rng(seed).permutation(len(train))
    has = dataset.task.present(train.labels, len(dataset.labels))
    has = np.concatenate([has, dataset.task.bare(train.labels)[:, None]], axis=1)[order]
    kept = np.zeros(len(train), dtype=bool)
    for label in np.argsort(has.sum(axis=0), kind="stable"):
        others = np.flatnonzero(has[:, label] & ~kept)
        kept[others[: max(0, count - int((has[:, label] & kept).sum()))]] = True
    return np.sort(order[kept])
