"""bench/cuda_all.py on the emulated GPU, with nothing but what a bare machine has."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.bench.conftest import ROOT

HIDDEN = ("pydantic", "pydantic_core", "tomli_w", "typer", "onnx", "onnxruntime", "onnxscript")
HIDING = f"""
import sys
from importlib.machinery import PathFinder

class Others(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.partition(".")[0] in {HIDDEN} else super().find_spec(name, path, target)

sys.meta_path[sys.meta_path.index(PathFinder)] = Others
"""


def rehearsed(built: Path, tmp_path: Path, *arguments: str) -> dict[str, Any]:
    """Run bench/cuda_all.py on the emulated GPU, without packages that a bare machine lacks; return its summary."""
    (tmp_path / "hiding").mkdir()
    (tmp_path / "hiding" / "sitecustomize.py").write_text(HIDING)
    folder = tmp_path / "build"
    folder.mkdir()
    (folder / "rehearsal").symlink_to(built / "rehearsal")
    folders = ["--build", str(folder), "--out", str(tmp_path / "out")]
    command = [sys.executable, "bench/cuda_all.py", "--rehearse", *folders, *arguments]
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "hiding"), "LITEFT_COMMIT": "abc"}
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment, check=False)
    log = (tmp_path / "out" / "log.txt").read_text()
    assert done.returncode == 0, done.stderr + log[-3000:]
    assert done.stdout.splitlines()[1].startswith("target")
    found: dict[str, Any] = json.loads((tmp_path / "out" / "summary.json").read_text())
    return found


def test_a_bare_machine_times_liteft_on_the_emulated_gpu(built: Path, rehearsal: Path, tmp_path: Path) -> None:
    pytest.importorskip("transformers", reason="the models are torch's")
    summary = rehearsed(built, tmp_path, "--steps", "quick", "decisive", "ncu")
    states = {step["name"]: step["status"] for step in summary["steps"]}
    assert states == dict.fromkeys(("quick", "decisive", "ncu"), "passed")
    assert "emulated" in summary["gpu"] and "no number here means anything" in summary["rehearsal"]
    assert summary["commit"] == "abc"
    found = json.loads((tmp_path / "out" / "decisive.json").read_text())
    assert len(found["rows"]) == 16 and all(row["agrees"] and row["replay_seconds"] > 0 for row in found["rows"])
    assert {row["contestant"] for row in found["rows"]} == {"LiteFT bf16", "LiteFT fp16"}
    singles = [row for row in found["rows"] if row["batch"] == 1]
    assert singles and all(set(row["device_us"]) == {"p50", "p90", "p99"} for row in singles)
    measured = {name for name, each in summary["targets"].items() if each["measured"] is not None}
    assert measured == {name for name in summary["targets"] if "against" not in name}
    learnt = {file.name.partition("-")[0] for file in (tmp_path / "out" / "learnt").iterdir()}
    assert learnt == {"matmuls", "fusions"}
    assert "logits of 2 labels" in (tmp_path / "out" / "ncu.txt").read_text()


@pytest.mark.slow
def test_the_whole_plan_runs_on_the_emulated_gpu(built: Path, rehearsal: Path, tmp_path: Path) -> None:
    """All steps but the build and what only a GPU has."""
    pytest.importorskip("transformers", reason="the models are torch's")
    steps = ("exact", "hopper", "whole", "quick", "decisive", "ncu", "ratios", "checks", "rest")
    summary = rehearsed(built, tmp_path, "--minutes", "20", "--steps", *steps)
    states = {step["name"]: step["status"] for step in summary["steps"]}
    skipped = {name for name, state in states.items() if state == "skipped"}
    assert skipped == {"memcheck", "racecheck", "initcheck", "synccheck", "pytest"}  # the last for want of pydantic
    assert set(states.values()) == {"passed", "skipped"}
    assert all(each["measured"] is not None for each in summary["targets"].values())
    for name in ("decisive", "ratios", "rest"):
        found = json.loads((tmp_path / "out" / f"{name}.json").read_text())
        assert found["rows"] and all(row["agrees"] for row in found["rows"]) and "cut_off" not in found
        assert ("ONNX Runtime fp16" in found["did_not_take_part"]) == (name == "rest")
    assert json.loads((tmp_path / "out" / "kernels.json").read_text())["rows"]
