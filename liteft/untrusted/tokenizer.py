"""What a tokenizer.json may contain before it is passed to the tokenizers library.

That library is written in Rust: a failed allocation crashes the process, and so do some ids; a panic is an exception
that ``except Exception`` does not catch. So a file is first checked against a schema: known components with known
keys (`components`), ids that fit the vocabulary, maps that stay within themselves (`charsmap`), regular expressions
that terminate quickly (`patterns`), and no rule that makes a text much longer.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from liteft.untrusted.components import LONGEST_PIECE, MODELS, MOST_IDS, Checker, need
from liteft.untrusted.reading import parse_json, plain_text

__all__ = ["checked_tokenizer"]

_MOST_ADDED = 1 << 17
_TOP = {"version", "truncation", "padding", "added_tokens"}
_PLACES = ("normalizer", "pre_tokenizer", "post_processor", "decoder", "model")
_ADDED = {"single_word": bool, "lstrip": bool, "rstrip": bool, "normalized": bool, "special": bool}


def checked_tokenizer(content: bytes, *, trust: bool = False) -> str:
    """Return a tokenizer.json without padding and truncation, after checking that it cannot crash the process.

    Args:
        content: the file's bytes.
        trust: accept regular expressions that are not known to finish quickly.

    Raises:
        ValueError: it contains something that is not known to be harmless; the message says what.
    """
    tokenizer = parse_json(content, unique=True)
    need(isinstance(tokenizer, dict), "tokenizer.json must be a JSON object")
    strange = sorted(set(tokenizer) - _TOP - set(_PLACES))
    need(not strange, f"it has an unknown key, {strange[:1]}")
    model = tokenizer.get("model")
    need(isinstance(model, dict), "it has no model")
    plain_text({name: value for name, value in model.items() if name not in ("vocab", "merges")})
    plain_text({name: value for name, value in tokenizer.items() if name != "model"})
    need(tokenizer.get("version", "1.0") == "1.0", "it has an unknown version")
    checker = Checker(trust=trust)
    size = _check_model(checker, model)
    _check_added(tokenizer.get("added_tokens", []), size)
    for place in _PLACES[:-1]:
        if tokenizer.get(place) is not None:
            checker.component(tokenizer[place], place)
    if tokenizer.get("padding") is None and tokenizer.get("truncation") is None:
        return content.decode()
    return json.dumps(tokenizer | {"padding": None, "truncation": None}, ensure_ascii=False)


def _check_model(checker: Checker, model: dict[str, Any]) -> int:
    """Check a model and return its number of tokens."""
    kind = model.get("type")
    need(isinstance(kind, str) and kind in MODELS, f"its model is of an unknown type, {str(kind)[:40]!r}")
    assert isinstance(kind, str)
    known = MODELS[kind]
    for name, value in model.items():
        if name in ("type", "vocab", "merges"):
            continue
        check = known.get(name)
        need(check is not None, f"its model {kind} has an unknown key, {name[:40]!r}")
        assert check is not None
        check(checker, value, f"model {kind}'s {name}")
    vocabulary = model.get("vocab")
    if kind == "Unigram":
        return _check_scores(vocabulary, model.get("unk_id"))
    need(isinstance(vocabulary, dict) and bool(vocabulary), "its vocabulary is empty")
    assert isinstance(vocabulary, dict)
    _check_ids(vocabulary.values(), len(vocabulary))
    _check_pieces(vocabulary)
    unknown = model.get("unk_token", "[UNK]")
    need(
        unknown in vocabulary or (kind == "BPE" and unknown in (None, "[UNK]")),
        "its unknown token is not in the vocabulary",
    )
    if kind == "BPE":
        _check_merges(model.get("merges"), vocabulary, model.get("continuing_subword_prefix") or "")
    return len(vocabulary)


def _check_scores(vocabulary: Any, unknown: Any) -> int:
    need(isinstance(vocabulary, list) and bool(vocabulary), "its vocabulary is empty")
    fits = all(
        type(each) is list and len(each) == 2 and type(each[0]) is str and type(each[1]) in (float, int)
        for each in vocabulary
    )
    need(fits, "its vocabulary is not a list of tokens and scores")
    need(len(vocabulary) <= MOST_IDS, "its vocabulary is larger than any known one")
    need(all(-1e6 < score < 1e6 for _, score in vocabulary), "its vocabulary has an invalid score")  # NaN, too
    _check_pieces(piece for piece, _ in vocabulary)
    need(all(piece for piece, _ in vocabulary), "its vocabulary has an empty token")
    need(type(unknown) is int and 0 <= unknown < len(vocabulary), "its unknown token is not in the vocabulary")
    return len(vocabulary)


def _check_ids(ids: Iterable[Any], count: int) -> None:
    found = list(ids)
    need(set(map(type, found)) <= {int}, "its vocabulary has an id that is not an integer")
    least, most = min(found), max(found)
    need(least >= 0 and most < min(MOST_IDS, 2 * count + (1 << 17)), f"its vocabulary has an id of {most or least}")


def _check_pieces(pieces: Iterable[str]) -> None:
    whole = "".join(listed := list(pieces))
    try:
        whole.encode()
    except UnicodeEncodeError:
        raise ValueError("its vocabulary has half a surrogate pair") from None
    need(max(map(len, listed)) <= LONGEST_PIECE, "its vocabulary has a token longer than any known one")


def _check_merges(merges: Any, vocabulary: dict[str, Any], prefix: str) -> None:
    """Check that both sides of every merge and their result are tokens; the result loses the right side's prefix."""
    need(isinstance(merges, list), "its merges are malformed")
    for merge in merges:
        pair = merge.split(" ") if type(merge) is str else merge
        fits = type(pair) is list and len(pair) == 2 and type(pair[0]) is str and type(pair[1]) is str
        need(fits, "its merges are not pairs of tokens")
        left, right = pair
        fits = left in vocabulary and right in vocabulary and len(right.encode()) >= len(prefix.encode())
        need(fits and (not prefix or right.startswith(prefix)), "its merges are not pairs of tokens")
        need(left + right[len(prefix) :] in vocabulary, "its merges make something that is not a token")


def _check_added(added: Any, size: int) -> None:
    need(isinstance(added, list) and len(added) <= _MOST_ADDED, "its added tokens are not a list of tokens")
    for token in added:
        need(isinstance(token, dict) and set(token) <= {"id", "content", *_ADDED}, "an added token is malformed")
        content, number = token.get("content"), token.get("id")
        need(type(content) is str and 0 < len(content) <= LONGEST_PIECE, "an added token has no content")
        need(type(number) is int, "an added token has no id")
        need(0 <= number < min(MOST_IDS, 2 * (size + len(added)) + (1 << 17)), f"an added token has the id {number}")
        need(all(type(token.get(name, False)) is kind for name, kind in _ADDED.items()), "an added token is malformed")
