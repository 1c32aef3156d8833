"""libliteft as an engine: flat batches of real tokens, one classifier in the library per process.

- An int8 classifier is computed with one scale per row of activations, whatever its scheme: the static scheme's ranges
  are for engines without per-row matmuls, and per-row scales are more accurate.
- Nothing is padded, not even the ids: they are stored one text after the other, and the library runs exactly those
  rows through the layers. ``counters`` is its own count of them.
- The library may be run from several threads at once; it lets short batches go ahead of long ones. ctypes releases the
  GIL meanwhile.
- Each run holds a reference to the classifier, so it is freed only when the last run has ended, in whatever thread
  that is.
- Fork: the library's threads do not exist in a child. A child leaves the inherited classifier untouched and unused,
  and creates its own at the first run. On a GPU it cannot, because CUDA does not survive a fork; the error says so.
- GPU: the same batches go to libliteft_cuda, through the same functions. It accepts weights of every kind, including
  int8; matmuls are bf16 or fp16 with sums in float32, or, if asked for, those of an int8 artifact with exact sums.
"""

from __future__ import annotations

import ctypes
import os
import re
import threading
from typing import Any

import numpy as np

from liteft.artifact import Artifact, Manifest
from liteft.encoded import Encoded
from liteft.encoder.spec import ACTIVATIONS, HEADS, POOLINGS, EncoderSpec
from liteft.errors import ArtifactError, DeviceError, leave_out, option
from liteft.runtime.counters import EngineCounters
from liteft.runtime.cuda_places import cache_folder, cublas_path
from liteft.runtime.encoder_file import StoredClassifier, read_classifier
from liteft.runtime.native_library import Batch, NativeLibrary, Padded, Shape, Weight, open_library

__all__ = ["NativeEngine"]

_PRECISIONS = {"fp32": 0, "bf16": 1, "int8": 2, "fp16": 3}
_TYPES = {"f4": 0, "f2": 1, "i1": 2, "u1": 3}
_FLOAT_PRODUCT = 16
_TOKEN_BUDGET = 16384
_CUDA_TOKEN_BUDGET = 131072  # not measured yet; the library splits it into chunks of its own


