"""The experiments on distillation: what each unit is trained on."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch", reason="the experiments need the extra 'train'")

from liteft.data.trainable import resolve_data
from liteft.recipes import DataRecipe, Recipe
from tests.bench.conftest import load_script, write_data
from tests.finetuning.conftest import make_dataset


def test_each_subset_has_other_labels_and_a_recipe_that_asks_for_them(tmp_path: Path) -> None:
    write_data(tmp_path / "data", make_dataset())
    recipe = Recipe(data=DataRecipe(labels_per_class=2))
    units = list(load_script("arms").datasets(recipe, tmp_path / "data", subsets=3, folds=0))
    assert [name for name, _, _ in units] == ["subset0", "subset1", "subset2"]
    assert [data.subset for _, _, data in units] == [(2, 0), (2, 1), (2, 2)]
    assert all(resolve_data(data, each) is data for _, each, data in units)
    assert len({tuple(data.train.texts) for _, _, data in units}) > 1


def test_each_labelled_text_is_tested_in_one_fold_and_seeds_share_their_data(tmp_path: Path) -> None:
    dataset = make_dataset()
    write_data(tmp_path / "data", dataset)
    arms = load_script("arms")
    tested = [
        text
        for _, _, data in arms.datasets(Recipe(), tmp_path / "data", subsets=0, folds=3)
        for text in data.test.texts
    ]
    assert sorted(tested) == sorted(text for split in dataset.splits.values() for text in split.texts)
    assert [name for name, _, _ in arms.datasets(Recipe(), tmp_path / "data", subsets=0, folds=0)] == ["seeds"]
