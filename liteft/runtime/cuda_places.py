"""Where CUDA's parts are on this machine, found without importing anything: cublasLt, and a folder for algorithms.

libliteft_cuda opens libcublasLt itself: one that the process has already loaded (torch's, onnxruntime's), else one
in the folders given here, else one on the system's search path.
"""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

__all__ = ["cache_folder", "cublas_folders", "cublas_path"]

_PACKAGES = ("nvidia", "torch")
_PATTERN = "libcublasLt.so.*"


def cublas_folders() -> list[Path]:
    """Return the folders of installed wheels (nvidia-cublas, torch) that contain libcublasLt, newest version first."""
    found: dict[Path, str] = {}
    for package in _PACKAGES:
        try:
            spec = importlib.util.find_spec(package)
        except (ImportError, ValueError):
            continue
        for root in (spec.submodule_search_locations or []) if spec is not None else []:
            for file in (*Path(root).glob(f"*/lib/{_PATTERN}"), *Path(root).glob(f"lib/{_PATTERN}")):
                found[file.parent] = max(found.get(file.parent, ""), file.name)
    return sorted(found, key=lambda folder: found[folder], reverse=True)


def cublas_path() -> str:
    """Return the folders as the library expects them, joined by colons: first those of LITEFT_CUBLAS."""
    own = [folder for folder in os.environ.get("LITEFT_CUBLAS", "").split(":") if folder]
    return ":".join([*own, *map(str, cublas_folders())])


def cache_folder() -> Path:
    """Return the folder for the fastest algorithms: liteft in XDG_CACHE_HOME, or in ~/.cache. It need not exist."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "liteft"
