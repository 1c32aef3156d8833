"""Looking at a data set before anything is trained on it.

The check counts what makes results worse or untrustworthy: texts that are truncated, empty or excessively long,
duplicates, one text under two labels, texts that are in two splits, labels too rare to learn, and labels that
training never sees. It removes nothing: the loader has already refused what cannot be trained on, and the rest is
for the caller to decide.

Duplicates are exact. For contradictions and leaks between splits, texts count as equal when they differ only in
case, white space and compatibility characters; a text that is part of another is not found.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from liteft.data.cells import is_blank
from liteft.data.findings import SURE, DataCheck, Overlap, SplitCheck
from liteft.data.label_counts import count_labels, count_touching, counted_labels, outside_share
from liteft.data.lengths import measure
from liteft.data.notes import Words
from liteft.data.split import Split
from liteft.data.splitting import normalised, text_keys
from liteft.data.spread import spread_of
from liteft.errors import ConfigError
from liteft.ragged import Ragged
from liteft.tasks import Task

if TYPE_CHECKING:
    from liteft.tokenization import TextTokenizer

__all__ = ["check_dataset"]


_EQUAL = 1e-6  # probabilities that differ by less are equal


class _Checked(Protocol):
    """What a check reads of a `Dataset`, which has the check as its property and so cannot be imported here."""

    @property
    def name(self) -> str: ...
    @property
    def task(self) -> Task: ...
    @property
    def labels(self) -> tuple[str, ...]: ...
    @property
    def splits(self) -> Mapping[str, Split]: ...
    @property
    def unseen(self) -> Mapping[str, Mapping[str, int]]: ...
    @property
    def notes(self) -> tuple[str | Words, ...]: ...
    @property
    def pool(self) -> Split | None: ...
    @property
    def left_out(self) -> int: ...
    @property
    def fingerprint(self) -> str: ...


def check_dataset(dataset: _Checked, *, tokenizer: TextTokenizer | None = None, rare: int = 5) -> DataCheck:
    """Look at every split of a data set.

    Args:
        dataset: the data.
        tokenizer: counts lengths in tokens and knows where texts are truncated; None counts words.
        rare: labels with fewer training rows, or spans, than this are reported.

    Returns:
        DataCheck.

    Raises:
        ConfigError: ``dataset`` is not a data set.
    """
    if not isinstance(getattr(dataset, "splits", None), Mapping):
        raise ConfigError(
            f"dataset is a value of type {type(dataset).__name__}.",
            accepted={"dataset": "what load_dataset returns"},
            fix="check_dataset(load_dataset(...))",
        )
    keys = {name: text_keys(split.texts, split.pairs) for name, split in dataset.splits.items()}
    splits = tuple(_check_split(dataset, split, keys[name], tokenizer) for name, split in dataset.splits.items())
    train = next((split.labels for split in splits if split.name == "train"), None) or {}
    pool = dataset.pool
    return DataCheck(
        name=dataset.name,
        task=dataset.task,
        labels=dataset.labels,
        fingerprint=dataset.fingerprint,
        max_tokens=None if tokenizer is None else tokenizer.max_tokens,
        splits=splits,
        pool=None if pool is None else _check_split(dataset, pool, text_keys(pool.texts, pool.pairs), tokenizer),
        left_out=dataset.left_out,
        overlaps=_overlaps(dataset, keys),
        rare={} if dataset.task.extractive else {label: rows for label, rows in train.items() if rows < rare},
        rare_below=rare,
        alike=_alike(counted_labels(dataset.labels, per_word=dataset.task.per_word)),
        notes=dataset.notes,
    )


def _check_split(dataset: _Checked, split: Split, keys: list[str], tokenizer: TextTokenizer | None) -> SplitCheck:
    lengths, endless = measure(split, tokenizer)
    if dataset.task.extractive:  # a long context is read in windows
        lengths = replace(lengths, truncated=None)
    rows: list[Any] = split.texts if split.pairs is None else list(zip(split.texts, split.pairs, strict=True))
    if split.marked is not None:  # one text has other labels for each predicate
        rows = list(zip(rows, split.marked.tolist(), strict=True))
        keys = [f"{key}\0{marked}" for key, marked in zip(keys, split.marked.tolist(), strict=True)]
    tags = split.labels if isinstance(split.labels, Ragged) and dataset.task.per_word else None
    second = split.pairs if split.pairs is not None else split.texts
    contradictions, example = _contradictions(split, keys)
    confidence = _confidence(split)
    lead = _lead(split)
    return SplitCheck(
        name=split.name,
        rows=len(split),
        labels=_label_counts(dataset, split),
        unlabelled=_unlabelled(dataset, split),
        unseen=dict(dataset.unseen.get(split.name, {})),
        lengths=lengths,
        empty=sum(is_blank(text) and is_blank(other) for text, other in zip(split.texts, second, strict=True)),
        endless=endless,
        duplicates=len(rows) - len(set(rows)),
        contradictions=contradictions,
        contradiction_example=example,
        confidence=None if confidence is None else float(confidence.mean()),
        uncertain=None if confidence is None else float((confidence < SURE).mean()),
        outranked=int((lead < -_EQUAL).sum()),
        tied=int((np.abs(lead) <= _EQUAL).sum()),
        words=None if split.words is None else len(split.words.values),
        outside=None if tags is None else outside_share(tags, dataset.labels),
        touching=0 if tags is None else count_touching(tags, dataset.labels),
        scores=spread_of(split.labels) if dataset.task.numeric and split.labels is not None else None,
    )


def _label_counts(dataset: _Checked, split: Split) -> dict[str, int] | None:
    if split.labels is None:
        return None
    return count_labels(dataset.task, split.labels, dataset.labels)


def _confidence(split: Split) -> np.ndarray | None:
    """Return how probable each row's labels are: float32, shape (texts,); None if they have no probabilities."""
    if split.soft_labels is None or split.labels is None:
        return None
    if split.labels.dtype != bool:
        known = np.flatnonzero(split.labels >= 0)
        return np.asarray(split.soft_labels[known, split.labels[known]]) if len(known) else None
    return np.asarray(np.maximum(split.soft_labels, 1 - split.soft_labels).mean(axis=1))


