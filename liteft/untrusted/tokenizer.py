"""What a tokenizer.json may contain before it is passed to the tokenizers library.

That library is written in Rust: a failed allocation crashes the process, and so do some ids; a panic is an exception
that ``except Exception`` does not catch. So a file is first checked against a schema: known components with known
keys, ids that fit the vocabulary, maps that stay within themselves (`charsmap`), regular expressions that
terminate quickly (`patterns`), and no rule that makes a text much longer.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable
from typing import Any

from liteft.untrusted.charsmap import check_charsmap
from liteft.untrusted.patterns import check_pattern
from liteft.untrusted.reading import parse_json, plain_text

__all__ = ["checked_tokenizer"]

_MOST_IDS = 1 << 22
_MOST_ADDED = 1 << 17
_MOST_PARTS = 64
_MOST_GROWTH = 64
_LONGEST_PIECE = 4096
_LONGEST_WORD = 500
_TOP = {"version", "truncation", "padding", "added_tokens"}
_PLACES = ("normalizer", "pre_tokenizer", "post_processor", "decoder", "model")
_ADDED = {"single_word": bool, "lstrip": bool, "rstrip": bool, "normalized": bool, "special": bool}


class _Checker:
    """Checks one file; counts its components, and how much longer its normalizers can make a text."""

    def __init__(self, *, trust: bool) -> None:
        self.trust = trust
        self.parts = 0
        self.growth = 1.0

    def component(self, value: Any, place: str) -> None:
        """Check a normalizer, pre_tokenizer, post_processor or decoder."""
        self.parts += 1
        _need(self.parts <= _MOST_PARTS, "it has more parts than any known one")
        _need(isinstance(value, dict) and isinstance(value.get("type"), str), f"its {place} is malformed")
        kind = value["type"]
        known = _COMPONENTS[place].get(kind)
        _need(known is not None, f"its {place} is of an unknown type, {kind[:40]!r}")
        assert known is not None
        for name, each in value.items():
            if name == "type":
                continue
            check = known.get(name)
            _need(check is not None, f"its {place} {kind} has an unknown key, {name[:40]!r}")
            assert check is not None
            check(self, each, f"{place} {kind}'s {name}")
        if kind == "Replace" and place == "normalizer":
            self._grow(value)

    def _grow(self, value: dict[str, Any]) -> None:
        pattern, content = value.get("pattern"), value.get("content")
        _need(isinstance(pattern, dict) and isinstance(content, str), "its Replace replaces nothing")
        assert isinstance(pattern, dict) and isinstance(content, str)
        shortest = len(pattern["String"].encode()) if "String" in pattern else 1
        self.growth *= max(1.0, len(content.encode()) / shortest)
        _need(self.growth <= _MOST_GROWTH, "its normalizer makes texts much longer")


Check = Callable[[_Checker, Any, str], None]


def checked_tokenizer(content: bytes, *, trust: bool = False) -> str:
    """Return a tokenizer.json without padding and truncation, after checking that it cannot crash the process.

    Args:
        content: the file's bytes.
        trust: accept regular expressions that are not known to finish quickly.

    Raises:
        ValueError: it contains something that is not known to be harmless; the message says what.
    """
    tokenizer = parse_json(content, unique=True)
    _need(isinstance(tokenizer, dict), "tokenizer.json must be a JSON object")
    strange = sorted(set(tokenizer) - _TOP - set(_PLACES))
    _need(not strange, f"it has an unknown key, {strange[:1]}")
    model = tokenizer.get("model")
    _need(isinstance(model, dict), "it has no model")
    plain_text({name: value for name, value in model.items() if name not in ("vocab", "merges")})
    plain_text({name: value for name, value in tokenizer.items() if name != "model"})
    _need(tokenizer.get("version", "1.0") == "1.0", "it has an unknown version")
    checker = _Checker(trust=trust)
    size = _check_model(checker, model)
    _check_added(tokenizer.get("added_tokens", []), size)
    for place in _PLACES[:-1]:
        if tokenizer.get(place) is not None:
            checker.component(tokenizer[place], place)
    if tokenizer.get("padding") is None and tokenizer.get("truncation") is None:
        return content.decode()
    return json.dumps(tokenizer | {"padding": None, "truncation": None}, ensure_ascii=False)


def _check_model(checker: _Checker, model: dict[str, Any]) -> int:
    """Check a model and return its number of tokens."""
    kind = model.get("type")
    _need(isinstance(kind, str) and kind in _MODELS, f"its model is of an unknown type, {str(kind)[:40]!r}")
    assert isinstance(kind, str)
    known = _MODELS[kind]
    for name, value in model.items():
        if name in ("type", "vocab", "merges"):
            continue
        check = known.get(name)
        _need(check is not None, f"its model {kind} has an unknown key, {name[:40]!r}")
        assert check is not None
        check(checker, value, f"model {kind}'s {name}")
    vocabulary = model.get("vocab")
    if kind == "Unigram":
        return _check_scores(vocabulary, model.get("unk_id"))
    _need(isinstance(vocabulary, dict) and bool(vocabulary), "its vocabulary is empty")
    assert isinstance(vocabulary, dict)
    _check_ids(vocabulary.values(), len(vocabulary))
    _check_pieces(vocabulary)
    unknown = model.get("unk_token", "[UNK]")
    _need(
        unknown in vocabulary or (kind == "BPE" and unknown in (None, "[UNK]")),
        "its unknown token is not in the vocabulary",
    )
    if kind == "BPE":
        _check_merges(model.get("merges"), vocabulary, model.get("continuing_subword_prefix") or "")
    return len(vocabulary)


def _check_scores(vocabulary: Any, unknown: Any) -> int:
    _need(isinstance(vocabulary, list) and bool(vocabulary), "its vocabulary is empty")
    fits = all(
        type(each) is list and len(each) == 2 and type(each[0]) is str and type(each[1]) in (float, int)
        for each in vocabulary
    )
    _need(fits, "its vocabulary is not a list of tokens and scores")
    _need(len(vocabulary) <= _MOST_IDS, "its vocabulary is larger than any known one")
    _need(all(-1e6 < score < 1e6 for _, score in vocabulary), "its vocabulary has an invalid score")  # NaN, too
    _check_pieces(piece for piece, _ in vocabulary)
    _need(all(piece for piece, _ in vocabulary), "its vocabulary has an empty token")
    _need(type(unknown) is int and 0 <= unknown < len(vocabulary), "its unknown token is not in the vocabulary")
    return len(vocabulary)


def _check_ids(ids: Iterable[Any], count: int) -> None:
    found = list(ids)
    _need(set(map(type, found)) <= {int}, "its vocabulary has an id that is not an integer")
    least, most = min(found), max(found)
    _need(least >= 0 and most < min(_MOST_IDS, 2 * count + (1 << 17)), f"its vocabulary has an id of {most or least}")


def _check_pieces(pieces: Iterable[str]) -> None:
    whole = "".join(listed := list(pieces))
    try:
        whole.encode()
    except UnicodeEncodeError:
        raise ValueError("its vocabulary has half a surrogate pair") from None
    _need(max(map(len, listed)) <= _LONGEST_PIECE, "its vocabulary has a token longer than any known one")


def _check_merges(merges: Any, vocabulary: dict[str, Any], prefix: str) -> None:
    """Check that both sides of every merge and their result are tokens; the result loses the right side's prefix."""
    _need(isinstance(merges, list), "its merges are malformed")
    for merge in merges:
        pair = merge.split(" ") if type(merge) is str else merge
        fits = type(pair) is list and len(pair) == 2 and type(pair[0]) is str and type(pair[1]) is str
        _need(fits, "its merges are not pairs of tokens")
        left, right = pair
        fits = left in vocabulary and right in vocabulary and len(right.encode()) >= len(prefix.encode())
        _need(fits and (not prefix or right.startswith(prefix)), "its merges are not pairs of tokens")
        _need(left + right[len(prefix) :] in vocabulary, "its merges make something that is not a token")


