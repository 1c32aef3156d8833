"""A word's place in its list is the number that the C library knows it by."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from liteft.encoder.spec import ACTIVATIONS, HEADS, POOLINGS

HEADER = Path(__file__).parents[2] / "cpp_ext" / "include" / "liteft" / "liteft.h"


@pytest.mark.parametrize(("words", "prefix"), [(ACTIVATIONS, ""), (HEADS, "HEAD_"), (POOLINGS, "")])
def test_words_stand_in_the_order_of_the_header(words: tuple[str, ...], prefix: str) -> None:
    names = ", ".join(f"LITEFT_{prefix}{word.upper()} = {number}" for number, word in enumerate(words))
    assert re.search(rf"enum {{ {names} }};", HEADER.read_text())
