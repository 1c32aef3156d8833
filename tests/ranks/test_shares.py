"""A teacher's logits in two processes: each computes a share, one file comes of it, and a kill loses one chunk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="training needs the extra 'train'")

from liteft.data import Split
from liteft.distillation import cache
from liteft.distillation.cache import teacher_logits
from liteft.finetuning import finetune
from liteft.finetuning.model import load_classifier
from liteft.ragged import Ragged
from liteft.ranks import launch
from tests.finetuning.conftest import QUICK, make_dataset, write_base
from tests.finetuning.test_tokens import make_tagged
from tests.ranks import shares

pytestmark = pytest.mark.slow


def in_two(model: Path, split: Split, folder: Path, **rest: Any) -> tuple[list[np.ndarray], list[list[int]]]:
    """Return the logits that each of two ranks got, and of how many texts it asked the model each time."""
    launch(shares.logits, model, split, folder, processes=2, threads=2, progress=None, **rest)
    found = [np.load(folder.with_name(f"{folder.name}-{rank}.npy")) for rank in (0, 1)]
    asked = [folder.with_name(f"{folder.name}-{rank}.txt").read_text().split() for rank in (0, 1)]
    return found, [[int(count) for count in each] for each in asked]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_base(tmp_path_factory.mktemp("shares") / "bert", "bert")


def test_shares_of_texts_and_of_words_become_one_file(base: Path, tmp_path: Path) -> None:
    for name, data in (("texts", make_dataset()), ("words", make_tagged())):
        run = finetune(base, data, out=tmp_path / f"{name}-run", **(QUICK | {"epochs": 1}))
        found, asked = in_two(run.model_path, data.train, tmp_path / name, large=10**6)
        expected = teacher_logits(load_classifier(run.model_path), "a", data.train, folder=tmp_path / "one", bf16=False)
        values = expected.values if isinstance(expected, Ragged) else expected
        assert asked == [[24], [24]]
        np.testing.assert_allclose(found[0], values, atol=1e-5)
        (file,) = (tmp_path / name).iterdir()
        for each in (found[1], np.load(file)):
            np.testing.assert_array_equal(each, found[0])
        again, asked = in_two(run.model_path, data.train, tmp_path / name, large=10**6)
        assert asked == [[], []]
        np.testing.assert_array_equal(again, found)


def test_shares_of_a_large_pool_go_on_where_they_ended(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = make_dataset()
    run = finetune(base, data, out=tmp_path / "run", **(QUICK | {"epochs": 1}))
    asked = {"large": 40}
    with pytest.raises(RuntimeError, match="the second rank fails"):
        in_two(run.model_path, data.train, tmp_path / "pool", fails=3, **asked)
    found, calls = in_two(run.model_path, data.train, tmp_path / "pool", **asked)
    assert calls[1] == [8] and sum(calls[0]) <= 20  # five chunks: two of the first rank, three of the second
    monkeypatch.setattr(cache, "LARGE", 40)
    monkeypatch.setattr(cache, "_CHUNK", 10)
    alone = teacher_logits(load_classifier(run.model_path), "a", data.train, folder=tmp_path / "one", bf16=False)
    np.testing.assert_array_equal(found, [alone, alone])
    assert len(list((tmp_path / "pool").iterdir())) == 1
