"""Tokens of too few texts leave: what is written with the trimmed vocabulary, every kept token is in enough texts."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from liteft.data import Dataset, Split
from liteft.errors import ArtifactError, ConfigError
from liteft.exporting import export
from liteft.recipe_checks import require_student
from liteft.recipes import StudentRecipe
from liteft.run import Run
from liteft.tokenization import TextTokenizer
from liteft.trimming import trim_vocabulary
from liteft.trimming.frequent import frequent_tokens, texts_of_words
from liteft.trimming.wordpiece import read_wordpiece
from tests.distillation.students import distill

CHARACTERS = ["a", "b", "c", "d", "##a", "##b", "##c", "##d"]
PIECES = ["ab", "abc", "abcd", "cd", "##cd", "##bcd", "##bc", "dab", "##ab", "bca"]


def split_of(*texts: str, pairs: list[str] | None = None) -> Split:
    return Split("texts", list(texts), pairs, None)


@pytest.fixture
def tokenizer(wordpiece: Callable[..., str]) -> TextTokenizer:
    return TextTokenizer(wordpiece([*CHARACTERS, *PIECES]), max_tokens=64)


def kept_of(tokenizer: TextTokenizer, splits: list[Split], least: int, most: int = 1000) -> set[str]:
    trimmed = trim_vocabulary(tokenizer, splits, most=most, min_count=least)
    return set(trimmed.tokens) - read_wordpiece(tokenizer).floor


def test_a_word_of_one_text_leaves_though_that_text_repeats_it(tokenizer: TextTokenizer) -> None:
    splits = [split_of("abcd abcd abcd", "cd", "cd a")]
    assert kept_of(tokenizer, splits, 1) == {"abcd", "cd"}
    assert kept_of(tokenizer, splits, 2) == {"cd"}


def test_equal_texts_are_one_text_also_in_two_splits(tokenizer: TextTokenizer) -> None:
    assert kept_of(tokenizer, [split_of("abc", "abc"), split_of("abc")], 2) == set()
    assert kept_of(tokenizer, [split_of("abc"), split_of("abc a")], 2) == {"abc"}
    assert kept_of(tokenizer, [split_of("abc", "abc", pairs=["a", "b"])], 2) == {"abc"}


def test_two_rare_words_of_different_texts_save_the_token_that_both_fall_back_on() -> None:
    texts = {("abcd",): {0}, ("abc",): {1}, ("ab",): {2}}
    floor = set(CHARACTERS)
    assert frequent_tokens(texts, floor=floor, prefix="##", least=3) - floor == {"ab"}
    assert frequent_tokens(texts, floor=floor, prefix="##", least=4) == floor


def test_only_as_many_numbers_of_texts_are_kept_as_are_needed(tokenizer: TextTokenizer) -> None:
    found = texts_of_words(tokenizer, [split_of(*(f"ab {'a' * each}" for each in range(1, 9)))], prefix="##", most=3)
    assert len(found[("ab",)]) == 3


@pytest.mark.parametrize("least", [2, 3, 5])
@pytest.mark.parametrize("most", [1000, 20])
def test_whatever_is_kept_occurs_in_so_many_texts_as_they_are_written_then(
    most: int, least: int, tokenizer: TextTokenizer
) -> None:
    for seed in range(40):
        random = np.random.default_rng(seed)
        words = ["".join(random.choice(list("abcd"), random.integers(1, 7))) for _ in range(12)]
        texts = [" ".join(random.choice(words, random.integers(1, 5))) for _ in range(14)]
        trimmed = trim_vocabulary(tokenizer, [split_of(*texts)], most=most, min_count=least)
        floor = read_wordpiece(tokenizer).floor
        smaller = TextTokenizer(trimmed.json_text, max_tokens=64)
        occurs: defaultdict[str, set[str]] = defaultdict(set)
        for text, encoded in zip(texts, smaller.encode(texts), strict=True):
            for token in encoded.ids.tolist():
                occurs[trimmed.tokens[token]].add(text)
        assert all(len(occurs[token]) >= least for token in set(trimmed.tokens) - floor), (seed, texts)
        assert smaller.token_id("[UNK]") not in np.concatenate([each.ids for each in smaller.encode(texts)])


def test_what_fills_the_rest_is_the_same_whatever_the_rare_tokens_were(tokenizer: TextTokenizer) -> None:
    filled = [
        trim_vocabulary(tokenizer, [split_of(rare, "ab", "ab a")], most=18, min_count=2, fill=True).tokens
        for rare in ("abcd", "bca", "dab")
    ]
    assert filled[0] == filled[1] == filled[2]


def test_a_smallest_number_of_texts_without_a_number_of_tokens_is_refused() -> None:
    with pytest.raises(ConfigError, match="vocabulary_min_count=5 changes nothing here"):
        require_student(StudentRecipe(size="1", vocabulary_min_count=5))


def test_an_export_says_in_how_many_texts_its_tokens_are_and_another_number_is_another_artifact(
    teacher: Run, dataset: Dataset, tmp_path: Path
) -> None:
    texts = [dataset.train, split_of("unused7 w1", "unused7 w2", "unused8 w1 unused8")]
    common = {"vocabulary": 100, "texts": texts, "verify": dataset.validation, "precision": "fp32"}
    made = export(teacher, tmp_path / "artifact", vocabulary_min_count=2, **common)
    found = json.loads((made.path / "tokenizer.json").read_text("utf-8"))["model"]["vocab"]
    assert "unused7" in found and "unused8" not in found
    assert made.manifest.vocabulary is not None and made.manifest.vocabulary["min_count"] == 2
    assert "those of the texts in 2 different ones or more" in (made.path / "card.md").read_text("utf-8")
    with pytest.raises(ArtifactError, match="another artifact") as raised:
        export(teacher, tmp_path / "artifact", vocabulary_min_count=3, **common)
    assert raised.value.accepted == {"vocabulary_min_count": "2 -> 3"}


def test_the_vocabulary_of_a_student_of_public_texts_has_no_word_of_the_private_ones(
    teacher: Run, dataset: Dataset, tmp_path: Path
) -> None:
    public = tmp_path / "public.txt"
    public.write_text("\n".join(f"unused{row % 9} red{row % 2} w{row % 3}" for row in range(20)) + "\n", "utf-8")
    given = {"size": "1", "epochs": 1, "batch_size": 8, "learning_rate": 3e-3, "training_precision": "fp32"}
    given |= {"unlabeled": str(public), "transfer": "pool", "vocabulary": 100}
    run = distill(teacher, dataset, out=tmp_path / "student", **given)
    found = json.loads((run.model_path / "tokenizer.json").read_text("utf-8"))["model"]["vocab"]
    words = {word for text in public.read_text("utf-8").splitlines() for word in text.split()}
    assert {word for word in found if len(word) > 1 and word[0] not in "[#"} <= words
