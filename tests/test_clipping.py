"""Clipping must never show: every test compares with the whole text's tokens."""

from __future__ import annotations

import json
import re
import time
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers, processors

from liteft import tokenization
from liteft.clipping import Clipper, SafeCuts, _word_characters
from liteft.layout import find_layout, kept_tokens
from liteft.tokenization import TextTokenizer
from tests.modules import module_of

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


@pytest.fixture(scope="session")
def tiny() -> ModuleType:
    """The module that writes tiny artifacts."""
    return module_of("runtime", "tiny.py")


def reader(json_text: str, max_tokens: int, side: str = "right") -> TextTokenizer:
    """A tokenizer that takes short texts for endless ones."""
    tokenizer = TextTokenizer(json_text, max_tokens=max_tokens, truncation_side=side)
    tokenizer._start = SMALL
    return tokenizer


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


def unigram() -> str:
    """XLM-R's form: NFKC, words that begin with "▁", pieces with scores, four special tokens about a pair."""
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    words = ["▁", "▁order", "or", "der", "par", "cel", "▁I", "'s", "xx"]
    pieces = [*words, *"中文。abcdefghilmnoprstvx4.2_-!?"]
    scores = [(piece, 0.0) for piece in special] + [(piece, -2.0 - place / 7) for place, piece in enumerate(pieces)]
    tokenizer = Tokenizer(models.Unigram(scores, unk_id=3))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Replace("``", '"'), normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    tokenizer.add_special_tokens([*special[:4], AddedToken("<mask>", lstrip=True)])
    return str(tokenizer.to_str())


def roberta() -> str:
    """Byte-level pieces between <s> and </s>; the special tokens are normalized, as roberta-base has them."""
    tokenizer = Tokenizer.from_str(byte_level())
    tokenizer.add_special_tokens(
        [AddedToken(token, normalized=True, lstrip=token == "<mask>") for token in ("<s>", "</s>", "<mask>")]
    )
    ends = [(token, tokenizer.token_to_id(token)) for token in ("</s>", "<s>")]
    tokenizer.post_processor = processors.RobertaProcessing(*ends, add_prefix_space=False)
    return str(tokenizer.to_str())


def deberta() -> str:
    """Unigram pieces with [CLS] and [SEP] of types 0 and 1, white space split first."""
    content = json.loads(unigram())
    splitters = [{"type": "WhitespaceSplit"}, content["pre_tokenizer"]]
    content["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": splitters}
    tokenizer = Tokenizer.from_str(json.dumps(content))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> $B:1 </s>:1", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    return str(tokenizer.to_str())


