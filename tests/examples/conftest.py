"""What tests of the examples share: a script as a module, a tiny artifact, and a process that serves it."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

from liteft.artifact import Artifact
from tests.modules import module_of
from tests.serving.serving import running

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT)}


@pytest.fixture(scope="session")
def load_example() -> Callable[[str], ModuleType]:
    """A function that imports a script of examples/, which is no package: ``load_example("kafka_loop.py")``."""

    def load(file: str) -> ModuleType:
        name = f"liteft_examples_{Path(file).stem}"
        spec = importlib.util.spec_from_file_location(name, EXAMPLES / file)
        assert spec is not None and spec.loader is not None
        module = sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load


@pytest.fixture(scope="session")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """A single-label artifact of four labels. Not to be changed."""
    return module_of("runtime", "tiny.py").write_artifact(tmp_path_factory.mktemp("artifacts") / "single")


@pytest.fixture(scope="session")
def server(artifact: Artifact) -> Iterator[str]:
    """The address of a `liteft serve` with the artifact as the model "tickets"."""
    pytest.importorskip("msgspec", reason="serving needs the extra 'serve'")
    with running([f"tickets={artifact.path}"], "--drain-delay", "0", "--threads", "1") as started:
        yield f"http://127.0.0.1:{started.port}"
