"""The contestants of bench/cuda_engines.py without a GPU, how they are judged, and their processes."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import numpy as np
import pytest

from tests.bench.conftest import ROOT, load_script

pytest.importorskip("torch", reason="contestants are torch's, too")

TINY = {"layers": 2, "width": 64, "inner": 128, "heads": 2}


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    """Import a module of bench/, whose folder child processes see as well."""
    monkeypatch.syspath_prepend(str(ROOT / "bench"))
    return load_script


@pytest.fixture
def made(bench: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The folder of a tiny model, as the benchmark makes it."""
    monkeypatch.setitem(bench("cuda_plan").MODELS, "tiny", TINY)
    assert bench("cuda_worker")._make(tmp_path / "tiny", "tiny", "cpu", False) == {"model": "made"}
    return tmp_path / "tiny"


def test_logits_of_a_made_model_have_a_spread_of_one(made: Path) -> None:
    logits = np.load(made / "reference.npy")
    assert np.allclose(logits.mean(0), 0, atol=1e-4)
    assert np.allclose(logits.std(0, ddof=1), 1, atol=1e-4)


@pytest.mark.parametrize(("kind", "precision"), [("Eager", "fp32"), ("Unpadded", "fp32"), ("Eager", "bf16")])
def test_torchs_contestants_compute_the_model(
    bench: Callable[[str], ModuleType], made: Path, kind: str, precision: str
) -> None:
    ids = bench("cuda_models").checked_ids()
    contestant = getattr(bench("cuda_torch"), kind)(made, "cpu", precision=precision)
    off = np.abs(contestant.run(ids) - np.load(made / "reference.npy")).max()
    assert off < (1e-3 if precision == "fp32" else 0.5)
    assert off > 0


def test_the_written_out_module_hides_padding(bench: Callable[[str], ModuleType], made: Path) -> None:
    import torch

    cuda_torch = bench("cuda_torch")
    model = cuda_torch.Plain(cuda_torch.load_model(made, "cpu", "fp32"))
    ids = bench("cuda_models").checked_ids()[:9]
    padded, mask = bench("cuda_contestants").rectangle(ids, 48)
    with torch.no_grad():
        found = model(torch.from_numpy(padded), torch.from_numpy(mask)[:, None, None]).numpy()
        unhidden = model(torch.from_numpy(padded), None).numpy()
    expected = np.load(made / "reference.npy")[:9]
    assert np.abs(found - expected).max() < 1e-3
    assert np.abs(unhidden - expected).max() > 1e-2


