"""The contestants of bench/cuda_engines.py, named "module:Class", since each is imported in a process of its own."""

from __future__ import annotations

import importlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cuda_contestants import Contestant


@dataclass(frozen=True)
class Entry:
    """A contestant of the comparison.

    Attributes:
        group: names the process that it runs in; a kernel that faults ends everything in its process.
        precision: of its matmuls.
        contestant: module and class, as "module:Class".
        settings: keyword arguments of the class.
        parts: the parts of the comparison in which it takes part.
        texts: the only texts that it is timed on; () for all.
        compiles: it compiles each shape separately, which takes minutes.
    """

    group: str
    precision: str
    contestant: str
    settings: dict[str, Any] = field(default_factory=dict)
    parts: tuple[str, ...] = ("ratios", "rest")
    texts: tuple[str, ...] = ()
    compiles: bool = False

    def make(self, folder: Path, device: str) -> Contestant:
        """Return the contestant, running the model in a folder on torch's ``device``."""
        module, kind = self.contestant.split(":")
        made: Contestant = getattr(importlib.import_module(module), kind)(folder, device, **self.settings)
        return made


def _entries() -> dict[str, Entry]:
    """Return all contestants in the order in which they are timed; those that take longest to prepare come last."""
    found = {
        f"LiteFT {precision}": Entry(
            "liteft", precision, "cuda_liteft:LiteFT", {"precision": precision}, ("decisive", "ratios", "rest")
        )
        for precision in ("bf16", "fp16")
    }
    quick = {"torch graphs": "Graphs", "torch unpadded": "Unpadded", "torch eager": "Eager"}
    for name, kind in quick.items():
        for precision in ("fp16", "bf16"):
            found[f"{name} {precision}"] = Entry("torch", precision, f"cuda_torch:{kind}", {"precision": precision})
    for precision in ("fp16", "bf16"):
        settings = {"precision": precision, "mode": "reduce-overhead"}
        for name, kind in (("torch packed compile", "Packed"), ("torch compile", "Compiled")):
            entry = Entry("compile", precision, f"cuda_torch:{kind}", settings, ("ratios",), compiles=True)
            found[f"{name} {precision}"] = entry
    for precision in ("fp16", "bf16"):
        settings, texts = {"precision": precision, "mode": "max-autotune"}, ("dense 128", "sst2")
        entry = Entry("autotune", precision, "cuda_torch:Compiled", settings, ("ratios",), texts, compiles=True)
        found[f"torch max-autotune {precision}"] = entry
    found["ONNX Runtime fp16"] = Entry("onnxruntime", "fp16", "cuda_contestants:OnnxRuntime", parts=("rest",))
    return found


CONTESTANTS = _entries()
