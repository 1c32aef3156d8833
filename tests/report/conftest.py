"""What the tests of comparing compare: tiny artifacts, and one tiny model as run, model folder and artifact."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from liteft import metrics
from liteft.artifact import Artifact
from liteft.data import Dataset, Split
from liteft.report.comparison import compare
from liteft.report.result import Comparison, Measured
from liteft.report.subjects import Subject
from liteft.report.workers import Speed
from liteft.run import Run
from liteft.runtime import load
from liteft.tasks import SINGLE_LABEL
from tests.modules import module_of

LABELS = ("order", "payment", "app", "praise")
QUICK = {"rounds": 1, "seconds": 0.001, "threads": 1}


@pytest.fixture(scope="session")
def tiny() -> ModuleType:
    """The module that writes tiny artifacts, which need no torch."""
    return module_of("runtime", "tiny.py")


@pytest.fixture(scope="session")
def write_artifact(tiny: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Artifact]:
    """A function that writes an artifact of random weights.

    ``order`` are indices into the labels: the same model with its labels and logits in another order.
    """

    def write(
        name: str,
        *,
        labels: Sequence[str] = LABELS,
        order: Sequence[int] | None = None,
        seed: int = 0,
        change: Callable[[np.ndarray], np.ndarray] | None = None,
        **fields: Any,
    ) -> Artifact:
        model = onnx.load_from_string(tiny.graph(len(labels), typed=fields.get("paired", False), seed=seed))
        (matrix,) = [tensor for tensor in model.graph.initializer if tensor.name == "matrix"]
        weights = numpy_helper.to_array(matrix)
        if change is not None:
            weights = change(weights)
        if order is not None:
            weights, labels = weights[:, list(order)], [labels[index] for index in order]
        matrix.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(weights), "matrix"))
        folder = tmp_path_factory.mktemp("artifacts") / name
        return tiny.write_artifact(folder, labels=labels, model=model.SerializeToString(), **fields)

    return write


@pytest.fixture(scope="session")
def first(write_artifact: Callable[..., Artifact]) -> Artifact:
    """An artifact of four labels."""
    return write_artifact("first")


@pytest.fixture(scope="session")
def second(write_artifact: Callable[..., Artifact]) -> Artifact:
    """Another one, which decides a little differently."""

    def moved(weights: np.ndarray) -> np.ndarray:
        return weights + 0.8 * np.random.default_rng(9).normal(size=weights.shape).astype(np.float32)

    return write_artifact("second", change=moved)


def words(count: int, *, seed: int = 0) -> list[str]:
    """Return texts of 2 to 12 words."""
    rng = np.random.default_rng(seed)
    known = ["parcel", "refund", "address", "invoice", "late", "twice", "order", "open", "payment", "great"]
    return [" ".join(rng.choice(known, size=size)) for size in rng.integers(2, 13, count)]


@pytest.fixture(scope="session")
def texts_of() -> Callable[..., list[str]]:
    """The function `words`."""
    return words


@pytest.fixture(scope="session")
def dataset(first: Artifact) -> Dataset:
    """200 test texts, of which ``first`` gets about three quarters right, and 40 validation texts."""
    splits = {name: _split(first, name, count) for name, count in (("test", 200), ("validation", 40))}
    return Dataset("mail", "single_label", LABELS, splits)


def _split(artifact: Artifact, name: str, count: int) -> Split:
    texts = words(count, seed=len(name))
    with load(artifact.path, threads=1) as classifier:
        decided = classifier.logits(texts).argmax(axis=1)
    rng = np.random.default_rng(1)
    gold = np.where(rng.random(count) < 0.75, decided, rng.integers(0, len(LABELS), count))
    return Split(name, texts, None, gold.astype(np.int64))


@dataclass(frozen=True)
class Forms:
    """One model in its three forms, and the data that it was scored on."""

    run: Run
    folder: Path
    artifact: Artifact
    dataset: Dataset


@pytest.fixture(scope="session")
def forms(tmp_path_factory: pytest.TempPathFactory) -> Forms:
    """A BERT as a finished run, as a model folder, and exported from the run."""
    exporting = module_of("exporting")
    from liteft.exporting import export
    from liteft.finetuning.context import RunContext
    from liteft.finetuning.model import load_classifier
    from liteft.finetuning.run_folder import finish_run

    root = tmp_path_factory.mktemp("forms")
    folder, validation = exporting.Workshop(root).learned("bert")
    rng = np.random.default_rng(3)
    gold = np.where(rng.random(80) < 0.8, validation.labels, rng.integers(0, 5, 80)).astype(np.int64)
    loaded = load_classifier(folder)
    test = Split("test", validation.texts, None, gold)
    data = Dataset("words", "single_label", loaded.settings.labels, {"validation": validation, "test": test})
    run = finish_run(
        RunContext(root / "run"),
        loaded,
        data,
        kind="student",
        tokenizer_source=folder,
        train_bf16=False,
        info={"seed": 0, "teacher": None},
    )
    return Forms(run, folder, export(run, root / "artifact", precision="fp32", verify=validation), data)


@pytest.fixture(scope="session")
def mixed(forms: Forms) -> Comparison:
    """The three forms compared, quickly. Not to be changed."""
    return compare(forms.run, forms.folder, forms.artifact, on=forms.dataset, **{**QUICK, "rounds": 2})


@pytest.fixture(scope="session")
def pair(first: Artifact, second: Artifact, dataset: Dataset) -> Comparison:
    """Two artifacts that decide differently, compared without timing."""
    return compare(first, second, on=dataset, rounds=0, threads=1)


@pytest.fixture
def invented() -> Callable[..., Comparison]:
    """A function that makes a comparison of given numbers: (name, accuracy, p50 in ms, file in MB) a model."""

    def make(*models: tuple[str, float, float, float], texts: int = 1821, **fields: Any) -> Comparison:
        measured = [_invented_model(*model, texts=texts) for model in models]
        settings = {"task": SINGLE_LABEL, "data": "mail", "split": "test", "texts": texts, "majority": 0.5}
        machine = {"processor": "a processor", "cores": 2, "system": "a system"}
        where = {"threads": 2, "device": "cpu", "batch_size": 32, "machine": machine}
        return Comparison(**{"models": tuple(measured), **settings, **where, **fields})

    return make


def _invented_model(name: str, accuracy: float, p50_ms: float, megabytes: float, *, texts: int) -> Measured:
    path, size = Path(name), int(megabytes * 1e6)
    engine: Any = "torch" if "torch" in name else "onnxruntime"
    rounds = tuple((factor * p50_ms, 2 * p50_ms, 100.0) for factor in (0.9, 1.0, 1.2))
    interval = metrics.wilson_interval(round(accuracy * texts), texts)
    return Measured(
        subject=Subject(name, path, path, engine, "fp32, onnx", SINGLE_LABEL, LABELS, False, size // 4, size, size + 9),
        scores={"accuracy": accuracy, "macro_f1": accuracy},
        intervals={"accuracy": interval, "macro_f1": interval},
        paired=None,
        f1_difference=None,
        agreement=1.0,
        speed=Speed(p50_ms, 2 * p50_ms, 100.0, 100, 3, rounds),
        peak_memory_bytes=123_000_000,
        versions={},
    )
