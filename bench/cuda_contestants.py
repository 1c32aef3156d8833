"""What takes part in bench/cuda_engines.py: each engine behind the same calls. Imports stand where they are used.

- LiteFT bf16, fp16: libliteft's C API, as liteft.load calls it; the time on the device is libliteft_cuda's own,
  of graph replays between two events.
- the torch ones stand in cuda_torch.py.
- ONNX Runtime: its CUDA provider on its own optimizer's float16 graph, inputs and outputs bound on the device. Its
  "time on the device" is the host's clock around runs that wait for the device.
"""

from __future__ import annotations

import ctypes
import statistics
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

Ids = Sequence[Sequence[int]]
PAD_ID = 0
_REPLAYS = 20  # of a chunk, in LiteFT's own timing


class Contestant(ABC):
    """An engine with a model, on the first GPU."""

    @abstractmethod
    def prepare(self, batches: Sequence[Ids]) -> None:
        """Do what has to be done once for batches of these sizes, and bring them to the device."""

    @abstractmethod
    def device_pass(self) -> float:
        """Return the seconds that the device takes for all prepared batches, copies not included."""

    @abstractmethod
    def run(self, ids: Ids) -> np.ndarray:
        """Return logits, float32 (texts, labels), of token ids on the host, copies included."""

    def notes(self) -> dict[str, Any]:
        """Return what a row should say of how this was done."""
        return {}

    def close(self) -> None:  # noqa: B027
        """Give back what goes with the model, where that does not go with the object itself."""


