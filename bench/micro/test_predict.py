"""Texts to labels, as users call it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from micro_texts import LENGTHS, texts_of


@pytest.mark.benchmark(group="predict")
@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("count", [1, 8, 32, 128])
def test_predict(timed: Callable[..., Any], classifier: Any, length: str, count: int) -> None:
    texts = texts_of(length, count)
    asked = texts[0] if count == 1 else texts
    found = timed(lambda: classifier.predict(asked), texts=count, tokens=len(classifier.encode(texts).ids))
    assert count == 1 or len(found) == count
