"""An engine of words for tests: a token's logits are those of its own id, its type and the id before it."""

from __future__ import annotations

from typing import Any, get_args

import numpy as np

from liteft.artifact import Manifest
from liteft.encoded import Encoded
from liteft.runtime import TokenClassifier
from liteft.runtime.classifier import _load_again

LABELS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")
POOLING = "none" if "none" in get_args(Manifest.model_fields["pooling"].annotation) else "mean"


class FakeEngine:
    name = "native"
    device = "cpu"
    precision = "fp32"
    pads = False
    token_budget = 512
    run_price = 0

    def __init__(self, labels: int = len(LABELS)) -> None:
        self.table = np.random.default_rng(0).normal(size=(4096, labels)).astype(np.float32)
        self.rows = 0

    def run(self, encoded: Encoded) -> np.ndarray:
        before = np.append(0, encoded.ids[:-1])
        before[encoded.offsets[:-1]] = 0
        self.rows += len(encoded)
        found = 2 * self.table[encoded.ids] + self.table[before] + encoded.type_ids[:, None] * self.table[4095]
        return np.asarray(found, dtype=np.float32)

    def counters(self) -> None:
        return None

    def after_fork(self) -> None:
        pass


def tagger_of(artifact: Any, engine: FakeEngine | None = None, *, threads: int = 1) -> TokenClassifier:
    asked = ("auto", "auto", threads, None, None, False)
    engine = engine or FakeEngine(len(artifact.manifest.labels))
    return TokenClassifier(artifact, engine, threads=threads, asked=asked, again=_load_again)


def fields(**changes: Any) -> dict[str, Any]:
    """Return arguments of ``tiny.write_artifact`` for a model of words."""
    return {"task": "tokens", "labels": LABELS, "activation": "softmax", "pooling": POOLING} | changes
