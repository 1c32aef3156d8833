"""Artifacts spoiled in many ways end in an error of LiteFT's or in predictions, and in nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from liteft.runtime.native_library import has_library
from tests.bench.conftest import load_script


@pytest.fixture(scope="module")
def fuzzing() -> ModuleType:
    return load_script("fuzz_artifacts")


@pytest.fixture(scope="module")
def seeds(fuzzing: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A few artifacts to spoil."""
    pytest.importorskip("torch", reason="what is spoiled is exported with the extra 'train'")
    return fuzzing.make_seeds(tmp_path_factory.mktemp("fuzzing") / "seeds", every=False)


def check(found: dict[str, Any], count: int) -> None:
    assert found["faults"] == [], json.dumps(found["faults"][:3], indent=1)
    assert sum(found["outcomes"].values()) == count
    assert found["outcomes"]["refused"] > count // 10 and found["outcomes"]["predicted"] > count // 20


@pytest.mark.parametrize("backend", ["native", "onnxruntime"])
def test_some_hundred_spoiled_artifacts_end_no_process(
    fuzzing: ModuleType, seeds: dict[str, Path], backend: str
) -> None:
    if backend == "native" and not has_library():
        pytest.skip("the native library is not built")
    check(fuzzing.fuzz(backend, seeds, seed="quick", count=300), 300)


def test_a_fault_is_counted_and_the_next_artifact_is_loaded_all_the_same(
    fuzzing: ModuleType, seeds: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter([{"outcome": "predicted"}, {"outcome": "signal", "detail": "SIGABRT"}, {"outcome": "refused"}])

    class Worker:
        def __init__(self, *_: Any) -> None: ...

        def ask(self, folder: Path) -> dict[str, Any]:
            assert (folder / "manifest.json").is_file()
            return next(answers)

        def close(self) -> None: ...

    monkeypatch.setattr(fuzzing, "Worker", Worker)
    found = fuzzing.fuzz("native", seeds, seed="quick", count=3)
    assert found["outcomes"] == {"predicted": 1, "signal": 1, "refused": 1}
    assert [fault["number"] for fault in found["faults"]] == [1]


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["native", "onnxruntime"])
def test_20_000_spoiled_artifacts_end_no_process(
    fuzzing: ModuleType, tmp_path_factory: pytest.TempPathFactory, backend: str
) -> None:
    if backend == "native" and not has_library():
        pytest.skip("the native library is not built")
    every = fuzzing.make_seeds(tmp_path_factory.getbasetemp() / "every" / "seeds")
    check(fuzzing.fuzz(backend, every, seed="long", count=20_000), 20_000)
