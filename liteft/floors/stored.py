"""floors.json: the floors of a data set beside the models that they are compared with, computed once."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from liteft import files
from liteft.data import Dataset, Split
from liteft.floors.result import Floor, Floors
from liteft.floors.training import train_floors
from liteft.foreign import encoder_folder
from liteft.foreign.weights import require_weights, weights_sha256
from liteft.metrics import named_intervals
from liteft.ragged import Ragged, Rows
from liteft.tasks import Task

__all__ = ["FLOORS_FILE", "read_floor_scores", "read_floors", "stored_floors"]

FLOORS_FILE = "floors.json"


def stored_floors(path: Path, data: Dataset, base: str | os.PathLike[str] | None = None) -> Floors:
    """Return the floors in a file, or train them and write it if the file is missing, or of other data or another base.

    Args:
        path: the file, usually ``floors.json``.
        data: a data set with a training split.
        base: as for `train_floors`.

    Raises:
        RunError: the file cannot be written.
        DataError, ModelError, MissingExtraError: as for `train_floors`.
    """
    weights = None if base is None else weights_sha256(require_weights(encoder_folder(Path(base))))
    found = read_floors(path, data, weights)
    if found is None:
        found = train_floors(data, base)
        decisions = [_listed(row, data.task) for row in found.rows]
        files.write_json(path, found.to_dict() | {"base_sha256": weights, "decisions": decisions})
    return found


def read_floors(path: Path, data: Dataset, base_sha256: str | None = None) -> Floors | None:
    """Return the floors in a file, or None if it is missing, unreadable, or of other data.

    Args:
        path: the file.
        data: that the floors must be of.
        base_sha256: of the weights that the word vectors must be of; None takes those of any base, or none.
    """
    try:
        content = files.read_json(path)
        if content["fingerprint"] != data.fingerprint or base_sha256 not in (None, content["base_sha256"]):
            return None
        rows = [
            _floor(row, decisions, data) for row, decisions in zip(content["floors"], content["decisions"], strict=True)
        ]
        notes, texts = tuple(content["notes"]), int(content["training_texts"])
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        return None
    return Floors(tuple(rows), data.task, data.labels, data.name, texts, notes, data.fingerprint)


def read_floor_scores(path: Path, fingerprint: str | None) -> dict[str, dict[str, dict[str, Any]]]:
    """Return the metrics of the floors in a file, without the data that they were trained on.

    Args:
        path: the file, usually ``floors.json``.
        fingerprint: of the data set that the floors must be of.

    Returns:
        Split -> name of the floor -> "n" (texts), metrics, and for some of them "NAME_interval"; {} if the file is
        missing, unreadable, or of other data.
    """
    try:
        content = files.read_json(path)
        if content["fingerprint"] != fingerprint:
            return {}
        found: dict[str, dict[str, dict[str, Any]]] = {}
        for row, decisions in zip(content["floors"], content["decisions"], strict=True):
            for split, metrics in row["metrics"].items():
                ranges = named_intervals(row["intervals"][split])
                found.setdefault(split, {})[row["name"]] = {"n": len(decisions[split]), **metrics, **ranges}
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return found


def _listed(row: Floor, task: Task) -> dict[str, Any]:
    """Return the decisions of a floor as label numbers: one for each text, a list, or those of words as "0 2 0"."""
    if task.per_word:
        return {split: [" ".join(map(str, text.tolist())) for text in each] for split, each in row.decisions.items()}
    if not task.several:
        return {split: decisions.tolist() for split, decisions in row.decisions.items()}
    return {split: [np.flatnonzero(text).tolist() for text in each] for split, each in row.decisions.items()}


def _decisions(numbers: list[Any], split: Split, task: Task, count: int) -> Rows:
    """Return what `_listed` wrote of a split. Raises ValueError if it is not of these texts."""
    if task.per_word:
        tags = Ragged.of([[int(tag) for tag in text.split()] for text in numbers], np.int64)
        if not isinstance(split.labels, Ragged) or not tags.fits(split.labels):
            raise ValueError(split.name)
        return tags
    if not task.several:
        return np.array(numbers, dtype=np.int64)
    found = np.zeros((len(numbers), count), dtype=bool)
    for text, columns in enumerate(numbers):
        found[text, columns] = True
    if len(numbers) != len(split):
        raise ValueError(split.name)
    return found


def _floor(row: dict[str, Any], listed: dict[str, Any], data: Dataset) -> Floor:
    count = len(data.labels)
    decisions = {split: _decisions(numbers, data.splits[split], data.task, count) for split, numbers in listed.items()}
    return Floor(
        name=str(row["name"]),
        settings=row["settings"],
        scores=row["metrics"],
        intervals={
            split: {name: (low, high) for name, (low, high) in each.items()} for split, each in row["intervals"].items()
        },
        decisions=decisions,
        seconds=float(row["seconds"]),
    )
