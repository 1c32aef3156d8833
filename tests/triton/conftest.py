"""Tiny artifacts for Triton, of every task, and the native library."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from liteft.runtime.native_library import VARIABLE
from tests.exporting.conftest import workshop

__all__ = ["workshop"]


@pytest.fixture(scope="session")
def native(built: Path) -> Iterator[Path]:
    """The native library, used for all tests of this folder that ask for it."""
    file = built / "libliteft.so"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(VARIABLE, str(file))
        yield file
