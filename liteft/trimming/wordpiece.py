"""A WordPiece vocabulary as a tokenizer.json holds it: what may leave it, and how it is written with other ids.

WordPiece cuts a word into the longest pieces that it finds from the left. A piece may therefore leave without a trace
where it is not used, and with no [UNK] where its characters stay: the first of a word as it is, the others with the
continuation prefix. Other kinds (byte-level BPE, sentence pieces, whole words) give no such promise.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from tokenizers import Tokenizer

from liteft.errors import REPORT, ModelError, leave_out
from liteft.tokenization import TextTokenizer

__all__ = ["WordPiece", "read_wordpiece", "with_pieces"]

_KINDS = {
    "BPE": "byte-pair encoding, whose tokens are built from each other by merges",
    "Unigram": "a unigram model, which chooses tokens by probability",
    "WordLevel": "whole words, which no other token can replace",
}
_ALWAYS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


@dataclass(frozen=True, slots=True)
class WordPiece:
    """A WordPiece vocabulary.

    Attributes:
        ids: id by piece; added tokens that the model itself lacks are not in it.
        prefix: stands before pieces that go on with a word.
        unknown: the token of words that cannot be cut into pieces.
        special: pieces that no text decides about: added tokens, those that the post-processor puts around texts.
        floor: what must stay: the special pieces and, for every character that a piece holds where a word can hold
            it, the piece of that character alone. A vocabulary that lacks such a piece gets it.
    """

    ids: dict[str, int]
    prefix: str
    unknown: str
    special: frozenset[str]
    floor: frozenset[str]


def read_wordpiece(tokenizer: TextTokenizer) -> WordPiece:
    """Return the vocabulary of a tokenizer.

    Raises:
        ModelError: it is of another kind than WordPiece.
    """
    content = json.loads(tokenizer.json_text)
    model = content["model"]
    kind = model.get("type")
    if kind != "WordPiece":
        raise ModelError(
            f"a vocabulary of the kind {kind} cannot be trimmed: {_KINDS.get(kind, 'it is not known here')}.",
            accepted={"vocabularies": "WordPiece, as of BERT, MiniLM, DistilBERT and ELECTRA"},
            fix=leave_out("vocabulary"),
        )
    ids, prefix, unknown = model["vocab"], model["continuing_subword_prefix"], model["unk_token"]
    added = {token["content"] for token in content["added_tokens"]} | _around(content.get("post_processor"))
    special = frozenset(token for token in (*added, *_ALWAYS, unknown) if token in ids)
    return WordPiece(ids, prefix, unknown, special, special | _characters(content, ids, prefix, special))


def with_pieces(json_text: str, pieces: Iterable[str], *, padding: str | None) -> tuple[str, list[str]]:
    """Return a tokenizer.json with other pieces, numbered anew, and all tokens in the order of their ids.

    Args:
        json_text: the tokenizer.json; added tokens that stand outside its model's vocabulary stay, behind the pieces.
        pieces: the new vocabulary of the model, in the order of the new ids.
        padding: keeps its old id where there are as many pieces; positions of some families count from it.

    Raises:
        ModelError: the result is read back with other ids.
    """
    content = json.loads(json_text)
    old = content["model"]["vocab"]
    tokens = list(pieces)
    if padding in old and padding in tokens and old[padding] < len(tokens):
        tokens.remove(padding)
        tokens.insert(old[padding], padding)
    content["model"]["vocab"] = {piece: number for number, piece in enumerate(tokens)}
    known = set(tokens)
    tokens += [token["content"] for token in content["added_tokens"] if token["content"] not in known]
    ids = {token: number for number, token in enumerate(tokens)}
    for token in content["added_tokens"]:
        token["id"] = ids[token["content"]]
    content["added_tokens"].sort(key=lambda token: token["id"])
    _renumber(content.get("post_processor"), ids)
    written = json.dumps(content, ensure_ascii=False)
    if Tokenizer.from_str(written).get_vocab(with_added_tokens=True) != ids:
        raise ModelError("the trimmed tokenizer.json is read with different ids than it was written with.", fix=REPORT)
    return written, tokens


def _characters(content: dict[str, Any], ids: Mapping[str, int], prefix: str, special: frozenset[str]) -> set[str]:
    """Return the single-character pieces that all pieces fall back to."""
    first: set[str] = set()
    later: set[str] = set()
    for piece in ids:
        # Some vocabularies have an empty line; what is reserved for later is no text.
        if not piece or piece in special or (piece.startswith("[unused") and piece.endswith("]")):
            continue
        if piece.startswith(prefix) and piece != prefix:
            later.update(piece[len(prefix) :])
        else:
            first.add(piece[0])
            later.update(piece[1:])
    alone = _standing_alone(content, later)
    return first | {prefix + character for character in later - alone}


def _standing_alone(content: dict[str, Any], characters: set[str]) -> set[str]:
    """Return the characters that BERT's own cut into words always makes words of: punctuation, Chinese characters.

    With a prefix they are in no word, and BERT's Chinese vocabulary has 7,000 such pieces. Only where normalizer and
    pre-tokenizer are BERT's, which look at one character at a time; other rules may join what they split here.
    """
    kinds = [(content.get(part) or {}).get("type") for part in ("normalizer", "pre_tokenizer")]
    if kinds != ["BertNormalizer", "BertPreTokenizer"]:
        return set()
    tokenizer = Tokenizer.from_str(json.dumps(content))
    alone = set()
    for character in characters:
        normalized = tokenizer.normalizer.normalize_str(f"a{character}")
        words = [word for word, _ in tokenizer.pre_tokenizer.pre_tokenize_str(normalized)]
        if words == ["a", character]:
            alone.add(character)
    return alone


def _around(processor: dict[str, Any] | None) -> set[str]:
    """Return the tokens that a post-processor adds."""
    if processor is None:
        return set()
    if processor["type"] == "Sequence":
        return {token for part in processor["processors"] for token in _around(part)}
    if processor["type"] == "TemplateProcessing":
        return {token for entry in processor["special_tokens"].values() for token in entry["tokens"]}
    return {processor[name][0] for name in ("sep", "cls") if name in processor}


def _renumber(processor: dict[str, Any] | None, ids: Mapping[str, int]) -> None:
    """Write new ids into a post-processor."""
    if processor is None:
        return
    for part in processor.get("processors", ()):
        _renumber(part, ids)
    if processor["type"] == "TemplateProcessing":
        for entry in processor["special_tokens"].values():
            entry["ids"] = [ids[token] for token in entry["tokens"]]
    for name in ("sep", "cls"):
        if name in processor:
            processor[name] = [processor[name][0], ids[processor[name][0]]]
