"""The native backend on a GPU: refused with the reason where there is none, and where there is one, as on the CPU."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from liteft.artifact import Artifact
from liteft.errors import ConfigError, DeviceError
from liteft.runtime import cuda_places, load, native_engine
from liteft.runtime.cuda_places import cache_folder, cublas_folders, cublas_path
from liteft.runtime.native_library import NativeLibrary, open_library

Exported = Callable[..., Artifact]


def words(count: int) -> list[str]:
    """Texts of 1 to some dozens of words."""
    return [" ".join(f"word{(7 * number + place) % 50}" for place in range(1 + number % 40)) for number in range(count)]


@pytest.fixture
def no_gpu(native: Path) -> str:
    """Why there is no GPU here."""
    gpu, reason = open_library().gpu(cublas_path())
    if gpu:
        pytest.skip(f"there is a GPU: {gpu}")
    return reason


@pytest.fixture
def gpu(native: Path) -> Iterator[str]:
    """A GPU that the library runs on."""
    name, reason = open_library().gpu(cublas_path())
    if not name:
        pytest.skip(f"no GPU that the native library runs on: {reason}")
    yield name


def test_without_a_gpu_the_native_backend_says_why(no_gpu: str, exported: Exported) -> None:
    with pytest.raises(DeviceError) as caught:
        load(exported().path, device="cuda", backend="native")
    assert no_gpu in caught.value.message
    assert 'device="cpu"' in str(caught.value) and "--device cpu" in caught.value.command_text()


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_without_a_gpu_cuda_says_why_of_both_backends(no_gpu: str, exported: Exported, precision: str) -> None:
    with pytest.raises(DeviceError) as caught:
        load(exported(precision=precision).path, device="cuda")
    assert no_gpu in caught.value.message
    assert "onnxruntime" in caught.value.accepted


@pytest.mark.parametrize(
    ("capability", "stored", "usual"), [("7.5", "fp32", "fp16"), ("8.0", "fp32", "bf16"), ("8.0", "fp16", "fp16")]
)
def test_a_gpu_without_bf16_computes_in_fp16(
    native: Path, exported: Exported, monkeypatch: pytest.MonkeyPatch, capability: str, stored: str, usual: str
) -> None:
    artifact = exported(precision=stored)
    described = f"A GPU, compute capability {capability}, CUDA 12.2, cublasLt 120200"
    monkeypatch.setattr(NativeLibrary, "gpu", lambda *arguments: (described, ""))
    monkeypatch.setattr(native_engine, "_Handle", lambda *arguments: None)
    assert native_engine.NativeEngine(artifact, threads=1, device="cuda").precision == usual
    assert native_engine.NativeEngine(artifact, threads=1, device="cuda", precision="bf16").precision == "bf16"


def test_an_error_of_bf16_names_fp16_where_the_gpu_lacks_bf16(
    no_gpu: str, exported: Exported, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(NativeLibrary, "gpu_has_bf16", lambda *arguments: False)
    with pytest.raises(DeviceError) as caught:
        load(exported().path, device="cuda", backend="native", engine_precision="bf16")
    assert 'engine_precision="fp16"' in str(caught.value)


def test_without_a_gpu_auto_stays_on_the_cpu(no_gpu: str, exported: Exported) -> None:
    with load(exported().path) as classifier:
        assert (classifier.backend, classifier.device) == ("native", "cpu")


@pytest.mark.parametrize("slots", [0, -1, 65, 1.0, True, "2"])
def test_slots_are_a_positive_number(slots: Any, exported: Exported) -> None:
    with pytest.raises(ConfigError) as caught:
        load(exported().path, device="cuda", slots=slots)
    assert caught.value.message == f"slots must be an integer from 1 to 64, got {slots!r}."


@pytest.mark.parametrize(
    ("choices", "reason"),
    [
        ({}, "only on CUDA, but device='auto'"),
        ({"device": "cpu"}, "only on CUDA, but device='cpu'"),
        ({"device": "cuda", "backend": "onnxruntime"}, "only in the native backend, but backend='onnxruntime'"),
    ],
)
def test_slots_are_for_the_native_backend_on_cuda(choices: dict[str, str], reason: str, exported: Exported) -> None:
    with pytest.raises(DeviceError, match=f"slots=2 is available {reason}"):
        load(exported().path, slots=2, **choices)


def test_without_a_gpu_slots_say_why(no_gpu: str, exported: Exported) -> None:
    with pytest.raises(DeviceError) as caught:
        load(exported().path, device="cuda", slots=2)
    assert no_gpu in caught.value.message


def test_cublas_is_found_in_wheels_newest_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = tmp_path / "nvidia" / "cublas" / "lib", tmp_path / "nvidia" / "cu13" / "lib"
    for folder, version in ((old, 12), (new, 13)):
        folder.mkdir(parents=True)
        (folder / f"libcublasLt.so.{version}").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(cuda_places, "_PACKAGES", ("nvidia", "no_such_package"))
    assert cublas_folders()[:2] == [new, old]
    assert cublas_path().startswith(f"{new}:{old}")
    monkeypatch.setenv("LITEFT_CUBLAS", "/first:/second")
    assert cublas_path().startswith(f"/first:/second:{new}:{old}")


@pytest.mark.parametrize(
    ("reason", "mend"),
    [
        ("LITEFT_CUDA_SLOTS is '0', and the execution slots are a number from 1 to 64", "unset LITEFT_CUDA_SLOTS"),
        ("libcublasLt.so.13: cannot open shared object file", "pip install nvidia-cublas"),
        ("libcublasLt.so.12: cannot open shared object file", "pip install nvidia-cublas-cu12"),
    ],
)
def test_reasons_come_with_what_helps(monkeypatch: pytest.MonkeyPatch, reason: str, mend: str) -> None:
    library = open_library()
    monkeypatch.setattr(type(library), "last_error", lambda _: reason)
    error = native_engine._creation_error(library, "fp16", "cuda")
    assert str(error).splitlines()[-3:][0].strip() == f"try: {mend}"


def test_the_cache_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "liteft"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path.home() / ".cache" / "liteft"


@pytest.mark.gpu
@pytest.mark.parametrize("family", ["bert", "distilbert", "roberta", "electra"])
@pytest.mark.parametrize("pooling", ["cls", "mean"])
@pytest.mark.parametrize("asked", ["bf16", "fp16"])
def test_a_gpu_answers_as_the_cpu(gpu: str, exported: Exported, family: str, pooling: str, asked: str) -> None:
    path, texts = exported(family, pooling).path, words(300)
    with (
        load(path, backend="native", device="cpu") as exact,
        load(path, device="cuda", engine_precision=asked) as other,
    ):
        assert (other.backend, other.device, other.precision) == ("native", "cuda", asked)
        assert np.abs(exact.logits(texts) - other.logits(texts)).max() < (0.05 if asked == "bf16" else 0.01)


@pytest.mark.gpu
def test_a_text_alone_on_a_gpu_is_near_what_it_is_in_a_batch(gpu: str, exported: Exported) -> None:
    texts = words(100)
    with load(exported("bert", "cls").path, device="cuda", backend="native") as classifier:
        together = classifier.logits(texts)
        alone = np.concatenate([classifier.logits([text]) for text in texts])
    assert np.abs(together - alone).max() < 0.02


@pytest.mark.gpu
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_on_a_gpu_is_told_so(gpu: str, exported: Exported) -> None:
    with load(exported().path, device="cuda", backend="native") as classifier:
        classifier.predict("word1")
        child = os.fork()
        if child == 0:
            try:
                classifier.predict("word1")
            except DeviceError as error:
                os._exit(7 if "does not follow a fork" in error.message else 8)
            os._exit(9)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        classifier.predict("word2")