def _check_added(added: Any, size: int) -> None:
    _need(isinstance(added, list) and len(added) <= _MOST_ADDED, "its added tokens are not a list of tokens")
    for token in added:
        _need(isinstance(token, dict) and set(token) <= {"id", "content", *_ADDED}, "an added token is malformed")
        content, number = token.get("content"), token.get("id")
        _need(type(content) is str and 0 < len(content) <= _LONGEST_PIECE, "an added token has no content")
        _need(type(number) is int, "an added token has no id")
        _need(0 <= number < min(_MOST_IDS, 2 * (size + len(added)) + (1 << 17)), f"an added token has the id {number}")
        _need(all(type(token.get(name, False)) is kind for name, kind in _ADDED.items()), "an added token is malformed")


def _need(fits: bool, message: str) -> None:
    if not fits:
        raise ValueError(message)


# --- checks of one value ---


def _text(most: int, least: int = 0) -> Check:
    def check(_: _Checker, value: Any, where: str) -> None:
        _need(
            isinstance(value, str) and least <= len(value) <= most, f"its {where} is not a text of an accepted length"
        )

    return check


def _optional(check: Check) -> Check:
    return lambda checker, value, where: None if value is None else check(checker, value, where)


def _flag(_: _Checker, value: Any, where: str) -> None:
    _need(isinstance(value, bool), f"its {where} is neither true nor false")


