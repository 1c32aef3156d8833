"""The native library, loaded, and tiny classifiers from where the exporter's come."""

from __future__ import annotations

import ctypes
from pathlib import Path

import pytest

from tests.exporting.conftest import batch, workshop
from tests.native.library import open_library

__all__ = ["batch", "library", "workshop"]


@pytest.fixture(scope="session")
def library(built: Path) -> ctypes.CDLL:
    """The library, loaded."""
    return open_library(built / "libliteft.so")


@pytest.fixture(scope="session")
def file(built: Path) -> Path:
    """The library as ONNX Runtime is given it."""
    return built / "libliteft.so"


@pytest.fixture
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let sessions that are made meanwhile compute on the thread that runs them."""
    monkeypatch.setenv("LITEFT_THREADS", "1")
