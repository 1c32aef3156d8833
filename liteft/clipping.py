"""Clipping of long texts before tokenization, so that no more is tokenized than can affect the result.

A model reads ``max_tokens`` tokens, but a tokenizer reads everything: ten megabytes of English take it seven seconds
and a gigabyte of memory, ten million Chinese characters 23 seconds and four gigabytes. So only the first part of a long
text is tokenized (the last part if truncation drops beginnings), provided that two conditions show that the result is
the same:

1. The part ends at a certain end of a token. Tokenizers of the known kinds split a text into words before they look for
   tokens, and whether a word ends at a space, at punctuation or at a Chinese character does not depend on what follows.
   Then the part's tokens are the first tokens of the whole text.
2. The part has more tokens than are kept. Then the kept tokens are the same.

Otherwise the part is made four times larger, up to the whole text. Tokenizers of other kinds always get the whole text.

A text without any safe place to cut is one long word. BERT's tokenizer maps every word of more than 100 characters to
[UNK], so characters inside such a word are left out. A word of Unigram or BPE is cut by trying several places: one of
as many neighbouring places as the longest token has characters must be the end of a token of the whole text, and up to
that place the whole text has the tokens of the part. So if the parts up to each of these places begin with the same
tokens, the whole text does, too. The tests compare with whole texts, character by character.
"""

from __future__ import annotations

import functools
import json
import re
import string
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from typing import Any

__all__ = ["Clipper", "SafeCuts"]

_GROWTH = 4  # factor by which a part grows that does not suffice
_SEARCH = 256  # characters to search for a safe cut
_PIECE = 1 << 18  # characters that are tokenized at once to count tokens
_SPACES = frozenset(" \t\n\r")
_ALPHANUMERIC = frozenset(string.ascii_letters + string.digits)
_PUNCTUATION = frozenset(string.punctuation) - {"_"}
_CHINESE_PUNCTUATION = frozenset("、。，！？：；（）「」《》")
_LOCAL_NORMALIZERS = {"BertNormalizer", "Lowercase", "NFC", "NFD", "NFKC", "NFKD", "Nmt", "Precompiled", "StripAccents"}
_LOCAL_SPLITTERS = {"BertPreTokenizer", "ByteLevel", "Whitespace", "WhitespaceSplit"}
_QUOTES = {None, "``", "''"}
_STEADY_NORMALIZED = "0-9A-Za-z,!?:;()"  # what Unigram's normalizers turn steady characters into
_MARGIN = 4  # letters before a cut, so that it is not inside a suffix that GPT-2 splits off, such as 've
_ENDS_A_WORD_AT_A_SPACE = re.compile(r"[^\s!-/:-@\[-`{-~]\s")


