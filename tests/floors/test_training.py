"""Floors on small data: what they learn, what they are scored on, and what they refuse."""

from __future__ import annotations

import builtins
from typing import Any

import numpy as np
import pytest

from liteft.data import Dataset, Split
from liteft.errors import ConfigError, DataError, MissingExtraError
from liteft.floors import cross_validated, train_floors
from liteft.floors.features import without_spaces
from liteft.tasks import MULTI_LABEL, SINGLE_LABEL

ANIMALS = ["a cat sat", "the cat ran", "cats and a dog", "my dog barks", "a dog sleeps", "dog and cat play"]
NUMBERS = ["two plus two", "seven plus one", "nine minus two", "one minus one", "seven minus two", "nine plus one"]
CHINESE = (["股票上涨了", "今日股票下跌", "股票市场"], ["足球比赛开始", "他踢足球", "足球明星"])


def dataset(**splits: tuple[list[str], list[Any]]) -> Dataset:
    made = {name: Split(name, texts, labels=np.array(labels)) for name, (texts, labels) in splits.items()}
    several = next(iter(made.values())).labels.ndim == 2  # type: ignore[union-attr]
    return Dataset("small", MULTI_LABEL if several else SINGLE_LABEL, ("animals", "numbers"), made)


def separable(**more: tuple[list[str], list[Any]]) -> Dataset:
    return dataset(
        train=(ANIMALS + NUMBERS, [0] * 6 + [1] * 6),
        validation=(["a cat barks", "one plus two"], [0, 1]),
        test=(["my cat and a dog", "seven minus nine", "the dog ran"], [0, 1, 0]),
        **more,
    )


def test_texts_that_words_tell_apart_are_all_right() -> None:
    for row in train_floors(separable()).rows:
        assert row.scores["test"]["accuracy"] == 1
        assert row.decisions["test"].tolist() == [0, 1, 0]


def test_floors_are_scored_on_every_split_but_the_training_split() -> None:
    floors = train_floors(separable(extra=(["a cat"], [1])))
    assert floors.splits == ("validation", "test", "extra")
    assert floors.best("extra").scores["extra"]["accuracy"] == 0


def test_a_floor_without_probabilities_has_no_metric_of_them() -> None:
    bayes, support = train_floors(separable()).rows
    assert "log_loss" in bayes.scores["test"] and "calibration_error" in bayes.scores["test"]
    assert set(support.scores["test"]) == {"accuracy", "macro_f1"}


def test_a_label_that_no_text_of_the_other_folds_has_leaves_no_metric_of_probabilities() -> None:
    texts, labels = [*ANIMALS, *NUMBERS, "tea"], np.array([0] * 6 + [1] * 6 + [2])
    whole = Split("train", texts, labels=labels)
    bayes = cross_validated(whole, SINGLE_LABEL, ("animals", "numbers", "drinks"), folds=3).rows[0]
    assert set(bayes.scores["train"]) >= {"accuracy", "macro_f1"} and "log_loss" not in bayes.scores["train"]
    seen = whole.take(labels < 2)
    again = cross_validated(seen, SINGLE_LABEL, ("animals", "numbers", "drinks"), folds=3).rows[0]
    assert 0 < again.scores["train"]["log_loss"] < 10


