"""The contestants of bench/cuda_engines.py without a GPU, how they are judged, and their processes."""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import numpy as np
import pytest

from tests.bench.conftest import ROOT, load_script

pytest.importorskip("torch", reason="contestants are torch's, too")

TINY = {"layers": 2, "width": 64, "inner": 128, "heads": 2}


@pytest.fixture(scope="module")
def bench() -> Iterator[Callable[[str], ModuleType]]:
    """Import a module of bench/, whose folder child processes see as well."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "bench"))
        yield load_script


@pytest.fixture(scope="module")
def made(bench: Callable[[str], ModuleType], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of a tiny model, as the benchmark makes it."""
    folder = tmp_path_factory.mktemp("models")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(bench("cuda_plan").MODELS, "tiny", TINY)
        said = bench("cuda_worker").Models(folder, "cpu").make("tiny", False)
        assert said["model"] == "made" and set(said["yardsticks"]) == {"fp16", "bf16"}
        assert 0 < said["yardsticks"]["fp16"] < said["yardsticks"]["bf16"] < 0.1
        yield folder / "tiny"


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


@pytest.mark.parametrize("kind", ["Graphs", "Compiled", "Packed"])
def test_torch_at_its_best_computes_the_model_whatever_is_padded(
    bench: Callable[[str], ModuleType], made: Path, kind: str
) -> None:
    settings = {} if kind == "Graphs" else {"mode": "reduce-overhead"}
    contestant = getattr(bench("cuda_torch"), kind)(made, "cpu", precision="fp32", **settings)
    batch = bench("cuda_plan").ids_of([7, 3, 12], seed=2)
    other = bench("cuda_plan").ids_of([9, 9], seed=3)  # of one length: nothing is padded
    expected = bench("cuda_worker").Models(made.parent, "cpu").reference("tiny", [batch, other])
    found = np.concatenate([contestant.run(batch), contestant.run(other)])
    contestant.close()
    assert np.abs(found - expected).max() < 1e-3


def test_packed_texts_of_few_shapes_end_before_their_tokens(bench: Callable[[str], ModuleType]) -> None:
    contestant = bench("cuda_torch").TorchContestant("cpu")
    ids = bench("cuda_plan").ids_of([100, 60])
    flat, places, offsets, longest = contestant.packed(ids, few_shapes=True)
    assert (len(flat), len(places), offsets.tolist(), longest) == (160, 160, [0, 100, 160], 128)
    flat, _, offsets, longest = contestant.packed(ids[:1], few_shapes=True)
    assert (len(flat), offsets.tolist(), longest) == (112, [0, 100], 128)
    assert [len(each) for each in contestant.packed(ids, few_shapes=False)[:3]] == [160, 160, 3]


def test_litefts_arrays_are_the_same_model(bench: Callable[[str], ModuleType], made: Path) -> None:
    """On the CPU, since there it can be seen."""
    import ctypes

    from liteft.runtime.native_library import has_library

    if not has_library():
        pytest.skip("the native library is not installed")
    cuda_liteft = bench("cuda_liteft")
    functions = cuda_liteft.open_library().functions
    model, pointer = cuda_liteft.Described(made), ctypes.c_void_p()
    assert functions.liteft_create(*model.arguments(), 0, 1, None, ctypes.byref(pointer)) == 0
    ids = bench("cuda_models").checked_ids()
    batch, arrays = cuda_liteft.flattened(ids)
    logits = np.full((len(ids), 2), np.nan, dtype=np.float32)
    assert functions.liteft_run(pointer, ctypes.byref(batch), logits.ctypes.data) == 0
    functions.liteft_destroy(pointer)
    assert len(arrays) == 3 and np.abs(logits - np.load(made / "reference.npy")).max() < 1e-3


