"""Fixtures of the hub's tests: a hub on this machine that the real client talks to, and what is pushed to it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from liteft.artifact import Artifact
from tests.modules import module_of

stub = module_of("hub", "stub.py")


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    """An empty hub, to which this process is logged in, with an empty cache."""
    constants = pytest.importorskip("huggingface_hub.constants", reason="the extra 'hub' is not installed")
    with stub.running() as running:
        monkeypatch.setattr(constants, "ENDPOINT", running.url)
        monkeypatch.setattr(
            constants, "HUGGINGFACE_CO_URL_TEMPLATE", running.url + "/{repo_id}/resolve/{revision}/{filename}"
        )
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setenv("HF_TOKEN", stub.TOKEN)
        monkeypatch.chdir(tmp_path)
        yield running


@pytest.fixture(scope="session")
def tiny() -> ModuleType:
    """The module that writes tiny artifacts."""
    return module_of("runtime", "tiny.py")


@pytest.fixture
def artifact(tiny: ModuleType, tmp_path: Path) -> Artifact:
    """A single-label artifact of four labels, measured on a test split."""
    measured = {"n": 200, "accuracy": 0.91234, "accuracy_interval": [0.87, 0.94], "macro_f1": 0.9, "log_loss": 0.3}
    data = {"name": "reviews.csv", "rows": {"train": 100, "test": 200}}
    return tiny.write_artifact(
        tmp_path / "made" / "artifact", measured={"test": {"onnxruntime": measured, "native": measured}}, data=data
    )


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A tiny BERT as a finished run, and the data that it was scored on. Not to be changed."""
    pytest.importorskip("torch", reason="runs are trained with the extra 'train'")
    from liteft.data import Dataset, Split
    from liteft.finetuning.context import RunContext
    from liteft.finetuning.model import load_classifier
    from liteft.finetuning.run_folder import finish_run

    root = tmp_path_factory.mktemp("trained")
    folder, validation = module_of("exporting").Workshop(root).learned("bert")
    loaded = load_classifier(folder)
    splits = {"validation": validation, "test": Split("test", validation.texts, None, validation.labels)}
    data = Dataset("words", "single_label", loaded.settings.labels, splits)
    told: Any = {"seed": 0, "teacher": None}
    run = finish_run(
        RunContext(root / "run"), loaded, data, kind="student", tokenizer_source=folder, train_bf16=False, info=told
    )
    return run, data


@pytest.fixture
def pushed(hub: Any, artifact: Artifact) -> Artifact:
    """The artifact, pushed to acme/reviews."""
    artifact.push_to_hub("acme/reviews", license="mit")
    hub.asked.clear()
    return artifact