def test_settings_are_chosen_by_what_chooses_the_weights_of_models(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    labels = random.integers(0, 2, 120)
    words = np.where(random.random((120, 12)) < 0.3, labels[:, None], random.integers(0, 2, (120, 12)))
    texts = [" ".join(f"w{word}{place}" for place, word in enumerate(row)) for row in words.tolist()]
    data = dataset(train=(texts[:60], labels[:60].tolist()), validation=(texts[60:], labels[60:].tolist()))
    best = train_floors(data).rows
    monkeypatch.setattr(type(SINGLE_LABEL), "balanced", lambda _task, scores: -scores["macro_f1"])
    worst = train_floors(data).rows
    assert any(one.settings != other.settings for one, other in zip(best, worst, strict=True))
    assert all(
        one.scores["validation"]["macro_f1"] >= other.scores["validation"]["macro_f1"]
        for one, other in zip(best, worst, strict=True)
    )


def test_two_trainings_are_equal() -> None:
    first, second = (train_floors(separable()) for _ in range(2))
    for one, other in zip(first.rows, second.rows, strict=True):
        assert one.scores == other.scores and one.settings == other.settings


def test_a_decision_does_not_depend_on_the_texts_beside_it() -> None:
    data = separable()
    alone = separable(one=(["my cat and a dog"], [0]))
    for one, other in zip(train_floors(data).rows, train_floors(alone).rows, strict=True):
        assert other.decisions["one"][0] == one.decisions["test"][0]
        assert np.array_equal(one.decisions["test"], other.decisions["test"])


def test_without_a_validation_split_settings_are_chosen_on_a_part_of_the_training_split() -> None:
    data = separable()
    floors = train_floors(Dataset("small", data.task, data.labels, {k: data.splits[k] for k in ("train", "test")}))
    assert floors.splits == ("test",)
    assert floors.best("test").scores["test"]["accuracy"] == 1


def test_chinese_is_counted_by_character() -> None:
    stocks, football = CHINESE
    data = dataset(
        train=(stocks + football, [0, 0, 0, 1, 1, 1]),
        validation=(["买股票", "看足球"], [0, 1]),
        test=(["明日股票如何", "足球"], [0, 1]),
    )
    for row in train_floors(data).rows:
        assert row.settings["features"] == "character 1-2-grams"
        assert row.scores["test"]["accuracy"] == 1


@pytest.mark.parametrize(
    ("text", "found"),
    [("股票上涨 iPhone", True), ("สวัสดีครับ", True), ("これはペン", True), ("안녕 하세요", False), ("cat 股", False)],
)
def test_a_script_without_spaces_is_known_by_its_letters(text: str, found: bool) -> None:
    assert without_spaces([text]) is found


def test_texts_with_several_labels_or_none() -> None:
    texts = [*ANIMALS, *NUMBERS, *(f"{a} {b}" for a, b in zip(ANIMALS, NUMBERS, strict=True)), "hm", "well", "so what"]
    labels = [[True, False]] * 6 + [[False, True]] * 6 + [[True, True]] * 6 + [[False, False]] * 3
    data = dataset(train=(texts, labels), validation=(texts, labels), test=(texts, labels))
    best = train_floors(data).best("test")
    assert best.scores["test"]["micro_f1"] > 0.95
    assert "threshold" in best.settings
    assert np.array_equal(best.logits("test", MULTI_LABEL, 2) > 0, best.decisions["test"])


def test_a_label_that_no_training_text_has_is_never_predicted() -> None:
    data = separable()
    wider = Dataset("small", data.task, ("animals", "numbers", "plants"), data.splits)
    for row in train_floors(wider).rows:
        assert row.decisions["test"].tolist() == [0, 1, 0]


def test_both_texts_of_a_pair_are_read() -> None:
    firsts, seconds = ["look"] * 12, ANIMALS + NUMBERS
    train = Split("train", firsts, seconds, np.array([0] * 6 + [1] * 6))
    held = Split("validation", ["look"] * 2, ["a cat barks", "one plus two"], np.array([0, 1]))
    data = Dataset("pairs", SINGLE_LABEL, ("animals", "numbers"), {"train": train, "validation": held})
    assert all(row.scores["validation"]["accuracy"] == 1 for row in train_floors(data).rows)


def test_cross_validation_scores_every_text_once() -> None:
    split = separable().train
    floors = cross_validated(split, SINGLE_LABEL, ("animals", "numbers"), folds=3)
    for row in floors.rows:
        assert len(row.decisions["train"]) == 12
        assert row.scores["train"]["accuracy"] >= 0.75


def test_cross_validation_learns_nothing_from_labels_at_random() -> None:
    texts = [f"{ANIMALS[number % 6]} {number}" for number in range(60)]
    labels = np.random.default_rng(1).integers(0, 2, 60)
    floors = cross_validated(Split("train", texts, labels=labels), SINGLE_LABEL, ("a", "b"))
    assert all(row.scores["train"]["accuracy"] < 0.7 for row in floors.rows)


@pytest.mark.parametrize(("folds", "error"), [(1, ConfigError), (40, DataError)])
def test_impossible_folds_are_refused(folds: int, error: type[Exception]) -> None:
    with pytest.raises(error, match="folds"):
        cross_validated(separable().train, SINGLE_LABEL, ("animals", "numbers"), folds=folds)


def test_texts_without_any_word_can_be_learned() -> None:
    data = dataset(train=(["!", "!!", "?", "??"], [0, 0, 1, 1]), validation=(["!", "?"], [0, 1]))
    assert train_floors(data).best("validation").scores["validation"]["accuracy"] == 1


def test_a_split_without_labels_is_refused() -> None:
    data = Dataset("bare", SINGLE_LABEL, ("a", "b"), {"train": Split("train", ["x"])})
    with pytest.raises(DataError, match="no labelled texts"):
        train_floors(data)


def test_without_scikit_learn_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    found = builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> Any:
        if name.split(".")[0] == "sklearn":
            raise ModuleNotFoundError("No module named 'sklearn'", name="sklearn")
        return found(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtraError, match="scikit-learn") as error:
        train_floors(separable())
    assert "report" in str(error.value.fix[0])


def test_duplicates_of_a_text_are_in_its_fold() -> None:
    generator = np.random.default_rng(0)
    texts = [f"word{number} thing{number}" for number in range(60)]
    split = Split("train", texts * 2, labels=np.tile(generator.integers(0, 2, 60), 2))  # labels are pure chance
    floors = cross_validated(split, SINGLE_LABEL, ("a", "b"))
    assert all(floor.scores["train"]["accuracy"] < 0.7 for floor in floors.rows)


def test_folds_that_duplicates_would_empty_are_dealt_out_by_text() -> None:
    texts = [f"{text} again" for text in ANIMALS[:3] for _ in range(5)] + [
        text for text in NUMBERS[:3] for _ in range(5)
    ]
    split = Split("train", texts, labels=np.repeat([0, 1], 15))
    for seed in range(8):
        (first, *_others) = cross_validated(split, SINGLE_LABEL, ("a", "n"), folds=5, seed=seed).rows
        assert len(first.decisions["train"]) == 30
    with pytest.raises(DataError, match="has 6 different texts, which cannot make 7 folds"):
        cross_validated(split, SINGLE_LABEL, ("a", "n"), folds=7)
