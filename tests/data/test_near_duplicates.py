"""Finding texts that are nearly the same."""

from __future__ import annotations

import time
import tracemalloc

import numpy as np
import pytest

from liteft.data import near_duplicates as module
from liteft.data.near_duplicates import ALIKE, bare_text, near_duplicates


@pytest.mark.parametrize(("shortest", "longest", "size"), [(0, 200, 5), (320, 420, 10)])
def test_it_finds_exactly_what_comparing_all_pairs_finds(shortest: int, longest: int, size: int) -> None:
    def grams(text: str) -> set[str]:
        return {text[start : start + size] for start in range(len(text) - size + 1)}

    generator = np.random.default_rng(0)
    scored = ["".join(generator.choice(list("abcdefgh"), generator.integers(shortest, longest))) for _ in range(25)]
    texts = []
    for text in scored * 3:
        letters = list(text)
        for place in generator.integers(0, max(1, len(letters)), generator.integers(0, 6)):
            letters[place : place + 1] = generator.choice(list("abcdefgh"), generator.integers(0, 3)).tolist()
        texts.append("".join(letters))
    found = near_duplicates(texts, scored)
    for text, other in zip(texts, found, strict=True):
        best = max((len(grams(text) & grams(one)) / max(1, len(grams(text) | grams(one))) for one in scored), default=0)
        assert (other >= 0) == (best >= ALIKE)
        if other >= 0:
            assert len(grams(text) & grams(scored[other])) / len(grams(text) | grams(scored[other])) == best
    assert 0.2 < (found >= 0).mean() < 0.95


@pytest.mark.parametrize(
    ("one", "two"),
    [("It's  a Test!", "its a test"), ("ｆｕｌｌ width", "Full-width"), ("`` so ''", "so"), ("Straße", "STRASSE")],
)
def test_case_punctuation_white_space_and_compatibility_characters_do_not_count(one: str, two: str) -> None:
    assert bare_text(one) == bare_text(two)


@pytest.mark.parametrize(("one", "two"), [("c++", "c"), ("ab 😀", "ab 😡"), ("की", "का"), ("1", "2")])
def test_symbols_signs_of_vowels_and_digits_do_count(one: str, two: str) -> None:
    assert bare_text(one) != bare_text(two)


def test_nothing_is_like_an_empty_or_a_very_short_text() -> None:
    assert near_duplicates(["", "ab", "abcdefgh"], ["", "ab"]).tolist() == [-1, -1, -1]
    assert near_duplicates([], ["abcdefgh"]).tolist() == near_duplicates([], []).tolist() == []
    assert near_duplicates(["abcdefgh"], []).tolist() == [-1]


def test_texts_of_one_template_are_compared_in_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [f"yourordernumber{number}hasnotarrivedyetpleasehelpmewithit" for number in range(100_000, 100_800)]
    whole = near_duplicates(texts[:400], texts[400:])
    monkeypatch.setattr(module, "_PAIRS", 1 << 13)
    tracemalloc.start()
    found = near_duplicates(texts[:400], texts[400:])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (found >= 0).mean() > 0.5 and found.tolist() == whole.tolist()
    assert peak < 20e6, "of 160,000 pairs"


@pytest.mark.slow
@pytest.mark.serial
def test_a_hundred_thousand_texts_are_compared_with_ten_thousand_in_well_under_a_minute() -> None:
    generator = np.random.default_rng(0)
    words = np.array(
        ["".join(generator.choice(list("etaoinshrdlu"), 2 + generator.integers(7))) for _ in range(20_000)]
    )
    drawn = words[np.minimum(generator.zipf(1.2, (110_000, 20)) - 1, len(words) - 1)]
    texts = ["".join(row) for row in drawn]
    started = time.monotonic()
    near_duplicates(texts[:100_000], texts[100_000:])
    assert time.monotonic() - started < 40
