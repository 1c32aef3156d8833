"""Fixtures of the command line's tests: a way to call it in this process, and little data."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import liteft
from liteft.artifact import Artifact
from liteft.cli import main
from liteft.run import RUN_FORMAT, Run


@dataclass(frozen=True)
class Called:
    """What a command did."""

    status: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The JSON on stdout."""
        return json.loads(self.out)


Call = Callable[..., Called]


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Call:
    """Run ``liteft`` with the given words in this process."""
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)

    def run(*words: object) -> Called:
        status = main([str(word) for word in words])
        captured = capsys.readouterr()
        return Called(status, captured.out, captured.err)

    return run


@pytest.fixture
def reviews(tmp_path: Path) -> Path:
    """A csv of 60 rows whose columns have unusual names: body, stars."""
    path = tmp_path / "reviews.csv"
    rows = [f"{'great' if number % 2 else 'poor'} film number {number},{number % 2}" for number in range(60)]
    path.write_text("\n".join(["body,stars", *rows]) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """A single-label artifact of four labels. Not to be changed."""
    return tiny_artifact(tmp_path_factory.mktemp("artifacts") / "single")


def tiny_artifact(path: Path, **settings: Any) -> Artifact:
    """Write an artifact as the runtime's tests do."""
    source = Path(__file__).parent.parent / "runtime" / "tiny.py"
    spec = importlib.util.spec_from_file_location("liteft_tests_cli_tiny", source)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.write_artifact(path, **settings)


@pytest.fixture
def make_artifact() -> Callable[..., Artifact]:
    """A function that writes an artifact: ``make_artifact(path, multi=True)``."""
    return tiny_artifact


def write_run(path: Path, *, right: int = 91, **info: Any) -> Run:
    """Write the least that a verb reads of a finished run, which gets the first ``right`` of 100 test texts right."""
    (path / "model").mkdir(parents=True)
    (path / "model" / "config.json").write_text(json.dumps({"num_hidden_layers": 6}), encoding="utf-8")
    (path / "predictions").mkdir()
    gold = np.arange(100) % 2
    logits = np.eye(2, dtype=np.float32)[np.where(np.arange(100) < right, gold, 1 - gold)]
    np.savez(path / "predictions" / "test.npz", logits=logits, labels=gold)
    scores = {"accuracy": 0.91, "accuracy_interval": [0.88, 0.93]}
    content = {
        "format": RUN_FORMAT,
        "kind": "teacher",
        "task": "single_label",
        "labels": ["0", "1"],
        "parameters": 22_700_000,
        "size_bytes": 90_800_000,
        "seed": 0,
        "data": {"name": "reviews", "fingerprint": "f" * 64},
        "metrics": {"validation": scores, "test": scores},
    }
    return Run(path, content | info)


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Replace ``liteft.finetune``; the calls that it got, with ``base`` and ``data`` among them."""
    calls: list[dict[str, Any]] = []

    def finetune(base: str | None, data: Any, **settings: Any) -> Run:
        settings["progress"]("teacher: step 1")
        calls.append({"base": base, "data": data, **settings})
        return write_run(Path(settings["out"]))

    monkeypatch.setitem(vars(liteft), "finetune", finetune)
    return calls


@pytest.fixture
def make_run() -> Callable[..., Run]:
    """A function that writes what verbs read of a run: ``make_run(path, kind="student")``."""
    return write_run
