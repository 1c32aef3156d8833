"""Train floors on a training split, choose their settings on held-out texts, and score them as models are scored."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from liteft.data import Dataset, Split
from liteft.data.folds import count_different, folds_of_split
from liteft.data.splitting import text_keys
from liteft.errors import ConfigError, DataError, option
from liteft.floors.kinds import Features, Kind, kinds_of
from liteft.floors.libraries import require_sklearn
from liteft.floors.linear import NEVER, Fitted
from liteft.floors.result import Floor, Floors, as_logits, metrics_of
from liteft.floors.words import words_of
from liteft.ragged import Ragged, Rows, applied, concatenated, values_of
from liteft.tasks import Task, fit_threshold

__all__ = ["cross_validated", "train_floors"]

_MOST_TEXTS = 100_000  # of a training split; a sample is taken of a larger one
_MOST_WORDS, _MOST_TAGGED = 400_000, 5_000_000  # words, and words times labels: a minute of one core, and 1 GB
_MOST_TRIED = 500_000  # texts, or words, times labels of one trial of a setting
_HELD_OUT = 5  # parts of the training split, one of which settings are chosen on if there is no validation split


def train_floors(data: Dataset, base: str | os.PathLike[str] | None = None) -> Floors:
    """Train the floors of a data set: simple models that a distilled student has to beat.

    They are naive Bayes over words, TF-IDF with a linear SVM and, if a base is given, the mean of the base's word
    vectors with logistic regression. Each is trained on the training split; its settings, and the threshold of a
    multi-label task, are those that do best on validation (on a fifth of the training split if there is no
    validation). A training split of more than 100,000 texts is sampled, label by label.

    Where words are judged, they are the most frequent tag of each word, and a linear SVM of words and their neighbours,
    whose tags are the best legal ones. A split of more than 400,000 words, or 5 million words times labels, is sampled.

    Args:
        data: a data set with a training split.
        base: folder of a base with model.safetensors and tokenizer.json; None leaves out the floor of its vectors.

    Returns:
        Floors, scored on every split but the training split; printed, they are a table.

    Raises:
        ConfigError: the labels are scores.
        DataError: there is no training split with labels, or its questions are answered from contexts.
        ModelError: the base's word vectors cannot be read.
        MissingExtraError: scikit-learn is not installed.
    """
    if data.task.numeric:
        raise ConfigError(
            f"floors are classifiers, and the labels of {data.name} are scores.",
            accepted={"floors": "for tasks whose labels have names"},
            fix="compare models of scores with each other",
        )
    require_sklearn()
    if data.task.extractive:
        raise DataError(
            f"{data.name} holds questions with contexts, and floors give labels.",
            accepted={"tasks": "those with labels"},
            fix="compare with another model, or with c0",
        )
    train, notes = _sampled(_usable(data.train, data.task), data.task, len(data.labels))
    splits = {
        name: split
        for name, split in data.splits.items()
        if name != "train" and split.labels is not None and len(split)
    }
    rows = []
    for kind in kinds_of(None if base is None else Path(base), data.task):
        started = time.perf_counter()
        trained = _trained(kind, train, splits.get("validation"), data.task, len(data.labels))
        logits = {name: trained.logits(split) for name, split in splits.items()}
        rows.append(_floor(kind, trained, splits, logits, data.task, time.perf_counter() - started))
        notes += trained.notes
    return Floors(tuple(rows), data.task, data.labels, data.name, len(train), notes, data.fingerprint)


def cross_validated(
    split: Split,
    task: Task,
    labels: Sequence[str],
    *,
    folds: int = 5,
    seed: int = 0,
    base: str | os.PathLike[str] | None = None,
) -> Floors:
    """Score floors on one split by cross-validation: each text by floors that were trained on the other folds.

    Folds are stratified: the texts of a label are dealt out to all of them, a text and its duplicates to one. Settings
    are chosen anew in each fold, on a fifth of what it is trained on, so no text has a say in its own score.

    Args:
        split: texts with labels.
        task: what the labels mean.
        labels: label names.
        folds: number of folds, 2 or more.
        seed: of the draw of the folds.
        base: as for `train_floors`.

    Returns:
        Floors, scored on the whole split under its name; the settings of a floor are those of the last fold.

    Raises:
        ConfigError: there are fewer than two folds.
        DataError: the split has fewer texts than folds, or no labels.
        ModelError, MissingExtraError: as for `train_floors`.
    """
    require_sklearn()
    task = task.bound(labels)
    if folds < 2:
        raise ConfigError(
            f"folds must be 2 or more, got {folds}.", accepted={"folds": "2 or more"}, fix=option("folds", 5)
        )
    split = _usable(split, task)
    split, notes = _sampled(split, task, len(labels))
    if len(split) < folds:
        raise DataError(
            f"split {split.name!r} has {len(split)} texts, which cannot make {folds} folds.",
            fix=option("folds", max(2, len(split))),
        )
    fold = _with_duplicates(split, _dealt(split, task, folds, seed))
    if len(np.unique(fold)) < folds:  # duplicates have emptied one
        if (different := count_different(split, task)) < folds:
            raise DataError(
                f"split {split.name!r} has {different} different texts, which cannot make {folds} folds.",
                fix=option("folds", max(2, different)),
            )
        fold = folds_of_split(split, task, labels, folds, seed=seed)
    rows = []
    order = np.argsort(np.argsort(fold, kind="stable"))  # from fold after fold to the order of the split
    for kind in kinds_of(None if base is None else Path(base), task):
        started = time.perf_counter()
        parts = []
        for number in range(folds):
            trained = _trained(kind, split.take(fold != number), None, task, len(labels))
            parts.append(trained.logits(split.take(fold == number)))
        logits = concatenated(parts)[order]
        spent = time.perf_counter() - started
        rows.append(_floor(kind, trained, {split.name: split}, {split.name: logits}, task, spent))
        notes += tuple(note for note in trained.notes if note not in notes)
    notes += (f"cross-validated in {folds} folds: no text was scored by a floor that was trained on it",)
    return Floors(tuple(rows), task, tuple(labels), "", len(split), notes)


@dataclass(frozen=True, slots=True)
class _Trained:
    """A trained floor: its logits, and how its settings read."""

    features: Features
    fitted: Fitted
    threshold: float
    settings: Mapping[str, float | str]
    notes: tuple[str, ...]
    task: Task

    def logits(self, split: Split) -> Rows:
        """Return float64 (texts, labels), or a Ragged; a multi-label decision is that the logit is above 0."""
        found = _by_text(self.fitted(self.features(split)), split, self.task)
        return applied(lambda values: values - self.threshold, found)


def _by_text(logits: np.ndarray, split: Split, task: Task) -> Rows:
    """Return logits of texts as they are, and those of words, (words, labels), as a Ragged."""
    return Ragged(logits, words_of(split).offsets) if task.per_word else logits


def _fit(kind: Kind, features: Any, split: Split, task: Task, count: int, setting: Mapping[str, float]) -> Fitted:
    """Return a classifier fitted on the features of texts, or of those words whose tags are known."""
    labels = values_of(_labels(split))
    if not task.per_word:
        return kind.fit(features, labels, task, count, **setting)
    known = labels >= 0
    return kind.fit(features[known], labels[known], task, count, **setting)


def _trained(kind: Kind, train: Split, validation: Split | None, task: Task, count: int) -> _Trained:
    """Train a floor with the settings that do best on validation, or on a part of the training split without one."""
    if validation is None or not task.known(_labels(validation)).any():
        part = _dealt(train, task, _HELD_OUT, 0)
        learned, held = train.take(part > 0), train.take(part == 0)
        if not len(learned) or not len(held):
            learned = held = train
    else:
        learned, held = train, validation
    most = max(_MOST_TRIED // count, 1)
    tried = _sample(learned, task, _texts_within(learned, task, most))
    features = kind.features(tried)
    matrix, held_matrix = features(tried), features(held)
    best: tuple[float, float, Mapping[str, float], Fitted] | None = None
    for setting in kind.grid:
        fitted = _fit(kind, matrix, tried, task, count, setting)
        logits = _by_text(fitted(held_matrix), held, task)
        threshold, _ = fit_threshold(logits, _labels(held), task, unseen_label=held.unseen_label)
        above = applied(lambda values, at=threshold: values - at, logits)  # type: ignore[misc]
        reached = task.balanced(task.score(above, _labels(held), unseen_label=held.unseen_label))
        if best is None or reached > best[0] + 1e-12:
            best = (reached, threshold, setting, fitted)
    assert best is not None
    _, threshold, setting, fitted = best
    if tried is not train:
        features = kind.features(train)
        fitted = _fit(kind, features(train), train, task, count, setting)
        if held is validation and task.several:
            threshold, _ = fit_threshold(fitted(features(held)), _labels(held), task, unseen_label=held.unseen_label)
    chosen: dict[str, float | str] = {"features": features.description, **setting}
    if task.several:
        chosen["threshold"] = threshold
    return _Trained(features, fitted, threshold, chosen, features.notes, task)


def _floor(
    kind: Kind,
    trained: _Trained,
    splits: Mapping[str, Split],
    logits: Mapping[str, Rows],
    task: Task,
    seconds: float,
) -> Floor:
    """Return a trained floor with its metrics on some splits."""
    decisions = {name: task.decide(values) for name, values in logits.items()}
    return Floor(
        name=kind.name,
        settings=dict(trained.settings),
        scores={
            name: metrics_of(
                task,
                logits[name] if kind.probable else as_logits(decisions[name], task, logits[name].shape[1]),
                _labels(split),
                split.unseen_label,
                probable=kind.probable and not task.several and _all_possible(logits[name], split, task),
            )
            for name, split in splits.items()
        },
        intervals={
            name: task.intervals(
                as_logits(decisions[name], task, logits[name].shape[1]), _labels(split), unseen_label=split.unseen_label
            )
            for name, split in splits.items()
        },
        decisions=decisions,
        seconds=seconds,
    )


def _all_possible(logits: Rows, split: Split, task: Task) -> bool:
    """Return whether nothing has a label that its floor has not learned, whose log loss would be infinite."""
    labels = values_of(_labels(split))
    known = np.flatnonzero(labels >= 0) if task.per_word else _known(split, task)
    return bool((values_of(logits)[known, labels[known]] > NEVER).all())


def _usable(split: Split, task: Task) -> Split:
    """Return the texts whose labels are known. Raises DataError if there are none."""
    if split.labels is None or not len(split):
        raise DataError(f"split {split.name!r} has no labelled texts.", fix="give a split with labels")
    known = _known(split, task)
    if not len(known):
        raise DataError(f"split {split.name!r} has no labelled texts.", fix="give a split with labels")
    return split if len(known) == len(split) else split.take(known)


def _known(split: Split, task: Task) -> np.ndarray:
    """Return the rows whose labels are known, int64, ascending."""
    known = task.known(_labels(split))
    return np.flatnonzero(known if split.unseen_label is None else known & ~split.unseen_label)


def _sampled(train: Split, task: Task, count: int) -> tuple[Split, tuple[str, ...]]:
    """Return a training split that is not too large, and a note if it is a sample."""
    most = _MOST_TEXTS
    if task.per_word:
        most = min(most, _texts_within(train, task, min(_MOST_WORDS, _MOST_TAGGED // count)))
    if len(train) <= most:
        return train, ()
    note = f"floors were trained on a sample of {most:,} of {len(train):,} texts, label by label"
    return _sample(train, task, most), (note,)


def _texts_within(split: Split, task: Task, most: int) -> int:
    """Return how many texts have so many decisions to learn: each text one, or each of its words."""
    units = task.units(_labels(split))
    return max(1, most if units == len(split) else len(split) * most // units)


def _sample(split: Split, task: Task, most: int) -> Split:
    """Return about as many texts as asked for, with all labels in proportion; all of fewer."""
    if len(split) <= most:
        return split
    order = _dealt_order(split, task, 0)
    chosen = np.floor(np.arange(len(order)) * most / len(order)).astype(np.int64)
    first = np.unique(chosen, return_index=True)[1]
    return split.take(np.sort(order[first]))


def _dealt(split: Split, task: Task, parts: int, seed: int) -> np.ndarray:
    """Return the part of each text, int64 (texts,): the texts of each label, or set of labels, are dealt out."""
    order = _dealt_order(split, task, seed)
    part = np.empty(len(split), dtype=np.int64)
    part[order] = np.arange(len(split)) % parts
    return part


def _with_duplicates(split: Split, fold: np.ndarray) -> np.ndarray:
    """Return the fold of each text, int64 (texts,), with all duplicates in the fold of the first of them."""
    first: dict[str, int] = {}
    rows = [first.setdefault(key, place) for place, key in enumerate(text_keys(split.texts, split.pairs))]
    return fold[np.array(rows, dtype=np.int64)]


def _dealt_order(split: Split, task: Task, seed: int) -> np.ndarray:
    """Return all texts ordered by label, or by set of labels, and at random within each."""
    labels = _labels(split)
    if task.per_word:
        labels = task.present(labels, task.label_count(labels))
    _, group = np.unique(labels, axis=0, return_inverse=True)
    shuffled = np.random.default_rng(seed).permutation(len(split))
    return shuffled[np.argsort(group.ravel()[shuffled], kind="stable")]


def _labels(split: Split) -> Rows:
    assert split.labels is not None
    return split.labels
