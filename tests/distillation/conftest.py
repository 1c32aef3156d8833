"""The tiny bases and data of the fine-tuning tests, and a teacher made of them."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest

from liteft.data import Dataset
from liteft.finetuning import finetune
from liteft.finetuning.model import TorchClassifier, load_classifier
from liteft.run import Run, read_run
from tests.cache import Cache
from tests.modules import module_of


@pytest.fixture(scope="session")
def tiny() -> ModuleType:
    """The module that writes tiny bases and data."""
    return module_of("finetuning")


@pytest.fixture(scope="session")
def dataset(tiny: ModuleType) -> Dataset:
    """Forty-eight texts to train on, three labels."""
    return tiny.make_dataset()


@pytest.fixture(scope="session")
def base(tiny: ModuleType, cache: Cache) -> Path:
    """A BERT of four layers and four heads."""
    shape = {"num_hidden_layers": 4, "num_attention_heads": 4}
    return cache("distillation-base", lambda folder: tiny.write_base(folder, "bert", **shape))


@pytest.fixture(scope="session")
def teacher(tiny: ModuleType, base: Path, dataset: Dataset, cache: Cache) -> Run:
    """A fine-tuned teacher of four layers. Read it only."""
    return read_run(cache("distillation-teacher", lambda out: finetune(base, dataset, out=out, **tiny.QUICK)))


@pytest.fixture(scope="session")
def loaded(teacher: Run) -> TorchClassifier:
    """The teacher's classifier. Read it only."""
    return load_classifier(teacher.model_path)
