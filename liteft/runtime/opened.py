"""An artifact whose engine is open: what it is, when it is closed, and what becomes of it in forked processes."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from liteft.encoded import Encoded
from liteft.errors import DeviceError
from liteft.runtime.backends import Engine
from liteft.runtime.counters import Counters, EngineCounters, Stats
from liteft.runtime.scoring import Reader, run_rows
from liteft.runtime.token_ids import check_encoded

if TYPE_CHECKING:
    from liteft.artifact import Artifact, Manifest

__all__ = ["Asked", "OpenArtifact"]

Asked = tuple[str, str, int | None, str | None, int | None, bool]
"""Device, backend, threads, precision of the engine, slots and trust, as `load` was asked."""


class OpenArtifact:
    """An artifact with its engine, its tokenizer and its counters; subclasses add what can be asked of it.

    A pickle contains the path and the settings; unpickling loads again.

    Attributes:
        backend: the engine: "native" or "onnxruntime".
        device: where it computes: "cpu" or "cuda".
        threads: threads of one run on the CPU.
        precision: of the encoder's matmuls: "fp32", "bf16" or "int8".
    """

    def __init__(
        self, artifact: Artifact, engine: Engine, *, threads: int, asked: Asked, again: Callable[..., Any]
    ) -> None:
        self._artifact, self._asked, self._again = artifact, asked, again
        self._engine: Engine | None = engine
        manifest = artifact.manifest
        self._counters = Counters()
        self._reader = Reader(
            artifact.tokenizer(trust=asked[-1]),
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
    def source(self) -> str | None:
        """Repository and commit that it was downloaded from, OWNER/NAME@COMMIT; None if it was not."""
        from liteft.hub import origin_of  # not of every process that runs an artifact

        origin = origin_of(self.path)
        return None if origin is None else str(origin)

    @property
    def special_tokens(self) -> int:
        """Number of special tokens around a text, or around a pair for a model of pairs."""
        return self._reader.special_tokens

    @property
    def stats(self) -> Stats:
        """What has been classified so far: a snapshot."""
        return self._counters.snapshot()

    @property
    def engine_counters(self) -> EngineCounters | None:
        """The native engine's own counters in this process; None on onnxruntime, or once closed."""
        engine = self._engine
        return None if engine is None else engine.counters()

    def run_tokens(self, encoded: Encoded) -> np.ndarray:
        """Run the model on rows of token ids that another tokenizer call made, such as that of transformers.

        Safe to call from several threads. A row is a text, or whatever the model reads at once; nothing is cut.

        Args:
            encoded: ids without padding, as ``Encoded.of`` makes them.

        Returns:
            Logits, float32: (rows, labels) or, of a model that judges tokens, (tokens, labels) in the order of
            ``encoded.ids``. On the native backend a row's are bit-identical whatever rows are beside it.

        Raises:
            InputError: ``encoded`` is not an Encoded, or has a row without tokens or with too many, or ids that this
                artifact's tokenizer or model does not have.
            DeviceError: the classifier was closed, or the backend failed.
        """
        engine = self._open_engine()
        self._refuse_encoded(encoded)
        empty = encoded.lengths <= self.special_tokens
        return self._run_windows(encoded, engine, truncated=encoded.truncated, empty=empty, token_budget=None)

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

    def __reduce__(self) -> tuple[Any, ...]:
        return self._again, (self.path, *self._asked)

    def _shown(self, what: str) -> str:
        """Return the text for ``__repr__``; ``what`` it answers with."""
        state = "closed" if self._engine is None else f"{self.backend} on {self.device}"
        return f"{type(self).__name__}({str(self.path)!r}, {what}{state})"

    def _run_windows(
        self, rows: Encoded, engine: Engine, *, truncated: np.ndarray, empty: np.ndarray, token_budget: int | None
    ) -> np.ndarray:
        """Return the logits of rows of tokens, some of which may be windows of one text; texts are counted, not rows.

        Args:
            rows: the rows.
            engine: that runs them.
            truncated, empty: which texts were truncated, and which have nothing to judge: bool (texts,).
            token_budget: as for ``stream``.
        """
        logits, ran = run_rows(rows, engine=engine, labels=len(self.labels), token_budget=token_budget)
        self._counters.add(
            texts=len(truncated),
            truncated=int(np.count_nonzero(truncated)),
            empty=int(np.count_nonzero(empty)),
            tokens=ran.tokens,
            padded_tokens=ran.padded_tokens,
            batches=ran.batches,
        )
        return logits

    def _refuse_encoded(self, encoded: Encoded) -> None:
        """Refuse token ids that this artifact cannot run; InputError says which."""
        check_encoded(encoded, self._reader.tokenizer, self.manifest.token_types)
        self._reader.refuse(encoded, "text {}")

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
