"""The real data sets: sizes, labels and the flaws that are known to be in them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from liteft.data import DataCheck, Dataset, check_dataset, load_dataset, load_texts, normalised
from liteft.errors import DataError


def _check(dataset: Dataset) -> DataCheck:
    check = check_dataset(dataset)
    assert check.render() and check.to_dict()
    return check


@pytest.mark.parametrize(
    ("name", "settings", "rows", "labels"),
    [
        ("sst2", {}, (67_349, 872, 1_821), 2),
        ("trec", {}, (4_907, 545, 500), 6),
        ("clinc150", {}, (15_000, 3_000, 4_500), 150),
        ("snips", {}, (13_084, 700, 700), 7),
        ("goemotions", {}, (43_410, 5_426, 5_427), 28),
        ("thucnews_headlines", {}, (33_590, 10_000, 10_000), 10),
        ("chnsenticorp", {}, (9_600, 1_200, 1_200), 2),
        pytest.param("imdb", {}, (22_500, 2_500, 25_000), 2, marks=pytest.mark.slow),  # long texts
    ],
)
def test_sizes_and_labels(
    data_root: Path, name: str, settings: dict[str, Any], rows: tuple[int, ...], labels: int
) -> None:
    dataset = load_dataset(data_root / name, **settings)
    assert tuple(len(dataset.split(split)) for split in ("train", "validation", "test")) == rows
    assert len(dataset.labels) == labels and dataset.name == name
    _check(dataset)


def test_trec_with_fine_labels(data_root: Path) -> None:
    dataset = load_dataset(data_root / "trec", label="fine")
    assert len(dataset.labels) == 50 and dataset.labels[0] == "ABBR:abb"
    assert len(dataset.train) + len(dataset.validation) == 5_452
    check = _check(dataset)
    # The validation split that was made shares no text with the test split that was given.
    assert {overlap.other for overlap in check.overlaps} == {"train"}


def test_clinc150_has_extras_that_training_never_sees(data_root: Path) -> None:
    dataset = load_dataset(data_root / "clinc150")
    assert dataset.extras == ("oos_dev", "oos_test", "oos_train")
    assert "oos" not in dataset.labels
    assert dataset.unseen == {"oos_dev": {"oos": 100}, "oos_test": {"oos": 1000}, "oos_train": {"oos": 100}}


def test_goemotions_is_multi_label_with_labels_in_their_order(data_root: Path) -> None:
    dataset = load_dataset(data_root / "goemotions")
    assert dataset.task == "multi_label" and dataset.labels == tuple(str(label) for label in range(28))
    assert dataset.train.labels is not None
    assert dataset.train.labels[0].nonzero()[0].tolist() == [27]


@pytest.mark.parametrize(("name", "paired"), [("rte", True), ("cola", False)])
def test_a_test_split_is_made_where_there_is_none(data_root: Path, name: str, paired: bool) -> None:
    dataset = load_dataset(data_root / name)
    assert dataset.paired is paired and len(dataset.test) > 200
    keys = {
        split: {normalised(*row) for row in zip(rows.texts, rows.pairs or rows.texts, strict=True)}
        for split, rows in dataset.splits.items()
    }
    assert not keys["test"] & (keys["train"] | keys["validation"])


def test_chnsenticorp_shares_28_percent_of_its_texts(data_root: Path) -> None:
    check = _check(load_dataset(data_root / "chnsenticorp"))
    shares = {(overlap.split, overlap.other): round(overlap.share, 2) for overlap in check.overlaps}
    assert shares["validation", "train"] == shares["test", "train"] == 0.28


@pytest.mark.parametrize("name", ["conll2003", "restaurant8k_spans", "wikitext103_evaltext", "vocab"])
def test_what_has_no_labels_of_whole_texts_is_refused(data_root: Path, name: str) -> None:
    with pytest.raises(DataError):
        load_dataset(data_root / name, task="single_label")


def test_plain_text_serves_as_unlabelled(data_root: Path) -> None:
    texts = load_texts(data_root / "wikitext103_evaltext")
    assert len(texts) > 4_000 and all(text.strip() for text in texts)
