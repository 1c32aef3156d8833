"""The whole way's last step: when an artifact that lies there is taken, and when it is made again."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("torch", reason="the whole way needs the extra 'train'")

from liteft import pipeline
from liteft.config import make_recipe
from tests.test_artifact import write

STORED = {"verification": {"weights_sha256": "1" * 64}, "precision": "int8", "graph_form": "function"}
EDGE = {"graph_form": "flat", "graph_file": "onnx/model_quantized.onnx"}


@pytest.mark.parametrize(
    ("stored", "export", "again"),
    [
        ({}, {}, False),
        ({}, {"flat": True}, True),
        ({"graph_form": "flat"}, {}, True),
        ({"graph_form": "flat"}, {"flat": True}, False),
        ({"graph_form": "flat", "graph": "traced"}, {}, False),
        ({}, {"precision": "fp16"}, True),
        ({}, {"target": "edge"}, True),
        (EDGE, {"target": "edge"}, False),
        (EDGE, {"target": "edge", "precision": "fp32"}, True),
        (EDGE, {"flat": True}, True),
        ({"verification": {"weights_sha256": "2" * 64}}, {}, True),
    ],
)
def test_an_artifact_is_made_again_where_it_is_not_what_the_recipe_says(
    stored: Any, export: Any, again: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Any] = []
    monkeypatch.setattr(pipeline, "export", lambda *arguments, **settings: made.append(settings))
    write(tmp_path / "artifact", **(STORED | stored))
    student: Any = SimpleNamespace(info={"weights_sha256": "1" * 64})
    data: Any = SimpleNamespace(validation=None)
    pipeline._exported(student, tmp_path / "artifact", make_recipe({"export": export}), data, None)
    assert len(made) == again
    assert not again or made[0]["flat"] == export.get("flat", False)
