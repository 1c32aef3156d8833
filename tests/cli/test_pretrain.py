"""``liteft pretrain``: from flags to a base, and mistakes in its flags."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from liteft.cli import main
from liteft.config import read_recipe
from tests.pretraining.conftest import make_texts

QUICK = ["--size", "1x32", "--vocabulary", "120", "--max-tokens", "16", "--training-precision", "fp32"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with two text files, in which commands run."""
    (tmp_path / "texts").mkdir()
    for number in range(2):
        (tmp_path / "texts" / f"{number}.txt").write_text("\n".join(make_texts(30, seed=number)) + "\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_flags_and_settings_reach_the_recipe_and_the_result_is_printed(folder: Path, capsys: Any) -> None:
    words = ["pretrain", "--texts", "texts/0.txt", "--texts", "texts/1.txt", *QUICK, "--out", "base"]
    words += ["--set", "pretrain.max_steps=2", "--masked-share", "0.2", "--validation-fraction", "0.1", "--json"]
    assert main(words) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["kind"] == "base" and printed["steps"] == 2 and printed["data"]["texts"] == 60
    recipe = read_recipe(folder / "base" / "recipe.toml").pretrain
    assert recipe.texts == [str(folder / "texts" / f"{number}.txt") for number in range(2)]
    assert (recipe.masked_share, recipe.validation_fraction, recipe.learning_rate) == (0.2, 0.1, 5e-4)
    assert main(["compare", "base", "--on", "texts/0.txt"]) == 1
    assert "a pretrained base, which is not a classifier" in capsys.readouterr().err
    assert main(["export", "base", "--data", "texts/0.txt", "--out", "artifact"]) == 1
    assert "liteft finetune --base base" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--texts", "texts"], "starts either from random weights of a size or from a base"),
        (["--size", "1x32"], "no texts were given"),
        (["--texts", "texts/9.txt", "--size", "1x32"], "there is no file or folder"),
        (["--texts", "texts", "--size", "1x32", "--pooling", "mean"], "there is no flag --pooling"),
        (["--texts", "texts", "--size", "1x32", "--vocabulary-kind", "bpee"], "did you mean 'bpe'"),
    ],
)
def test_a_mistake_is_explained_and_nothing_is_made(folder: Path, capsys: Any, words: list[str], message: str) -> None:
    assert main(["pretrain", *words, "--out", "base"]) != 0
    assert message in capsys.readouterr().err
    assert not (folder / "base").exists()
