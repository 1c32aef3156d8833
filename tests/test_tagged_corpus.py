"""The tagged texts that come with the package: spans of whole words, every type in every split, and no text twice."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from importlib import resources
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from liteft.data import Dataset, check_dataset, load_dataset, normalised
from liteft.words import find_words

SPLITS = ("train", "validation", "test")
TYPES = {"amount", "city", "company", "date", "order", "person", "product", "street", "time"}
Rows = list[dict[str, Any]]


@pytest.fixture(scope="module")
def corpus() -> Path:
    """Its folder, as the demo finds it."""
    return Path(str(resources.files("liteft.data") / "tagged"))


@pytest.fixture(scope="module")
def rows(corpus: Path) -> dict[str, Rows]:
    """Split -> its rows."""
    found = {}
    for split in SPLITS:
        lines = (corpus / f"{split}.jsonl").read_bytes().decode("utf-8").split("\n")
        assert lines.pop() == ""  # the last line ends
        found[split] = [json.loads(line) for line in lines]
    return found


@pytest.fixture(scope="module")
def dataset(corpus: Path) -> Dataset:
    return load_dataset(corpus, task="tokens")


def spans_of(rows: Rows) -> list[tuple[str, str]]:
    """Return all spans, as type and lower-cased characters."""
    return [(span["label"], row["text"][span["start"] : span["end"]].lower()) for row in rows for span in row["spans"]]


@pytest.mark.parametrize("split", SPLITS)
def test_spans_are_of_whole_words_in_order_and_apart(rows: dict[str, Rows], split: str) -> None:
    for number, row in enumerate(rows[split], start=1):
        assert list(row) == ["text", "spans"], number
        text, spans = row["text"], row["spans"]
        assert isinstance(text, str) and text == text.strip() and text.isprintable(), number
        words = find_words(text)
        begins, ends = {begin for begin, _ in words}, {end for _, end in words}
        last = 0
        for span in spans:
            assert list(span) == ["start", "end", "label"] and span["label"] in TYPES, number
            assert last <= span["start"] < span["end"], number
            assert span["start"] in begins and span["end"] in ends, (number, text[span["start"] : span["end"]])
            last = span["end"]


def test_there_are_900_to_1300_texts_in_less_than_400_kilobytes(corpus: Path, rows: dict[str, Rows]) -> None:
    assert 900 <= sum(map(len, rows.values())) <= 1300
    assert len(rows["train"]) > 600
    assert min(len(rows["validation"]), len(rows["test"])) >= 150
    assert sum(path.stat().st_size for path in corpus.iterdir()) < 400_000


def test_every_type_is_in_every_split(rows: dict[str, Rows]) -> None:
    for split, fewest in (("train", 100), ("validation", 20), ("test", 20)):
        counts = Counter(label for label, _ in spans_of(rows[split]))
        assert set(counts) == TYPES, split
        assert min(counts.values()) >= fewest, (split, counts)


def test_some_texts_of_every_split_have_no_spans(rows: dict[str, Rows]) -> None:
    for split in SPLITS:
        assert len(rows[split]) // 25 <= sum(not row["spans"] for row in rows[split]) <= len(rows[split]) // 4, split


def test_no_text_stands_twice(rows: dict[str, Rows]) -> None:
    places = defaultdict(list)
    for split in SPLITS:
        for number, row in enumerate(rows[split], start=1):
            places[" ".join(re.findall(r"\w+", normalised(row["text"])))].append((split, number))
    assert [found for found in places.values() if len(found) > 1] == []


def test_a_third_of_the_test_spans_are_in_no_training_text(rows: dict[str, Rows]) -> None:
    known = set(spans_of(rows["train"]))
    new = [span for span in spans_of(rows["test"]) if span not in known]
    assert len(new) > len(spans_of(rows["test"])) / 3
    assert {label for label, _ in new} == TYPES


def test_a_spans_characters_do_not_say_its_type(rows: dict[str, Rows]) -> None:
    types = defaultdict(set)
    for label, shown in chain.from_iterable(spans_of(rows[split]) for split in SPLITS):
        types[shown].add(label)
    several = {shown for shown, labels in types.items() if len(labels) > 1}
    assert {"may", "georgia", "paris"} & several and len(several) >= 10
    for split in ("train", "test"):  # the word outside of spans, too
        outside = [
            row["text"] for row in rows[split] if re.search(r"\b[Mm]ay\b", row["text"]) and "may" not in
            {row["text"][span["start"] : span["end"]].lower() for span in row["spans"]}
        ]  # fmt: skip
        assert outside, split


def test_texts_are_as_rough_as_real_ones(rows: dict[str, Rows]) -> None:
    texts = [row["text"] for split in SPLITS for row in rows[split]]
    assert sum(text == text.lower() for text in texts) > len(texts) / 10
    assert sum(text == text.upper() for text in texts) > len(texts) / 50
    assert sum(not text.isascii() for text in texts) > len(texts) / 10
    assert sum(re.search(r"[,?!]\w", text) is not None for text in texts) > len(texts) / 50
    assert any(ord(character) > 0xFFFF for text in texts for character in text)
    lengths = sorted(len(text.split()) for text in texts)
    assert lengths[len(lengths) * 9 // 10] > 2 * lengths[len(lengths) // 10]


def test_it_loads_with_nothing_to_decide(dataset: Dataset, rows: dict[str, Rows], corpus: Path) -> None:
    assert {name: len(split) for name, split in dataset.splits.items()} == {name: len(rows[name]) for name in SPLITS}
    assert set(dataset.labels) == {"O", *(f"{part}-{kind}" for part in "BI" for kind in TYPES)}
    assert load_dataset(corpus).task == dataset.task


def test_the_data_check_finds_no_leak_and_no_fault(dataset: Dataset) -> None:
    check = check_dataset(dataset)
    assert check.overlaps == () and check.warnings == ()
    for split in check.splits:
        assert (split.empty, split.duplicates, split.contradictions) == (0, 0, 0)
        assert split.unseen == {} and split.endless == {}
