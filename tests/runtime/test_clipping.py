"""Clipping must never show: every test compares with the whole text's tokens."""

from __future__ import annotations

import json
import time
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from liteft.runtime.clipping import ClippingTokenizer, SafeCuts
from liteft.tokenization import TextTokenizer

SMALL = 12  # characters of the first part, so that short texts are clipped

PIECES = st.sampled_from(
    [
        *(
            "order",
            "parcel",
            "I",
            "4.2",
            "it's",
            "naïve",
            "café",
            "e\u0301",
            "ａ",
            "中文",
            "包裹",
            "。",
            "a_b",
        ),
        *(
            "[SEP]",
            "[sep]",
            "[SE",
            "P]",
            "[MASK]",
            "...",
            "!?",
            "-",
            "\u200d",
            "\x00",
            "\xa0",
            "\u3000",
            "🙂",
            "ß",
        ),
        *(" ", " ", " ", "  ", "\n", "\t", " \u0301", "x" * 120),
    ]
)
TEXTS = st.lists(PIECES, max_size=60).map("".join)


def clipping(json_text: str, max_tokens: int, side: str) -> tuple[ClippingTokenizer, TextTokenizer]:
    tokenizer = TextTokenizer(json_text, max_tokens=max_tokens, truncation_side=side)
    clipped = ClippingTokenizer(tokenizer)
    clipped._start = SMALL
    return clipped, tokenizer


def bert(tiny: ModuleType) -> str:
    return str(tiny.tokenizer_json())


def byte_level() -> str:
    """A GPT-2-style tokenizer: byte-level pieces without merges but for a few, no special tokens but one."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = [("o", "r"), ("Ġ", "I"), ("Ġ", "p"), ("'", "s"), ("Ġ", "Ġ")]
    pieces = [*alphabet, *("".join(pair) for pair in merges)]
    tokenizer = Tokenizer(models.BPE({piece: n for n, piece in enumerate(pieces)}, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.add_special_tokens(["[SEP]"])
    return str(tokenizer.to_str())


def same(clipped: ClippingTokenizer, whole: TextTokenizer, text: str, pair: str | None = None) -> None:
    pairs = None if pair is None else [pair]
    got, wanted = clipped.encode([text], pairs), whole.encode([text], pairs)
    assert got.ids[0].tolist() == wanted.ids[0].tolist()
    assert got.type_ids[0].tolist() == wanted.type_ids[0].tolist()
    assert got.truncated.tolist() == wanted.truncated.tolist()


@settings(deadline=None, max_examples=150)
@given(text=TEXTS, max_tokens=st.integers(4, 14), side=st.sampled_from(["right", "left"]))
def test_a_clipped_text_has_the_tokens_of_the_whole(
    tiny: ModuleType, text: str, max_tokens: int, side: str
) -> None:
    same(*clipping(bert(tiny), max_tokens, side), text)


@settings(deadline=None, max_examples=150)
@given(text=TEXTS, max_tokens=st.integers(4, 14), side=st.sampled_from(["right", "left"]))
def test_a_clipped_text_has_the_tokens_of_the_whole_in_a_byte_level_tokenizer(
    text: str, max_tokens: int, side: str
) -> None:
    same(*clipping(byte_level(), max_tokens, side), text)


@settings(deadline=None, max_examples=150)
@given(first=TEXTS, second=TEXTS, max_tokens=st.integers(5, 14), side=st.sampled_from(["right", "left"]))
def test_a_clipped_pair_has_the_tokens_of_the_whole(
    tiny: ModuleType, first: str, second: str, max_tokens: int, side: str
) -> None:
    same(*clipping(bert(tiny), max_tokens, side), first, second)


@settings(deadline=None, max_examples=100)
@given(text=TEXTS, cut=st.integers(0, 200))
def test_tokens_add_up_at_a_safe_cut(tiny: ModuleType, text: str, cut: int) -> None:
    for json_text in (bert(tiny), byte_level()):
        tokenizer = TextTokenizer(json_text, max_tokens=1000)
        special = int(tokenizer.count([""])[0])
        for place in (SafeCuts(json_text).before(text, cut), SafeCuts(json_text).after(text, cut)):
            if place is not None:
                whole, left, right = tokenizer.count([text, text[:place], text[place:]]) - special
                assert whole == left + right


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("English", "please refund the second payment, it was taken twice! " * 40_000),
        ("Chinese", "我的包裹还没有到" * 250_000),
        ("punctuation", "." * 2_000_000),
    ],
)
def test_an_endless_text_takes_no_time(tiny: ModuleType, name: str, text: str) -> None:
    clipped = ClippingTokenizer(TextTokenizer(bert(tiny), max_tokens=128))
    start = time.perf_counter()
    encoded = clipped.encode([text])
    assert time.perf_counter() - start < 0.5
    assert encoded.lengths.tolist() == [128]
    assert encoded.truncated.tolist() == [True]


def test_an_endless_pair_takes_no_memory_for_what_is_cut(tiny: ModuleType) -> None:
    text = "the parcel arrived two days late and the box was open. " * 6_000
    clipped = ClippingTokenizer(TextTokenizer(bert(tiny), max_tokens=128))
    start = time.perf_counter()
    encoded = clipped.encode([text], [text])
    assert time.perf_counter() - start < 5  # the library keeps all combinations of what it cuts: minutes
    assert encoded.lengths.tolist() == [128]


@pytest.mark.parametrize(
    "change",
    [
        {"pre_tokenizer": None},
        {"normalizer": {"type": "Strip", "strip_left": True, "strip_right": True}},
        {"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False}},
    ],
)
def test_tokenizers_of_unknown_kinds_are_not_clipped(tiny: ModuleType, change: dict[str, object]) -> None:
    content = json.loads(bert(tiny)) | change
    assert not SafeCuts(json.dumps(content)).known


def test_added_tokens_that_reach_over_white_space_or_need_word_ends_forbid_clipping(tiny: ModuleType) -> None:
    for flags in ({"single_word": True}, {"normalized": True, "content": "two words"}, {"rstrip": True}):
        content = json.loads(bert(tiny))
        content["added_tokens"].append(content["added_tokens"][-1] | flags)
        assert not SafeCuts(json.dumps(content)).known


def test_one_by_one_gives_what_all_at_once_gives(tiny: ModuleType) -> None:
    tokenizer = TextTokenizer(bert(tiny), max_tokens=12)
    texts = [*tiny.SENTENCES, ""]
    pairs = texts[::-1]
    for second in (None, pairs):
        one = ClippingTokenizer(tokenizer, one_by_one=True).encode(texts, second)
        all_at_once = ClippingTokenizer(tokenizer).encode(texts, second)
        assert np.array_equal(one.truncated, all_at_once.truncated)
        for a, b in zip(one.ids + one.type_ids, all_at_once.ids + all_at_once.type_ids, strict=True):
            assert np.array_equal(a, b)