class SafeCuts:
    """Finds places where a text may be cut without changing the tokens on either side.

    For every known kind of tokenizer this is before a space between two ASCII letters or digits. With BERT's normalizer
    and pre-tokenizer it is also at any white space, punctuation or Chinese character next to another of these or to an
    ASCII letter or digit; with GPT-2's pre-tokenizer, between a letter, digit or Chinese character and the punctuation
    that follows. It is never inside an added token, such as [SEP], that is written out in the text.

    Args:
        tokenizer_json: the content of a tokenizer.json.

    Attributes:
        known: whether the tokenizer is of a known kind; otherwise no cut is safe.
    """

    def __init__(self, tokenizer_json: str) -> None:
        content: dict[str, Any] = json.loads(tokenizer_json)
        splitter, normalizer = content.get("pre_tokenizer") or {}, content.get("normalizer") or {}
        model, added = content.get("model") or {}, content.get("added_tokens") or []
        self._written = [token["content"] for token in added if _has_separator(token["content"])]
        ends = not any(token.get("single_word") or token.get("rstrip") for token in added)
        self.known = (
            _splits_at_spaces(splitter, normalizer)
            and _is_local(normalizer)
            and not model.get("dropout")
            and not any(_ENDS_A_WORD_AT_A_SPACE.search(token["content"]) for token in added)
            and not any(token.get("rstrip") and _is_word(token["content"][-1]) for token in added if token["content"])
        )
        self._bert = (
            self.known
            and ends
            and splitter.get("type") == "BertPreTokenizer"
            and normalizer.get("type") == "BertNormalizer"
            and normalizer.get("handle_chinese_chars") is True
            and not any(token.get("normalized") and _has_separator(token["content"]) for token in added)
        )
        self._letters = (
            self.known
            and ends
            and splitter.get("type") == "ByteLevel"
            and splitter.get("add_prefix_space") is False
            and normalizer.get("type") in (None, "NFC", "NFD")
        )
        self._longest_word = _longest_word(model, added) if self._bert else 0
        self._steady = _steady_characters(splitter, normalizer, model) if self.known and ends else ""
        self._model, self._added = (model, added) if self._steady else ({}, [])

    def before(self, text: str, position: int) -> int | None:
        """Return the last safe cut at or before ``position``; None if there is none within 256 characters."""
        return self._first(text, range(min(position, len(text) - 1), max(0, position - _SEARCH), -1))

    def after(self, text: str, position: int) -> int | None:
        """Return the first safe cut at or after ``position``; None if there is none within 256 characters."""
        return self._first(text, range(max(1, position), min(len(text) - 1, position + _SEARCH)))

    def without_long_words(self, text: str) -> str:
        """Return a text with the same tokens, in which words that are too long for anything but [UNK] are shorter."""
        return text if self._unknown is None else self._unknown[1].sub(r"\1", text)

    def ends_unknown(self, text: str, position: int, *, side: str) -> bool:
        """Return whether the word on one side of a cut is long enough there to be [UNK] whatever follows."""
        if self._unknown is None:
            return False
        reach = 4 * self._longest_word
        near = text[position : position + reach] if side == "right" else text[max(0, position - reach) : position][::-1]
        return self._unknown[0].match(near) is not None

    def ends(self, text: str, position: int) -> range:
        """Return neighbouring places after ``position`` of which one must be the end of a token; empty if unknown."""
        if not self._steady:
            return range(0)
        run = re.compile(f"[{self._steady}]{{{_MARGIN + self._places + 1}}}")
        found = run.search(text, position, position + 32 * _SEARCH)
        if found is None:
            return range(0)
        return range(found.start() + _MARGIN, found.start() + _MARGIN + self._places)

    @functools.cached_property
    def _places(self) -> int:
        """How many neighbouring places have the end of a token among them: more than the longest token has characters.

        Only runs of steady characters count, those that the tokenizer maps to one symbol each.
        """
        vocabulary = self._model.get("vocab") or {}
        tokens = vocabulary if isinstance(vocabulary, dict) else [token for token, _ in vocabulary]
        run = re.compile(f"[{self._steady}{_STEADY_NORMALIZED}]+")
        contents = [*tokens, *(token["content"] for token in self._added)]
        return 2 + max((len(each) for content in contents for each in run.findall(content)), default=0)

    @functools.cached_property
    def _unknown(self) -> tuple[re.Pattern[str], re.Pattern[str]] | None:
        """Patterns of a word that is too long for anything but [UNK]: its beginning, and a whole one (group 1).

        None if long words must not be shortened.
        """
        if not self._longest_word:
            return None
        letters, marks = _word_characters()
        run = f"(?:[{marks}]*[{letters}]){{{self._longest_word + 1}}}"
        return re.compile(run), re.compile(f"(?<![{letters}{marks}])({run})[{letters}{marks}]+")

    def _first(self, text: str, positions: range) -> int | None:
        return next((cut for cut in positions if self._is_safe(text, cut)), None)

    def _is_safe(self, text: str, cut: int) -> bool:
        """Return whether a text may be cut before the character at index ``cut``."""
        left, right = text[cut - 1], text[cut]
        if self._bert:
            plain = _is_plain(left) and _is_plain(right)
            return plain and not (left in _ALPHANUMERIC and right in _ALPHANUMERIC) and not self._cuts_token(text, cut)
        if right == " ":
            return left in _ALPHANUMERIC and cut + 1 < len(text) and text[cut + 1] in _ALPHANUMERIC
        return (
            self._letters
            and (right in _PUNCTUATION or right in _CHINESE_PUNCTUATION)
            and (left in _ALPHANUMERIC or "\u4e00" <= left <= "\u9fa5")
            and not self._cuts_token(text, cut)
        )

    def _cuts_token(self, text: str, cut: int) -> bool:
        return any(token in text[max(0, cut - len(token) + 1) : cut + len(token) - 1] for token in self._written)


