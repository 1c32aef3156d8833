"""Floors of words: what they learn of a word, of its neighbours and of a marked word, and how they are stored."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from liteft.data import Dataset, Split
from liteft.floors import FLOORS_FILE, as_logits, cross_validated, read_floor_scores, read_floors, stored_floors
from liteft.floors import train_floors as train
from liteft.floors.linear import most_frequent
from liteft.floors.words import Neighbours, SpellingIds
from liteft.ragged import Ragged
from liteft.tasks import TOKENS
from liteft.words import joined_words

TAGS = ("O", "B-PER", "I-PER", "B-LOC")
FREQUENT, LINEAR = "most frequent tag of each word", "linear SVM of words and their neighbours"
Row = tuple[str, str]
ROWS: list[Row] = [
    ("Ann Lee lives in Rome", "1 2 0 0 3"),
    ("in Oslo Bo Lee sleeps", "0 3 1 2 0"),
    ("Ann sleeps", "1 0"),
    ("Rome sleeps", "3 0"),
    ("Bo lives in Oslo", "1 0 0 3"),
    ("in Rome and in Oslo", "0 3 0 0 3"),
]


def split_of(name: str, rows: Sequence[Row], marked: Sequence[int] | None = None) -> Split:
    texts, words = joined_words([text.split() for text, _ in rows])
    labels = Ragged.of([[int(tag) for tag in tags.split()] for _, tags in rows], np.int64)
    marks = None if marked is None else np.array(marked)
    return Split(name, texts, words=words, labels=labels, label_names=TAGS, marked=marks)


def data_of(train_rows: Sequence[Row], *scored: Row) -> Dataset:
    splits = {"train": split_of("train", train_rows), "validation": split_of("validation", scored)}
    return Dataset("small", TOKENS, TAGS, splits)


def test_a_word_gets_its_most_frequent_tag_and_a_new_one_the_most_frequent_of_all() -> None:
    found = train(data_of(ROWS, ("Bo and Rome", "1 0 3"), ("ROME xyz", "3 0"))).rows[0]
    assert found.name == FREQUENT
    tags = found.decisions["validation"]
    assert tags[0].tolist() == [1, 0, 3]
    assert tags[1].tolist() == [3, 0], "ROME is not known as it is written, and its lower case is"


def test_how_a_word_is_written_counts_before_its_lower_case() -> None:
    rows = [("may", "0")] * 5 + [("May", "1")] * 2
    found = train(data_of(rows, ("May may MAY", "1 0 0"))).rows[0]
    assert found.decisions["validation"][0].tolist() == [1, 0, 0]


def test_tags_of_floors_are_legal() -> None:
    rows = [*ROWS, ("Lee sleeps", "1 0")]
    for floor in train(data_of(rows, ("Lee Lee in Lee", "1 2 0 1"), ("in Lee", "0 1"))).rows:
        assert TOKENS.bound(TAGS).scheme.legal(floor.decisions["validation"]).all()


def test_neighbours_tell_equal_words_apart() -> None:
    rows = [("in Paris today", "0 3 0"), ("says Paris today", "0 1 0")] * 6
    frequent, linear = train(data_of(rows, ("in Paris today", "0 3 0"), ("says Paris today", "0 1 0"))).rows
    assert linear.name == LINEAR and linear.scores["validation"]["f1"] == 1
    assert frequent.scores["validation"]["f1"] == 0.5
    assert "log_loss" in frequent.scores["validation"] and "log_loss" not in linear.scores["validation"]


def test_a_marked_word_tells_equal_texts_apart() -> None:
    texts = [(f"{word} saw {other} and met {word}", "") for word in ("Ann", "Bo", "Lee") for other in ("Oslo", "Rome")]
    rows = [(text, "1 0 3 0 0 0") for text, _ in texts] + [(text, "0 0 0 0 0 1") for text, _ in texts]
    marked = [1] * len(texts) + [4] * len(texts)
    splits = {name: split_of(name, rows, marked) for name in ("train", "validation")}
    linear = train(Dataset("roles", TOKENS, TAGS, splits)).rows[1]
    assert linear.scores["validation"]["exact_match"] == 1
    assert linear.settings["features"] == "words and their neighbours, and the marked word"
    unmarked = {name: split_of(name, rows) for name in ("train", "validation")}
    assert train(Dataset("roles", TOKENS, TAGS, unmarked)).rows[1].scores["validation"]["exact_match"] <= 0.5


def test_a_word_between_is_counted_and_one_beyond_is_not() -> None:
    split = split_of("train", [("a b c d e", "0 0 0 0 0")] * 2, [3, 3])
    without = split_of("train", [("a b c d e", "0 0 0 0 0")] * 2)
    found = Neighbours(split)(split).toarray()[:5] - 0
    own = Neighbours(without)(without).shape[1]
    between = found[:, own + 25 + 3 :]  # distances from -12 to 12; the marked word before, at and after
    assert between.sum(axis=1).tolist() == [2, 1, 0, 0, 0], "b and c for a, c for b"


def test_features_do_not_depend_on_the_texts_beside_them() -> None:
    both = split_of("both", ROWS)
    features = Neighbours(both)
    alone = [features(both.take([row])).toarray() for row in range(len(ROWS))]
    assert np.array_equal(np.concatenate(alone), features(both).toarray())


def test_texts_without_words_and_tags_that_training_lacks_do_no_harm() -> None:
    rows = [*ROWS, ("", "")]
    data = data_of(rows, ("Ann sleeps", "1 -1"), ("", ""), ("Rome", "3"))
    for floor in train(data).rows:
        assert floor.decisions["validation"].lengths.tolist() == [2, 0, 1]
        assert floor.scores["validation"]["recall"] < 1, "a span of an unknown tag cannot be found"


@pytest.mark.parametrize("alpha", [0.01, 0.9])
def test_log_probabilities_are_those_of_counts(alpha: float) -> None:
    ids = SpellingIds(split_of("train", ROWS))
    numbers, labels = ids(split_of("train", ROWS)), split_of("train", ROWS).labels
    assert isinstance(labels, Ragged)
    logits = most_frequent(numbers, labels.values, TOKENS, 5, alpha=alpha)(np.array([[numbers[1, 0], -1], [-1, -1]]))
    everywhere = np.append(np.bincount(labels.values, minlength=4) / len(labels.values), 0)
    assert np.exp(logits[1]) == pytest.approx(everywhere)
    assert np.exp(logits[0, 2]) == pytest.approx((2 + alpha * everywhere[2]) / (2 + alpha)), "Lee, twice I-PER"
    assert (logits[:, 4] < -5000).all(), "a tag that no training word has"


def test_floors_of_words_are_read_as_they_were_written(tmp_path: Path) -> None:
    data = data_of(ROWS, ("Bo and Rome", "1 0 3"), ("", ""))
    written, read = (stored_floors(tmp_path / FLOORS_FILE, data) for _ in range(2))
    assert read.to_dict() == written.to_dict()
    for one, other in zip(written.rows, read.rows, strict=True):
        assert other.decisions["validation"].fits(one.decisions["validation"])
        assert np.array_equal(other.decisions["validation"].values, one.decisions["validation"].values)
    scores = read_floor_scores(tmp_path / FLOORS_FILE, data.fingerprint)
    assert scores["validation"][FREQUENT]["n"] == 2 and len(scores["validation"][LINEAR]["f1_interval"]) == 2


def test_decisions_of_other_words_are_not_taken(tmp_path: Path) -> None:
    data = data_of(ROWS, ("Bo and Rome", "1 0 3"))
    stored_floors(tmp_path / FLOORS_FILE, data)
    text = (tmp_path / FLOORS_FILE).read_text(encoding="utf-8")
    assert '"1 0 3"' in text
    (tmp_path / FLOORS_FILE).write_text(text.replace('"1 0 3"', '"1 0"'), encoding="utf-8")
    assert read_floors(tmp_path / FLOORS_FILE, data) is None


def test_decisions_as_logits_give_the_decisions() -> None:
    task, tags = TOKENS.bound(TAGS), Ragged.of([[1, 2, 0], [], [3]], np.int64)
    assert np.array_equal(task.decide(as_logits(tags, task, 4)).values, tags.values)


def test_each_text_is_judged_by_floors_of_the_other_folds() -> None:
    rows = ROWS * 2 + [(f"in Town{number}", "0 3") for number in range(6)]
    whole = split_of("train", rows)
    first, second = (cross_validated(whole, TOKENS, TAGS, folds=3) for _ in range(2))
    for one, other in zip(first.rows, second.rows, strict=True):
        assert one.scores == other.scores and one.decisions["train"].fits(whole.labels)  # type: ignore[arg-type]
    towns = first.rows[0].decisions["train"][len(ROWS) * 2 :]
    assert [text[1] for text in towns] == [0] * 6, "no town occurs in two folds"


def test_a_large_split_is_sampled_by_its_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("liteft.floors.training._MOST_WORDS", 12)
    floors = train(data_of(ROWS, ("Bo and Rome", "1 0 3")))
    assert floors.training_texts < len(ROWS)
    assert floors.notes == (f"floors were trained on a sample of {floors.training_texts} of 6 texts, label by label",)
