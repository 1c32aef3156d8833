"""Hostile texts: every span is where it says, words tile the text, each is judged once, by its own tokens."""

from __future__ import annotations

import random
import unicodedata
from functools import cache
from types import ModuleType

import numpy as np
import pytest
from tokenizers import Tokenizer

from liteft.runtime import TokenClassifier
from tests.modules import module_of

PIECES = [
    "order", "the", "Parcel", "café", "cafe\u0301", "İstanbul", "ß", "ŉ", "ﬁsh", "ǅ", "ΐ", "ſ", "K", "Å",
    "👩\u200d💻", "👍🏽", "🇩🇪", "❤\ufe0f", "\u200d", "\u200b", "\ufeff", "\u00ad", "\u0301", "\u20dd", "\u0489",
    "שלום", "مرحبا", "\u202e", "\u2066", "\0", "\x01", "\x7f", "\x85", "\r\n", "\n", "\r", "\t", "\v", "\x1c", "\u2028",
    "\u2029", "\xa0", "\u3000", "\u1680", "\u180e", " ", "  ", "中", "包裹", "𠀀", "㐀", "豈", "丽", "カナ", "ｶﾞ",
    "한국", "각", ".", ",", "!?", "(", ")", "'", "`", "$", "+", "^", "|", "~", "€", "±", "§", "¿", "„", "’", "…", "—",
    "、", "。", "「", "·", "‿", "\u2e52", "𐄀", "٪", "۔", "[CLS]", "[SEP]", "[UNK]", "##ing", "<s>", "a1b2", "4.2",
    "№", "½", "Ⅷ", "𝔸", "𐐀",
]  # fmt: skip
LATER = (range(0x11B00, 0x11B10), range(0x11F00, 0x11F60))  # punctuation that Unicode 15 added
CHINESE = [
    (0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0x20000, 0x2A6DF), (0x2A700, 0x2B73F), (0x2B740, 0x2B81F), (0x2B820, 0x2CEAF),
    (0xF900, 0xFAFF), (0x2F800, 0x2FA1F),
]  # fmt: skip


@cache
def kind(character: str) -> str:
    code = ord(character)
    if character.isspace():
        return "space"
    symbol = 33 <= code <= 47 or 58 <= code <= 64 or 91 <= code <= 96 or 123 <= code <= 126
    if symbol or unicodedata.category(character).startswith("P"):
        return "alone"
    return "alone" if any(first <= code <= last for first, last in CHINESE) else "word"


def slow_words(text: str) -> list[tuple[int, int]]:
    """Return the words of a text, found one character after the other."""
    words: list[tuple[int, int]] = []
    begun: int | None = None
    for place, character in enumerate([*text, " "]):
        found = kind(character)
        if found == "word":
            begun = place if begun is None else begun
            continue
        if begun is not None:
            words.append((begun, place))
            begun = None
        if found == "alone":
            words.append((place, place + 1))
    return words


def text_of(source: random.Random) -> str:
    """Return a text of pieces, of any characters, or of one piece over and over."""
    way = source.random()
    if way < 0.01:
        return source.choice(PIECES) * source.randint(100, 3000)
    if way < 0.1:
        return "".join(map(chr, filter(usable, (source.randrange(0x110000) for _ in range(source.randint(0, 30))))))
    pieces = source.choices(PIECES, k=source.randint(0, 200 if way > 0.97 else 30))
    return source.choice(["", " ", " "]).join(pieces)


def usable(code: int) -> bool:
    return not 0xD800 <= code <= 0xDFFF and not any(code in later for later in LATER)


@pytest.fixture(scope="module")
def tagger(tiny: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> TokenClassifier:
    fake = module_of("runtime", "tagging_engine.py")
    return fake.tagger_of(tiny.write_artifact(tmp_path_factory.mktemp("artifacts") / "words", **fake.fields()))


def check(tagger: TokenClassifier, texts: list[str]) -> int:
    """Check the answers for texts; return how many needed windows."""
    windows = tagger.encode(texts)
    answers = tagger.predict(texts)
    spelled = []
    for text, answer in zip(texts, answers, strict=True):
        assert list(answer.words) == slow_words(text), ascii(text)
        assert len(answer.tags) == len(answer.scores) == len(answer.words)
        assert all(span.text == text[span.start : span.end] and span.text for span in answer.spans), ascii(text)
        spelled += [text[start:end] for start, end in answer.words]
    assert len(windows.places) == windows.row_words[-1] == len(spelled)
    assert (np.diff(windows.row_words) > 0).all() and windows.encoded.lengths.max() <= tagger.manifest.max_tokens
    rows = np.searchsorted(windows.row_words, np.arange(len(spelled)), side="right") - 1
    assert (windows.places >= windows.encoded.offsets[rows]).all()
    assert (windows.places < windows.encoded.offsets[rows + 1]).all()
    check_tokens(tagger, spelled, windows.encoded.ids, windows.places)
    return int((np.diff(windows.text_rows) > 1).sum())


def check_tokens(tagger: TokenClassifier, words: list[str], ids: np.ndarray, places: np.ndarray) -> None:
    """Check that the tokens of each word are those that the tokenizers library gives for it alone."""
    library = Tokenizer.from_str(tagger._reader.tokenizer.json_text)
    different = list(dict.fromkeys(words))
    alone = library.encode_batch([word[:1000] for word in different], add_special_tokens=False)
    most = (tagger.manifest.max_tokens - 2) // 4
    expected = {
        word: (found.ids or [library.token_to_id("[UNK]")])[:most] for word, found in zip(different, alone, strict=True)
    }
    for word, place in zip(words, places.tolist(), strict=True):
        assert ids[place : place + len(expected[word])].tolist() == expected[word], ascii(word)


def test_hostile_texts_are_tagged(tagger: TokenClassifier) -> None:
    source = random.Random(0)
    assert sum(check(tagger, [text_of(source) for _ in range(200)]) for _ in range(10)) > 50


@pytest.mark.slow
def test_a_hundred_thousand_hostile_texts_are_tagged(tagger: TokenClassifier) -> None:
    source = random.Random(1)
    for _ in range(200):
        check(tagger, [text_of(source) for _ in range(500)])


def test_a_hostile_text_has_the_same_bits_alone_and_in_company(tagger: TokenClassifier) -> None:
    source = random.Random(2)
    texts = [text_of(source) for _ in range(200)]
    assert tagger.predict(texts) == [tagger.predict(text) for text in texts]
