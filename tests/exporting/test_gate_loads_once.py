"""The gate opens each engine once for an artifact."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from liteft.exporting import Limits, export
from liteft.runtime.onnx_engine import OnnxEngine


def test_the_gate_loads_an_artifact_once_for_an_engine(
    workshop: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Path] = []
    make = OnnxEngine.__init__

    def counted(engine: OnnxEngine, artifact: Any, **settings: Any) -> None:
        opened.append(artifact.path)
        make(engine, artifact, **settings)

    monkeypatch.setattr(OnnxEngine, "__init__", counted)
    folder, split = workshop.learned("bert", "cls")
    loose = Limits(agreement=0.5, accuracy_drop=0.5)
    export(folder, tmp_path / "artifact", precision="fp32", verify=split, limits=loose)
    assert len(opened) == len(set(opened)) == 1
