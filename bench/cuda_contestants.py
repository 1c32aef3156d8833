"""The interface of the engines that bench/cuda_engines.py compares, the ONNX Runtime engine, and the measurement.

LiteFT's engine is in cuda_liteft.py and torch's are in cuda_torch.py; cuda_entries.py lists them all. Optional packages
are imported in the functions that use them.

ONNX Runtime runs its CUDA provider on the float16 graph of its own optimizer, with inputs and outputs bound on the
device. Its "time on the device" is taken by the host's clock around runs that wait for the device.
"""

from __future__ import annotations

import statistics
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

Ids = Sequence[Sequence[int]]
PAD_ID = 0
ROUNDS = 3
SHARES = (50, 90, 99)  # percentiles of single texts


class Contestant(ABC):
    """An engine that runs one model on the first GPU."""

    @abstractmethod
    def prepare(self, batches: Sequence[Ids]) -> None:
        """Copy batches to the device, and do whatever has to be done once for batches of these sizes."""

    @abstractmethod
    def device_pass(self) -> float:
        """Return the seconds that the device takes for all prepared batches, without copies from the host."""

    @abstractmethod
    def run(self, ids: Ids) -> np.ndarray:
        """Return the logits of token ids on the host, copied to the device and back: float32, shape (texts, labels)."""

    def device_calls(self) -> list[float]:
        """Return the seconds that the device takes for each prepared batch alone; [] if that cannot be measured."""
        return []

    def replays(self) -> float | None:
        """Return the seconds of all prepared batches, each from the mean of many CUDA graph replays, or None."""
        return None

    def notes(self) -> dict[str, Any]:
        """Return what a row of the results should say about how it was measured."""
        return {}

    def close(self) -> None:  # noqa: B027
        """Free what the model uses, if deleting the object does not."""


def rectangle(ids: Ids, width: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Pad token ids to a rectangle.

    Returns:
        The ids, int64, and the mask, bool, both of shape (texts, width); the width is the longest text's by default.
    """
    lengths = np.array([len(row) for row in ids])
    width = int(lengths.max()) if width is None else width
    padded = np.full((len(ids), width), PAD_ID, dtype=np.int64)
    mask = np.arange(width) < lengths[:, None]
    padded[mask] = np.concatenate([np.asarray(row, dtype=np.int64) for row in ids])
    return padded, mask


class NotHere(Exception):
    """This machine does not have the contestant, which is not a failure."""


class OnnxRuntime(Contestant):
    """ONNX Runtime's CUDA provider."""

    def __init__(self, folder: Path, _: str) -> None:
        import onnxruntime

        if hasattr(onnxruntime, "preload_dlls"):  # it does not find cuDNN and cuBLAS in wheels by itself
            onnxruntime.preload_dlls()
        if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
            raise NotHere(f"onnxruntime {onnxruntime.__version__} has no CUDA provider; onnxruntime-gpu has one")
        file = folder / "onnxruntime" / "model.onnx"
        if not file.exists():
            raise NotHere("its model could not be exported")
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(str(file), options, providers=["CUDAExecutionProvider"])
        used = self._session.get_providers()
        if used[:1] != ["CUDAExecutionProvider"]:  # it would run on the CPU
            raise NotHere(f"its session uses {', '.join(used)}: the CUDA provider could not be started")
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
        return {"device_clock": "the host's clock, around runs that wait for the device"}

    def _bind(self, ids: Ids) -> Any:
        padded, mask = rectangle(ids)
        binding = self._session.io_binding()
        for name, array in (("input_ids", padded), ("attention_mask", mask.astype(np.int64))):
            binding.bind_ortvalue_input(name, self._value.ortvalue_from_numpy(array, "cuda", 0))
        binding.bind_output("logits", "cuda")
        return binding


def measure(contestant: Contestant, batches: Sequence[Ids], rounds: int = ROUNDS) -> tuple[dict[str, Any], np.ndarray]:
    """Time a contestant on some batches.

    A pass over all batches is timed on the device and from host to host. Each time is the median of several rounds,
    after one round that is not counted. If all batches are single texts, there are also percentiles of a call: from
    host to host, and on the device.

    Returns:
        The numbers of a row, and the logits of all texts from the last pass, float32, shape (texts, labels).
    """
    contestant.prepare(batches)
    device = [contestant.device_pass() for _ in range(rounds)]
    calls: list[float] = []
    logits: list[np.ndarray] = []

    def host_pass() -> float:
        logits.clear()
        begin = time.perf_counter()
        for ids in batches:
            start = time.perf_counter()
            logits.append(contestant.run(ids))
            calls.append(time.perf_counter() - start)
        return time.perf_counter() - begin

    host_pass()
    calls.clear()
    host = [host_pass() for _ in range(rounds)]
    row: dict[str, Any] = {
        "count": sum(map(len, batches)),
        "calls": len(batches),
        "tokens": sum(len(row) for ids in batches for row in ids),
        "device_seconds": statistics.median(device),
        "device_spread": [min(device), max(device)],
        "host_seconds": statistics.median(host),
        "host_spread": [min(host), max(host)],
        "rounds": rounds,
    }
    row["device_tokens_per_second"] = round(row["tokens"] / row["device_seconds"])
    row["host_tokens_per_second"] = round(row["tokens"] / row["host_seconds"])
    replayed = contestant.replays()
    if replayed is not None:
        row["replay_seconds"] = replayed
    if all(len(ids) == 1 for ids in batches):
        row["call_us"] = _percentiles(calls)
        alone = [seconds for _ in range(rounds) for seconds in contestant.device_calls()]
        if alone:
            row["device_us"] = _percentiles(alone)
    return row | contestant.notes(), np.concatenate(logits)


def _percentiles(seconds: Sequence[float]) -> dict[str, float]:
    return {f"p{share}": round(1e6 * float(np.percentile(seconds, share)), 1) for share in SHARES}