class NativeEngine:
    """An engine that runs an artifact's classifier in libliteft.

    Args:
        artifact: a checked artifact.
        threads: number of threads of a run.
        device: "cpu", or "cuda" for the first GPU.
        precision: "bf16" computes a float artifact's matmuls in bfloat16; None computes as the artifact is stored,
            float16 in float32. On a GPU, "bf16", "fp16", or "int8" for an int8 artifact; None is fp16 for a float16
            artifact and on a GPU without bf16 (before compute capability 8.0), else bf16.
        slots: on a GPU, how many runs compute at once; None for the library's default.
        stored: the result of ``read_classifier`` if the graph has already been read.

    Raises:
        DeviceError: there is no library, or it does not support this precision on this machine.
        ArtifactError: the graph is not the one node that the library runs, or does not fit the manifest.
    """

    name = "native"
    pads = False
    run_price = 0

    def __init__(
        self,
        artifact: Artifact,
        *,
        threads: int,
        device: str = "cpu",
        precision: str | None = None,
        slots: int | None = None,
        stored: StoredClassifier | None = None,
    ) -> None:
        library = open_library()
        stored = read_classifier(artifact.model_path) if stored is None else stored
        _check(stored, artifact)
        self.device = device
        self.token_budget = _CUDA_TOKEN_BUDGET if device == "cuda" else _TOKEN_BUDGET
        self.precision = precision or _usual_precision(artifact, stored, device, library)
        self._artifact, self._library, self._threads, self._slots = artifact, library, threads, slots
        self._has_token_types = stored.spec.has_token_types
        self._labels, self.per_token = stored.spec.labels, stored.spec.per_token
        self._lock = threading.Lock()
        self._handle: _Handle | None = self._new_handle(stored)

    def run(self, encoded: Encoded) -> np.ndarray:
        """Return logits, float32 (texts or tokens, labels); see ``Engine.run``."""
        handle = self._handle or self._handle_of_this_process()
        ids, types = np.ascontiguousarray(encoded.ids), np.ascontiguousarray(encoded.type_ids)
        offsets = encoded.offsets.astype(np.int32)
        rows = len(ids) if self.per_token else len(encoded)
        logits = np.empty((rows, self._labels), dtype=np.float32)
        batch = Batch(
            len(encoded), _address(ids), _address(types) if self._has_token_types else None, None, _address(offsets)
        )
        if handle.functions.liteft_run(handle.pointer, ctypes.byref(batch), _address(logits)):
            raise DeviceError(
                f"the native engine failed on a batch of {len(encoded)} texts, {len(ids)} tokens: "
                f"{self._library.last_error()}.",
                fix="use a smaller token_budget if memory ran out",
            )
        return logits

    def run_padded(self, ids: np.ndarray, mask: np.ndarray, type_ids: np.ndarray | None) -> np.ndarray:
        """Return the logits of padded texts; masked tokens are not computed.

        Args:
            ids: int64, shape (texts, tokens).
            mask: int64, same shape; 0 masks a token.
            type_ids: int64, same shape; None if all are 0. Ignored if the model has none.

        Returns:
            float32, shape (texts, labels) or, if ``per_token``, (texts, tokens, labels), with zeros where a token is
            masked.

        Raises:
            DeviceError: the library refused the batch, or failed.
        """
        handle = self._handle or self._handle_of_this_process()
        arrays = [np.ascontiguousarray(array, dtype=np.int64) for array in (ids, mask)]
        types = (
            np.ascontiguousarray(type_ids, dtype=np.int64) if self._has_token_types and type_ids is not None else None
        )
        if any(array.shape != arrays[0].shape for array in (*arrays, *([] if types is None else [types]))):
            raise DeviceError(
                "ids, mask and type ids differ in shape.",
                accepted={"shape": "(texts, tokens), of all"},
                fix="pad all to the same number of tokens",
            )
        rows = arrays[0].shape if self.per_token else arrays[0].shape[:1]
        logits = np.empty((*rows, self._labels), dtype=np.float32)
        addresses = (*map(_address, arrays), None if types is None else _address(types))
        padded = Padded(*arrays[0].shape, *addresses)
        if handle.functions.liteft_run_padded(handle.pointer, ctypes.byref(padded), _address(logits)):
            raise DeviceError(
                f"the native engine failed on a batch of {len(ids)} texts: {self._library.last_error()}.",
                fix="use a smaller token_budget if memory ran out",
            )
        return logits

    def counters(self) -> EngineCounters:
        """Return the library's own counters, of this process."""
        handle = self._handle
        if handle is None:
            return EngineCounters()
        calls, rows = ctypes.c_uint64(), ctypes.c_uint64()
        handle.functions.liteft_counters(handle.pointer, ctypes.byref(calls), ctypes.byref(rows))
        return EngineCounters(calls.value, rows.value)

    def after_fork(self) -> None:
        """In a forked child, stop using the parent's classifier without freeing it. The next run creates a new one."""
        self._lock = threading.Lock()
        self._handle = None

    def _handle_of_this_process(self) -> _Handle:
        if self.device == "cuda":
            raise DeviceError(
                "this process was forked after CUDA had started in its parent, and CUDA does not survive a fork.",
                fix=['start processes by "spawn" and load the artifact in each', "load the artifact after the fork"],
            )
        with self._lock:
            if self._handle is None:
                self._artifact.check_model()
                self._handle = self._new_handle(read_classifier(self._artifact.model_path))
            return self._handle

    def _new_handle(self, stored: StoredClassifier) -> _Handle:
        return _Handle(self._library, stored, self.precision, self._threads, self.device, self._slots)


class _Handle:
    """A classifier in the library; freed with this object, by the process that created it."""

    def __init__(
        self,
        library: NativeLibrary,
        stored: StoredClassifier,
        precision: str,
        threads: int,
        device: str,
        slots: int | None,
    ) -> None:
        self.functions = library.functions
        self.pointer = ctypes.c_void_p()
        self._process = os.getpid()
        self._getpid = os.getpid  # at interpreter exit, modules are cleared before objects
        weights = (Weight * len(stored.weights))()
        for place, (name, array) in enumerate(stored.weights.items()):
            kind = _TYPES[array.dtype.str[1:]]
            if name.endswith(".weight") and name.removesuffix(".weight") in stored.float_products:
                kind |= _FLOAT_PRODUCT
            rows, columns = array.shape
            columns *= 2 if array.dtype == np.uint8 else 1  # two 4-bit values per byte
            weights[place] = Weight(name.encode(), _address(array), kind, rows, columns)
        shape = _shape(stored.spec)
        described = (ctypes.byref(shape), weights, len(weights), _PRECISIONS[precision])
        if device == "cuda":
            places = (cublas_path().encode(), str(cache_folder()).encode())
            failed = self.functions.liteft_create_cuda(*described, 0, slots or 0, *places, ctypes.byref(self.pointer))
        else:
            failed = self.functions.liteft_create(*described, threads, None, ctypes.byref(self.pointer))
        if failed:
            raise _creation_error(library, precision, device)

    def __del__(self) -> None:
        if self.pointer and self._getpid() == self._process:
            self.functions.liteft_destroy(self.pointer)


