"""Words of a text: the units that are tagged where no words are given.

A text is cut as BERT's tokenizers cut it: at whitespace, and around every punctuation mark and Chinese character. So
words are the same for every tokenizer, and a word's place is known before any tokenizer has changed the text. Emoji,
combining marks and control characters belong to the word that they are in.
"""

from __future__ import annotations

import functools
import itertools
import re
import sys
from collections.abc import Iterator, Sequence

import numpy as np

from liteft.ragged import Ragged, offsets_of

__all__ = ["count_chinese", "find_words", "is_chinese", "joined_places", "joined_words", "misplaced", "words_of_texts"]

# Unicode 14's category P and the symbols of ASCII: written down, because each Python has a Unicode of its own.
_PUNCTUATION = (
    "21-2f 3a-40 5b-60 7b-7e a1 a7 ab b6-b7 bb bf 37e 387 55a-55f 589-58a 5be 5c0 5c3 5c6 5f3-5f4 609-60a "
    "60c-60d 61b 61d-61f 66a-66d 6d4 700-70d 7f7-7f9 830-83e 85e 964-965 970 9fd a76 af0 c77 c84 df4 e4f "
    "e5a-e5b f04-f12 f14 f3a-f3d f85 fd0-fd4 fd9-fda 104a-104f 10fb 1360-1368 1400 166e 169b-169c 16eb-16ed "
    "1735-1736 17d4-17d6 17d8-17da 1800-180a 1944-1945 1a1e-1a1f 1aa0-1aa6 1aa8-1aad 1b5a-1b60 1b7d-1b7e "
    "1bfc-1bff 1c3b-1c3f 1c7e-1c7f 1cc0-1cc7 1cd3 2010-2027 2030-2043 2045-2051 2053-205e 207d-207e 208d-208e "
    "2308-230b 2329-232a 2768-2775 27c5-27c6 27e6-27ef 2983-2998 29d8-29db 29fc-29fd 2cf9-2cfc 2cfe-2cff 2d70 "
    "2e00-2e2e 2e30-2e4f 2e52-2e5d 3001-3003 3008-3011 3014-301f 3030 303d 30a0 30fb a4fe-a4ff a60d-a60f a673 "
    "a67e a6f2-a6f7 a874-a877 a8ce-a8cf a8f8-a8fa a8fc a92e-a92f a95f a9c1-a9cd a9de-a9df aa5c-aa5f aade-aadf "
    "aaf0-aaf1 abeb fd3e-fd3f fe10-fe19 fe30-fe52 fe54-fe61 fe63 fe68 fe6a-fe6b ff01-ff03 ff05-ff0a ff0c-ff0f "
    "ff1a-ff1b ff1f-ff20 ff3b-ff3d ff3f ff5b ff5d ff5f-ff65 10100-10102 1039f 103d0 1056f 10857 1091f 1093f "
    "10a50-10a58 10a7f 10af0-10af6 10b39-10b3f 10b99-10b9c 10ead 10f55-10f59 10f86-10f89 11047-1104d "
    "110bb-110bc 110be-110c1 11140-11143 11174-11175 111c5-111c8 111cd 111db 111dd-111df 11238-1123d 112a9 "
    "1144b-1144f 1145a-1145b 1145d 114c6 115c1-115d7 11641-11643 11660-1166c 116b9 1173c-1173e 1183b "
    "11944-11946 119e2 11a3f-11a46 11a9a-11a9c 11a9e-11aa2 11c41-11c45 11c70-11c71 11ef7-11ef8 11fff "
    "12470-12474 12ff1-12ff2 16a6e-16a6f 16af5 16b37-16b3b 16b44 16e97-16e9a 16fe2 1bc9f 1da87-1da8b "
    "1e95e-1e95f "
)
# The ranges that BERT's tokenizers treat as Chinese characters.
_CHINESE = "3400-4dbf 4e00-9fff f900-faff 20000-2a6df 2a700-2b73f 2b740-2b81f 2b820-2ceaf 2f800-2fa1f"
_SPACE, _INSIDE, _ALONE = 0, 1, 2  # what a code point is in a text
_LAST_SPACE = 0x3000  # no code point beyond it is a space
_AT_ONCE = 1 << 20  # characters whose words are found at once; meanwhile each takes 20 bytes, or 60 where it is a word


def _ranges(written: str) -> Iterator[tuple[int, int]]:
    """Yield the first and last code point of ranges such as "3a-40 5f"."""
    for each in written.split():
        first, _, last = each.partition("-")
        yield int(first, 16), int(last or first, 16)


def _class_of(written: str) -> str:
    """Return ranges for a regular expression's class."""
    return "".join(f"\\U{first:08x}-\\U{last:08x}" for first, last in _ranges(written))


@functools.cache  # patterns are compiled by whoever needs them, not by everyone who imports this
def _word() -> re.Pattern[str]:
    alone = _class_of(_PUNCTUATION) + _class_of(_CHINESE)
    return re.compile(rf"[^\s{alone}]+|[{alone}]")


@functools.cache
def _chinese_character() -> re.Pattern[str]:
    return re.compile(f"[{_class_of(_CHINESE)}]")


