"""floors.json: written once, read again, and written anew for other data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from liteft.data import Dataset, Split
from liteft.floors import FLOORS_FILE, read_floor_scores, read_floors, stored_floors
from liteft.tasks import MULTI_LABEL, SINGLE_LABEL, Task
from tests.modules import module_of

TEXTS = ["a cat sat", "the cat ran", "two plus two", "one plus two"]


def dataset(task: Task = SINGLE_LABEL, last: str = "one plus two") -> Dataset:
    labels = np.array([0, 0, 1, 1])
    if task.several:
        labels = labels[:, None] == np.arange(2)
    texts = [*TEXTS[:3], last]
    return Dataset(
        "small", task, ("a", "b"), {name: Split(name, texts, labels=labels) for name in ("train", "validation")}
    )


@pytest.mark.parametrize("task", [SINGLE_LABEL, MULTI_LABEL])
def test_what_is_read_is_what_was_written(tmp_path: Path, task: Task) -> None:
    written, read = (stored_floors(tmp_path / FLOORS_FILE, dataset(task)) for _ in range(2))
    assert read.to_dict() == written.to_dict()
    for one, other in zip(written.rows, read.rows, strict=True):
        assert np.array_equal(one.decisions["validation"], other.decisions["validation"])


def test_floors_are_trained_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / FLOORS_FILE
    stored_floors(path, dataset())
    before = path.read_bytes()
    monkeypatch.setattr("liteft.floors.stored.train_floors", None)
    stored_floors(path, dataset())
    assert path.read_bytes() == before


def test_other_data_has_other_floors(tmp_path: Path) -> None:
    path = tmp_path / FLOORS_FILE
    stored_floors(path, dataset())
    changed = dataset(last="two minus one")
    assert read_floors(path, changed) is None
    assert stored_floors(path, changed).fingerprint == changed.fingerprint


@pytest.mark.parametrize("content", ["", "{}", '{"fingerprint": 3}', "[]"])
def test_a_damaged_file_is_written_again(tmp_path: Path, content: str) -> None:
    path = tmp_path / FLOORS_FILE
    path.write_text(content)
    stored_floors(path, dataset())
    assert read_floors(path, dataset()) is not None


def test_the_scores_are_read_without_the_data_but_only_of_the_same_data(tmp_path: Path) -> None:
    path = tmp_path / FLOORS_FILE
    written = stored_floors(path, dataset())
    first, found = written.rows[0], read_floor_scores(path, dataset().fingerprint)["validation"]
    assert list(found) == [row.name for row in written.rows]
    assert found[first.name].items() >= {"n": 4, **first.scores["validation"]}.items()
    assert tuple(found[first.name]["accuracy_interval"]) == first.intervals["validation"]["accuracy"]
    assert read_floor_scores(path, "another") == read_floor_scores(tmp_path / "missing", None) == {}


def base(folder: Path, seed: int) -> Path:
    """Write a tokenizer and a matrix of word vectors."""
    folder.mkdir()
    (folder / "tokenizer.json").write_text(module_of("runtime", "tiny.py").tokenizer_json(), encoding="utf-8")
    table = np.random.default_rng(seed).normal(size=(400, 4)).astype(np.float32)
    save_file({"embeddings.word_embeddings.weight": table}, folder / "model.safetensors")
    return folder


def test_another_base_has_other_floors_and_none_takes_those_of_any(tmp_path: Path) -> None:
    path, first, second = tmp_path / FLOORS_FILE, base(tmp_path / "first", 0), base(tmp_path / "second", 1)
    written = stored_floors(path, dataset(), first)
    assert len(written.rows) == 3
    before = path.read_bytes()
    stored_floors(path, dataset(), first)
    stored_floors(path, dataset())
    assert path.read_bytes() == before
    stored_floors(path, dataset(), second)
    assert path.read_bytes() != before