def _creation_error(library: NativeLibrary, precision: str, device: str) -> DeviceError:
    if device == "cuda":
        reason = library.last_error()
        no_bf16 = precision == "bf16" and not library.gpu_has_bf16(cublas_path())
        mends = [option("engine_precision", "fp16")] if no_bf16 else []
        return DeviceError(
            f'the device "cuda" was requested, but the native engine cannot run there: {reason}.',
            accepted={"library": library.path},
            fix=[*_mends_of(reason), "liteft doctor", *mends, option("device", "cpu")],
        )
    return DeviceError(
        f"the native engine cannot run this classifier in {precision}: {library.last_error()}.",
        accepted={"instructions of this machine": library.instructions, "library": library.path},
        fix=leave_out("engine_precision") if precision == "bf16" else option("backend", "onnxruntime"),
    )


def _mends_of(reason: str) -> list[str]:
    """Return what helps against some reasons for which the CUDA library does not start."""
    if found := re.match(r"LITEFT_CUDA_\w+", reason):
        return [f"unset {found[0]}"]
    if "libcublasLt.so.13: cannot open" in reason:
        return ["pip install nvidia-cublas"]
    if "libcublasLt.so.12: cannot open" in reason:
        return ["pip install nvidia-cublas-cu12"]
    return []


def _usual_precision(artifact: Artifact, stored: StoredClassifier, device: str, library: NativeLibrary) -> str:
    """Return the precision of the matmuls if the caller named none."""
    if device == "cuda":
        stored_so = artifact.manifest.form.precision == "fp16"
        return "fp16" if stored_so or not library.gpu_has_bf16(cublas_path()) else "bf16"
    return "int8" if stored.int8_scheme != "none" else "fp32"


def _shape(spec: EncoderSpec) -> Shape:
    return Shape(
        layers=spec.layers,
        heads=spec.heads,
        width=spec.width,
        inner=spec.inner_width,
        embedding=spec.embedding_width,
        vocabulary=spec.vocabulary,
        positions=spec.positions,
        types=spec.token_types,
        labels=spec.labels,
        pooling=POOLINGS.index(spec.pooling),
        head=HEADS.index(spec.head),
        activation=ACTIVATIONS.index(spec.activation),
        position_padding_id=spec.position_padding_id,
        epsilon=spec.epsilon,
    )


def _in_float(manifest: Manifest) -> list[str]:
    return [name for name, fallback in manifest.fallbacks.items() if fallback != "8 bits"]


def _check(stored: StoredClassifier, artifact: Artifact) -> None:
    """Refuse a graph that does not fit its manifest."""
    manifest, spec = artifact.manifest, stored.spec
    pairs = {
        "inputs": (", ".join(manifest.inputs), ", ".join(stored.inputs)),
        "labels": (len(manifest.labels), spec.labels),
        "token types": (manifest.token_types, spec.token_types),
        "pooling": (manifest.pooling, spec.pooling),
        "int8 scheme": (manifest.form.scheme or "none", stored.int8_scheme),
        "float products": (" ".join(sorted(_in_float(manifest))), " ".join(sorted(stored.float_products))),
    }
    if manifest.max_tokens > spec.max_tokens:
        raise ArtifactError(
            f"{artifact.path} cuts texts at {manifest.max_tokens:,} tokens, and its graph has positions "
            f"for {spec.max_tokens:,}.",
            accepted={"max_tokens": f"up to {spec.max_tokens:,}"},
            fix="export the model again",
        )
    for name, (wanted, found) in pairs.items():
        if wanted != found:
            raise ArtifactError(
                f"{artifact.model_path} has other {name} than its manifest.",
                accepted={"the manifest": wanted, "the graph": found},
                fix="export the model again",
            )


def _address(array: np.ndarray) -> Any:
    return array.__array_interface__["data"][0]