@functools.cache
def _kinds() -> np.ndarray:
    """Return what every code point is: uint8 (code points,)."""
    kinds = np.full(sys.maxunicode + 1, _INSIDE, dtype=np.uint8)
    kinds[[code for code in range(_LAST_SPACE + 1) if chr(code).isspace()]] = _SPACE
    for first, last in (*_ranges(_PUNCTUATION), *_ranges(_CHINESE)):
        kinds[first : last + 1] = _ALONE
    return kinds


def find_words(text: str) -> list[tuple[int, int]]:
    """Return where the words of a text begin and end, in code points, ends exclusive."""
    return [match.span() for match in _word().finditer(text)]


def words_of_texts(texts: Sequence[str]) -> Ragged:
    """Return the words of texts as begin and end: int32, (words, 2) for each text.

    They are those of `find_words`. That is faster for one short text; for many texts this is, by far.
    """
    parts = []
    sizes = offsets_of([len(text) + 1 for text in texts])
    first = 0
    while first < len(texts):
        end = max(first + 1, int(np.searchsorted(sizes, sizes[first] + _AT_ONCE, side="right")) - 1)
        parts.append(_words_at_once(texts[first:end], sizes[first : end + 1] - sizes[first]))
        first = end
    return Ragged.join(parts) if parts else Ragged(np.zeros((0, 2), dtype=np.int32), offsets_of([]))


def _words_at_once(texts: Sequence[str], begins: np.ndarray) -> Ragged:
    """Return the words of texts that begin, joined by one character, at some places; the last place is behind them."""
    joined = "\n".join(texts)
    plain = joined.isascii()
    coded = joined.encode() if plain else joined.encode("utf-32-le", "surrogatepass")
    kinds = _kinds()[np.frombuffer(coded, dtype=np.uint8 if plain else np.uint32)]
    alone, inside = kinds == _ALONE, np.zeros(len(kinds) + 2, dtype=bool)
    inside[1:-1] = kinds == _INSIDE
    starts = np.flatnonzero(alone | (inside[1:-1] & ~inside[:-2]))
    ends = np.flatnonzero(alone | (inside[1:-1] & ~inside[2:])) + 1
    offsets = np.searchsorted(starts, begins)
    before = np.repeat(begins[:-1], offsets[1:] - offsets[:-1])
    return Ragged((np.stack([starts, ends], axis=1) - before[:, None]).astype(np.int32), offsets)


def joined_words(rows: Sequence[Sequence[str]]) -> tuple[list[str], Ragged]:
    """Return rows of words as texts, with a space between words, and where the words are in them.

    Returns:
        The texts; begin and end of the words, int32, (words, 2) for each text.
    """
    lengths = np.array([len(word) for words in rows for word in words], dtype=np.int64)
    offsets = offsets_of([len(words) for words in rows])
    before = np.cumsum(lengths + 1) - (lengths + 1)  # code points before each word, with a space after every word
    first = np.append(before, 0)[offsets[:-1].clip(max=len(before))]
    starts = before - np.repeat(first, offsets[1:] - offsets[:-1])
    spans = np.stack([starts, starts + lengths], axis=1).astype(np.int32)
    return [" ".join(words) for words in rows], Ragged(spans, offsets)


def joined_places(words: Sequence[str]) -> list[tuple[int, int]]:
    """Return where words are in the text that they make with a space between; `joined_words` of one row, as a list."""
    ends = list(itertools.accumulate(len(word) + 1 for word in words))
    return [(end - 1 - len(word), end - 1) for word, end in zip(words, ends, strict=True)]


def misplaced(texts: Sequence[str], words: Ragged, marked: np.ndarray | None = None) -> str:
    """Return in words what is wrong with the places of words, or with marked words; "" if nothing is.

    Args:
        texts: the texts.
        words: begin and end of their words, (words, 2) for each text.
        marked: the number of a word of each text, or -1 for none: int64 (texts,); None for none at all.
    """
    starts, ends = words.values[:, 0].astype(np.int64), words.values[:, 1].astype(np.int64)
    rows = words.row_numbers
    lengths = np.fromiter(map(len, texts), dtype=np.int64, count=len(texts))
    beyond = (starts < 0) | (ends < starts) | (ends > lengths[rows])
    beyond[1:] |= (rows[1:] == rows[:-1]) & (starts[1:] < ends[:-1])
    if beyond.any():
        return f"words of text {int(rows[int(beyond.argmax())])} that are not in it, or not in order"
    if marked is not None:
        outside = (marked < -1) | (marked >= words.lengths)
        if outside.any():
            text = int(outside.argmax())
            return f"the marked word {int(marked[text])} of text {text}, which has {int(words.lengths[text])}"
    return ""


def is_chinese(character: str) -> bool:
    """Return whether BERT's tokenizers treat a character as a Chinese one, a word of its own."""
    return _chinese_character().match(character) is not None


def count_chinese(text: str) -> int:
    """Return the number of characters that `is_chinese`."""
    return 0 if text.isascii() else len(_chinese_character().findall(text))
