"""Folders that many tests read and none changes, each made once for all processes of a session."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from tests.locks import locked


class Cache:
    """Makes folders where they are asked for the first time. They live as long as the session's other folders."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def __call__(self, name: str, make: Callable[[Path], object]) -> Path:
        """Return the folder of this name, which ``make`` has written, here or in another process."""
        folder, finished = self.root / name, self.root / f"{name}.finished"
        with locked(self.root / f"{name}.lock"):
            if not finished.is_file():
                shutil.rmtree(folder, ignore_errors=True)  # what a test that failed has left
                make(folder)
                finished.touch()
        return folder
