"""Where the timings of this machine are stored, and whether there are any to compare with.

pytest-benchmark keeps a folder for each system and version of Python, so that two machines would share one. Here each
processor, by its name and usable cores, has a folder above that, for each encoder.
"""

from __future__ import annotations

import re
from pathlib import Path

from machine import ROOT, own_module
from pytest_benchmark.utils import get_machine_id

STORAGE = ROOT / ".benchmarks"


def storage_of(processor: str, cores: int, encoder: str, root: Path = STORAGE) -> Path:
    """Return the folder for a processor, a number of cores, and an encoder."""
    return root / f"{re.sub(r'[^a-z0-9]+', '-', processor.lower()).strip('-')}-{cores}-{encoder}"


def storage_here(encoder: str) -> Path:
    """Return the folder for this machine."""
    cores = own_module("runtime/cores.py").usable_cores()
    return storage_of(own_module("machine.py").read_processor().name, cores, encoder)


def newest(storage: Path) -> Path | None:
    """Return the newest baseline in a machine's folder, or None."""
    return max((storage / get_machine_id()).glob("[0-9]*_*.json"), default=None, key=lambda file: file.name)
