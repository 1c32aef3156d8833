"""A folder in which node finds a package from npm."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

__all__ = ["install_in"]


def install_in(folder: Path, package: str, script: Path) -> Path:
    """Install a package into a folder and copy a script beside it; where that cannot be, skip with the reason.

    Several packages have spaces between them.
    """
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    (folder / "package.json").write_text("{}")
    command = ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", *package.split()]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    except subprocess.TimeoutExpired:
        pytest.skip(f"npm did not install {package} within 5 minutes")
    if done.returncode:
        pytest.skip(f"npm cannot install {package}: {done.stderr.strip().splitlines()[:1]}")
    shutil.copy(script, folder)
    return folder
