"""An engine alone: artifacts to loaded models, and token ids to logits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from micro_texts import LENGTHS, texts_of

import liteft


@pytest.mark.benchmark(group="load")
def test_load(timed: Callable[..., Any], models: Path, engine: tuple[str, str]) -> None:
    precision, backend = engine

    def load_and_close() -> bool:
        with liteft.load(models / precision, backend=backend, device="cpu") as found:
            return bool(found.backend == backend)

    assert timed(load_and_close)


@pytest.mark.benchmark(group="engine")
@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("count", [1, 32])
def test_engine(timed: Callable[..., Any], classifier: Any, length: str, count: int) -> None:
    encoded = classifier.encode(texts_of(length, count))
    logits = timed(lambda: classifier.run(encoded), texts=count, tokens=len(encoded.ids))
    assert logits.shape == (count, 2)
