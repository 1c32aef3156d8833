"""The teacher as distillation sees it: a loaded classifier with the hash of its weights.

It may come as a finished run, as a classifier's folder, or as a base that is not fine-tuned yet, which is then
fine-tuned first.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from liteft.data import Dataset, Split
from liteft.errors import LiteftError, ModelError
from liteft.finetuning.bases import resolve_base
from liteft.finetuning.model import LoadedClassifier, is_classifier, load_classifier
from liteft.run import RUN_FILE, Run, model_weights_sha256, read_run

__all__ = ["Teacher", "open_teacher", "with_labels"]


@dataclass(frozen=True)
class Teacher:
    """A fine-tuned classifier to learn from.

    Attributes:
        loaded: the classifier, in evaluation mode.
        run: the run that made it, or None for a classifier from elsewhere.
        weights_sha256: of its weights.
    """

    loaded: LoadedClassifier
    run: Run | None
    weights_sha256: str

    @property
    def name(self) -> str:
        """The last part of its path."""
        return (self.run.path if self.run else self.loaded.path).resolve().name

    def described(self) -> dict[str, Any]:
        """Return what a student's run says of its teacher."""
        described: dict[str, Any] = {
            "name": self.name,
            "path": str(self.run.path if self.run else self.loaded.path),
            "weights_sha256": self.weights_sha256,
        }
        if self.run is not None:
            described |= {"base": self.run.info.get("base"), "parameters": self.run.info.get("parameters")}
        return described


def open_teacher(source: Run | str | Path, *, finetune: Callable[[str], Run]) -> Teacher:
    """Return the teacher that ``source`` names.

    Args:
        source: a finished run or its folder, a classifier's folder, or a base (folder or hub name).
        finetune: called with the base's name where ``source`` is one; returns the finished run.

    Raises:
        ModelError: nothing of these, or a classifier that cannot be loaded.
        RunError: an unfinished run.
    """
    if not isinstance(source, Run):
        path = Path(source)
        if (path / RUN_FILE).is_file() or (path / "recipe.toml").is_file():
            source = read_run(path)
        else:
            folder = resolve_base(str(source))
            if is_classifier(folder):
                return Teacher(load_classifier(folder), None, model_weights_sha256(folder))
            source = finetune(str(source))
    return Teacher(load_classifier(source.model_path), source, str(source.info["weights_sha256"]))


def with_labels(dataset: Dataset, teacher: Teacher) -> Dataset:
    """Return the data set with its labels in the teacher's order.

    Raises:
        ModelError: the teacher has other labels, another task, or reads pairs where there are none.
    """
    settings = teacher.loaded.settings
    if settings.task != dataset.task:
        raise _unfit(dataset, teacher, {"its task": settings.task, "the data's task": dataset.task})
    # A classifier that transformers saved does not say whether it reads pairs.
    said = getattr(teacher.loaded.config, "liteft", None) is not None
    if said and settings.paired != dataset.paired:
        raise _unfit(dataset, teacher, {"it reads": _texts(settings.paired), "the data hold": _texts(dataset.paired)})
    if settings.labels == dataset.labels:
        return dataset
    if set(settings.labels) != set(dataset.labels):
        shown = {"its labels": ", ".join(settings.labels[:8]), "the data's labels": ", ".join(dataset.labels[:8])}
        raise _unfit(dataset, teacher, shown)
    order = np.array([settings.labels.index(label) for label in dataset.labels])
    return replace(
        dataset,
        labels=settings.labels,
        splits={name: replace(split, labels=_moved(split, order)) for name, split in dataset.splits.items()},
    )


def _moved(split: Split, order: np.ndarray) -> np.ndarray | None:
    """Labels by their index in the new order."""
    if split.labels is None:
        return None
    if split.labels.ndim == 2:
        moved = np.zeros_like(split.labels)
        moved[:, order] = split.labels
        return moved
    return np.where(split.labels >= 0, order[split.labels], -1)


def _texts(paired: bool) -> str:
    return "pairs of texts" if paired else "single texts"


def _unfit(dataset: Dataset, teacher: Teacher, seen: dict[str, str]) -> LiteftError:
    return ModelError(
        f"the teacher {teacher.name} was not made for the data {dataset.name}.",
        accepted=seen,
        fix=["the data that it was trained on", "a base as --teacher is fine-tuned on these data first"],
    )
