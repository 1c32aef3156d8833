"""Tiny bases and data, as the tests of fine-tuning write them."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest

pytest.importorskip("torch", reason="advice needs the extra 'train'")

from liteft.data import Dataset
from tests.cache import Cache
from tests.modules import module_of


@pytest.fixture(scope="session")
def tiny() -> ModuleType:
    """The module that writes tiny bases and data."""
    return module_of("finetuning")


@pytest.fixture(scope="session")
def dataset(tiny: ModuleType) -> Dataset:
    """Ninety texts to train on, three labels."""
    made: Dataset = tiny.make_dataset(train=90)
    return made


@pytest.fixture(scope="session")
def base(tiny: ModuleType, cache: Cache) -> Path:
    """A BERT of two layers whose embeddings of a topic's words lie together."""
    return cache("advising-base", lambda folder: tiny.write_base(folder, "bert"))


@pytest.fixture(scope="session")
def noise(tiny: ModuleType, cache: Cache) -> Path:
    """A base that cannot tell words apart: all its word embeddings are the same."""

    def write(folder: Path) -> None:
        import torch
        from transformers import AutoModel

        tiny.write_base(folder, "bert")
        model = AutoModel.from_pretrained(folder)
        with torch.no_grad():
            model.get_input_embeddings().weight.fill_(0.1)
        model.save_pretrained(folder)

    return cache("advising-noise", write)
