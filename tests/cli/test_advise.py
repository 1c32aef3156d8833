"""liteft advise: the flags reach the function, and the next command reads the same data."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch", reason="advice needs the extra 'train'")

from tests.cache import Cache
from tests.cli.conftest import Call
from tests.modules import module_of


def test_the_next_command_names_data_and_columns(call: Call, reviews: Path, cache: Cache) -> None:
    base = cache("advising-base", lambda folder: module_of("finetuning").write_base(folder, "bert"))
    words = ["advise", reviews, "--text", "body", "--label", "stars", "--base", base, "--minutes", "1", "--json"]
    done = call(*words)
    assert done.status == 0, done.err
    assert done.document["next"].startswith(
        f"liteft distill --data {reviews} --text body --label stars --teacher {base}"
    )
    assert done.document["bases"][0]["base"] == str(base)
    assert f"next: {done.document['next']}" in done.err
    told = call(*words[:-1])
    assert (told.out + told.err).count("next:") == 1


def test_a_teacher_has_one_base(call: Call, reviews: Path, tmp_path: Path) -> None:
    done = call("finetune", "--data", reviews, "--base", "a", "--base", "b", "--out", tmp_path / "run")
    assert done.status == 2
    assert "--base is given 2 times: a, b." in done.err and "liteft advise DATA --base a --base b" in done.err