def _lead(split: Split) -> np.ndarray:
    """Return each row's probability of its label minus the highest of another: shape (texts,); empty if unknown."""
    if split.soft_labels is None or split.labels is None or split.labels.dtype == bool:
        return np.zeros(0)
    known = np.flatnonzero(split.labels >= 0)
    others = split.soft_labels[known].astype(np.float64)
    rows = np.arange(len(known))
    own = others[rows, split.labels[known]]
    others[rows, split.labels[known]] = -1
    return np.asarray(own - others.max(axis=1))


def _unlabelled(dataset: _Checked, split: Split) -> int:
    if split.labels is None or not dataset.task.of_whole_texts:
        return 0
    bare = dataset.task.bare(split.labels)
    return int((bare if split.unseen_label is None else bare & ~split.unseen_label).sum())


def _contradictions(split: Split, keys: list[str]) -> tuple[int, tuple[str, str] | None]:
    """Return how many rows have a text that also occurs under other labels, and the places of two of them."""
    if split.labels is None or len(set(keys)) == len(keys):
        return 0, None
    repeated = {key for key, count in Counter(keys).items() if count > 1}
    groups: defaultdict[str, list[int]] = defaultdict(list)
    for row, key in enumerate(keys):
        if key in repeated:
            groups[key].append(row)
    rows, example = 0, None
    for members in groups.values():
        labels = [split.labels[row].tobytes() for row in members]
        other = next((row for row, label in zip(members, labels, strict=True) if label != labels[0]), None)
        if other is not None:
            rows += len(members)
            example = example or (split.where(members[0]), split.where(other))
    return rows, example


def _overlaps(dataset: _Checked, keys: Mapping[str, list[str]]) -> tuple[Overlap, ...]:
    found = []
    names = list(dataset.splits)
    for position, other in enumerate(names):
        first = {key: row for row, key in reversed(list(enumerate(keys[other])))}
        for name in names[position + 1 :]:
            rows = [row for row, key in enumerate(keys[name]) if key in first and key.strip("\0")]
            if rows:
                places = (
                    dataset.splits[name].where(rows[0]),
                    dataset.splits[other].where(first[keys[name][rows[0]]]),
                )
                found.append(Overlap(name, other, len(rows), len(rows) / len(keys[name]), places))
    return tuple(sorted(found, key=lambda overlap: -overlap.share))


def _alike(labels: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for label in labels:
        groups[normalised(label)].append(label)
    return tuple(tuple(group) for group in groups.values() if len(group) > 1)
