"""Which training texts are looked at, and in which fold each is scored."""

from __future__ import annotations

from dataclasses import replace
from types import ModuleType

import numpy as np

from liteft.advising.sample import FOLDS, draw, texts_within
from liteft.data import Dataset, Split


def test_every_fold_has_its_share_of_every_label(dataset: Dataset) -> None:
    sample = draw(dataset, most=1000, seed=0)
    assert len(sample) == sample.of == 90
    found = np.bincount(sample.folds * 3 + sample.gold, minlength=3 * FOLDS)
    assert (found == 6).all()


def test_texts_that_differ_only_in_case_and_space_are_scored_together() -> None:
    texts = [f"text {number}" for number in range(20)] * 3
    texts[20:40] = [text.upper() + " " for text in texts[20:40]]
    train = Split("train", texts, None, np.arange(60) % 2)
    sample = draw(Dataset("repeats", "single_label", ("a", "b"), {"train": train}), most=60, seed=1)
    assert (sample.folds[:20] == sample.folds[20:40]).all() and (sample.folds[:20] == sample.folds[40:]).all()


def test_the_same_seed_draws_the_same_texts_and_another_draws_others(dataset: Dataset) -> None:
    one, same, other = (draw(dataset, most=30, seed=seed).split.texts for seed in (0, 0, 1))
    assert len(one) == 30 and one == same != other


def test_texts_without_a_known_label_are_not_drawn(dataset: Dataset) -> None:
    labels = np.where(np.arange(90) < 10, -1, dataset.train.labels)
    train = replace(dataset.train, labels=labels)
    sample = draw(replace(dataset, splits={**dataset.splits, "train": train}), most=1000, seed=0)
    assert len(sample) == sample.of == 80


def test_folds_of_texts_with_several_labels_hold_them_all(tiny: ModuleType) -> None:
    sample = draw(tiny.make_multi(), most=1000, seed=0)
    assert set(sample.folds) == set(range(FOLDS))


def test_more_time_shorter_texts_and_smaller_bases_allow_more_texts(tiny: ModuleType) -> None:
    large = tiny.make_config("bert", hidden_size=768, num_hidden_layers=12, num_attention_heads=12)
    small = tiny.make_config("bert", hidden_size=384, num_hidden_layers=6, num_attention_heads=12)
    few = texts_within(1, [large], tokens=100)
    assert 300 <= few < texts_within(2, [large], tokens=100) <= 4000
    assert few < texts_within(1, [large], tokens=50)
    assert few < texts_within(1, [small], tokens=100)
    assert texts_within(1, [large, small], tokens=100) <= few
    assert texts_within(0.001, [large], tokens=100) == 300
    assert texts_within(1, [], tokens=0) == 4000
