"""What tests of the benchmarks share: a script of bench/ as a module, and a data set as files."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from liteft.data import Dataset

ROOT = Path(__file__).resolve().parents[2]


def load_script(name: str) -> ModuleType:
    """Import a module of bench/, which is no package."""
    sys.path.insert(0, str(ROOT / "bench"))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(ROOT / "bench"))


def write_data(folder: Path, dataset: Dataset) -> None:
    """Write a data set as files that the loader reads."""
    folder.mkdir(parents=True)
    for name, split in dataset.splits.items():
        assert split.labels is not None
        rows = []
        for text, gold in zip(split.texts, split.labels, strict=True):
            named: dict[str, Any] = (
                {"label": dataset.labels[int(gold)]}
                if not gold.ndim
                else {"labels": [label for label, chosen in zip(dataset.labels, gold, strict=True) if chosen]}
            )
            rows.append(json.dumps({"text": text, **named}) + "\n")
        (folder / f"{name}.jsonl").write_text("".join(rows), encoding="utf-8")