def test_litefts_file_is_the_same_model(
    bench: Callable[[str], ModuleType], made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the CPU, since there it can be seen."""
    from liteft.runtime.encoder_file import read_classifier
    from liteft.runtime.native_engine import _address, _Handle
    from liteft.runtime.native_library import Batch, has_library, open_library

    if not has_library():
        pytest.skip("the native library is not installed")
    import ctypes

    stored = read_classifier(made / "liteft.onnx")
    handle = _Handle(open_library(), stored, "fp32", 1, "cpu")
    cuda_contestants = bench("cuda_contestants")
    flat = cuda_contestants.LiteFT.__new__(cuda_contestants.LiteFT)
    flat._batch, flat._address = Batch, _address
    ids = bench("cuda_models").checked_ids()
    batch, *arrays = flat._flat(ids)
    logits = np.full((len(ids), 2), np.nan, dtype=np.float32)
    assert handle.functions.liteft_run(handle.pointer, ctypes.byref(batch), _address(logits)) == 0
    assert len(arrays) == 3 and np.abs(logits - np.load(made / "reference.npy")).max() < 1e-3


class Steady:
    """A contestant whose times are known."""

    def __init__(self) -> None:
        self.passes = 0

    def prepare(self, batches: Any) -> None:
        self.batches = batches

    def device_pass(self) -> float:
        self.passes += 1
        return [5.0, 1.0, 2.0, 3.0, 4.0][self.passes % 5]

    def run(self, ids: Any) -> np.ndarray:
        return np.zeros((len(ids), 2), dtype=np.float32)

    def notes(self) -> dict[str, Any]:
        return {"note": "x"}


def test_a_row_is_medians_of_rounds_and_counts(bench: Callable[[str], ModuleType]) -> None:
    found = bench("cuda_contestants").measure(Steady(), [[[1, 2], [3]], [[4]]], rounds=5)
    assert (found["device_seconds"], found["device_spread"], found["rounds"]) == (3.0, [1.0, 5.0], 5)
    assert (found["count"], found["calls"], found["tokens"], found["note"]) == (3, 2, 4, "x")
    assert "call_us" not in found
    single = bench("cuda_contestants").measure(Steady(), [[[1, 2]], [[4]]], rounds=5)
    assert 0 < single["call_us"]["p50"] <= single["call_us"]["p99"]


@pytest.fixture
def run_of(bench: Callable[[str], ModuleType], tmp_path: Path) -> Any:
    """A run of the benchmark that has not begun."""
    arguments = argparse.Namespace(
        minutes=1.0, device="cpu", only=["LiteFT fp16", "torch eager fp16"], out=tmp_path / "out.json", commit="abc"
    )
    return bench("cuda_engines").Bench(arguments, tmp_path)


def test_logits_that_are_wrong_are_found(run_of: Any) -> None:
    expected = np.random.default_rng(0).normal(size=(20, 2)).astype(np.float32)
    near, far, broken = expected + 0.01, expected + 0.2, expected.copy()
    broken[3, 1] = np.nan
    assert run_of.compared("LiteFT fp16", "tiny", near, expected)["agrees"]
    assert not run_of.compared("LiteFT fp16", "tiny", far, expected)["agrees"]
    assert not run_of.compared("LiteFT fp16", "tiny", broken, expected)["agrees"]
    assert run_of.compared("LiteFT bf16", "tiny", far, expected)["agrees"]


def test_where_torch_is_nearer_others_have_to_be_near(run_of: Any) -> None:
    expected = np.random.default_rng(0).normal(size=(20, 2)).astype(np.float32)
    assert run_of.compared("torch eager fp16", "tiny", expected + 0.001, expected)["agrees"]
    assert run_of.compared("LiteFT fp16", "tiny", expected + 0.012, expected)["agrees"]
    assert not run_of.compared("LiteFT fp16", "tiny", expected + 0.02, expected)["agrees"]
    assert run_of.compared("LiteFT fp16", "other", expected + 0.02, expected)["agrees"]


def test_a_contestant_that_is_not_there_is_not_timed_and_the_rest_is(run_of: Any, bench: Any, made: Path) -> None:
    run_of.result["models"]["tiny"] = {"model": "made"}
    run_of.arguments.only = ["ONNX Runtime fp16", "torch eager bf16"]
    run_of.workers = {name: bench("cuda_worker").Worker(made.parent, "cpu") for name in ("onnxruntime", "torch")}
    bench("cuda_plan").MODELS["tiny"] = TINY
    task = bench("cuda_plan").Task("tiny", "dense 5", "arrival", 2)
    ids = bench("cuda_plan").ids_of([5] * 4)
    try:
        for name in run_of.arguments.only:
            run_of.row(name, task, ids)
    finally:
        run_of.close()
    found = json.loads(run_of.arguments.out.read_text())
    checks = found["checks"]
    assert checks["ONNX Runtime fp16, tiny"]["skipped"] and not checks["ONNX Runtime fp16, tiny"]["agrees"]
    assert checks["torch eager bf16, tiny"]["agrees"]
    (row,) = found["rows"]
    assert (row["contestant"], row["tokens"], row["calls"], row["texts"]) == ("torch eager bf16", 20, 2, "dense 5")
    assert row["device_tokens_per_second"] > 0 and row["host_tokens_per_second"] > 0


def test_when_time_is_up_no_row_begins(run_of: Any, bench: Any) -> None:
    run_of.end = 0.0
    run_of.row("LiteFT fp16", bench("cuda_plan").Task("tiny", "dense 5", "arrival", 2), [[1]])
    assert run_of.rows == [] and run_of.result["cut_off"] == "after 1.0 minutes"


def test_a_process_that_dies_or_hangs_is_an_error_and_the_next_call_works(bench: Any, tmp_path: Path) -> None:
    worker = bench("cuda_worker").Worker(tmp_path, "cpu")
    try:
        assert "torch" in worker.ask("gpu", seconds=120)
        with pytest.raises(RuntimeError, match="KeyError"):
            worker.ask("logits", "no such contestant", "tiny", [[[1]]], seconds=60)
        assert "torch" in worker.ask("gpu", seconds=120)
        worker._process.kill()
        with pytest.raises(RuntimeError, match="process died"):
            worker.ask("gpu", seconds=60)
        with pytest.raises(RuntimeError, match="no answer in 0 seconds"):
            worker.ask("gpu", seconds=0.01)
    finally:
        worker.close()


def test_what_compiles_has_processes_of_its_own(bench: Any) -> None:
    groups = {name: entry.group for name, entry in bench("cuda_contestants").CONTESTANTS.items()}
    for name in ("torch compile fp16", "torch max-autotune fp16"):
        assert list(groups.values()).count(groups[name]) == 1


def test_a_handle_is_destroyed_once(bench: Any) -> None:
    import ctypes

    destroyed: list[Any] = []
    contestant = bench("cuda_contestants").LiteFT.__new__(bench("cuda_contestants").LiteFT)
    contestant._cuda = argparse.Namespace(liteft_cuda_destroy=lambda pointer: destroyed.append(pointer.value))
    contestant._timed = ctypes.c_void_p(4096)
    contestant.close()
    contestant.close()
    assert destroyed == [4096, None]  # of none there is nothing to destroy


class Noted:
    """A contestant that says when it was closed, and a pipe that asks for models in turn."""

    closed: ClassVar[list[str]] = []
    answers: ClassVar[list[Any]] = []

    def __init__(self, folder: Path, _: str) -> None:
        self.name = folder.name
        self.asked = [("logits", ("noted", name, [[[1]]])) for name in ("one", "one", "two")]

    def run(self, ids: Any) -> np.ndarray:
        return np.zeros((len(ids), 2), dtype=np.float32)

    def close(self) -> None:
        self.closed.append(self.name)

    def recv(self) -> Any:
        if not self.asked:
            raise EOFError
        return self.asked.pop(0)

    def send(self, answer: Any) -> None:
        self.answers.append((answer[0], list(self.closed)))


def test_a_contestant_is_closed_when_the_model_changes(
    bench: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker, contestants = bench("cuda_worker"), bench("cuda_contestants")
    monkeypatch.setattr(worker, "CONTESTANTS", {"noted": contestants.Entry("torch", "fp16", Noted)})
    worker._serve(Noted(tmp_path, "cpu"), tmp_path, "cpu")
    assert Noted.answers == [("good", []), ("good", []), ("good", ["one"])]


def test_texts_without_sense_have_the_tokens_asked_for(bench: Any, tmp_path: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers

    known = ["[UNK]", "[CLS]", "the", "##ing", "house", "Paris", "of", "42"]
    vocabulary = {word: place for place, word in enumerate(known)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    cuda_labels = bench("cuda_labels")
    words = cuda_labels.whole_words(tmp_path / "tokenizer.json")
    assert words == ["house", "the"]
    assert [len(tokenizer.encode(text).ids) for text in cuda_labels.texts_of([3, 30, 1], words)] == [1, 28, 1]
