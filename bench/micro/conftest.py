"""What the benchmarks share: models, loaded classifiers, the place of baselines, and what is recorded beside a time.

    make bench            # compares with the baseline of this machine
    make bench-save       # stores one

Times are from one process, with as many threads as ``liteft.load`` takes. Compare only runs on a quiet machine.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from baselines import newest, storage_here
from machine import commit, machine, tell, versions
from micro_models import ENCODERS, available, models_of
from pytest_benchmark.fixture import BenchmarkFixture

import liteft
from liteft.artifact import read_artifact
from liteft.tokenization import TextTokenizer

ENGINES = [(precision, backend) for precision in ("fp32", "int8") for backend in ("native", "onnxruntime")]
PACKAGES = ("liteft", "numpy", "tokenizers", "onnxruntime", "torch", "transformers", "pyarrow", "starlette")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the choice of a model."""
    parser.addoption("--encoder", choices=list(ENCODERS), default="minilm", help="whose speed is measured")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Store in this machine's folder, and say so where it holds nothing to compare with."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    storage = storage_here(config.getoption("encoder"))
    config.option.benchmark_storage = f"file://{storage}"
    if config.option.benchmark_compare and newest(storage) is None:
        tell("There is no baseline of this machine to compare with; `make bench-save` stores one.")
        config.option.benchmark_compare, config.option.benchmark_compare_fail = [], None


def pytest_benchmark_update_machine_info(config: pytest.Config, machine_info: dict[str, Any]) -> None:
    """Replace what pytest-benchmark found out, host name included, by what all results of bench/ say.

    The load is left to `pytest_benchmark_update_json`: a baseline of another load is one of the same machine.
    """
    machine_info.clear()
    machine_info.update({name: value for name, value in machine().items() if name != "load"})
    machine_info["encoder"] = config.getoption("encoder")


def pytest_benchmark_update_json(output_json: dict[str, Any]) -> None:
    """Add versions, commit, and how busy the machine is at the end, the benchmarks themselves included."""
    output_json.update(versions=versions(PACKAGES), commit=commit(), load=machine()["load"])


@pytest.fixture(scope="session")
def models(request: pytest.FixtureRequest) -> Path:
    """The folder with the checkpoint and its artifacts."""
    return models_of(request.config.getoption("encoder"))


@pytest.fixture(scope="session")
def tokenizer(models: Path) -> TextTokenizer:
    """The artifacts' tokenizer."""
    return read_artifact(models / "fp32").tokenizer()


@pytest.fixture(scope="session", params=ENGINES, ids="-".join)
def engine(request: pytest.FixtureRequest) -> tuple[str, str]:
    """A precision and a backend, skipped where the backend is missing."""
    return available(*request.param)


@pytest.fixture(scope="session")
def classifier(models: Path, engine: tuple[str, str]) -> Iterator[Any]:
    """An artifact in an engine."""
    precision, backend = engine
    with liteft.load(models / precision, backend=backend, device="cpu") as found:
        yield found


@pytest.fixture
def timed(benchmark: BenchmarkFixture) -> Callable[..., Any]:
    """A function that times a call of so many texts, rows and tokens, and returns what the call returned.

    ``extra_info`` gets what was counted, and how many of each a second, by the median.
    """

    def time(call: Callable[[], Any], *, rounds: int | None = None, **counted: int) -> Any:
        found = benchmark(call) if rounds is None else benchmark.pedantic(call, rounds=rounds, warmup_rounds=1)
        if benchmark.stats is not None:  # without --benchmark-disable
            median = benchmark.stats.stats.median
            rates = {f"{name}_per_second": round(count / median, 1) for name, count in counted.items()}
            benchmark.extra_info.update(counted | rates)
        return found

    return time
