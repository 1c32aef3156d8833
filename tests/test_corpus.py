"""The corpus that comes with the package: enough texts, of every length, and no text twice."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from importlib import resources
from itertools import chain
from pathlib import Path

import pytest

from liteft.data import Dataset, check_dataset, load_dataset, normalised

SPLITS = ("train", "validation", "test")
INTENTS = {"account", "billing", "delivery", "product_question", "returns", "technical"}
Rows = list[tuple[str, str]]


@pytest.fixture(scope="module")
def corpus() -> Path:
    """Its folder, as the demo finds it."""
    return Path(str(resources.files("liteft.data") / "corpus"))


@pytest.fixture(scope="module")
def rows(corpus: Path) -> dict[str, Rows]:
    """Split -> texts and labels."""
    found = {}
    for split in SPLITS:
        lines = (corpus / f"{split}.jsonl").read_text(encoding="utf-8").splitlines()
        found[split] = [(row["text"], row["label"]) for row in map(json.loads, lines)]
    return found


@pytest.fixture(scope="module")
def everything(rows: dict[str, Rows]) -> list[tuple[str, int, str]]:
    """Split, line number and text of every row."""
    return [(split, line, text) for split in SPLITS for line, (text, _) in enumerate(rows[split], start=1)]


@pytest.fixture(scope="module")
def dataset(corpus: Path) -> Dataset:
    return load_dataset(corpus)


def words(text: str) -> list[str]:
    return re.findall(r"\w+", normalised(text))


@pytest.mark.parametrize("split", SPLITS)
def test_every_line_is_json_with_a_text_and_a_label(corpus: Path, split: str) -> None:
    lines = (corpus / f"{split}.jsonl").read_bytes().decode("utf-8").split("\n")
    assert lines.pop() == ""  # the last line ends
    for number, line in enumerate(lines, start=1):
        row = json.loads(line)
        assert list(row) == ["text", "label"], number
        assert isinstance(row["text"], str) and row["text"].strip(), number
        assert row["text"].isprintable() or "\n" in row["text"] or "\t" in row["text"], number


def test_there_are_at_least_900_texts(rows: dict[str, Rows]) -> None:
    assert sum(map(len, rows.values())) >= 900
    assert len(rows["train"]) > len(rows["test"]) >= 150
    assert len(rows["validation"]) >= 150


def test_the_six_intents_stand_in_every_split(rows: dict[str, Rows]) -> None:
    for split in SPLITS:
        counts = Counter(label for _, label in rows[split])
        assert set(counts) == INTENTS, split
        assert min(counts.values()) >= 15, split


def test_every_intent_has_at_least_100_texts(rows: dict[str, Rows]) -> None:
    counts = Counter(label for _, label in chain.from_iterable(rows.values()))
    assert min(counts.values()) >= 100, counts
    assert max(counts.values()) < 2 * min(counts.values()), counts


def test_lengths_vary_as_real_ones_do(everything: list[tuple[str, int, str]]) -> None:
    lengths = [len(text.split()) for _, _, text in everything]
    assert sum(length <= 3 for length in lengths) >= 10
    assert sum(length >= 80 for length in lengths) >= 10
    quarter, three_quarters = (sorted(lengths)[len(lengths) * part // 4] for part in (1, 3))
    assert three_quarters > 1.7 * quarter


def test_no_text_stands_twice(everything: list[tuple[str, int, str]]) -> None:
    places = defaultdict(list)
    for split, line, text in everything:
        places[" ".join(words(text)) or text].append((split, line))  # punctuation and case are no difference
    assert [found for found in places.values() if len(found) > 1] == []


def test_no_two_texts_share_over_half_of_their_word_4_grams(everything: list[tuple[str, int, str]]) -> None:
    """Of the shorter one's, over all splits: sentences made from one template would."""
    texts = [words(text) for _, _, text in everything]
    grams = [{tuple(found[at : at + 4]) for at in range(len(found) - 3)} for found in texts]
    holders = defaultdict(list)
    shared: Counter[tuple[int, int]] = Counter()
    for number, own in enumerate(grams):
        for gram in own:
            shared.update((other, number) for other in holders[gram])
            holders[gram].append(number)
    alike = [
        (everything[one], everything[two])
        for (one, two), count in shared.items()
        if count > min(len(grams[one]), len(grams[two])) / 2
    ]
    assert alike == []


def test_no_opening_serves_many_texts(everything: list[tuple[str, int, str]]) -> None:
    openings = Counter(tuple(words(text)[:4]) for _, _, text in everything if len(words(text)) >= 4)
    assert openings.most_common(1)[0][1] <= len(everything) // 100


def test_it_loads_as_three_splits_with_nothing_to_decide(dataset: Dataset, rows: dict[str, Rows]) -> None:
    assert {name: len(split) for name, split in dataset.splits.items()} == {name: len(rows[name]) for name in SPLITS}
    assert set(dataset.labels) == INTENTS
    assert dataset.task == "single_label"


def test_the_data_check_finds_no_leak_and_no_fault(dataset: Dataset) -> None:
    check = check_dataset(dataset)
    assert check.overlaps == ()
    assert check.rare == {} and check.alike == ()
    for split in check.splits:
        assert (split.empty, split.duplicates, split.contradictions) == (0, 0, 0)
        assert split.unseen == {} and split.endless == {}
    assert check.warnings == ()
