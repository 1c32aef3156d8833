"""A teacher that is an adapter, beside other models: it counts with its base."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest

from liteft.finetuning import finetune
from liteft.report import compare
from liteft.report.measure import load_model
from liteft.report.subjects import find_subjects
from liteft.run import Run
from tests.modules import module_of


@pytest.fixture(scope="module")
def training() -> ModuleType:
    """The module that writes tiny bases and data for training."""
    return module_of("finetuning")


@pytest.fixture(scope="module")
def run(training: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """An adapter on a base in 4-bit form."""
    root = tmp_path_factory.mktemp("adapter")
    base = training.write_base(root / "base", "bert")
    settings = {**training.QUICK, "learning_rate": 1e-2, "base_quantization": "4bit"}
    return finetune(base, training.make_dataset(), out=root / "teacher", **settings)


def test_sizes_and_parameters_are_those_of_adapter_and_base(run: Run) -> None:
    base = Path(run.info["adapter"]["base"]) / "model.safetensors"
    for subject in find_subjects([run, run.model_path]):
        assert subject.form.endswith("torch, 4bit")
        assert subject.parameters == run.info["parameters"]
        own = (run.model_path / "adapter_model.safetensors").stat().st_size
        assert subject.model_bytes == own + base.stat().st_size == run.info["size_bytes"]
        beside = sum(path.stat().st_size for path in run.model_path.iterdir())
        assert subject.folder_bytes == beside + base.stat().st_size


def test_an_adapter_is_loaded_to_be_measured_as_it_was_trained(run: Run, training: ModuleType) -> None:
    (subject,) = find_subjects([run])
    test = training.make_dataset().test
    logits = load_model(str(subject.folder), 1, "cpu", said=subject.said).logits(test)
    assert (logits.argmax(axis=1) == test.labels).mean() == run.metrics["test"]["accuracy"]


@pytest.mark.slow
def test_an_adapter_is_measured_as_it_was_trained(run: Run, training: ModuleType) -> None:
    (model,) = compare(run, on=training.make_dataset(), rounds=1, seconds=0.001, threads=1).models
    assert model.scores["accuracy"] == run.metrics["test"]["accuracy"]