class Clipper:
    """Shortens texts without changing the tokens that remain after truncation.

    Args:
        tokenizer_json: the content of a tokenizer.json.
        read: a function from texts to their token ids without special tokens.
        side: "right" if truncation drops the end of a text, "left" if it drops the beginning.
        start: length of the first part in characters; shorter texts are not clipped.
    """

    def __init__(
        self, tokenizer_json: str, read: Callable[[Sequence[str]], list[list[int]]], *, side: str, start: int
    ) -> None:
        self._cuts = SafeCuts(tokenizer_json)
        self._read, self._side, self._start = read, side, start

    def clip(self, text: str, room: int) -> str:
        """Return a shorter text with the same tokens after truncation to ``room``, and more than ``room`` if it had."""
        size = self._start
        while size < len(text):
            part = self._part(text, size)
            if part is None:
                part = self._agreed(text, size // 2, room)
            elif self._count(part) <= room:
                part = None
            if part is not None:
                return part
            size *= _GROWTH
        return self._cuts.without_long_words(text)

    def count(self, text: str) -> int:
        """Return a text's number of tokens without special tokens; it is tokenized in parts of bounded size."""
        return sum(self._counts(text))

    def first_is_longer(self, first: str, second: str) -> bool:
        """Return whether the first text has more tokens than the second; no more is tokenized than needed."""
        counts = (self._counts(first), self._counts(second))
        totals, done = [0, 0], [False, False]
        while True:
            behind = 0 if totals[0] <= totals[1] else 1
            if done[behind]:
                if totals[0] != totals[1] or all(done):
                    return totals[0] > totals[1]
                behind = 1 - behind
            count = next(counts[behind], None)
            done[behind] = count is None
            totals[behind] += count or 0

    def _count(self, text: str) -> int:
        return len(self._read([text])[0])

    def _agreed(self, text: str, size: int, room: int) -> str | None:
        """Return a part that is cut inside a word if several neighbouring cuts give the same tokens; else None."""
        if self._side == "left":
            return None
        ends = self._cuts.ends(text, size)
        if not ends or len(text) < 2 * len(ends) * ends.stop:  # otherwise reading the whole text is faster
            return None
        parts = self._read([text[:end] for end in ends])
        agree = all(len(ids) > room and ids[:room] == parts[0][:room] for ids in parts)
        return text[: ends.start] if agree else None

    def _counts(self, text: str) -> Iterator[int]:
        """Yield the numbers of tokens of consecutive parts of a text."""
        text = self._cuts.without_long_words(text)
        start = 0
        while start < len(text):
            stop = len(text)
            if stop - start > _PIECE and self._cuts.known:
                stop = self._cuts.before(text, start + _PIECE) or stop
                stop = stop if stop > start else len(text)
            yield self._count(text[start:stop])
            start = stop

    def _part(self, text: str, size: int) -> str | None:
        """Return the part of a text to tokenize, about ``size`` characters; None if no safe cut is near."""
        cuts, left = self._cuts, self._side == "left"
        if not cuts.known:
            return None
        wanted = len(text) - size if left else size
        cut: int | None = wanted
        if not cuts.ends_unknown(text, wanted, side="right" if left else "left"):
            cut = cuts.after(text, wanted) if left else cuts.before(text, wanted)
        if cut is None:
            return None
        return cuts.without_long_words(text[cut:] if left else text[:cut])


def _splits_at_spaces(splitter: dict[str, Any], normalizer: dict[str, Any]) -> bool:
    """Return whether a space between two letters begins a word, both inside a text and at its beginning."""
    kind = splitter.get("type")
    if kind == "Sequence":
        first, *rest = splitter.get("pretokenizers") or [{}]
        return (
            first.get("type") == "WhitespaceSplit"
            and [each.get("type") for each in rest] == ["Metaspace"]
            and rest[0].get("prepend_scheme") in ("always", "never")
        )
    if kind == "Metaspace":
        always = splitter.get("prepend_scheme") == "always"
        return splitter.get("split", True) is True and (always or not _strips(normalizer))
    return kind in _LOCAL_SPLITTERS and splitter.get("use_regex", True) is True and not _strips(normalizer)


def _strips(normalizer: dict[str, Any]) -> bool:
    parts = normalizer.get("normalizers", []) if normalizer.get("type") == "Sequence" else [normalizer]
    return any(part.get("type") == "Strip" and part.get("strip_left") is not False for part in parts)


def _is_local(normalizer: dict[str, Any]) -> bool:
    """Return whether a normalizer treats the text on each side of a space between two letters independently."""
    kind = normalizer.get("type")
    if kind == "Sequence":
        return all(_is_local(part) for part in normalizer.get("normalizers", []))
    if kind == "Replace":
        pattern = normalizer.get("pattern") or {}
        written = pattern.get("String")
        return pattern.get("Regex") == " {2,}" or bool(written and _PUNCTUATION.issuperset(written))
    return not normalizer or kind in _LOCAL_NORMALIZERS or kind == "Strip"


def _steady_characters(splitter: dict[str, Any], normalizer: dict[str, Any], model: dict[str, Any]) -> str:
    """Return the characters that the tokenizer maps to one symbol each, as a regular expression's class; "" if unknown.

    For byte-level BPE these are ASCII letters and digits; for Unigram, also Chinese characters and some punctuation.
    """
    if model.get("continuing_subword_prefix") or model.get("end_of_word_suffix"):
        return ""
    if model.get("type") == "BPE" and splitter.get("type") == "ByteLevel":
        return "0-9A-Za-z" if normalizer.get("type") in (None, "NFC", "NFD") else ""
    parts = normalizer.get("normalizers", []) if normalizer.get("type") == "Sequence" else [normalizer]
    replaced = {(part.get("pattern") or {}).get("String") for part in parts if part.get("type") == "Replace"}
    if model.get("type") == "Unigram" and splitter.get("type") in ("Metaspace", "Sequence") and replaced <= _QUOTES:
        return "0-9A-Za-z\u4e00-\u9fa5、。，！？：；（）"
    return ""


def _longest_word(model: dict[str, Any], added: list[dict[str, Any]]) -> int:
    """Return the length in characters up to which WordPiece splits a word; 0 if long words must not be shortened."""
    longest = model.get("max_input_chars_per_word")
    if model.get("type") != "WordPiece" or not isinstance(longest, int) or not 1 <= longest <= 1000:
        return 0
    for content in (token["content"] for token in added):
        if not content or _is_word(content[0]) or _is_word(content[-1]) or len(content) > longest:
            return 0
    return longest


@functools.cache
def _word_characters() -> tuple[str, str]:
    """Return letters and digits, and combining marks, each for a regular expression's class.

    BERT's normalizer turns each letter or digit into at least one character of a word. Chinese characters are not
    included, since each is a word of its own.
    """
    kinds: dict[str, list[int]] = {"letters": [], "marks": []}
    for number in range(0x10000):
        category = unicodedata.category(chr(number))[0]
        if category in "LN" and not _is_ideograph(number):
            kinds["letters"].append(number)
        elif category == "M":
            kinds["marks"].append(number)
    return _ranges(kinds["letters"]), _ranges(kinds["marks"])


def _ranges(numbers: list[int]) -> str:
    r"""Return ascending code points as ranges of a regular expression's class, such as \u0041-\u005a."""
    ends = [place for place, number in enumerate(numbers) if numbers[place + 1 : place + 2] != [number + 1]]
    starts = [0, *(end + 1 for end in ends[:-1])]
    return "".join(f"\\u{numbers[a]:04x}-\\u{numbers[b]:04x}" for a, b in zip(starts, ends, strict=True))


def _is_ideograph(number: int) -> bool:
    return 0x3400 <= number <= 0x4DBF or 0x4E00 <= number <= 0x9FFF or 0xF900 <= number <= 0xFAFF


def _is_plain(character: str) -> bool:
    return character in _SPACES or character in _PUNCTUATION or character in _ALPHANUMERIC or _is_chinese(character)


def _is_chinese(character: str) -> bool:
    return "\u4e00" <= character <= "\u9fff"


def _is_word(character: str) -> bool:
    return character.isalnum() or unicodedata.category(character)[0] == "M"


def _has_separator(content: str) -> bool:
    return any(c in _SPACES or c in _PUNCTUATION or _is_chinese(c) for c in content)
