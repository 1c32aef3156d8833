"""Few labels per class: which rows keep their labels, what becomes of the rest, and what the rest may not contain."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from liteft.data import Dataset, Split, check_dataset, load_dataset, pool
from liteft.data.pool import unlabeled_texts
from liteft.data.subsets import with_labels_per_class
from liteft.data.text_streams import open_texts
from liteft.data.trainable import resolve_data
from liteft.errors import ConfigError, DataError
from liteft.ragged import Ragged
from liteft.recipes import DataRecipe, Recipe, StudentRecipe
from liteft.words import joined_words

LABELS = ("cold", "hot", "mild")
WORDS = "north south east west spring summer autumn winter river forest desert valley"

_SEED_ALONE = Recipe(data=DataRecipe(subset_seed=1))


def many(rows: int = 60, seed: int = 0) -> list[tuple[str, str]]:
    """Return rows whose texts share no five letters in a row more than by chance."""
    generator = np.random.default_rng(seed)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    return [(" ".join("".join(generator.choice(letters, 9)) for _ in range(4)), LABELS[row % 3]) for row in range(rows)]


def splits(train: list[tuple[str, str]], test: list[tuple[str, str]]) -> dict[str, list[tuple[str, str]]]:
    return {"train": train, "validation": many(6, seed=8), "test": test}


def test_each_label_keeps_as_many_training_rows_and_the_rest_becomes_the_pool() -> None:
    whole = load_dataset(many())
    few = load_dataset(many(), labels_per_class=5)
    assert few._counts(few.train) == dict.fromkeys(LABELS, 5)
    assert few.pool is not None and few.pool.labels is None
    assert sorted(few.train.texts + few.pool.texts) == sorted(whole.train.texts)
    assert (few.validation.texts, few.test.texts) == (whole.validation.texts, whole.test.texts)
    kept = dict(zip(whole.train.texts, whole.train.labels, strict=True))
    assert [kept[text] for text in few.train.texts] == few.train.labels.tolist()


def test_a_label_with_fewer_rows_keeps_all_and_the_note_says_so() -> None:
    rows = [*many(30), ("a very rare text indeed", "rare"), ("another of the rare kind", "rare")]
    few = load_dataset(rows, labels_per_class=5, validation_fraction=0, test_fraction=0)
    assert few._counts(few.train) == {"cold": 5, "hot": 5, "mild": 5, "rare": 2}
    assert any("1 of 4 labels with fewer rows keep all" in note for note in few.notes)


def test_the_seed_decides_which_rows_are_kept_and_fewer_are_among_more() -> None:
    def texts(count: int, seed: int) -> set[str]:
        return set(load_dataset(many(), labels_per_class=count, subset_seed=seed).train.texts)

    assert texts(5, 1) == texts(5, 1) != texts(5, 2)
    assert texts(3, 1) < texts(5, 1)


def test_every_label_of_a_multi_label_task_gets_its_rows_and_so_do_rows_without_one() -> None:
    generator = np.random.default_rng(0)
    has = generator.random((200, 3)) < [0.5, 0.2, 0.03]
    texts = [text for text, _ in many(200)]
    train = Split("train", texts, labels=has)
    few = load_dataset(Dataset("made", "multi_label", LABELS, {"train": train}), labels_per_class=4)
    kept = few.train.labels
    assert (kept.sum(axis=0) >= np.minimum(4, has.sum(axis=0))).all()
    assert (~kept.any(axis=1)).sum() == 4
    assert len(few.train) <= 16


def test_texts_that_a_scored_split_repeats_are_left_out_of_the_pool_and_counted() -> None:
    rows = many(30)
    long = " ".join(word for text, _ in many(4, seed=5) for word in text.split())
    train = [*rows, ("What?! Is THIS  a leak", "hot"), (long.replace("a", "b", 1), "hot"), (long[:70], "cold")]
    few = load_dataset(splits(train, [("what is this: a leak", "hot"), (long, "hot")]), labels_per_class=1)
    repeated = {"What?! Is THIS  a leak", long.replace("a", "b", 1)} - set(few.train.texts)
    assert few.pool is not None and not repeated & set(few.pool.texts)
    assert few.left_out == len(repeated)
    assert len(few.train) + len(few.pool) + few.left_out == len(train)
    assert any("1 equal, 1 nearly equal" in note for note in few.notes)


def test_a_text_of_the_pool_may_repeat_a_labelled_training_text() -> None:
    few = load_dataset(splits([*many(12), *many(12)], many(3, seed=9)), labels_per_class=4)
    assert few.pool is not None and set(few.pool.texts) & set(few.train.texts)


def test_only_a_pool_changes_the_fingerprint() -> None:
    whole = load_dataset(many())
    few = load_dataset(many(), labels_per_class=5)
    same = Dataset(few.name, few.task, few.labels, few.splits)
    assert len({whole.fingerprint, few.fingerprint, same.fingerprint}) == 3
    train, empty = Split("train", ["a", "b"], labels=np.array([0, 1])), Split("pool", ["c"])
    made = [Dataset("made", "single_label", ("x", "y"), {"train": train}, pool=pool) for pool in (None, empty)]
    assert made[0].fingerprint == "1dfedd1b0c971923f7ce2462cca856c8b6b72b3a524a727581f7bb3e78c54556"
    assert made[0].fingerprint != made[1].fingerprint


def test_the_pool_is_shown_in_the_data_set_and_in_its_check() -> None:
    few = load_dataset(many(), labels_per_class=5)
    assert few.pool is not None
    rows = len(few.pool)
    assert f"pool {rows}" in repr(few)
    assert few.to_dict()["pool"] == {"rows": rows, "left_out": 0}
    assert load_dataset(many()).to_dict()["pool"] is None
    assert "pool" in few.render().splitlines()[2]
    check = check_dataset(few)
    assert check.pool is not None and check.pool.rows == rows and check.to_dict()["left_out"] == 0
    assert re.search(rf"^  pool +{rows} ", check.render(), re.MULTILINE)


def test_pool_and_unlabelled_texts_are_one_split_and_the_latter_are_cleaned_too(tmp_path: Path) -> None:
    few = load_dataset(many(), labels_per_class=5)
    assert few.pool is not None
    file = tmp_path / "more.txt"
    file.write_text(f"one more text to learn from\n{few.test.texts[0].upper()}!\n", encoding="utf-8")
    told: list[str] = []
    found = unlabeled_texts(few, Recipe(student=StudentRecipe(unlabeled=str(file))), told.append)
    assert found is not None and found.labels is None
    assert found.texts == [*few.pool.texts, "one more text to learn from"]
    assert found.where(len(found) - 1) == f"{file}, row 1"
    assert "1 equal, 0 nearly equal, such as more.txt, line 2" in told[0]
    whole = load_dataset(many())
    assert unlabeled_texts(whole, Recipe()) is None
    alone = unlabeled_texts(few, Recipe())
    assert alone is not None and alone.texts == few.pool.texts
    by_hand = replace(few, pool=Split("pool", ["another text", *few.test.texts[:2]]))
    found = unlabeled_texts(by_hand, Recipe(), told.append)
    assert found is not None and found.texts == ["another text"] and "the pool: 3 rows" in told[-1]
    file.write_text(f"{whole.test.texts[0]}\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"1 equal, .*: no text is left to learn from"):
        unlabeled_texts(whole, Recipe(student=StudentRecipe(unlabeled=str(file))))


def test_the_columns_of_the_data_are_read_of_the_pool_too(tmp_path: Path) -> None:
    file, data = tmp_path / "pool.csv", DataRecipe(text="kommentar", encoding="latin-1", drop_long=True, max_chars=20)
    file.write_bytes(f"nr;kommentar\n1;schön\n2;{'lang' * 10}\n".encode("latin-1"))
    found = unlabeled_texts(load_dataset(many()), Recipe(data=data, student=StudentRecipe(unlabeled=str(file))))
    assert found is not None and found.texts == ["schön"]
    file.write_text("text\nschöner\n", encoding="utf-8")  # as most files are, whatever the data's encoding is
    found = unlabeled_texts(load_dataset(many()), Recipe(data=data, student=StudentRecipe(unlabeled=str(file))))
    assert found is not None and found.texts == ["schöner"]
    assert [*open_texts([str(file)], beside=data).texts()] == ["schöner"]
    file.write_bytes(("x;kommentar\n" + "1;a\n" * 40_000 + "2;schön\n").encode("latin-1"))  # the byte comes late
    assert [*open_texts([str(file)], beside=data).texts()][-1] == "schön"


def test_each_file_of_a_pool_is_read_in_its_own_encoding(tmp_path: Path) -> None:
    for name, text, encoding in (("a.txt", "schön\n", "utf-8"), ("b.txt", "größe\n", "latin-1")):
        (tmp_path / name).write_bytes(text.encode(encoding))
    data = DataRecipe(encoding="latin-1", delimiter=";")
    recipe = Recipe(data=data, student=StudentRecipe(unlabeled=str(tmp_path)))
    found = unlabeled_texts(load_dataset(many()), recipe)
    assert found is not None and found.texts == ["schön", "größe"]
    assert [*open_texts([str(tmp_path)], beside=data).texts()] == ["schön", "größe"]


def test_hints_for_texts_beside_the_data_name_no_option_that_would_misread_the_data(tmp_path: Path) -> None:
    file = tmp_path / "pool.csv"
    file.write_bytes("text\nschön\n".encode("latin-1"))
    several = Recipe(student=StudentRecipe(unlabeled=str(file)))
    for read in (
        lambda: unlabeled_texts(load_dataset(many()), several),
        lambda: list(open_texts([str(file)], beside=DataRecipe()).texts()),
    ):
        with pytest.raises(DataError, match="is not UTF-8: byte 0xf6") as raised:
            read()
        assert raised.value.command_hints() == ["write it as UTF-8: iconv -f ENCODING -t UTF-8 FILE > NEW_FILE"]
    with pytest.raises(DataError, match="is not UTF-8: byte 0xf6") as raised:
        list(open_texts([str(file)]).texts())
    assert raised.value.command_hints()[0].startswith("--encoding cp1252")


def test_unlabelled_pairs_for_single_texts_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "pairs.jsonl"
    file.write_text('{"text_a": "one", "text_b": "two"}\n', encoding="utf-8")
    with pytest.raises(DataError, match="the unlabelled texts are pairs, the data single texts"):
        unlabeled_texts(load_dataset(many()), Recipe(student=StudentRecipe(unlabeled=str(file))))


@pytest.mark.parametrize("settings", [{"labels_per_class": 0}, {"labels_per_class": 2, "subset_seed": -1}])
def test_a_count_or_seed_out_of_range_is_refused(settings: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match="must be a whole number"):
        load_dataset(many(), **settings)


def test_a_seed_without_a_number_of_labels_is_refused() -> None:
    for read in (lambda: load_dataset(many(), subset_seed=1), lambda: resolve_data(load_dataset(many()), _SEED_ALONE)):
        with pytest.raises(ConfigError, match="subset_seed=1 draws the labels that labels_per_class keeps"):
            read()


def test_a_recipes_labels_per_class_hold_for_a_data_set_that_was_read_before() -> None:
    whole = load_dataset(many())
    recipe = Recipe(data=DataRecipe(labels_per_class=3, subset_seed=1))
    few = resolve_data(whole, recipe)
    assert few.subset == (3, 1) and len(few.train) == 9 and few.pool is not None
    assert resolve_data(few, recipe) is few  # drawn once
    assert resolve_data(whole, Recipe()) is whole
    with pytest.raises(ConfigError, match=r"labels_per_class=3 with subset_seed=1, .* were drawn with 3 and 0"):
        resolve_data(with_labels_per_class(whole, 3), recipe)


@pytest.mark.parametrize("at_a_time", [1, 3, 1 << 16])
def test_texts_are_compared_with_all_scored_ones_however_many_at_a_time(
    monkeypatch: pytest.MonkeyPatch, at_a_time: int
) -> None:
    monkeypatch.setattr(pool, "_AT_A_TIME", at_a_time)
    whole = load_dataset(splits(many(12), [("the river runs north to the sea in spring", "cold")]))
    copies = [f"{part.texts[-1].upper()}!" for part in (whole.validation, whole.test)]
    texts = ["new one", copies[0], "new two", "the river runs north to the sea in springs", "new three", copies[1]]
    left, note = pool.cleaned(Split("pool", texts), whole, what="the pool")
    assert left.texts == ["new one", "new two", "new three"]
    assert note.startswith("the pool: 6 rows; left out because a scored split repeats them: 2 equal, 1 nearly equal")


def test_a_pool_made_by_hand_loses_near_duplicates_of_scored_texts_too() -> None:
    whole = load_dataset(splits(many(12), [("the river runs north to the sea in spring", "cold")]))
    near = ["The river runs north to the sea, in spring!", "the river runs north to the sea in springs", "a fresh text"]
    told: list[str] = []
    found = unlabeled_texts(replace(whole, pool=Split("pool", near)), Recipe(), told.append)
    assert found is not None and found.texts == ["a fresh text"]
    assert len(told) == 1 and "1 equal, 1 nearly equal" in told[0]


def test_where_words_are_judged_each_tag_has_so_many_texts_and_the_pool_keeps_its_words() -> None:
    rows = [text.split() for text, _ in many(40)]
    texts, words = joined_words(rows)
    tags = Ragged.of([[0, 1 + row % 2, 0, 1 + row % 2] for row in range(40)], np.int64)
    train = Split("train", texts, words=words, labels=tags)
    few = with_labels_per_class(Dataset("tagged", "tokens", ("O", "B-a", "B-b"), {"train": train}), 3)
    assert len(few.train) == 6 and few.task.present(few.train.labels, 3).sum(axis=0).tolist() == [6, 3, 3]
    assert few.pool is not None and len(few.pool) == 34 and few.pool.labels is None
    whole = dict(zip(texts, rows, strict=True))
    for text, places in zip(few.pool.texts, few.pool.words or (), strict=True):
        assert [text[start:end] for start, end in places] == whole[text]
    assert "3 per label" in few.notes[0] and "fewer rows" not in few.notes[0]
