"""Endless texts: only as much of a text is tokenized as can matter.

A classifier reads ``max_tokens`` tokens, but a tokenizer reads everything: ten megabytes of English take it
seven seconds and a gigabyte, ten million Chinese characters 23 seconds and four. So a long text is cut to
its first part (its last part, where the manifest drops beginnings) before it is tokenized, and the part
must prove itself:

1. it ends where a token ends for certain. Tokenizers of the known kinds split a text into words before they
   look for tokens, and whether a word ends at white space or at a Chinese character does not depend on what
   comes after. Then the part's tokens are the beginning of the whole text's tokens;
2. it has more tokens than fit. Then the tokens that are kept are the same.

A part that does not prove itself is made four times larger, in the end the whole text. Tokenizers of other
kinds get the whole text at once. The tests compare with the whole text, character by character.
"""

from __future__ import annotations

import functools
import json
import string
from collections.abc import Sequence
from typing import Any

import numpy as np

from liteft.tokenization import Encoded, TextTokenizer

__all__ = ["ClippingTokenizer", "SafeCuts"]

_GROWTH = 4
_SEARCH = 256  # characters to look through for a safe cut
_PIECE = 1 << 18  # characters to count at a time
_SPACES = frozenset(" \t\n\r")
_ALPHANUMERIC = frozenset(string.ascii_letters + string.digits)
_PUNCTUATION = frozenset(string.punctuation) - {"_"}
_LOCAL_NORMALIZERS = {"BertNormalizer", "Lowercase", "NFC", "NFD", "NFKC", "NFKD", "StripAccents"}
_LOCAL_SPLITTERS = {"BertPreTokenizer", "ByteLevel", "Whitespace", "WhitespaceSplit"}


class SafeCuts:
    """Where a text may be cut so that the tokens on either side stay what they are.

    Everywhere: before a space that stands between two ASCII letters or digits. With BERT's own normalizer and
    splitter also at any white space, punctuation or Chinese character whose other side is one of these or an
    ASCII letter or digit. Never inside an added token such as [SEP] written out in a text.

    Args:
        tokenizer_json: the content of a tokenizer.json.
    """

    def __init__(self, tokenizer_json: str) -> None:
        content: dict[str, Any] = json.loads(tokenizer_json)
        splitter = content.get("pre_tokenizer") or {}
        normalizer = content.get("normalizer") or {}
        added = content.get("added_tokens") or []
        self._bert = splitter.get("type") == "BertPreTokenizer" and (
            normalizer.get("type") == "BertNormalizer" and normalizer.get("handle_chinese_chars") is True
        )
        self._written = [token["content"] for token in added if _has_separator(token["content"])]
        self.known = (
            splitter.get("type") in _LOCAL_SPLITTERS
            and splitter.get("use_regex", True) is True
            and _is_local(normalizer)
            and not (content.get("model") or {}).get("dropout")
            and not any(token.get("single_word") or token.get("rstrip") for token in added)
            and not any(token.get("normalized") and _has_separator(token["content"]) for token in added)
        )

    def before(self, text: str, position: int) -> int | None:
        """Return the last safe cut at or before ``position``, None when there is none near."""
        return self._first(text, range(min(position, len(text) - 1), max(0, position - _SEARCH), -1))

    def after(self, text: str, position: int) -> int | None:
        """Return the first safe cut at or after ``position``, None when there is none near."""
        return self._first(text, range(max(1, position), min(len(text) - 1, position + _SEARCH)))

    def _first(self, text: str, positions: range) -> int | None:
        return next((cut for cut in positions if self._is_safe(text, cut)), None)

    def _is_safe(self, text: str, cut: int) -> bool:
        left, right = text[cut - 1], text[cut]
        if self._bert:
            plain = _is_plain(left) and _is_plain(right)
            parted = plain and not (left in _ALPHANUMERIC and right in _ALPHANUMERIC)
        else:
            follows = text[cut + 1] if cut + 1 < len(text) else ""
            parted = right == " " and left in _ALPHANUMERIC and follows in _ALPHANUMERIC
        return parted and not any(
            token in text[max(0, cut - len(token) + 1) : cut + len(token) - 1] for token in self._written
        )