def bare() -> str:
    """No special tokens at all, and words that are looked up whole."""
    words = ["[UNK]", "order", "parcel", "I", "two", "."]
    tokenizer = Tokenizer(models.WordLevel({word: place for place, word in enumerate(words)}, "[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return str(tokenizer.to_str())


@pytest.fixture(scope="session")
def kinds(tiny: ModuleType) -> dict[str, str]:
    return {
        "bert": bert(tiny),
        "byte level": byte_level(),
        "roberta": roberta(),
        "unigram": unigram(),
        "deberta": deberta(),
        "bare": bare(),
    }


KINDS = st.sampled_from(["bert", "byte level", "roberta", "unigram", "deberta", "bare"])
SIDES = st.sampled_from(["right", "left"])


def same(json_text: str, max_tokens: int, side: str, text: str, pair: str | None = None) -> None:
    """Compare with what the tokenizers library makes of the whole."""
    whole = Tokenizer.from_str(json_text)
    whole.enable_truncation(max_tokens, direction=side)
    wanted = whole.encode(text, pair)
    got = reader(json_text, max_tokens, side).encode([text], None if pair is None else [pair])
    assert got.ids.tolist() == wanted.ids
    assert got.type_ids.tolist() == wanted.type_ids
    assert got.truncated.tolist() == [bool(wanted.overflowing)]


@settings(deadline=None, max_examples=300)
@given(kind=KINDS, text=TEXTS, max_tokens=st.integers(5, 14), side=SIDES)
def test_a_clipped_text_has_the_tokens_of_the_whole(
    kinds: dict[str, str], kind: str, text: str, max_tokens: int, side: str
) -> None:
    same(kinds[kind], max_tokens, side, text)


@settings(deadline=None, max_examples=400)
@given(kind=KINDS, first=TEXTS, second=TEXTS, max_tokens=st.integers(5, 40), side=SIDES)
def test_a_pair_has_the_tokens_that_the_library_keeps(
    kinds: dict[str, str], kind: str, first: str, second: str, max_tokens: int, side: str
) -> None:
    same(kinds[kind], max_tokens, side, first, second)


@settings(deadline=None, max_examples=200)
@given(kind=KINDS, text=TEXTS, cut=st.integers(0, 200))
def test_tokens_add_up_at_a_safe_cut(kinds: dict[str, str], kind: str, text: str, cut: int) -> None:
    cuts = SafeCuts(kinds[kind])
    whole = Tokenizer.from_str(kinds[kind])
    for place in (cuts.before(text, cut), cuts.after(text, cut)):
        if place is not None:
            parts = [whole.encode(part, add_special_tokens=False).ids for part in (text, text[:place], text[place:])]
            assert parts[0] == parts[1] + parts[2]


SYLLABLES = ("order", "or", "der", "x", "xx", "ss", "parcel", "4", "2", "'s", "中文", "中", "。", "ａ")


@settings(deadline=None, max_examples=200)
@given(
    kind=st.sampled_from(["byte level", "roberta", "unigram", "deberta"]),
    start=TEXTS,
    word=st.lists(st.sampled_from(SYLLABLES)),
    times=st.integers(20, 200),
    end=TEXTS,
    max_tokens=st.integers(5, 14),
    side=SIDES,
)
def test_a_text_that_is_cut_inside_a_word_has_the_tokens_of_the_whole(
    kinds: dict[str, str], kind: str, start: str, word: list[str], times: int, end: str, max_tokens: int, side: str
) -> None:
    same(kinds[kind], max_tokens, side, start + "".join(word) * times + end)


@pytest.mark.parametrize(
    ("kind", "word"), [("roberta", "xorder42"), ("unigram", "order4or2"), ("deberta", "文中，文4")]
)
def test_a_word_without_an_end_is_cut_inside(kinds: dict[str, str], kind: str, word: str) -> None:
    read: list[int] = []
    tokenizer = TextTokenizer(kinds[kind], max_tokens=128)
    alone = tokenizer.encode_alone
    text = word * 20_000
    clipper = Clipper(kinds[kind], lambda texts: read.extend(map(len, texts)) or alone(texts), side="right", start=2048)
    assert len(clipper.clip(text, 126)) < 5_000
    assert sum(read) < 100_000
    same(kinds[kind], 128, "right", text)


LONG = ("x" * 70, "ß" * 40, "\u0e01\u0e31" * 60)


@settings(deadline=None, max_examples=200)
@given(text=st.lists(st.sampled_from([*LONG, "\u0301", "中", "[SEP]", " ", ".", "\u200d"])))
def test_a_word_that_is_unknown_for_its_length_is_as_good_when_it_is_shorter(
    kinds: dict[str, str], text: list[str]
) -> None:
    whole, word = Tokenizer.from_str(kinds["bert"]), "".join(text)
    assert whole.encode(SafeCuts(kinds["bert"]).without_long_words(word)).ids == whole.encode(word).ids


def test_a_letter_stays_in_its_word_whatever_normalizes_it() -> None:
    letters, _ = _word_characters()
    found = re.findall(f"[{letters}]", "".join(map(chr, [*range(0xD800), *range(0xE000, 0x10000)])))
    splitter = pre_tokenizers.BertPreTokenizer()
    for lowercase in (True, False):
        normalizer = normalizers.BertNormalizer(lowercase=lowercase)
        normal = normalizer.normalize_str(" ".join(f"x{letter}x" for letter in found))
        words = [word for word, _ in splitter.pre_tokenize_str(normal)]
        assert len(words) == len(found) > 20_000
        assert min(map(len, words)) == 3


@settings(deadline=None, max_examples=150)
@given(kind=KINDS, rows=st.lists(st.tuples(TEXTS, TEXTS), max_size=5))
def test_what_is_counted_is_what_the_library_makes_of_it(
    kinds: dict[str, str], kind: str, rows: list[tuple[str, str]]
) -> None:
    whole, tokenizer = Tokenizer.from_str(kinds[kind]), reader(kinds[kind], 12)
    first, second = [row[0] for row in rows], [row[1] for row in rows]
    assert tokenizer.count(first).tolist() == [len(whole.encode(text).ids) for text in first]
    assert tokenizer.count(first, second).tolist() == [len(whole.encode(*row).ids) for row in rows]


@given(first=st.integers(0, 30), second=st.integers(0, 30), room=st.integers(1, 40))
def test_as_much_is_kept_of_two_texts_as_the_library_keeps(first: int, second: int, room: int) -> None:
    whole = Tokenizer(models.WordLevel({"a": 0, "b": 1}, "a"))
    whole.pre_tokenizer = pre_tokenizers.Whitespace()
    whole.enable_truncation(room)
    ids = whole.encode("a " * first, "b " * second).ids
    assert kept_tokens(first, second, room) == (ids.count(0), ids.count(1))


ENDLESS = {
    "English": "please refund the second payment, it was taken twice! " * 40_000,
    "Chinese": "我的包裹还没有到，" * 200_000,
    "punctuation": "." * 2_000_000,
    "one word": "x" * 2_000_000,
    "one word with marks": "\u0e01\u0e31" * 1_000_000,
}
CHEAP = [
    *(("bert", name) for name in ENDLESS),
    *(("roberta", name) for name in ("English", "Chinese")),
    *((kind, "English") for kind in ("unigram", "deberta", "bare")),
]


@pytest.mark.serial
@pytest.mark.parametrize(("kind", "name"), CHEAP)
@pytest.mark.parametrize("side", ["right", "left"])
def test_an_endless_text_takes_no_time(kinds: dict[str, str], kind: str, name: str, side: str) -> None:
    tokenizer = TextTokenizer(kinds[kind], max_tokens=128, truncation_side=side)
    start = time.process_time()
    encoded = tokenizer.encode([ENDLESS[name]])
    assert time.process_time() - start < 0.5  # the tokenizer itself takes two seconds
    assert encoded.truncated.tolist() == [not (kind == "bert" and name.startswith("one word"))]


@pytest.mark.serial
@pytest.mark.parametrize("mark", ["\u0301", "\u0e31", "a\u0301\u0301\u0301"])
def test_an_endless_row_of_marks_takes_no_time(kinds: dict[str, str], mark: str) -> None:
    tokenizer = TextTokenizer(kinds["bert"], max_tokens=128)
    start = time.process_time()
    tokenizer.encode([mark * 100_000])
    assert time.process_time() - start < 2


@pytest.mark.parametrize("kind", ["bert", "roberta", "unigram", "deberta", "bare"])
def test_a_pair_of_long_texts_takes_no_memory_for_what_is_cut(kinds: dict[str, str], kind: str) -> None:
    tokenizer = TextTokenizer(kinds[kind], max_tokens=128)
    tokenizer._start = 1 << 30  # not even where nothing is clipped
    text = "the parcel arrived two days late and the box was open. " * 600
    start = time.process_time()
    encoded = tokenizer.encode([text], [text + "late"])
    assert time.process_time() - start < 5  # the library keeps all combinations of what it cuts: minutes
    assert encoded.lengths.tolist() == [128]


def test_pairs_of_a_layout_that_is_not_known_are_left_to_the_library() -> None:
    tokenizer = Tokenizer.from_str(unigram())
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A", pair="$A $A <s> $B", special_tokens=[("<s>", 0)]
    )
    json_text = str(tokenizer.to_str())
    assert find_layout(tokenizer) is None
    same(json_text, 9, "right", "order a parcel", "I order")


def test_a_vocabulary_without_latin_letters_loses_no_text_of_a_pair() -> None:
    tokenizer = Tokenizer(models.BPE({"<s>": 0, "价": 1, "格": 2, "好": 3}, []))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", 0)]
    )
    encoded = TextTokenizer(str(tokenizer.to_str()), max_tokens=9).encode(["价格"], ["好"])
    assert encoded.ids.tolist() == [0, 1, 2, 0, 3]


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


