"""Choosing the engine that computes logits: the one place where backend, device and precision are decided.

A backend is an Engine. There are two: "native", LiteFT's own library, which is padding-free, and "onnxruntime", which
runs every graph that an artifact can contain. Both support CUDA; the native backend's has not run on a GPU yet, so it
is used only if CUDA is requested by name. An explicit choice is honoured or refused with the reason. device="cuda"
alone uses onnxruntime if it was built with CUDA and the artifact is not int8, else the native backend. "auto" uses

1. ONNX Runtime on CUDA, if the device is left open and ONNX Runtime has CUDA. An int8 artifact stays on the CPU:
   ONNX Runtime's CUDA kernel for integer matmuls does not accept unsigned activations, so every matmul would be
   copied to the CPU and back;
2. the native backend, if its library is available, the graph is the one node that it runs, and the processor has
   vector instructions that it was written for;
3. ONNX Runtime on the CPU.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Protocol

import numpy as np

from liteft.encoded import Encoded
from liteft.errors import ArtifactError, ConfigError, DeviceError, Hint, MissingExtraError, closest, leave_out, option
from liteft.installation import install_hint
from liteft.runtime.cores import MOST_THREADS, default_threads
from liteft.runtime.counters import EngineCounters

if TYPE_CHECKING:
    from liteft.artifact import Artifact

__all__ = ["BACKENDS", "DEVICES", "PRECISIONS", "Engine", "checked_threads", "choose_engine"]

DEVICES = ("auto", "cpu", "cuda")
BACKENDS = ("auto", "native", "onnxruntime")
PRECISIONS = (None, "bf16", "fp16", "int8")
MOST_SLOTS = 64  # of liteft_create_cuda


class Engine(Protocol):
    """Computes logits for token ids. Its ``run`` may be called from several threads at once.

    Attributes:
        name: the backend's name.
        device: "cpu" or "cuda".
        precision: of its matmuls: "fp32", "bf16", "fp16" or "int8".
        pads: True if the texts of a batch are padded to the longest of them.
        token_budget: maximum tokens of a batch, chosen for speed.
        run_price: fixed cost of a run, in tokens.
        per_token: True if every token has a row of logits, False if every text has one.
    """

    name: str
    device: str
    precision: str
    pads: bool
    token_budget: int
    run_price: int
    per_token: bool

    def run(self, encoded: Encoded) -> np.ndarray:
        """Return the logits of one batch of texts with at least one token each.

        They are float32, shape (texts, labels) or, if ``per_token``, (tokens, labels), in the order of ``encoded.ids``.

        Raises:
            DeviceError: the backend failed.
        """

    def counters(self) -> EngineCounters | None:
        """Return the engine's own counters; None if it does not count."""

    def after_fork(self) -> None:
        """In a forked child, drop what depends on the parent's threads."""


def choose_engine(
    artifact: Artifact,
    *,
    device: str,
    backend: str,
    threads: int,
    engine_precision: str | None = None,
    slots: int | None = None,
    trust: bool = False,
) -> Engine:
    """Return an engine for an artifact.

    Args:
        artifact: a checked artifact.
        device: "auto", "cpu" or "cuda".
        backend: "auto", "native" or "onnxruntime".
        threads: number of threads of a run on the CPU.
        engine_precision: None, or "bf16" or, on CUDA, "fp16" for matmuls in that type, or "int8" for those of an int8
            artifact, which only the native backend has.
        slots: None, or how many runs compute at once on CUDA, which only the native backend lets you choose.
        trust: allow ONNX Runtime to load operators that LiteFT does not write.

    Raises:
        ConfigError: the device, the backend or the precision is unknown, or the slots are not a number from 1 to 64.
        DeviceError: it is not available here.
        MissingExtraError: onnxruntime is needed but not installed.
        ArtifactError: the backend cannot run the graph.
    """
    _check_known("device", device, DEVICES)
    _check_known("backend", backend, BACKENDS)
    _check_known("engine_precision", engine_precision, PRECISIONS)
    _check_positions(artifact)
    if engine_precision is not None:
        _check_precision(artifact, engine_precision, device=device, backend=backend)
        backend = "native"
    if slots is not None:
        _check_slots(slots, device=device, backend=backend)
        backend = "native"
    if backend == "native":
        asked = 'the backend "native"'
        if slots is not None:
            asked = f"slots={slots}, which needs the native backend,"
        if engine_precision is not None:
            asked = f"engine_precision={engine_precision!r}, which needs the native backend,"
        return _native(artifact, threads, engine_precision, "cuda" if device == "cuda" else "cpu", asked, slots)
    if backend == "auto":
        return _any_cuda(artifact, threads, trust) if device == "cuda" else _best(artifact, device, threads, trust)
    return _onnxruntime(artifact, device, threads, trust)


