"""What computes logits: the one place where a backend and a device are chosen.

A backend is an Engine. Today there is one, ONNX Runtime. An explicit choice is met or refused with the
reason; "auto" takes CUDA where ONNX Runtime has it and the artifact gains by it. An int8 artifact stays on
the CPU then: ONNX Runtime's CUDA kernel for integer products takes no unsigned activations, so every product
would be copied to the CPU and back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np

from liteft.errors import DeviceError, closest
from liteft.runtime.cores import usable_cores

if TYPE_CHECKING:
    from liteft.artifact import Artifact

__all__ = ["BACKENDS", "DEVICES", "Engine", "checked_threads", "choose_engine"]

DEVICES = ("auto", "cpu", "cuda")
BACKENDS = ("auto", "onnxruntime")


class Engine(Protocol):
    """Computes logits for token ids. Its ``run`` may be called from several threads at once."""

    name: str
    device: str
    token_budget: int
    run_price: int

    def run(self, ids: list[np.ndarray], type_ids: list[np.ndarray]) -> np.ndarray:
        """Return logits for one batch.

        Args:
            ids: token ids, one int32 array of shape (tokens,) a text.
            type_ids: segment ids, same shapes.

        Returns:
            float32, shape (texts, labels).

        Raises:
            DeviceError: the backend failed.
        """

    def after_fork(self) -> None:
        """Forget, in a forked child, what the parent's threads were part of."""


def choose_engine(artifact: Artifact, *, device: str, backend: str, threads: int) -> Engine:
    """Return an engine for an artifact.

    Args:
        artifact: a checked artifact.
        device: "auto", "cpu" or "cuda".
        backend: "auto" or "onnxruntime".
        threads: how many threads a run may use on the CPU.

    Raises:
        DeviceError: the device or the backend is unknown or cannot be had.
        MissingExtraError: onnxruntime is not installed.
        ArtifactError: the graph is none that the backend can run.
    """
    if device not in DEVICES:
        raise _unknown("device", device, DEVICES)
    if backend == "native":
        raise DeviceError(
            'backend="native" was asked for, and this build of liteft has no native library.',
            accepted={"backend": ", ".join(BACKENDS)},
            fix='backend="auto"',
        )
    if backend not in BACKENDS:
        raise _unknown("backend", backend, BACKENDS)
    from liteft.runtime.onnx_engine import OnnxEngine, has_cuda

    if device == "auto":
        device = "cuda" if artifact.manifest.precision != "int8" and has_cuda() else "cpu"
        return OnnxEngine(artifact, device=device, threads=threads, or_cpu=True)
    return OnnxEngine(artifact, device=device, threads=threads)


def checked_threads(threads: int | None) -> int:
    """Return how many threads to use: as asked, or the usable cores for None. Raises DeviceError below 1."""
    if threads is None:
        return usable_cores()
    if isinstance(threads, bool) or not isinstance(threads, int) or threads < 1:
        raise DeviceError(
            f"threads={threads!r} is no number of threads.", accepted={"threads": "1 or more, or None"}
        )
    return threads


def _unknown(name: str, value: object, known: tuple[str, ...]) -> DeviceError:
    near = closest(value, known) if isinstance(value, str) else None
    return DeviceError(
        f"there is no {name} {value!r}.",
        accepted={name: ", ".join(known)},
        fix=f'{name}="{near}"' if near else (),
    )
