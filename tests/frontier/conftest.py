"""A tiny teacher of three layers whose vocabulary weighs more than its layers, and searches that time nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

pytest.importorskip("torch", reason="a search needs the extra 'train'")

from liteft.config import Recipe, make_recipe
from liteft.data import Dataset
from liteft.finetuning import finetune
from liteft.finetuning.model import LoadedClassifier, load_classifier
from liteft.frontier import loop
from liteft.run import Run
from tests.modules import module_of

UNUSED = [f"spare{number}" for number in range(2500)]
STUDENT: dict[str, Any] = {
    "epochs": 6,
    "batch_size": 8,
    "learning_rate": 5e-3,
    "training_precision": "fp32",
    "threads": 1,
}


@pytest.fixture(scope="session")
def tiny() -> ModuleType:
    """The module that writes tiny bases and data."""
    return module_of("finetuning")


@pytest.fixture(scope="session")
def dataset(tiny: ModuleType) -> Dataset:
    """Forty-eight texts to train on, three labels; sixty to validate."""
    made: Dataset = tiny.make_dataset(other=60)
    return made


@pytest.fixture(scope="session")
def base(tiny: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of three layers and four heads, with 2,600 WordPiece pieces of which texts use 42."""
    trimming = module_of("trimming")
    pieces = [*tiny.WORDS, *UNUSED, *trimming.letters([*tiny.WORDS, "spare"])]
    folder = tmp_path_factory.mktemp("base") / "bert"
    count = len(trimming.SPECIAL) + len(pieces)
    tiny.write_base(folder, "bert", vocab_size=count, num_hidden_layers=3, num_attention_heads=4)
    (folder / "tokenizer.json").write_text(trimming.wordpiece_json(pieces), encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def teacher(tiny: ModuleType, base: Path, dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The base, fine-tuned. Read it only."""
    return finetune(base, dataset, out=tmp_path_factory.mktemp("teacher") / "run", **tiny.QUICK | {"epochs": 4})


@pytest.fixture(scope="session")
def loaded(teacher: Run) -> LoadedClassifier:
    """The teacher's classifier. Read it only."""
    return load_classifier(teacher.model_path)


@pytest.fixture
def recipe() -> Callable[..., Recipe]:
    """A function from settings of [search] to a recipe of quick trainings; ``student`` and others go to their table."""

    def make(*, student: dict[str, Any] | None = None, export: dict[str, Any] | None = None, **search: Any) -> Recipe:
        return make_recipe({"student": STUDENT | (student or {}), "export": export or {}, "search": search})

    return make


@pytest.fixture
def timed(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """Replace the timings: a layer takes a millisecond, before its training and after. What was timed, by kind."""
    seen: dict[str, list[str]] = {"trained": [], "untrained": []}

    def trained(artifact: Path, split: Any, *, threads: int, trust: bool) -> float:
        seen["trained"].append(f"{artifact.parent.name}/{artifact.name}")
        return float(artifact.parent.name.split("x")[0])

    def untrained(student: Any, form: Any, split: Any, *, flat: bool, threads: int, trust: bool) -> float:
        layers = int(student.config.num_hidden_layers)
        seen["untrained"].append(f"{layers}x{student.config.hidden_size}")
        return float(layers)

    monkeypatch.setattr(loop, "latency_ms", trained)
    monkeypatch.setattr(loop, "untrained_latency_ms", untrained)
    return seen
