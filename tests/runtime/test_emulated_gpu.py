"""Artifacts of every task with device="cuda", on the emulated GPU: the public classes, as a user calls them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from liteft.answer_spans import AnswerForm
from tests.building import ROOT

PROGRAM = """
import json, sys
from liteft.runtime import load

artifact, inputs, chosen = json.loads(sys.stdin.read())
inputs = [each if isinstance(each, str) else tuple(each) for each in inputs]
found = []
for device, precision, slots in (("cpu", None, None), ("cuda", chosen, 3)):
    with load(artifact, backend="native", device=device, engine_precision=precision, slots=slots) as classifier:
        assert (classifier.backend, classifier.device) == ("native", device)
        assert precision is None or classifier.precision == precision
        answers = [*classifier.predict(inputs), classifier.predict(inputs[0])]
        found.append([each.to_dict() for each in answers])
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def compared(rehearsal: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Any]:
    """A function that writes a tiny artifact and returns what the CPU and the emulated GPU predict."""
    pytest.importorskip("torch", reason="what the native engine runs is exported with the extra 'train'")
    from liteft.form import ExportForm
    from tests.exporting.conftest import Workshop, write_unverified

    workshop, cache = Workshop(tmp_path_factory.mktemp("emulated")), tmp_path_factory.mktemp("cache")

    def compare(
        inputs: list[Any], *, labels: int, pooling: str, paired: bool = False, chosen: str = "fp16", **manifest: Any
    ) -> Any:
        loaded = workshop.loaded("bert", pooling, labels=labels, paired=paired, num_attention_heads=2)
        form = ExportForm("int8") if chosen == "int8" else None
        artifact = write_unverified(loaded, workshop.root / f"artifact-{workshop.made}", form, **manifest)
        told = {
            "LITEFT_LIBRARY": f"{rehearsal}/libliteft.so",
            "LITEFT_CUBLAS": str(rehearsal),
            "LITEFT_CUDA_ROWS": "256",
            "XDG_CACHE_HOME": str(cache),
        }
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM],
            input=json.dumps([str(artifact.path), inputs, chosen]),
            env=os.environ | told,
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return json.loads(done.stdout)

    return compare


def texts(seed: int = 0) -> list[str]:
    from tests.exporting.conftest import random_texts

    return random_texts(6, seed=seed)


def test_texts_get_the_labels_of_the_cpu(compared: Callable[..., Any]) -> None:
    expect_equal(*compared(texts(), labels=5, pooling="cls"))


def test_int8_weights_get_the_labels_of_the_cpu(compared: Callable[..., Any]) -> None:
    expect_equal(*compared(texts(), labels=5, pooling="cls", chosen="int8"))


def test_tokens_get_the_spans_of_the_cpu(compared: Callable[..., Any]) -> None:
    expect_equal(*compared(texts(), labels=5, pooling="none", task="tokens"))


def test_questions_get_the_answers_of_the_cpu(compared: Callable[..., Any]) -> None:
    form = {"activation": "softmax", "answers": AnswerForm(max_answer=12, stride=8, no_answer=-9.0)}
    asked = list(zip(texts(), texts(1), strict=True))
    expect_equal(*compared(asked, labels=2, pooling="none", paired=True, task="answers", **form))


def expect_equal(cpu: Any, gpu: Any) -> None:
    """Expect the same answers, with scores that differ by no more than fp16's rounding."""
    if isinstance(cpu, float):
        assert gpu == pytest.approx(cpu, abs=0.005)
    elif isinstance(cpu, dict):
        assert cpu.keys() == gpu.keys()
        for key, value in cpu.items():
            expect_equal(value, gpu[key])
    elif isinstance(cpu, list):
        assert len(cpu) == len(gpu)
        for one, other in zip(cpu, gpu, strict=True):
            expect_equal(one, other)
    else:
        assert cpu == gpu