def test_the_c_api_on_an_emulated_gpu_computes_the_model_and_times_it(
    bench: Callable[[str], ModuleType], made: Path, rehearsal: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    cuda_liteft = bench("cuda_liteft")
    for name, value in (("LITEFT_LIBRARY", str(rehearsal / "libliteft.so")), ("LITEFT_CUBLAS", str(rehearsal))):
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("LITEFT_CUDA_ROWS", "256")  # the model's 512 positions make that 512
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    found, reason = cuda_liteft.gpu()
    assert found.startswith("Emulated GPU"), reason
    contestant = cuda_liteft.LiteFT(made, "cuda", precision="fp16")
    ids = bench("cuda_plan").ids_of([7, 3, 12], seed=2)
    expected = bench("cuda_worker").Models(made.parent, "cpu").reference("tiny", [ids])
    row, logits = bench("cuda_contestants").measure(contestant, [ids, [ids[0]]], rounds=1)
    contestant.close()
    contestant.close()
    assert np.abs(logits[:3] - expected).max() < 0.05 and np.abs(logits[3] - expected[0]).max() < 0.05
    # The emulator's clock: as many kernels and products in each graph, and a copy of ids in a pass.
    assert row["device_seconds"] == pytest.approx(row["replay_seconds"] + 0.002)
    assert list((tmp_path / "liteft").glob("matmuls-Emulated-GPU*.txt"))
    with pytest.raises(RuntimeError, match="LITEFT_CUDA_FUSE is 'sometimes'"):
        monkeypatch.setenv("LITEFT_CUDA_FUSE", "sometimes")
        cuda_liteft.LiteFT(made, "cuda", precision="fp16")


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
        return np.full((len(ids), 2), len(ids[0]), dtype=np.float32)

    def device_calls(self) -> list[float]:
        return [1e-3 * (1 + number) for number in range(len(self.batches))]

    def replays(self) -> float:
        return 0.5

    def notes(self) -> dict[str, Any]:
        return {"note": "x"}


def test_a_row_is_medians_of_rounds_and_counts(bench: Callable[[str], ModuleType]) -> None:
    found, logits = bench("cuda_contestants").measure(Steady(), [[[1, 2], [3]], [[4]]], rounds=5)
    assert (found["device_seconds"], found["device_spread"], found["rounds"]) == (3.0, [1.0, 5.0], 5)
    assert (found["count"], found["calls"], found["tokens"], found["note"]) == (3, 2, 4, "x")
    assert "call_us" not in found and found["replay_seconds"] == 0.5
    assert logits.tolist() == [[2, 2], [2, 2], [1, 1]]  # of each batch that was timed, once
    single, _ = bench("cuda_contestants").measure(Steady(), [[[1, 2]], [[4]]])
    assert 0 < single["call_us"]["p50"] <= single["call_us"]["p99"] and single["rounds"] == 3
    assert single["device_us"] == {"p50": 1500.0, "p90": 2000.0, "p99": 2000.0}


@pytest.fixture
def run_of(bench: Callable[[str], ModuleType], made: Path, tmp_path: Path) -> Any:
    """A run of the benchmark that has not begun."""
    names = ["LiteFT fp16", "torch eager bf16", "ONNX Runtime fp16"]
    arguments = argparse.Namespace(
        minutes=1.0, device="cpu", only=names, out=tmp_path / "out.json", commit="abc", part="rest", models=["tiny"]
    )
    return bench("cuda_engines").Bench(arguments, made.parent)


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
    run_of.result["models"]["tiny"] = {"yardsticks": {"fp16": 0.001, "bf16": 0.01}}
    assert run_of.compared("LiteFT fp16", "tiny", expected + 0.012, expected)["agrees"]
    assert not run_of.compared("LiteFT fp16", "tiny", expected + 0.02, expected)["agrees"]
    assert run_of.compared("LiteFT fp16", "other", expected + 0.02, expected)["agrees"]


@pytest.fixture
def in_this_process(run_of: Any, bench: Any) -> None:
    """Let the run's workers serve in threads: a process of their own imports torch anew."""

    class Serving(threading.Thread):
        def kill(self) -> None:
            self.pipe.close()  # type: ignore[attr-defined]

    worker = bench("cuda_worker")

    class Threaded(worker.Worker):  # type: ignore[misc]
        def _start(self) -> None:
            self._pipe, other = multiprocessing.Pipe()
            self._process = Serving(target=worker._serve, args=(other, self._folder, self._device))
            self._process.pipe = self._pipe
            self._process.start()

    run_of.workers = {group: Threaded(each._folder, each._device) for group, each in run_of.workers.items()}


def test_a_contestant_that_is_not_there_is_not_timed_and_the_rest_is(
    run_of: Any, bench: Any, in_this_process: None
) -> None:
    task = bench("cuda_plan").Task("tiny", "dense 5", "arrival", 2)
    ids = bench("cuda_plan").ids_of([5] * 4)
    run_of.result["models"]["tiny"] = {"model": "made"}
    try:
        for name in ("ONNX Runtime fp16", "torch eager bf16"):
            run_of.row(name, task, ids)
    finally:
        run_of.close()
    found = json.loads(run_of.arguments.out.read_text())
    assert found["checks"]["torch eager bf16, tiny"]["agrees"]
    assert not found["checks"]["ONNX Runtime fp16, tiny"]["agrees"]
    assert list(found["did_not_take_part"]) == ["ONNX Runtime fp16"]
    (row,) = found["rows"]
    assert (row["contestant"], row["tokens"], row["calls"], row["texts"]) == ("torch eager bf16", 20, 2, "dense 5")
    assert row["device_tokens_per_second"] > 0 and row["host_tokens_per_second"] > 0
    assert row["agrees"] and 0 < row["logit_error"] < row["allowed"] == 0.3


def test_a_row_whose_timed_logits_are_wrong_has_no_numbers(run_of: Any, bench: Any) -> None:
    task = bench("cuda_plan").Task("MiniLM-L6", "dense 5", "arrival", 2)
    ids = bench("cuda_plan").ids_of([5] * 4)
    logits = np.random.default_rng(0).normal(size=(4, 2)).astype(np.float32)
    numbers = {"device_seconds": 1.0, "device_tokens_per_second": 1, "host_tokens_per_second": 1}
    right = run_of.checked("LiteFT fp16", task, numbers, run_of.compared("LiteFT fp16", "x", logits, logits), ids)
    wrong = run_of.checked("LiteFT fp16", task, numbers, run_of.compared("LiteFT fp16", "x", -logits, logits), ids)
    assert right["device_seconds"] == 1.0 and "error" not in right
    assert "device_seconds" not in wrong and "differ from torch's" in wrong["error"]


def test_a_part_without_a_row_of_litefts_or_of_a_target_fails(
    run_of: Any, bench: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_of.status() == 1 and "LiteFT has no row" in capsys.readouterr().err
    run_of.rows = [{"contestant": "LiteFT fp16", "error": "it fell over"}]
    assert run_of.status() == 1
    run_of.rows = [{"contestant": "LiteFT fp16", "device_seconds": 1.0}]
    run_of.result["targets"] = {"a": {"measured": 1.0}}
    assert run_of.status() == 0
    run_of.result["targets"]["b"] = {"measured": None}
    assert run_of.status() == 1 and "not measured: b" in capsys.readouterr().err


def part_of(bench: Any, part: str, tmp_path: Path) -> Any:
    contestants, models = bench("cuda_entries").CONTESTANTS, bench("cuda_plan").MODELS
    arguments = argparse.Namespace(
        minutes=1.0, device="cpu", only=list(contestants), out=tmp_path / "out.json", commit="abc", part=part,
        models=list(models),
    )  # fmt: skip
    return bench("cuda_engines").Bench(arguments, tmp_path)


def test_litefts_rows_come_first_and_what_takes_longest_to_prepare_last(bench: Any, tmp_path: Path) -> None:
    sets = ["clinc150", "sst2", "imdb"]
    decisive = part_of(bench, "decisive", tmp_path)
    order = list(decisive.order(sets))
    assert {name for name, _ in order} == {"LiteFT bf16", "LiteFT fp16"} and len(order) == 16
    assert [task.model for _, task in order] == ["MiniLM-L6"] * 12 + ["BERT-base"] * 4
    assert list(decisive.targets) == [name for name in bench("cuda_targets").TARGETS if "against" not in name]
    ratios = part_of(bench, "ratios", tmp_path)
    order = list(ratios.order(sets))
    assert [name for name, _ in order[:10]] == ["LiteFT bf16"] * 5 + ["LiteFT fp16"] * 5
    names = list(dict.fromkeys(name for name, _ in order))
    assert set(bench("cuda_targets").TORCH) <= set(names)
    compiling = [bench("cuda_entries").CONTESTANTS[name].compiles for name in names]
    assert compiling == sorted(compiling)
    last = [(name, task.texts, task.order) for name, task in order[-6:]]
    assert last[:3] == [
        ("torch max-autotune fp16", "dense 128", "arrival"),
        ("torch max-autotune fp16", "sst2", "arrival"),
        ("torch max-autotune fp16", "sst2", "sorted"),
    ]
    assert {texts for name, texts, _ in last} == {"dense 128", "sst2"}
    assert len(ratios.targets) == 4
    assert "ONNX Runtime fp16" in {name for name, _ in part_of(bench, "rest", tmp_path).order(sets)}


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
    entries = bench("cuda_entries").CONTESTANTS
    compiling = {entry.group for entry in entries.values() if entry.compiles}
    assert compiling == {"compile", "autotune"}
    assert not compiling & {entry.group for entry in entries.values() if not entry.compiles}


class Session:
    """onnxruntime as far as the contestant asks it, with or without a CUDA provider that can be started."""

    starts = True

    def __init__(self, *_: Any, **__: Any) -> None:
        self.log_severity_level = 0

    def get_providers(self) -> list[str]:
        return ["CUDAExecutionProvider", "CPUExecutionProvider"][0 if self.starts else 1 :]


def test_onnxruntime_that_would_answer_from_the_cpu_does_not_take_part(
    bench: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[bool] = []
    fake = argparse.Namespace(
        __version__="1", preload_dlls=lambda: loaded.append(True), SessionOptions=Session, InferenceSession=Session,
        OrtValue=None, get_available_providers=lambda: ["CUDAExecutionProvider"],
    )  # fmt: skip
    monkeypatch.setitem(sys.modules, "onnxruntime", fake)
    (tmp_path / "onnxruntime").mkdir()
    (tmp_path / "onnxruntime" / "model.onnx").touch()
    contestants = bench("cuda_contestants")
    contestants.OnnxRuntime(tmp_path, "cuda")
    assert loaded == [True]
    monkeypatch.setattr(Session, "starts", False)
    with pytest.raises(contestants.NotHere, match="uses CPUExecutionProvider"):
        contestants.OnnxRuntime(tmp_path, "cuda")


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
    worker, entry = bench("cuda_worker"), bench("cuda_entries").Entry("torch", "fp16", f"{__name__}:{Noted.__name__}")
    monkeypatch.setattr(worker, "CONTESTANTS", {"noted": entry})
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
