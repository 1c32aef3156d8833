"""Fixtures of the runtime's tests: tiny artifacts, written once a session, and classifiers over them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from liteft.artifact import Artifact
from liteft.runtime import Classifier, load
from tests.modules import module_of


@pytest.fixture(scope="session")
def tiny() -> ModuleType:
    """The module that writes tiny artifacts."""
    return module_of("runtime", "tiny.py")


@pytest.fixture(scope="session")
def artifact(tiny: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """A single-label artifact of four labels. Not to be changed."""
    return tiny.write_artifact(tmp_path_factory.mktemp("artifacts") / "single")


@pytest.fixture(scope="session")
def classifier(artifact: Artifact) -> Iterator[Classifier]:
    """A classifier over ``artifact``, shared by all tests of the session."""
    with load(artifact.path, threads=2) as loaded:
        yield loaded


@pytest.fixture(scope="session")
def pair_classifier(tiny: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Classifier]:
    """A classifier of pairs, with segment ids."""
    path = tmp_path_factory.mktemp("artifacts") / "pairs"
    tiny.write_artifact(path, labels=("same", "different"), paired=True)
    with load(path, threads=1) as loaded:
        yield loaded


@pytest.fixture(scope="session")
def multi_classifier(tiny: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Classifier]:
    """A multi-label classifier of six labels."""
    path = tmp_path_factory.mktemp("artifacts") / "multi"
    tiny.write_artifact(path, labels=tuple("abcdef"), multi=True)
    with load(path, threads=2) as loaded:
        yield loaded


@pytest.fixture(scope="session")
def library_file(built: Path) -> Path:
    """The native library, built from the checkout."""
    return built / "libliteft.so"


@pytest.fixture
def native(library_file: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The native library, where the runtime looks first."""
    monkeypatch.setenv("LITEFT_LIBRARY", str(library_file))
    return library_file


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Artifact]:
    """A function that exports a tiny encoder, once for the same arguments. Not to be changed."""
    pytest.importorskip("torch", reason="what the native engine runs is exported with the extra 'train'")
    from liteft.exporting import Limits, export
    from tests.exporting.conftest import Workshop

    workshop = Workshop(tmp_path_factory.mktemp("exported"))
    made: dict[str, Artifact] = {}

    def make(family: str = "bert", pooling: str = "cls", precision: str = "fp32", **changes: Any) -> Artifact:
        key = f"{family}-{pooling}-{precision}-{changes}"
        if key not in made:
            flat = changes.pop("flat", False)
            folder, split = workshop.learned(family, pooling, **changes)
            loose = Limits(agreement=0.5, accuracy_drop=0.5)  # tiny random models decide by hairs
            out = workshop.root / f"artifact-{len(made)}"
            made[key] = export(folder, out, precision=precision, verify=split, limits=loose, flat=flat)  # type: ignore[arg-type]
        return made[key]

    return make


@pytest.fixture
def new_artifact(tiny: ModuleType, tmp_path: Path) -> Callable[..., Artifact]:
    """A function that writes an artifact of its own for one test; arguments as ``tiny.write_artifact``."""

    def write(name: str = "artifact", **fields: Any) -> Artifact:
        return tiny.write_artifact(tmp_path / name, **fields)

    return write