def test_added_tokens_that_reach_over_a_space_or_need_word_ends_forbid_clipping(tiny: ModuleType) -> None:
    for flags in ({"normalized": True, "content": "two words"}, {"rstrip": True, "content": "word"}):
        content = json.loads(bert(tiny))
        content["added_tokens"].append(content["added_tokens"][-1] | flags)
        assert not SafeCuts(json.dumps(content)).known


def test_one_by_one_gives_what_all_at_once_gives(tiny: ModuleType) -> None:
    tokenizer = TextTokenizer(bert(tiny), max_tokens=12)
    texts = [*tiny.SENTENCES, ""]
    for second in (None, texts[::-1]):
        one = tokenizer.encode(texts, second, one_by_one=True)
        all_at_once = tokenizer.encode(texts, second)
        assert np.array_equal(one.truncated, all_at_once.truncated)
        assert np.array_equal(one.ids, all_at_once.ids)
        assert np.array_equal(one.type_ids, all_at_once.type_ids)
        assert np.array_equal(one.offsets, all_at_once.offsets)


def test_texts_are_tokenized_in_chunks_of_bounded_size(tiny: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [*tiny.SENTENCES, "", tiny.SENTENCES[0] * 5]
    whole = TextTokenizer(bert(tiny), max_tokens=12)
    expected = whole.encode(texts), whole.count(texts).tolist()
    monkeypatch.setattr(tokenization, "_CHUNK_CHARACTERS", 60)
    got = TextTokenizer(bert(tiny), max_tokens=12)
    assert [text.ids.tolist() for text in got.encode(texts)] == [text.ids.tolist() for text in expected[0]]
    assert got.count(texts).tolist() == expected[1]
