"""The components of a tokenizer.json: each known one with its keys, and a check for the value of each key."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from liteft.untrusted.charsmap import check_charsmap
from liteft.untrusted.patterns import check_pattern

__all__ = ["LONGEST_PIECE", "MODELS", "MOST_IDS", "Check", "Checker", "need"]

MOST_IDS = 1 << 22
LONGEST_PIECE = 4096
_MOST_PARTS = 64
_MOST_GROWTH = 64
_LONGEST_WORD = 500


def need(fits: bool, message: str) -> None:
    """Raise ValueError with a message unless something fits."""
    if not fits:
        raise ValueError(message)


class Checker:
    """Checks one file; counts its components, and how much longer its normalizers can make a text."""

    def __init__(self, *, trust: bool) -> None:
        self.trust = trust
        self.parts = 0
        self.growth = 1.0

    def component(self, value: Any, place: str) -> None:
        """Check a normalizer, pre_tokenizer, post_processor or decoder."""
        self.parts += 1
        need(self.parts <= _MOST_PARTS, "it has more parts than any known one")
        need(isinstance(value, dict) and isinstance(value.get("type"), str), f"its {place} is malformed")
        kind = value["type"]
        known = _COMPONENTS[place].get(kind)
        need(known is not None, f"its {place} is of an unknown type, {kind[:40]!r}")
        assert known is not None
        for name, each in value.items():
            if name == "type":
                continue
            check = known.get(name)
            need(check is not None, f"its {place} {kind} has an unknown key, {name[:40]!r}")
            assert check is not None
            check(self, each, f"{place} {kind}'s {name}")
        if kind == "Replace" and place == "normalizer":
            self._grow(value)

    def _grow(self, value: dict[str, Any]) -> None:
        pattern, content = value.get("pattern"), value.get("content")
        need(isinstance(pattern, dict) and isinstance(content, str), "its Replace replaces nothing")
        assert isinstance(pattern, dict) and isinstance(content, str)
        shortest = len(pattern["String"].encode()) if "String" in pattern else 1
        self.growth *= max(1.0, len(content.encode()) / shortest)
        need(self.growth <= _MOST_GROWTH, "its normalizer makes texts much longer")


Check = Callable[[Checker, Any, str], None]


def _text(most: int, least: int = 0) -> Check:
    def check(_: Checker, value: Any, where: str) -> None:
        need(isinstance(value, str) and least <= len(value) <= most, f"its {where} is not a text of an accepted length")

    return check


def _optional(check: Check) -> Check:
    return lambda checker, value, where: None if value is None else check(checker, value, where)


def _flag(_: Checker, value: Any, where: str) -> None:
    need(isinstance(value, bool), f"its {where} is neither true nor false")


def _count(least: int, most: int) -> Check:
    def check(_: Checker, value: Any, where: str) -> None:
        need(type(value) is int and least <= value <= most, f"its {where} is not between {least} and {most}")

    return check


def _word(*known: str) -> Check:
    def check(_: Checker, value: Any, where: str) -> None:
        need(isinstance(value, str) and value in known, f"its {where} is unknown, {str(value)[:40]!r}")

    return check


def _nothing(_: Checker, value: Any, where: str) -> None:
    need(value is None, f"its {where} makes different tokens each time")


def _number(_: Checker, value: Any, where: str) -> None:
    need(type(value) in (int, float) and math.isfinite(value), f"its {where} is not a number")


def _parts(place: str) -> Check:
    def check(checker: Checker, value: Any, where: str) -> None:
        need(isinstance(value, list), f"its {where} is not a list")
        for each in value:
            checker.component(each, place)

    return check


def _pattern(checker: Checker, value: Any, where: str) -> None:
    need(isinstance(value, dict) and len(value) == 1, f"its {where} is malformed")
    ((kind, text),) = value.items()
    need(kind in ("String", "Regex") and isinstance(text, str), f"its {where} is malformed")
    need(0 < len(text) <= LONGEST_PIECE, f"its {where} is empty, or longer than any known one")
    if kind == "Regex" and not checker.trust:
        check_pattern(text)


def _charsmap(_: Checker, value: Any, where: str) -> None:
    if value is not None:
        need(isinstance(value, str), f"its {where} is not a text")
        check_charsmap(value)


def _token(_: Checker, value: Any, where: str) -> None:
    fits = isinstance(value, list) and len(value) == 2 and isinstance(value[0], str) and type(value[1]) is int
    need(fits and 0 <= value[1] < MOST_IDS, f"its {where} is not a token with an id")


def _pieces(_: Checker, value: Any, where: str) -> None:
    """Check a template: special tokens, and each text once."""
    need(isinstance(value, list) and 0 < len(value) <= 16, f"its {where} is not a template")
    texts = []
    for each in value:
        need(isinstance(each, dict) and len(each) == 1, f"its {where} is not a template")
        ((kind, piece),) = each.items()
        fits = kind in ("Sequence", "SpecialToken") and isinstance(piece, dict) and set(piece) == {"id", "type_id"}
        need(fits and isinstance(piece["id"], str), f"its {where} is not a template")
        need(type(piece["type_id"]) is int and 0 <= piece["type_id"] < 256, f"its {where} has an invalid type")
        texts += [piece["id"]] if kind == "Sequence" else []
    wanted = ["A", "B"] if where.endswith("pair") else ["A"]
    need(sorted(texts) == wanted, f"its {where} does not have every text exactly once")


def _special(_: Checker, value: Any, where: str) -> None:
    need(isinstance(value, dict) and len(value) <= 64, f"its {where} are malformed")
    for name, each in value.items():
        fits = isinstance(each, dict) and set(each) == {"id", "ids", "tokens"} and each["id"] == name
        ids, tokens = (each["ids"], each["tokens"]) if fits else (None, None)
        fits = isinstance(ids, list) and isinstance(tokens, list) and 0 < len(ids) == len(tokens) <= 16
        need(fits, f"its {where} are malformed")
        assert ids is not None and tokens is not None
        need(all(type(number) is int and 0 <= number < MOST_IDS for number in ids), f"its {where} has no ids")
        need(all(isinstance(token, str) for token in tokens), f"its {where} are malformed")


def _alternatives(_: Checker, value: Any, where: str) -> None:
    need(isinstance(value, list) and all(isinstance(each, str) for each in value), f"its {where} are not texts")


_CHARACTER = _text(1, 1)
_PIECE = _text(LONGEST_PIECE)
_BEHAVIOR = _word("Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous")
_BYTES: dict[str, Check] = {"add_prefix_space": _flag, "trim_offsets": _flag, "use_regex": _flag}
_META: dict[str, Check] = {
    "replacement": _CHARACTER,
    "str_rep": _CHARACTER,
    "add_prefix_space": _flag,
    "prepend_scheme": _word("first", "never", "always"),
    "split": _flag,
}
_COMPONENTS: dict[str, dict[str, dict[str, Check]]] = {
    "normalizer": {
        "BertNormalizer": {
            "clean_text": _flag,
            "handle_chinese_chars": _flag,
            "strip_accents": _optional(_flag),
            "lowercase": _flag,
        },
        **{name: {} for name in ("NFC", "NFD", "NFKC", "NFKD", "StripAccents", "Lowercase", "Nmt", "ByteLevel")},
        "Strip": {"strip_left": _flag, "strip_right": _flag},
        "Precompiled": {"precompiled_charsmap": _charsmap},
        "Replace": {"pattern": _pattern, "content": _text(64)},
        "Prepend": {"prepend": _text(64, 1)},
        "Sequence": {"normalizers": _parts("normalizer")},
    },
    "pre_tokenizer": {
        **{name: {} for name in ("BertPreTokenizer", "Whitespace", "WhitespaceSplit", "UnicodeScripts")},
        "ByteLevel": _BYTES,
        "CharDelimiterSplit": {"delimiter": _CHARACTER},
        "Metaspace": _META,
        "Split": {"pattern": _pattern, "behavior": _BEHAVIOR, "invert": _flag},
        "Punctuation": {"behavior": _BEHAVIOR},
        "Digits": {"individual_digits": _flag},
        "FixedLength": {"length": _count(1, 1 << 16)},
        "Sequence": {"pretokenizers": _parts("pre_tokenizer")},
    },
    "post_processor": {
        "BertProcessing": {"sep": _token, "cls": _token},
        "RobertaProcessing": {"sep": _token, "cls": _token, "trim_offsets": _flag, "add_prefix_space": _flag},
        "ByteLevel": _BYTES,
        "TemplateProcessing": {"single": _pieces, "pair": _pieces, "special_tokens": _special},
        "Sequence": {"processors": _parts("post_processor")},
    },
    "decoder": {
        **{name: {} for name in ("ByteFallback", "Fuse")},
        "BPEDecoder": {"suffix": _PIECE},
        "ByteLevel": _BYTES,
        "WordPiece": {"prefix": _PIECE, "cleanup": _flag},
        "Metaspace": _META,
        "CTC": {"pad_token": _PIECE, "word_delimiter_token": _PIECE, "cleanup": _flag},
        "Replace": {"pattern": _pattern, "content": _PIECE},
        "Strip": {"content": _CHARACTER, "start": _count(0, 1 << 16), "stop": _count(0, 1 << 16)},
        "Sequence": {"decoders": _parts("decoder")},
    },
}
MODELS: dict[str, dict[str, Check]] = {
    "BPE": {
        "dropout": _nothing,
        "unk_token": _optional(_PIECE),
        "continuing_subword_prefix": _optional(_text(16)),
        "end_of_word_suffix": _optional(_text(16)),
        "fuse_unk": _flag,
        "byte_fallback": _flag,
        "ignore_merges": _flag,
    },
    "WordPiece": {
        "unk_token": _PIECE,
        "continuing_subword_prefix": _text(16),
        "max_input_chars_per_word": _count(1, _LONGEST_WORD),
    },
    "WordLevel": {"unk_token": _PIECE},
    "Unigram": {"unk_id": _optional(_count(0, MOST_IDS)), "byte_fallback": _flag, "alphabet": _alternatives},
}
