"""LiteFT as a contestant of bench/cuda_engines.py: its C API, called with ctypes on weights from a .npz file.

This needs only numpy: not pydantic, onnx or torch. Two engines are made for a model: one through libliteft, as users
have it, for times from host to host, and one of libliteft_cuda itself, whose API can time the GPU.
"""

from __future__ import annotations

import ctypes
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from cuda_contestants import Contestant, Ids
from machine import own_module

PRECISIONS = {"bf16": 1, "fp16": 3}  # the enum of liteft.h
_REPLAYS = 20  # of each chunk's CUDA graph, for `replays`
_FLOAT32 = 0
_SLOTS = 0  # the library's default


def open_library() -> Any:
    """Return libliteft: the one that LITEFT_LIBRARY names, or the installed one."""
    return own_module("runtime/native_library.py").open_library()


def cublas_path() -> str:
    """Return the folders to search for libcublasLt, joined by colons: LITEFT_CUBLAS, or those of installed wheels."""
    return os.environ.get("LITEFT_CUBLAS") or str(own_module("runtime/cuda_places.py").cublas_path())


def gpu() -> tuple[str, str]:
    """Return the first GPU as LiteFT describes it, and ""; or "" and the reason why LiteFT cannot use it."""
    try:
        found: tuple[str, str] = open_library().gpu(cublas_path())
    except Exception as error:
        return "", str(error)
    return found


class Described:
    """A model in the form that the C API takes, which points into arrays that this object keeps alive."""

    def __init__(self, folder: Path) -> None:
        native = own_module("runtime/native_library.py")
        shape: dict[str, Any] = json.loads((folder / "shape.json").read_text(encoding="utf-8"))
        self.labels = shape["labels"]
        self.shape = native.Shape(**shape)
        with np.load(folder / "weights.npz") as stored:
            self.arrays = {name: np.ascontiguousarray(stored[name], dtype=np.float32) for name in stored.files}
        self.weights = (native.Weight * len(self.arrays))()
        for place, (name, array) in enumerate(self.arrays.items()):
            self.weights[place] = native.Weight(name.encode(), array.ctypes.data, _FLOAT32, *array.shape)

    def arguments(self) -> tuple[Any, ...]:
        """Return the first arguments of the C functions that create a classifier."""
        return ctypes.byref(self.shape), self.weights, len(self.weights)


class LiteFT(Contestant):
    """libliteft on the GPU in a precision."""

    def __init__(self, folder: Path, _: str, *, precision: str) -> None:
        self._library = open_library()
        model = Described(folder)
        self._labels = model.labels
        cache = own_module("runtime/cuda_places.py").cache_folder()
        places = (cublas_path().encode(), str(cache).encode())
        asked = (*model.arguments(), PRECISIONS[precision], 0, _SLOTS, *places)
        self._pointer, self._timed = ctypes.c_void_p(), ctypes.c_void_p()
        self._succeed(self._library.functions.liteft_create_cuda(*asked, ctypes.byref(self._pointer)))
        self._cuda = open_cuda(self._library.path.with_name("libliteft_cuda.so"))
        self._succeed_below(self._cuda.liteft_cuda_create(*asked, ctypes.byref(self._timed)))
        self._batches: Any = None
        self._arrays: list[Any] = []

    def prepare(self, batches: Sequence[Ids]) -> None:
        flat = [flattened(ids) for ids in batches]
        self._arrays = [arrays for _, arrays in flat]
        self._batches = (type(flat[0][0]) * len(flat))(*(batch for batch, _ in flat))
        self.device_pass()

    def device_pass(self) -> float:
        return self._pass(0, len(self._batches))

    def device_calls(self) -> list[float]:
        return [self._pass(number, 1) for number in range(len(self._batches))]

    def replays(self) -> float:
        """Return the seconds of all prepared batches, each from the mean of 20 replays of its chunks."""
        total, milliseconds = 0.0, ctypes.c_double()
        for batch in self._batches:
            place = ctypes.byref(milliseconds)
            self._succeed_below(self._cuda.liteft_cuda_time(self._timed, ctypes.byref(batch), _REPLAYS, place))
            total += milliseconds.value / 1e3
        return total

    def run(self, ids: Ids) -> np.ndarray:
        batch, _arrays = flattened(ids)
        logits = np.empty((len(ids), self._labels), dtype=np.float32)
        functions = self._library.functions
        self._succeed(functions.liteft_run(self._pointer, ctypes.byref(batch), logits.ctypes.data))
        return logits

    def notes(self) -> dict[str, Any]:
        return {
            "device_clock": "events around a pass of CUDA graphs, copies of ids on the device included",
            "replay_clock": f"events around {_REPLAYS} replays of each chunk",
        }

    def close(self) -> None:
        pointer, self._pointer = self._pointer, ctypes.c_void_p()
        self._library.functions.liteft_destroy(pointer)
        timed, self._timed = self._timed, ctypes.c_void_p()
        self._cuda.liteft_cuda_destroy(timed)

    def _pass(self, first: int, count: int) -> float:
        milliseconds = ctypes.c_double()
        batches = ctypes.byref(self._batches, first * ctypes.sizeof(self._batches._type_))
        self._succeed_below(self._cuda.liteft_cuda_time_pass(self._timed, batches, count, ctypes.byref(milliseconds)))
        return milliseconds.value / 1e3

    def _succeed(self, failed: int) -> None:
        if failed:
            raise RuntimeError(self._library.last_error())

    def _succeed_below(self, failed: int) -> None:
        if failed:
            raise RuntimeError((self._cuda.liteft_cuda_last_error() or b"").decode("utf-8", "replace"))


def open_cuda(path: Path) -> ctypes.CDLL:
    """Return libliteft_cuda, with the types of the functions that are called here (cpp_ext/cuda/api.h)."""
    cuda = ctypes.CDLL(str(path))
    cuda.liteft_cuda_last_error.restype = ctypes.c_char_p
    pointer, number, text = ctypes.c_void_p, ctypes.c_int32, ctypes.c_char_p
    cuda.liteft_cuda_create.argtypes = [pointer, pointer, number, number, number, number, text, text, pointer]
    cuda.liteft_cuda_destroy.argtypes, cuda.liteft_cuda_destroy.restype = [pointer], None
    cuda.liteft_cuda_time.argtypes = cuda.liteft_cuda_time_pass.argtypes = [pointer, pointer, number, pointer]
    return cuda


def flattened(ids: Ids) -> tuple[Any, tuple[np.ndarray, ...]]:
    """Return token ids as a liteft_batch without padding, and the arrays that it points to."""
    flat = np.concatenate([np.asarray(row, dtype=np.int32) for row in ids])
    offsets = np.cumsum([0, *map(len, ids)], dtype=np.int32)
    positions = np.arange(len(flat), dtype=np.int32) - np.repeat(offsets[:-1], np.diff(offsets)).astype(np.int32)
    arrays = (flat, positions, offsets)
    places = [array.ctypes.data for array in arrays]
    batch = own_module("runtime/native_library.py").Batch(len(ids), places[0], None, *places[1:], None)
    return batch, arrays
