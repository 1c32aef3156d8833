"""What training requires of its data: a data set, labels to learn, and the data check in the run's folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from liteft import files
from liteft.data.check import check_dataset
from liteft.data.dataset import Dataset
from liteft.data.load import load_dataset
from liteft.data.split import joined
from liteft.data.subsets import few_labels
from liteft.errors import ConfigError, DataError, leave_out, option
from liteft.recipes import DataRecipe, Recipe
from liteft.tokenization import TextTokenizer

__all__ = ["as_read", "report_check", "require_trainable", "resolve_data"]


def resolve_data(data: Dataset | str | Path, recipe: Recipe) -> Dataset:
    """Return ``data`` itself, or the data set that it names, read as the recipe's ``[data]`` table says.

    Of a data set that was read already, ``labels_per_class`` still keeps so many rows; the other settings of the table
    have had their time. Where folds test every labelled text, no test split is made, and one that the loader drew is
    put back.

    Raises:
        ConfigError: rows of the data set were drawn with other ``labels_per_class`` or another seed.
        DataError: the data cannot be read.
    """
    if isinstance(data, Dataset):
        data = _with_few_labels(data, recipe.data)
        return _without_drawn_test(data) if recipe.student.folds and "test" in data.made else data
    return load_dataset(data, **as_read(recipe).data.model_dump(exclude={"source"}))


def _with_few_labels(dataset: Dataset, recipe: DataRecipe) -> Dataset:
    """Return a data set with as many labels per class as a recipe asks for, drawn now if all rows are there."""
    if dataset.subset == (recipe.labels_per_class, recipe.subset_seed):
        return dataset
    if dataset.subset is None or recipe.labels_per_class is None:
        return few_labels(dataset, recipe.labels_per_class, seed=recipe.subset_seed)
    count, seed = dataset.subset
    raise ConfigError(
        f"the recipe asks for labels_per_class={recipe.labels_per_class} with subset_seed={recipe.subset_seed}, and "
        f"the rows of {dataset.name} were drawn with {count} and {seed}.",
        accepted={"data": "all rows, or those that the recipe asks for"},
        fix=["the data set with all rows", leave_out("data.labels_per_class")],
    )


def as_read(recipe: Recipe) -> Recipe:
    """Return a recipe whose ``[data]`` table says how the data are read: without a test split where folds test.

    Raises:
        ConfigError: a test fraction was chosen, and folds test all texts.
    """
    if not recipe.student.folds:
        return recipe
    if recipe.data.test_fraction not in (0, DataRecipe().test_fraction):
        raise ConfigError(
            f"folds test every labelled text, and test_fraction={recipe.data.test_fraction} takes texts from them.",
            accepted={"a test split": "given in the data, or drawn without folds"},
            fix=[option("folds", 0), leave_out("test_fraction")],
        )
    return recipe.model_copy(update={"data": recipe.data.model_copy(update={"test_fraction": 0.0})})


def _without_drawn_test(dataset: Dataset) -> Dataset:
    """Return a data set whose test split is part of its training split again."""
    splits = {name: split for name, split in dataset.splits.items() if name != "test"}
    splits["train"] = joined("train", [dataset.train, dataset.test])
    made = tuple(name for name in dataset.made if name != "test")
    return replace(
        dataset, splits=splits, made=made, notes=(*dataset.notes, "test is part of train again, for the folds")
    )


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
