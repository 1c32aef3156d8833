"""Which texts of a pool are to be labelled next."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from liteft.data import Split
from liteft.errors import ConfigError, DataError
from liteft.picking import to_label
from liteft.picking.choice import bare_texts, certainties, doubtful_rows, doubts, margins, sure_rows
from liteft.picking.picked import _require_kind
from liteft.ragged import Ragged
from liteft.tasks import MULTI_LABEL, SINGLE_LABEL, TOKENS
from tests.modules import module_of

TEXTS = ["a parcel came late", "A parcel came late!", "refund the second payment", "the app closes", "praise for you"]


def logits(*margins: float) -> np.ndarray:
    return np.array([[margin, 0.0] for margin in margins], dtype=np.float32)


def test_the_most_doubtful_text_comes_first_and_its_repetition_never() -> None:
    rows = doubtful_rows(bare_texts(Split("p", TEXTS)), logits(0, 0.1, 2, -1, 5), SINGLE_LABEL, 3, [])
    assert rows[0] == 0 and 1 not in rows and len(rows) == 3


def test_labelled_texts_are_not_picked() -> None:
    bare = bare_texts(Split("p", TEXTS))
    assert doubtful_rows(bare, logits(0, 0.1, 2, -1, 5), SINGLE_LABEL, 9, bare[:1]) == [3, 2, 4]


def test_sure_texts_are_spread_over_labels() -> None:
    rows = sure_rows(bare_texts(Split("p", TEXTS)), logits(1, 2, 3, -1, 5), SINGLE_LABEL, 2, [])
    assert rows == [(3, 1), (4, 0)]


def test_several_labels_are_ranked_by_mean_entropy() -> None:
    values = np.array([[9, -9], [0, 9], [0, 0], [5, 5], [9, 9]], dtype=np.float32)
    assert doubtful_rows(bare_texts(Split("p", TEXTS)), values, MULTI_LABEL, 1, []) == [2]


def tag_logits(*texts: list[list[float]]) -> Ragged:
    return Ragged.of(texts, np.float32, width=(3,))


def test_a_text_is_as_doubtful_as_its_most_doubtful_word() -> None:
    task = TOKENS.bound(("O", "B-a", "B-b"))
    sure, even = [9.0, 0.0, 0.0], [0.0, 0.0, 0.0]
    values = tag_logits([sure, sure], [sure] * 8 + [even], [[1.0, 0.0, 0.0]], [])
    found = doubts(values, task)
    assert found[1] == pytest.approx(1) and found[0] < 0.01 < found[2] < 1 and found[3] == 0
    assert margins(values, task)[[1, 3]] == pytest.approx([0, 1])
    assert doubtful_rows(bare_texts(Split("p", TEXTS[:4])), values, task, 1, []) == [1]


def test_a_text_is_as_sure_as_its_least_sure_word_and_tags_have_their_turns() -> None:
    task = TOKENS.bound(("O", "B-a", "B-b"))
    values = tag_logits([[9, 0, 0], [0, 9, 0]], [[9, 0, 0]] * 2, [[9, 0, 0], [0, 1, 0]], [[0, 0, 2]])
    texts = ["a parcel came late", "refund the second payment", "the app closes", "praise for you"]
    rows = sure_rows(bare_texts(Split("p", texts)), values, task, 4, [])
    assert rows == [(3, 2), (0, 1), (2, 1), (1, 0)]
    assert certainties(values, task)[2].max() == pytest.approx(np.e / (np.e + 2), rel=1e-5)


def test_a_pool_without_marked_words_is_refused_for_a_model_of_roles() -> None:
    with pytest.raises(DataError, match="for one marked word, and the pool has none marked"):
        _require_kind(Split("p", TEXTS), paired=False, marked=True)


def test_an_artifact_picks_the_same_texts_again_and_writes_them(tmp_path: Path) -> None:
    artifact = module_of("runtime", "tiny.py").write_artifact(tmp_path / "artifact")
    found = to_label(artifact.path, TEXTS, 2, sure=1)
    assert len(found.doubtful) == 2 and len(found.sure) == 1 and found == to_label(artifact, TEXTS, 2, sure=1)
    found.write(tmp_path / "next.jsonl")
    lines = [json.loads(line) for line in (tmp_path / "next.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [line["why"] for line in lines] == ["doubtful", "doubtful", "sure"] and "label" not in lines[0]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"count": "many"}, "count must be an integer of 0 or more, got 'many'"),
        ({"count": 1.5}, "count must be an integer of 0 or more, got 1.5"),
        ({"sure": -1}, "sure must be an integer of 0 or more, got -1"),
        ({"labelled": "50.csv"}, "labelled must be a data set or a split, got '50.csv'"),
    ],
)
def test_arguments_of_other_types_are_refused_before_the_model_is_read(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        to_label("nowhere", TEXTS, **arguments)


def test_a_pool_of_pairs_is_refused_for_a_model_of_texts(tmp_path: Path) -> None:
    artifact = module_of("runtime", "tiny.py").write_artifact(tmp_path / "artifact")
    with pytest.raises(DataError, match="the pool has pairs"):
        to_label(artifact.path, Split("p", ["a"], ["b"]))