def checked_threads(threads: int | None) -> int:
    """Return ``threads``, or `default_threads` for None. Raises ConfigError outside 1 to 1024."""
    if threads is None:
        return default_threads()
    if isinstance(threads, bool) or not isinstance(threads, int) or not 1 <= threads <= MOST_THREADS:
        raise ConfigError(
            f"threads must be an integer from 1 to {MOST_THREADS}, got {threads!r}.",
            accepted={"threads": f"1 to {MOST_THREADS}, or None"},
            fix=option("threads", 4),
        )
    return threads


def _native(
    artifact: Artifact, threads: int, precision: str | None, device: str, asked: str, slots: int | None = None
) -> Engine:
    """Return the native engine; ``asked`` names the choices that require it.

    Raises:
        DeviceError: it cannot run this artifact here; the message says why.
    """
    from liteft.runtime.encoder_file import read_classifier
    from liteft.runtime.native_engine import NativeEngine
    from liteft.runtime.native_library import open_library

    try:
        open_library()
        stored = read_classifier(artifact.model_path)
    except (DeviceError, ArtifactError) as error:
        raise DeviceError(
            f"{asked} was requested and is not available: {error.message}",
            accepted=error.accepted,
            fix=[_without(precision, device), *error.fix],
        ) from error
    return NativeEngine(artifact, threads=threads, device=device, precision=precision, slots=slots, stored=stored)


def _without(precision: str | None, device: str) -> Hint:
    """Return a hint on how to request less."""
    if precision is not None:
        return leave_out("engine_precision")
    return option("device", "cpu") if device == "cuda" else option("backend", "auto")


def _any_cuda(artifact: Artifact, threads: int, trust: bool) -> Engine:
    """Return the engine for device="cuda" if no backend was named.

    Raises:
        DeviceError: neither backend has CUDA; the message says why for each.
    """
    from liteft.runtime.onnx_engine import has_cuda, may_have_cuda

    reason = f"it is not installed with CUDA: pip uninstall onnxruntime; {install_hint('gpu')}"
    try:
        if artifact.manifest.form.precision == "int8":
            reason = "its CUDA kernels do not support this kind of int8"
        elif may_have_cuda() and has_cuda():
            return _onnxruntime(artifact, "cuda", threads, trust)
    except MissingExtraError as error:  # installed and broken
        reason = error.message
    try:
        return _native(artifact, threads, None, "cuda", 'the device "cuda"')
    except DeviceError as error:
        raise DeviceError(
            error.message,
            accepted={**error.accepted, "onnxruntime": reason},
            fix=["liteft doctor", option("device", "cpu")],
        ) from error


def _best(artifact: Artifact, device: str, threads: int, trust: bool) -> Engine:
    """Return the engine for backend="auto" if the device is not explicitly CUDA."""
    from liteft.runtime.onnx_engine import OnnxEngine

    other: Engine | None = None
    if device == "auto" and artifact.manifest.form.precision != "int8":
        other = _cuda_or_cpu(artifact, threads, trust)
        if other is not None and other.device == "cuda":
            return other
    native, reason = _native_where_fast(artifact, threads)
    if native is not None:
        return native
    try:
        return other or OnnxEngine(artifact, device="cpu", threads=threads, trust=trust)
    except MissingExtraError as error:
        raise MissingExtraError(
            error.message, accepted={**error.accepted, "the native backend": reason}, fix=error.fix
        ) from error


def _cuda_or_cpu(artifact: Artifact, threads: int, trust: bool) -> Engine | None:
    """Return ONNX Runtime's engine if it was built with CUDA (on the CPU if CUDA does not start); else None."""
    from liteft.runtime.onnx_engine import OnnxEngine, has_cuda, may_have_cuda

    if not may_have_cuda():
        return None
    try:
        if not has_cuda():
            return None
    except MissingExtraError as error:  # installed but broken: the machine's GPU stays unused, which is worth a warning
        warnings.warn(f"CUDA is not used: {error.message}", stacklevel=5)
        return None
    return OnnxEngine(artifact, device="cuda", threads=threads, or_cpu=True, trust=trust)