class ClippingTokenizer:
    """A TextTokenizer that gives the same answers, faster where texts are endless.

    Args:
        tokenizer: tokenizes and cuts.
        one_by_one: never hand several texts to the tokenizers library at once, which would spread them over
            all cores.
    """

    def __init__(self, tokenizer: TextTokenizer, *, one_by_one: bool = False) -> None:
        self._tokenizer = tokenizer
        self._one_by_one = one_by_one
        self._start = max(2048, 16 * tokenizer.max_tokens)

    @functools.cached_property
    def _cuts(self) -> SafeCuts:
        return SafeCuts(self._tokenizer.json_text)

    def encode(self, texts: Sequence[str], pairs: Sequence[str] | None = None) -> Encoded:
        """Return what ``TextTokenizer.encode`` returns."""
        texts = list(texts)
        pairs = None if pairs is None else list(pairs)
        for index, text in enumerate(texts):
            pair = None if pairs is None else pairs[index]
            if max(len(text), len(pair or "")) <= self._start or not self._cuts.known:
                continue
            if pairs is None or pair is None:
                texts[index] = self._clip_text(text)
            else:
                texts[index], pairs[index] = self._clip_pair(text, pair)
        return self._encode(texts, pairs)

    def _encode(self, texts: list[str], pairs: list[str] | None) -> Encoded:
        if not self._one_by_one or len(texts) < 2:
            return self._tokenizer.encode(texts, pairs)
        parts = [
            self._tokenizer.encode([text], None if pairs is None else [pairs[index]])
            for index, text in enumerate(texts)
        ]
        return Encoded(
            ids=[part.ids[0] for part in parts],
            type_ids=[part.type_ids[0] for part in parts],
            truncated=np.concatenate([part.truncated for part in parts]),
        )

    def _clip_text(self, text: str) -> str:
        size = self._start
        while size < len(text):
            part = self._part(text, size)
            if part is not None and self._count(part) + self._single_special > self._tokenizer.max_tokens:
                return part
            size *= _GROWTH
        return text

    def _clip_pair(self, first: str, second: str) -> tuple[str, str]:
        """Cut a pair. The longer text loses tokens first, so which is longer must stay the same."""
        room = self._tokenizer.max_tokens - self._special_tokens
        left_size = right_size = self._start
        first_is_longer: bool | None = None
        while True:
            left, right = self._part(first, left_size), self._part(second, right_size)
            left_count = 0 if left is None else self._count(left)
            right_count = 0 if right is None else self._count(right)
            left_cut, right_cut = left != first, right != second
            if not (left_cut or right_cut):
                return first, second
            left_short = left_cut and left_count <= room
            right_short = right_cut and right_count <= room
            if not (left_short or right_short):
                if first_is_longer is None:  # a single cut text is the longer one as soon as its part is
                    both = left_cut and right_cut
                    first_is_longer = self._count(first) > self._count(second) if both else left_cut
                if left is not None and right is not None and (left_count > right_count) == first_is_longer:
                    return left, right
                left_short, right_short = first_is_longer, not first_is_longer
            left_size *= _GROWTH if left_short else 1
            right_size *= _GROWTH if right_short else 1

    def _count(self, text: str) -> int:
        """Count a text's tokens, special tokens not counted, in pieces of bounded size."""
        count, start = 0, 0
        while start < len(text):
            stop = len(text)
            if stop - start > _PIECE:
                stop = self._cuts.before(text, start + _PIECE) or stop
            pieces = self._tokenizer.count(["", text[start:stop]])
            count += int(pieces[1] - pieces[0])
            start = stop
        return count

    @functools.cached_property
    def _special_tokens(self) -> int:
        return int(self._tokenizer.count([""], [""])[0])

    @functools.cached_property
    def _single_special(self) -> int:
        return int(self._tokenizer.count([""])[0])

    def _part(self, text: str, size: int) -> str | None:
        """The part of a text that is kept, of at most ``size`` characters; None where no safe cut is near."""
        if len(text) <= size:
            return text
        if self._tokenizer.truncation_side == "left":
            cut = self._cuts.after(text, len(text) - size)
            return None if cut is None else text[cut:]
        cut = self._cuts.before(text, size)
        return None if cut is None else text[:cut]


def _is_plain(character: str) -> bool:
    return (
        character in _SPACES
        or character in _PUNCTUATION
        or character in _ALPHANUMERIC
        or _is_chinese(character)
    )


def _is_chinese(character: str) -> bool:
    return "\u4e00" <= character <= "\u9fff"


def _has_separator(content: str) -> bool:
    return any(c in _SPACES or c in _PUNCTUATION or _is_chinese(c) for c in content)


def _is_local(normalizer: dict[str, Any]) -> bool:
    if normalizer.get("type") == "Sequence":
        return all(_is_local(part) for part in normalizer.get("normalizers", []))
    return not normalizer or normalizer.get("type") in _LOCAL_NORMALIZERS
