"""The data check: what it counts, what it says, what it costs."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing

from liteft.data import Dataset, Split, check_dataset, load_dataset
from liteft.tokenization import TextTokenizer

Write = Callable[..., Path]


@pytest.fixture(scope="module")
def tokenizer() -> TextTokenizer:
    """Words and punctuation, [CLS] in front, [SEP] behind each text, cut at 8 tokens."""
    vocabulary = {"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3}
    plain = Tokenizer(WordLevel(vocabulary, unk_token="[UNK]"))
    plain.pre_tokenizer = Whitespace()
    special = [("[CLS]", 2), ("[SEP]", 3)]
    plain.post_processor = TemplateProcessing("[CLS] $A [SEP]", "[CLS] $A [SEP] $B [SEP]", special)
    return TextTokenizer(plain.to_str(), max_tokens=8)


def _load(train: list[tuple[Any, ...]], test: list[tuple[Any, ...]] | None = None, **settings: Any) -> Dataset:
    source: dict[str, Any] = {"train": train} | ({"test": test} if test else {})
    return load_dataset(source, **{"validation_fraction": 0, "test_fraction": 0} | settings)


def _split(check: Any, name: str) -> Any:
    return next(split for split in check.splits if split.name == name)


def test_rows_and_label_counts() -> None:
    check = check_dataset(_load([("a", "x"), ("b", "y"), ("c", "y")], [("d", "x")]))
    assert (check.task, check.labels) == ("single_label", ("x", "y"))
    assert (_split(check, "train").rows, _split(check, "train").labels) == (3, {"x": 1, "y": 2})
    assert _split(check, "test").labels == {"x": 1, "y": 0}


def test_multi_label_counts_and_rows_without_a_label() -> None:
    check = check_dataset(_load([("a", ["x", "y"]), ("b", ["y"]), ("c", [])]))
    assert _split(check, "train").labels == {"x": 1, "y": 2}
    assert _split(check, "train").unlabelled == 1


def test_lengths_in_words_without_a_tokenizer() -> None:
    lengths = _split(check_dataset(_load([("one two three", 0), ("one", 1), ("酒店 good", 0)])), "train").lengths
    assert (lengths.unit, lengths.min, lengths.median, lengths.max) == ("words", 1, 3.0, 3)
    assert lengths.truncated is None and lengths.longest == "data['train'], row 1"


def test_lengths_in_tokens_and_the_share_cut(tokenizer: TextTokenizer) -> None:
    rows = [
        ("one two three four five six", 0),
        ("one two three four five six seven", 1),
        ("one", 1),
        ("two", 0),
    ]
    check = check_dataset(_load(rows), tokenizer=tokenizer)
    lengths = _split(check, "train").lengths
    assert (lengths.unit, lengths.min, lengths.max, lengths.truncated) == ("tokens", 3, 9, 0.25)
    assert check.max_tokens == 8
    assert any("25.0% of the texts of train are cut at 8 tokens" in line for line in check.warnings)


def test_both_texts_of_a_pair_count(tokenizer: TextTokenizer) -> None:
    check = check_dataset(_load([("one two", "three", 0), ("one", "two", 1)]), tokenizer=tokenizer)
    assert _split(check, "train").lengths.max == 6


def test_exact_duplicates_and_one_text_under_two_labels(write: Write) -> None:
    train = [("a", 0), ("a", 0), ("b", 0), ("B ", 1), ("c", 1), ("a", 0)]
    check = check_dataset(_load(train))
    split = _split(check, "train")
    assert split.duplicates == 2
    assert split.contradictions == 2
    assert split.contradiction_example == ("data['train'], row 3", "data['train'], row 4")
    told = "\n".join(check.warnings)
    assert "2 rows of train whose text also has another label: data['train'], row 3, and" in told
    assert "2 rows of train that repeat an earlier text exactly" in told


def test_the_same_first_text_with_another_second_is_no_duplicate() -> None:
    split = _split(check_dataset(_load([("a", "b", 0), ("a", "c", 1), ("a", "b", 0)])), "train")
    assert (split.duplicates, split.contradictions) == (1, 0)


def test_texts_in_two_splits() -> None:
    check = check_dataset(_load([("a", 0), ("b", 1)], [("A", 1), ("c", 0), ("b", 1), ("d", 0)]))
    (overlap,) = check.overlaps
    assert (overlap.split, overlap.other, overlap.rows, overlap.share) == ("test", "train", 2, 0.5)
    assert overlap.example == ("data['test'], row 1", "data['train'], row 1")
    assert "2 rows of test (50.0%) with texts that train also contains" in check.warnings[0]


def test_labels_that_training_lacks_and_rare_ones() -> None:
    train = [(f"{label} {row}", label) for label, size in (("x", 9), ("y", 9), ("z", 2)) for row in range(size)]
    check = check_dataset(_load(train, [("p", "oos"), ("q", "x")]))
    assert check.rare == {"z": 2} and check.rare_below == 5
    assert _split(check, "test").unseen == {"oos": 1}
    told = "\n".join(check.warnings)
    assert "test has labels that train lacks; they count as wrong: oos 1" in told
    assert "1 of 3 labels with under 5 rows in train: z 2" in told
    assert check_dataset(_load(train), rare=2).rare == {}


def test_labels_that_differ_in_case_only() -> None:
    check = check_dataset(_load([("a", "Pos"), ("b", "pos"), ("c", "neg")]))
    assert check.alike == (("Pos", "pos"),)
    assert "labels that differ only in case or white space: Pos, pos" in check.warnings


def test_empty_texts_in_scored_splits() -> None:
    check = check_dataset(_load([("a", 0), ("b", 1)], [("", 0), (None, 1), ("c", 0)]))
    assert _split(check, "test").empty == 2
    assert "2 rows of test without a text" in check.warnings
    assert check.overlaps == ()


def test_an_endless_text_is_named_with_file_and_row(tokenizer: TextTokenizer, write: Write) -> None:
    rows = [{"text": f"text {row}", "label": row % 2} for row in range(20)]
    rows[7]["text"] = "word " * 138_679
    dataset = load_dataset(write("a.jsonl", rows), max_chars=10**6, validation_fraction=0, test_fraction=0)
    check = check_dataset(dataset, tokenizer=tokenizer)
    (place,) = _split(check, "train").endless
    assert place.endswith("a.jsonl, line 8") and _split(check, "train").endless[place] == 138_681
    assert "a.jsonl, line 8 (train) is very long: 138,681 tokens" in check.warnings


def test_large_splits_are_sampled_and_the_longest_still_found(
    tokenizer: TextTokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("liteft.data.lengths.COUNTED_CHARS", 1000)
    monkeypatch.setattr("liteft.data.lengths.COUNTED_ROWS", 50)
    rows = [(f"text {row}", row % 2) for row in range(500)]
    rows[333] = ("word " * 100, 1)
    check = check_dataset(_load(rows), tokenizer=tokenizer)
    lengths = _split(check, "train").lengths
    assert lengths.sampled is not None and 50 <= lengths.sampled <= 70
    assert (lengths.max, lengths.longest) == (102, "data['train'], row 334")
    assert f"lengths from an even sample of rows: train {lengths.sampled}" in check.render()


def test_the_check_as_text(tokenizer: TextTokenizer, write: Write, reviews: list[dict[str, Any]]) -> None:
    text = check_dataset(load_dataset(write("reviews.jsonl", reviews)), tokenizer=tokenizer).render()
    lines = text.splitlines()
    assert lines[0] == "data: reviews (single-label, 2 labels)"
    assert lines[2].split() == [
        "split",
        "rows",
        "tokens:",
        "median",
        "95%",
        "longest",
        "cut",
        "empty",
        "duplicates",
        "contradictory",
    ]
    assert lines[3].split()[:2] == ["train", "32"]
    assert "  labels in train: neg 16 (50.0%), pos 16 (50.0%)" in lines
    assert any(line.startswith("  note: columns guessed by name") for line in lines)
    assert not text.endswith("\n") and "warning" not in text


def test_many_labels_are_shown_by_their_extremes() -> None:
    rows = [(f"{label} {row}", f"label {label:02}") for label in range(20) for row in range(label + 1)]
    assert "label 19 20, label 18 19, label 17 18, ..., label 02 3," in check_dataset(_load(rows)).render()
    even = [(f"{label} {row}", f"{label}") for label in range(20) for row in range(6)]
    assert "labels in train: 20, 6 rows each" in check_dataset(_load(even)).render()


def test_the_check_as_json(tokenizer: TextTokenizer) -> None:
    dataset = _load([("a", 0), ("b", 1), ("a", 1)], [("a", 1), ("", 7)])
    for used in (None, tokenizer):
        check = check_dataset(dataset, tokenizer=used)
        content = json.loads(json.dumps(check.to_dict(), allow_nan=False))
        assert content["fingerprint"] == dataset.fingerprint
        assert content["splits"][0]["labels"] == {"0": 1, "1": 2}
        assert content["warnings"] == list(check.warnings)


def test_splits_without_rows_or_labels_are_no_trouble(tokenizer: TextTokenizer) -> None:
    splits = {"train": Split("train", []), "pool": Split("pool", ["a", "b"])}
    check = check_dataset(Dataset("d", "single_label", ("x", "y"), splits), tokenizer=tokenizer)
    assert json.dumps(check.to_dict(), allow_nan=False)
    assert "pool" in check.render() and _split(check, "pool").labels is None


@pytest.mark.serial
def test_seventy_thousand_rows_take_two_seconds_at_most() -> None:
    generator = np.random.default_rng(0)
    words = [f"word{number}" for number in range(500)]
    texts = [" ".join(words[index] for index in row) for row in generator.integers(0, 500, (70_000, 9))]
    split = Split("train", texts, labels=generator.integers(0, 2, 70_000))
    dataset = Dataset("d", "single_label", ("x", "y"), {"train": split, "test": split.take(slice(0, 2000))})
    started = time.process_time()
    check_dataset(dataset).render()
    assert time.process_time() - started < 2