def rectangle(ids: Ids, width: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Return ids, int64, and mask, bool, both (texts, width or the longest)."""
    lengths = np.array([len(row) for row in ids])
    width = int(lengths.max()) if width is None else width
    padded = np.full((len(ids), width), PAD_ID, dtype=np.int64)
    mask = np.arange(width) < lengths[:, None]
    padded[mask] = np.concatenate([np.asarray(row, dtype=np.int64) for row in ids])
    return padded, mask


class LiteFT(Contestant):
    """libliteft on the GPU, at a precision."""

    def __init__(self, folder: Path, _: str, *, precision: str) -> None:
        from liteft.runtime.cuda_places import cache_folder, cublas_path
        from liteft.runtime.encoder_file import read_classifier
        from liteft.runtime.native_engine import _PRECISIONS, _TYPES, _address, _Handle, _shape
        from liteft.runtime.native_library import Batch, Weight, open_library

        stored = read_classifier(folder / "liteft.onnx")
        self._library = open_library()
        self._handle = _Handle(self._library, stored, precision, 1, "cuda")
        self._labels, self._batch, self._address = stored.labels, Batch, _address
        # The same model once more, in the library below, which alone says what the device takes.
        self._cuda = ctypes.CDLL(str(self._library.path.with_name("libliteft_cuda.so")))
        self._cuda.liteft_cuda_last_error.restype = ctypes.c_char_p
        pointer, number, text = ctypes.c_void_p, ctypes.c_int32, ctypes.c_char_p
        self._cuda.liteft_cuda_create.argtypes = [pointer, pointer, number, number, number, text, text, pointer]
        self._cuda.liteft_cuda_destroy.argtypes, self._cuda.liteft_cuda_destroy.restype = [pointer], None
        self._cuda.liteft_cuda_time.argtypes = [pointer, pointer, number, pointer]
        arrays = {name: np.ascontiguousarray(array, dtype=np.float32) for name, array in stored.weights.items()}
        weights = (Weight * len(arrays))()
        for place, (name, array) in enumerate(arrays.items()):
            weights[place] = Weight(name.encode(), _address(array), _TYPES["f4"], *array.shape)
        shape, places = _shape(stored), (cublas_path().encode(), str(cache_folder()).encode())
        self._timed = pointer()
        described = (ctypes.byref(shape), weights, len(weights), _PRECISIONS[precision], 0, *places)
        self._succeed(self._cuda.liteft_cuda_create(*described, ctypes.byref(self._timed)))
        self._batches: list[Any] = []

    def prepare(self, batches: Sequence[Ids]) -> None:
        self._batches = [self._flat(ids) for ids in batches]
        self.device_pass()

    def device_pass(self) -> float:
        total = 0.0
        for batch, *_ in self._batches:
            milliseconds = ctypes.c_double()
            place = ctypes.byref(milliseconds)
            self._succeed(self._cuda.liteft_cuda_time(self._timed, ctypes.byref(batch), _REPLAYS, place))
            total += milliseconds.value / 1e3
        return total

    def run(self, ids: Ids) -> np.ndarray:
        batch, *_arrays = self._flat(ids)
        logits = np.empty((len(ids), self._labels), dtype=np.float32)
        if self._handle.functions.liteft_run(self._handle.pointer, ctypes.byref(batch), self._address(logits)):
            raise RuntimeError(self._library.last_error())
        return logits

    def notes(self) -> dict[str, Any]:
        return {"device_clock": f"events around {_REPLAYS} graph replays of each chunk"}

    def close(self) -> None:
        timed, self._timed = self._timed, ctypes.c_void_p()
        self._cuda.liteft_cuda_destroy(timed)

    def _flat(self, ids: Ids) -> tuple[Any, ...]:
        flat = np.concatenate([np.asarray(row, dtype=np.int32) for row in ids])
        offsets = np.cumsum([0, *map(len, ids)], dtype=np.int32)
        positions = np.arange(len(flat), dtype=np.int32) - np.repeat(offsets[:-1], np.diff(offsets)).astype(np.int32)
        arrays = (flat, positions, offsets)
        places = [self._address(array) for array in arrays]
        return self._batch(len(ids), places[0], None, *places[1:], None), *arrays

    def _succeed(self, failed: int) -> None:
        if failed:
            raise RuntimeError((self._cuda.liteft_cuda_last_error() or b"").decode("utf-8", "replace"))


class OnnxRuntime(Contestant):
    """ONNX Runtime's CUDA provider."""

    def __init__(self, folder: Path, _: str) -> None:
        import onnxruntime

        available = onnxruntime.get_available_providers()
        if "CUDAExecutionProvider" not in available:
            raise NotHere(f"onnxruntime {onnxruntime.__version__} has no CUDA provider; onnxruntime-gpu has")
        file = folder / "onnxruntime" / "model.onnx"
        if not file.exists():
            raise NotHere("its model could not be made")
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(str(file), options, providers=["CUDAExecutionProvider"])
        self._value = onnxruntime.OrtValue
        self._bound: list[Any] = []

    def prepare(self, batches: Sequence[Ids]) -> None:
        self._bound = [self._bind(ids) for ids in batches]
        self.device_pass()

    def device_pass(self) -> float:
        begin = time.perf_counter()
        for binding in self._bound:
            self._session.run_with_iobinding(binding)
        return time.perf_counter() - begin

    def run(self, ids: Ids) -> np.ndarray:
        padded, mask = rectangle(ids)
        return self._session.run(None, {"input_ids": padded, "attention_mask": mask.astype(np.int64)})[0]

    def notes(self) -> dict[str, Any]:
        return {"device_clock": "the host's, around runs that wait"}

    def _bind(self, ids: Ids) -> Any:
        padded, mask = rectangle(ids)
        binding = self._session.io_binding()
        for name, array in (("input_ids", padded), ("attention_mask", mask.astype(np.int64))):
            binding.bind_ortvalue_input(name, self._value.ortvalue_from_numpy(array, "cuda", 0))
        binding.bind_output("logits", "cuda")
        return binding


class NotHere(Exception):
    """A contestant that this machine does not have: no failure."""


@dataclass(frozen=True)
class Entry:
    """A line of the comparison.

    Attributes:
        group: the process that it runs in. A kernel that faults ends all that is in its process.
        precision: of its products.
        make: from the model's folder and the device's name.
        settings: of ``make``, by keyword.
        decisive_only: takes minutes to prepare, and does so for tasks alone on which a target hangs.
    """

    group: str
    precision: str
    make: Callable[..., Contestant]
    settings: dict[str, Any] = field(default_factory=dict)
    decisive_only: bool = False


def _torch(kind: str) -> Callable[..., Contestant]:
    def make(folder: Path, device: str, **settings: Any) -> Contestant:
        import cuda_torch

        return getattr(cuda_torch, kind)(folder, device, **settings)

    return make


CONTESTANTS: dict[str, Entry] = {
    "LiteFT bf16": Entry("liteft", "bf16", LiteFT, {"precision": "bf16"}),
    "LiteFT fp16": Entry("liteft", "fp16", LiteFT, {"precision": "fp16"}),
    "torch eager fp16": Entry("torch", "fp16", _torch("Eager")),
    "torch eager bf16": Entry("torch", "bf16", _torch("Eager"), {"precision": "bf16"}),
    "torch unpadded fp16": Entry("torch", "fp16", _torch("Unpadded")),
    "torch graphs fp16": Entry("torch", "fp16", _torch("Graphs")),
    "ONNX Runtime fp16": Entry("onnxruntime", "fp16", OnnxRuntime),
    "torch compile fp16": Entry("compile", "fp16", _torch("Compiled"), {"mode": "reduce-overhead"}, decisive_only=True),
    "torch max-autotune fp16": Entry(
        "autotune", "fp16", _torch("Compiled"), {"mode": "max-autotune"}, decisive_only=True
    ),
}


def measure(contestant: Contestant, batches: Sequence[Ids], *, rounds: int = 7, seconds: float = 2.0) -> dict[str, Any]:
    """Return the numbers of a row: the time on the device and from host to host of a pass over all batches.

    Each is the median of rounds, after one that is not counted; no round begins after ``seconds``, beyond three. Of
    single texts there are also percentiles of a call from host to host.
    """
    contestant.prepare(batches)
    device = _rounds(contestant.device_pass, rounds, seconds)
    calls: list[float] = []

    def host_pass() -> float:
        begin = time.perf_counter()
        for ids in batches:
            start = time.perf_counter()
            contestant.run(ids)
            calls.append(time.perf_counter() - start)
        return time.perf_counter() - begin

    host_pass()
    calls.clear()
    host = _rounds(host_pass, rounds, seconds)
    row: dict[str, Any] = {
        "count": sum(map(len, batches)),
        "calls": len(batches),
        "tokens": sum(len(row) for ids in batches for row in ids),
        "device_seconds": statistics.median(device),
        "device_spread": [min(device), max(device)],
        "host_seconds": statistics.median(host),
        "rounds": len(device),
    }
    row["device_tokens_per_second"] = round(row["tokens"] / row["device_seconds"])
    row["host_tokens_per_second"] = round(row["tokens"] / row["host_seconds"])
    if all(len(ids) == 1 for ids in batches):
        row["call_us"] = {f"p{share}": round(1e6 * float(np.percentile(calls, share)), 1) for share in (50, 90, 99)}
    return row | contestant.notes()


def _rounds(measured: Callable[[], float], rounds: int, seconds: float) -> list[float]:
    begin = time.perf_counter()
    found: list[float] = []
    while len(found) < rounds and (len(found) < 3 or time.perf_counter() - begin < seconds):
        found.append(measured())
    return found
