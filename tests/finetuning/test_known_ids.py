"""Tokens that the tokenizer was given and the model was not."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from liteft.data import Split
from liteft.errors import DataError
from liteft.finetuning.base import create_classifier
from liteft.finetuning.fit import encode_rows
from liteft.finetuning.known_ids import embedding_rows, unknown_tokens
from liteft.finetuning.model import TorchClassifier


@pytest.fixture(params=["cls", "mean"])
def loaded(request: pytest.FixtureRequest, base: Callable[[str], Path], tmp_path: Path) -> TorchClassifier:
    """A classifier on a base whose tokenizer has one token more."""
    folder = tmp_path / "base"
    shutil.copytree(base("bert"), folder)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.add_tokens(["<url>"])
    tokenizer.save(str(folder / "tokenizer.json"))
    return create_classifier(
        folder, labels=["a", "b"], task="single_label", pooling=request.param, max_tokens=16, paired=False
    )


def test_a_training_text_with_a_token_without_a_row_is_named(loaded: TorchClassifier) -> None:
    assert unknown_tokens(loaded) == ["<url>"]
    encode_rows(loaded, Split("train", ["fine", "fine too"]))
    encode_rows(loaded, Split("train", []))
    with pytest.raises(DataError, match="text 2 of split 'train' holds '<url>'") as caught:
        encode_rows(loaded, Split("train", ["fine", "", "see <url>", "<url>"]))
    assert f"{embedding_rows(loaded.model):,}" in caught.value.accepted.values()
