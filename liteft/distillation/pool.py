"""What a student is trained on: the training texts, unlabelled ones, and what the teacher says of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from liteft.config import StudentRecipe
from liteft.data import Dataset, Split
from liteft.distillation.cache import teacher_logits
from liteft.distillation.teachers import Teacher
from liteft.errors import ConfigError, DataError
from liteft.finetuning.batches import Collator
from liteft.finetuning.fit import encode_rows
from liteft.finetuning.model import LoadedClassifier, uses_type_ids
from liteft.finetuning.run_folder import checkpoints_folder
from liteft.finetuning.trainer import Progress, resolve_precision

__all__ = ["Pool", "teacher_runs", "training_pool"]


@dataclass(frozen=True)
class Pool:
    """Rows to train on.

    Attributes:
        train: the rows, with ``teacher_logits`` where they are cached.
        rows: rows of the whole pool; the control, on fewer rows, is trained for as many steps.
    """

    train: Collator
    rows: int


def teacher_runs(recipe: StudentRecipe) -> bool:
    """Say whether the teacher must run on every batch, since it holds views or states are matched."""
    return recipe.views != "none" or bool(recipe.hidden_weight or recipe.relation_weight)


def training_pool(
    teacher: Teacher,
    dataset: Dataset,
    unlabeled: Split | None,
    student: LoadedClassifier,
    recipe: StudentRecipe,
    *,
    kind: str,
    out: Path,
    progress: Progress | None = None,
) -> Pool:
    """Return the rows that a student or a control is trained on.

    Args:
        teacher: asked for logits, but never for a control.
        dataset: its training split.
        unlabeled: texts without labels, or None; a control leaves them out.
        student: tokenizes the texts.
        recipe: views and matching.
        kind: "student" or "control".
        out: the run folder; logits of a teacher without a run are cached beside its checkpoints.
        progress: called with a line of text now and then.

    Raises:
        ConfigError: views or matching with a student that has a tokenizer of its own.
        DataError: unlabelled pairs for single texts, or the reverse.
    """
    split = dataset.train if unlabeled is None else _joined(dataset.train, unlabeled)
    if kind == "control":
        return Pool(encode_rows(student, dataset.train), rows=len(split))
    live = teacher_runs(recipe)
    if live and student.tokenizer.json_text != teacher.loaded.tokenizer.json_text:
        raise ConfigError(
            "views and matched states need a student that reads the teacher's tokens.",
            accepted={"with another tokenizer": "logits alone"},
            fix="--set student.views=none --set student.hidden_weight=0 --set student.relation_weight=0",
        )
    extras: dict[str, np.ndarray] = {}
    if unlabeled is not None:
        extras["labelled"] = np.arange(len(split)) < len(dataset.train)
    if not live or (recipe.matching_epochs and recipe.views == "none"):
        extras["teacher_logits"] = teacher_logits(
            teacher.loaded,
            teacher.weights_sha256,
            split,
            folder=(teacher.run.path if teacher.run else checkpoints_folder(out)) / "cache",
            bf16=resolve_precision(recipe.precision) == "bf16",
            progress=progress,
        )
    rows = encode_rows(student, split, **extras)
    rows.types |= live and uses_type_ids(teacher.loaded.config)
    return Pool(rows, rows=len(split))


def _joined(train: Split, unlabeled: Split) -> Split:
    """The training split and texts without labels; their labels are -1, or none of them."""
    if (train.pairs is None) != (unlabeled.pairs is None):
        raise DataError(
            f"the unlabelled texts are {'single texts' if unlabeled.pairs is None else 'pairs'}, "
            f"the data {'single texts' if train.pairs is None else 'pairs'}.",
            accepted={"unlabelled": "of the data's own kind"},
        )
    if train.labels is None:
        raise DataError("the training split has no labels.")
    empty = np.full((len(unlabeled), *train.labels.shape[1:]), 0 if train.labels.ndim == 2 else -1)
    return Split(
        "train",
        [*train.texts, *unlabeled.texts],
        None if train.pairs is None else [*train.pairs, *(unlabeled.pairs or ())],
        np.concatenate([train.labels, empty.astype(train.labels.dtype)]),
    )