def _count(least: int, most: int) -> Check:
    def check(_: _Checker, value: Any, where: str) -> None:
        _need(type(value) is int and least <= value <= most, f"its {where} is not between {least} and {most}")

    return check


def _word(*known: str) -> Check:
    def check(_: _Checker, value: Any, where: str) -> None:
        _need(isinstance(value, str) and value in known, f"its {where} is unknown, {str(value)[:40]!r}")

    return check


def _nothing(_: _Checker, value: Any, where: str) -> None:
    _need(value is None, f"its {where} makes different tokens each time")


def _number(_: _Checker, value: Any, where: str) -> None:
    _need(type(value) in (int, float) and math.isfinite(value), f"its {where} is not a number")


def _parts(place: str) -> Check:
    def check(checker: _Checker, value: Any, where: str) -> None:
        _need(isinstance(value, list), f"its {where} is not a list")
        for each in value:
            checker.component(each, place)

    return check


def _pattern(checker: _Checker, value: Any, where: str) -> None:
    _need(isinstance(value, dict) and len(value) == 1, f"its {where} is malformed")
    ((kind, text),) = value.items()
    _need(kind in ("String", "Regex") and isinstance(text, str), f"its {where} is malformed")
    _need(0 < len(text) <= _LONGEST_PIECE, f"its {where} is empty, or longer than any known one")
    if kind == "Regex" and not checker.trust:
        check_pattern(text)


def _charsmap(_: _Checker, value: Any, where: str) -> None:
    if value is not None:
        _need(isinstance(value, str), f"its {where} is not a text")
        check_charsmap(value)


def _token(_: _Checker, value: Any, where: str) -> None:
    fits = isinstance(value, list) and len(value) == 2 and isinstance(value[0], str) and type(value[1]) is int
    _need(fits and 0 <= value[1] < _MOST_IDS, f"its {where} is not a token with an id")


def _pieces(_: _Checker, value: Any, where: str) -> None:
    """Check a template: special tokens, and each text once."""
    _need(isinstance(value, list) and 0 < len(value) <= 16, f"its {where} is not a template")
    texts = []
    for each in value:
        _need(isinstance(each, dict) and len(each) == 1, f"its {where} is not a template")
        ((kind, piece),) = each.items()
        fits = kind in ("Sequence", "SpecialToken") and isinstance(piece, dict) and set(piece) == {"id", "type_id"}
        _need(fits and isinstance(piece["id"], str), f"its {where} is not a template")
        _need(type(piece["type_id"]) is int and 0 <= piece["type_id"] < 256, f"its {where} has an invalid type")
        texts += [piece["id"]] if kind == "Sequence" else []
    wanted = ["A", "B"] if where.endswith("pair") else ["A"]
    _need(sorted(texts) == wanted, f"its {where} does not have every text exactly once")


def _special(_: _Checker, value: Any, where: str) -> None:
    _need(isinstance(value, dict) and len(value) <= 64, f"its {where} are malformed")
    for name, each in value.items():
        fits = isinstance(each, dict) and set(each) == {"id", "ids", "tokens"} and each["id"] == name
        ids, tokens = (each["ids"], each["tokens"]) if fits else (None, None)
        fits = isinstance(ids, list) and isinstance(tokens, list) and 0 < len(ids) == len(tokens) <= 16
        _need(fits, f"its {where} are malformed")
        assert ids is not None and tokens is not None
        _need(all(type(number) is int and 0 <= number < _MOST_IDS for number in ids), f"its {where} has no ids")
        _need(all(isinstance(token, str) for token in tokens), f"its {where} are malformed")


def _alternatives(_: _Checker, value: Any, where: str) -> None:
    _need(isinstance(value, list) and all(isinstance(each, str) for each in value), f"its {where} are not texts")


_CHARACTER = _text(1, 1)
_PIECE = _text(_LONGEST_PIECE)
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
_MODELS: dict[str, dict[str, Check]] = {
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
    "Unigram": {"unk_id": _optional(_count(0, _MOST_IDS)), "byte_fallback": _flag, "alphabet": _alternatives},
}
