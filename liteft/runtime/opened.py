"""An artifact whose engine is open: what it is, when it is closed, and what becomes of it in forked processes."""

from __future__ import annotations

import os
import weakref
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from liteft.errors import DeviceError
from liteft.runtime.backends import Engine
from liteft.runtime.counters import Counters, EngineCounters, Stats
from liteft.runtime.scoring import Reader

if TYPE_CHECKING:
    from liteft.artifact import Artifact, Manifest

__all__ = ["OpenArtifact"]


class OpenArtifact:
    """An artifact with its engine, its tokenizer and its counters; `Classifier` adds what can be asked of it.

    Attributes:
        backend: the engine: "native" or "onnxruntime".
        device: where it computes: "cpu" or "cuda".
        threads: threads of one run on the CPU.
        precision: of the encoder's matmuls: "fp32", "bf16" or "int8".
    """

    def __init__(self, artifact: Artifact, engine: Engine, *, threads: int, trust: bool) -> None:
        self._artifact = artifact
        self._engine: Engine | None = engine
        manifest = artifact.manifest
        self._counters = Counters()
        self._reader = Reader(
            artifact.tokenizer(trust=trust),
            paired=manifest.paired,
            one_by_one=threads == 1,
            rows=manifest.embedding_rows,
            token_types=manifest.token_types,
        )
        self.backend = engine.name
        self.device = engine.device
        self.threads = threads
        self.precision = engine.precision
        _alive.add(self)

    @property
    def manifest(self) -> Manifest:
        """The artifact's manifest."""
        return self._artifact.manifest

    @property
    def labels(self) -> tuple[str, ...]:
        """The label names, in the order of the logits."""
        return self._artifact.manifest.labels

    @property
    def path(self) -> Path:
        """The artifact's folder."""
        return self._artifact.path

    @property
    def stats(self) -> Stats:
        """What has been classified so far: a snapshot."""
        return self._counters.snapshot()

    @property
    def engine_counters(self) -> EngineCounters | None:
        """The native engine's own counters in this process; None on onnxruntime, or once closed."""
        engine = self._engine
        return None if engine is None else engine.counters()

    def close(self) -> None:
        """Release the model. Calls that are running in other threads finish normally; later ones raise DeviceError.

        A stream raises it at its next window.
        """
        self._engine = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _open_engine(self) -> Engine:
        engine = self._engine
        if engine is None:
            raise DeviceError("the classifier was closed.", fix=f"liteft.load({str(self.path)!r})")
        return engine

    def _after_fork(self) -> None:
        self._counters.after_fork()
        if self._engine is not None:
            self._engine.after_fork()


_alive: weakref.WeakSet[OpenArtifact] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for opened in list(_alive):
        opened._after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
