"""A tiny teacher of three layers whose vocabulary weighs more than its layers, and searches that time nothing."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

pytest.importorskip("torch", reason="a search needs the extra 'train'")

from liteft.config import make_recipe
from liteft.data import Dataset
from liteft.distillation import student as distillation
from liteft.finetuning import finetune
from liteft.finetuning.context import RunContext
from liteft.finetuning.model import TorchClassifier, load_classifier
from liteft.frontier import loop
from liteft.recipes import Recipe
from liteft.run import Run, read_run
from tests.cache import Cache
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
def base(tiny: ModuleType, cache: Cache) -> Path:
    """A BERT of three layers and four heads, with 2,600 WordPiece pieces of which texts use 42."""
    trimming = module_of("trimming")
    pieces = [*tiny.WORDS, *UNUSED, *trimming.letters([*tiny.WORDS, "spare"])]

    def write(folder: Path) -> None:
        count = len(trimming.SPECIAL) + len(pieces)
        tiny.write_base(folder, "bert", vocab_size=count, num_hidden_layers=3, num_attention_heads=4)
        (folder / "tokenizer.json").write_text(trimming.wordpiece_json(pieces), encoding="utf-8")

    return cache("frontier-base", write)


@pytest.fixture(scope="session")
def teacher(tiny: ModuleType, base: Path, dataset: Dataset, cache: Cache) -> Run:
    """The base, fine-tuned. Read it only."""
    settings = tiny.QUICK | {"epochs": 4}
    return read_run(cache("frontier-teacher", lambda out: finetune(base, dataset, out=out, **settings)))


@pytest.fixture(scope="session")
def loaded(teacher: Run) -> TorchClassifier:
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

    def untrained(student: Any, form: Any, split: Any, *, threads: int, trust: bool) -> float:
        layers = int(student.config.num_hidden_layers)
        seen["untrained"].append(f"{layers}x{student.config.hidden_size}")
        return float(layers)

    monkeypatch.setattr(loop, "latency_ms", trained)
    monkeypatch.setattr(loop, "untrained_latency_ms", untrained)
    return seen


@pytest.fixture
def training() -> None:
    """For a test whose searches train their students, and take none from the cache."""


@pytest.fixture(autouse=True)
def taught(request: pytest.FixtureRequest, cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a search train each student once for all tests, which are about what it does with students.

    A copy of the finished run is put into the search's folder, and the real function finds it there, or refuses it.
    """
    if "training" in request.fixturenames:
        return
    distill_one, train = loop.distill_one, distillation.train_student

    def copied(teacher: Any, dataset: Dataset, recipe: Recipe, context: RunContext, **rest: Any) -> Run:
        if not context.out.exists() and distillation.train_student is train:  # else a test watches what is trained
            asked = [str(teacher.loaded.path), dataset.fingerprint, recipe.student.model_dump(mode="json")]
            asked.append(recipe.export.model_dump(mode="json") if recipe.student.quantized_epochs else None)
            key = hashlib.sha256(json.dumps(asked).encode()).hexdigest()
            made = cache(f"student-{key}", lambda folder: distill_one(teacher, dataset, recipe, RunContext(folder)))
            shutil.copytree(made, context.out)
        return distill_one(teacher, dataset, recipe, context, **rest)

    monkeypatch.setattr(loop, "distill_one", copied)
