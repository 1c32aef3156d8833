"""Tiny artifacts for Triton, of every task, and the native library."""

from __future__ import annotations

from pathlib import Path

import pytest

from liteft.runtime.native_library import VARIABLE
from tests.exporting.conftest import workshop

__all__ = ["workshop"]


@pytest.fixture
def native(built: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The native library, used for this test."""
    file = built / "libliteft.so"
    monkeypatch.setenv(VARIABLE, str(file))
    return file
