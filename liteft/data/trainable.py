"""What training requires of its data: a data set, labels to learn, and the data check in the run's folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from liteft import files
from liteft.data.check import check_dataset
from liteft.data.dataset import Dataset
from liteft.data.load import load_dataset
from liteft.errors import DataError
from liteft.recipes import Recipe
from liteft.tokenization import TextTokenizer

__all__ = ["as_read", "report_check", "require_trainable", "resolve_data"]


def resolve_data(data: Dataset | str | Path, recipe: Recipe) -> Dataset:
    """Return ``data`` itself, or the data set that it names, read as the recipe's ``[data]`` table says.

    Where folds test every labelled text, no test split is made.
    """
    if isinstance(data, Dataset):
        return data
    return load_dataset(data, **as_read(recipe).data.model_dump(exclude={"source"}))


def as_read(recipe: Recipe) -> Recipe:
    """Return a recipe whose ``[data]`` table says how the data are read: without a test split where folds test."""
    if not recipe.student.folds:
        return recipe
    return recipe.model_copy(update={"data": recipe.data.model_copy(update={"test_fraction": 0.0})})


def require_trainable(dataset: Dataset) -> None:
    """Refuse a hand-made data set that cannot be trained on; the loader never returns one.

    Raises:
        DataError: a training or validation split is missing, empty or without labels, or there is only one label.
    """
    for split in (dataset.train, dataset.validation):
        if split.labels is None or not len(split):
            what = "no rows" if not len(split) else "no labels"
            raise DataError(f"{dataset.name}: the {split.name} split has {what}.", fix="liteft.load_dataset(...)")
    if len(dataset.labels) < dataset.task.fewest_labels:
        raise DataError(
            f"{dataset.name} has {len(dataset.labels)} label.",
            accepted={"labels": "two at least, to tell apart"},
            fix="rows of another label, or another column of the label",
        )


def report_check(dataset: Dataset, tokenizer: TextTokenizer, out: Path, progress: Callable[[str], None] | None) -> None:
    """Run the data check before training; write it to data_check.json in ``out`` and, as text, to ``progress``."""
    check = check_dataset(dataset, tokenizer=tokenizer)
    files.write_json(out / "data_check.json", check.to_dict())
    if progress is not None:
        progress(check.render())
