"""The exported file in a browser's engine: onnxruntime-web under node says what onnxruntime says under Python."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from liteft.exporting import Limits, export
from tests.exporting.node import install_in

PACKAGE = "onnxruntime-web@1.30.0"
SCRIPT = Path(__file__).with_name("onnxruntime_web.mjs")
# WebAssembly adds floats in another order; in int8 a last bit can move a value to its next step.
TOLERANCE = {"fp32": 1e-5, "fp16": 1e-5, "int8": 2e-2}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which node finds onnxruntime-web, with the script in it."""
    return install_in(tmp_path_factory.mktemp("browser"), PACKAGE, SCRIPT)


@pytest.mark.parametrize(
    ("family", "pooling", "paired", "precision", "form"),
    [
        ("bert", "cls", True, "fp32", {}),
        ("bert", "cls", True, "int8", {}),
        ("bert", "cls", True, "int8", {"scheme": "static"}),
        ("bert", "mean", False, "int8", {"embedding_bits": 4}),
        ("roberta", "mean", False, "int8", {"scheme": "static", "flat": True}),
        ("roberta", "mean", False, "fp16", {}),
        ("roberta", "mean", False, "int8", {"flat": True}),
        ("distilbert", "cls", False, "int8", {"target": "edge"}),
        ("bert", "none", False, "fp32", {}),
        ("bert", "none", False, "int8", {}),
        ("roberta", "none", False, "int8", {"target": "edge"}),
    ],
)
def test_an_artifact_gives_the_same_logits_in_onnxruntime_web(
    family: str,
    pooling: str,
    paired: bool,
    precision: Any,
    form: dict[str, Any],
    browser: Path,
    workshop: Any,
    run_graph: Any,
    batch: Any,
    tmp_path: Path,
) -> None:
    task = "tokens" if pooling == "none" else "single_label"
    folder, split = workshop.learned(family, pooling, paired=paired, task=task)
    limits = Limits(agreement=0.8, accuracy_drop=0.2)  # tiny random models decide by hairs
    artifact = export(folder, tmp_path / "out", precision=precision, **form, verify=split, limits=limits)
    feed = batch("right", 4, 20, pad=artifact.manifest.pad_id)
    feed = {name: feed[name] for name in artifact.manifest.inputs}
    (tmp_path / "feed.json").write_text(json.dumps({name: rows.tolist() for name, rows in feed.items()}))

    command = ["node", SCRIPT.name, artifact.model_path, tmp_path / "feed.json"]
    done = subprocess.run(command, cwd=browser, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout.splitlines()[-1])

    assert answer["inputs"] == list(artifact.manifest.inputs)
    logits = np.array(answer["logits"], dtype=np.float32).reshape(answer["shape"])
    expected = run_graph(onnx.load(artifact.model_path), feed)
    np.testing.assert_allclose(logits, expected, atol=TOLERANCE[precision])
    if task != "tokens":  # of so many rows some are decided by hairs
        np.testing.assert_array_equal(logits.argmax(axis=1), expected.argmax(axis=1))
