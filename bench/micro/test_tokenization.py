"""Texts to token ids."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from micro_texts import LENGTHS, texts_of

from liteft.tokenization import TextTokenizer


@pytest.mark.benchmark(group="tokenization")
@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("count", [1, 32, 1024])
def test_tokenization(timed: Callable[..., Any], tokenizer: TextTokenizer, length: str, count: int) -> None:
    texts = texts_of(length, count)
    encoded = timed(lambda: tokenizer.encode(texts), texts=count, tokens=len(tokenizer.encode(texts).ids))
    assert len(encoded) == count
