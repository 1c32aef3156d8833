"""The tiny bases and data of the fine-tuning tests, and a teacher made of them."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest

from liteft.data import Dataset
from liteft.finetuning import finetune
from liteft.finetuning.model import LoadedClassifier, load_classifier
from liteft.run import Run
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
def base(tiny: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of four layers and four heads."""
    return tiny.write_base(tmp_path_factory.mktemp("base") / "bert", "bert", num_hidden_layers=4, num_attention_heads=4)


@pytest.fixture(scope="session")
def teacher(tiny: ModuleType, base: Path, dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A fine-tuned teacher of four layers. Read it only."""
    return finetune(base, dataset, out=tmp_path_factory.mktemp("teacher") / "run", **tiny.QUICK)


@pytest.fixture(scope="session")
def loaded(teacher: Run) -> LoadedClassifier:
    """The teacher's classifier. Read it only."""
    return load_classifier(teacher.model_path)