def _native_where_fast(artifact: Artifact, threads: int) -> tuple[Engine | None, str]:
    """Return the native engine, or None and why it is not the best choice.

    Raises:
        DeviceError: LITEFT_LIBRARY does not name the library, or the library failed.
    """
    from liteft.runtime.encoder_file import read_classifier
    from liteft.runtime.native_engine import NativeEngine
    from liteft.runtime.native_library import asked_for, open_library

    try:
        library = open_library()
    except DeviceError as error:
        if asked_for():
            raise
        return None, error.message
    if not library.fast:
        return None, "this processor has no vector instructions that the library supports"
    try:
        stored = read_classifier(artifact.model_path)
    except ArtifactError as error:
        return None, error.message
    return NativeEngine(artifact, threads=threads, stored=stored), ""


def _onnxruntime(artifact: Artifact, device: str, threads: int, trust: bool) -> Engine:
    from liteft.runtime.onnx_engine import OnnxEngine, has_cuda

    if device == "auto":
        device = "cuda" if artifact.manifest.form.precision != "int8" and has_cuda() else "cpu"
        return OnnxEngine(artifact, device=device, threads=threads, or_cpu=True, trust=trust)
    return OnnxEngine(artifact, device=device, threads=threads, trust=trust)


def _check_precision(artifact: Artifact, precision: str, *, device: str, backend: str) -> None:
    """Refuse a precision that is incompatible with the other choices."""
    if backend == "onnxruntime":
        raise DeviceError(
            f"engine_precision={precision!r} is available only in the native backend, but backend={backend!r} "
            "was requested.",
            fix=[leave_out("engine_precision"), option("backend", "auto")],
        )
    stored_in = artifact.manifest.form.precision
    if precision == "int8":
        if stored_in != "int8":
            raise DeviceError(
                f"engine_precision='int8' needs int8 weights, and {artifact.path} is stored in {stored_in}.",
                accepted={"engine_precision": "None, bf16, or on CUDA fp16, for a float artifact"},
                fix=[
                    leave_out("engine_precision"),
                    Hint('liteft.export(..., precision="int8")', "liteft export --precision int8"),
                ],
            )
        return
    if device == "cuda":
        return
    if precision == "fp16":
        raise DeviceError(
            f"engine_precision='fp16' is available only on CUDA, but device={device!r} was requested.",
            fix=[leave_out("engine_precision"), option("device", "cuda")],
        )
    if stored_in == "int8":
        raise DeviceError(
            f"engine_precision={precision!r} was requested, but {artifact.path} is stored in int8.",
            accepted={"engine_precision": "None or int8, for an int8 artifact"},
            fix=[
                leave_out("engine_precision"),
                Hint('liteft.export(..., precision="fp32") or "fp16"', "liteft export --precision fp32, or fp16"),
            ],
        )


def _check_slots(slots: object, *, device: str, backend: str) -> None:
    """Refuse slots that are not a number from 1 to 64, or are incompatible with the other choices."""
    if isinstance(slots, bool) or not isinstance(slots, int) or not 1 <= slots <= MOST_SLOTS:
        raise ConfigError(
            f"slots must be an integer from 1 to {MOST_SLOTS}, got {slots!r}.",
            accepted={"slots": f"1 to {MOST_SLOTS}, or None"},
            fix=option("slots", 2),
        )
    if backend == "onnxruntime":
        raise DeviceError(
            f"slots={slots} is available only in the native backend, but backend={backend!r} was requested.",
            fix=[leave_out("slots"), option("backend", "auto")],
        )
    if device != "cuda":
        raise DeviceError(
            f"slots={slots} is available only on CUDA, but device={device!r} was requested.",
            fix=[leave_out("slots"), option("device", "cuda")],
        )


def _check_positions(artifact: Artifact) -> None:
    """Refuse a manifest whose texts may be longer than the position table: such a text would fail its whole batch."""
    positions, longest = artifact.manifest.positions, artifact.manifest.max_tokens
    if positions is not None and longest > positions:
        raise ArtifactError(
            f"{artifact.path} cuts texts at {longest:,} tokens, but its model has only {positions:,} positions.",
            accepted={"max_tokens": f"up to {positions:,}"},
            fix="export the model again",
        )


def _check_known(name: str, value: object, known: tuple[str | None, ...]) -> None:
    if any(value is each or (isinstance(value, str) and value == each) for each in known):
        return
    words = [each for each in known if each is not None]
    near = closest(value, words) if isinstance(value, str) else None
    raise ConfigError(
        f"there is no {name} {value!r}.",
        accepted={name: ", ".join(map(str, known))},
        fix=option(name, near or words[0]),
    )
