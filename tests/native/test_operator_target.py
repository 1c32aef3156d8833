"""Where the operator computes: on the CPU, or on a GPU that the session's options ask for, or an error."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

pytest.importorskip("torch", reason="models to export need the extra 'train'")
pytest.importorskip("onnxruntime", reason="the operator is ONNX Runtime's")

from liteft.runtime.cuda_places import cublas_path
from liteft.runtime.native_library import open_library
from tests.exporting.conftest import Workshop
from tests.native.sessions import Feed, exported, open_session, run

MakeBatch = Callable[..., Feed]

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def model(workshop: Workshop) -> onnx.ModelProto:
    return exported(workshop.loaded("bert", paired=True))


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ({"device": "cuda:x"}, "cpu, cuda or cuda:NUMBER was expected"),
        ({"device": "gpu"}, "liteft.device is 'gpu'"),
        ({"precision": "int4", "device": "cuda"}, "bf16 or fp16 was expected"),
        ({"precision": "bf16"}, "is for liteft.device=cuda"),
    ],
)
def test_an_entry_that_means_nothing_is_an_error(
    file: Path, model: onnx.ModelProto, entries: dict[str, str], words: str
) -> None:
    with pytest.raises(Exception, match="liteft: the session's entry") as caught:
        open_session(model, file, **entries)
    assert words in str(caught.value)


def test_the_cpu_by_name_is_the_cpu(file: Path, model: onnx.ModelProto, batch: MakeBatch) -> None:
    feed = batch("full", 5, 12, pad=0)
    usual, named = open_session(model, file), open_session(model, file, device="cpu")
    assert np.array_equal(run(usual, feed), run(named, feed))


def test_a_gpu_that_cannot_be_had_is_an_error_and_other_sessions_run(
    file: Path, model: onnx.ModelProto, batch: MakeBatch
) -> None:
    with pytest.raises(Exception, match=r"GPU|CUDA"):
        open_session(model, file, device="cuda:999")
    assert np.isfinite(run(open_session(model, file), batch("full", 5, 12, pad=0))).all()


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_on_a_gpu_the_operator_answers_as_on_the_cpu(
    file: Path, model: onnx.ModelProto, batch: MakeBatch, precision: str
) -> None:
    gpu, reason = open_library().gpu(cublas_path())
    if not gpu:
        pytest.skip(f"no GPU that the native library runs on: {reason}")
    feed = batch("left", 64, 12, pad=0)
    exact = run(open_session(model, file), feed)
    found = run(open_session(model, file, device="cuda", precision=precision, cublas=cublas_path()), feed)
    assert np.abs(exact - found).max() < 0.05
