"""A WordPiece vocabulary in a tokenizer.json: which tokens must be kept, and writing it with other tokens and ids.

WordPiece splits a word from the left, always into the longest token that it finds. So removing a token does not affect
words that do not use it, and does not turn its own words into [UNK] as long as their single characters are kept: the
first character of a word as it is, the others with the continuation prefix. Other kinds of vocabularies (byte-level
BPE, Unigram, whole words) have no such guarantee.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from tokenizers import Tokenizer

from liteft.errors import REPORT, ModelError, leave_out
from liteft.tokenization import TextTokenizer

__all__ = ["WordPiece", "read_wordpiece", "with_vocabulary"]

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
        ids: token -> id; without added tokens that are not in the model's own vocabulary.
        prefix: the prefix of tokens that continue a word, usually "##".
        unknown: the token for words that cannot be tokenized, usually [UNK].
        special: tokens that are kept whatever the texts: added tokens, and those that the post-processor adds.
        floor: the tokens that must be kept: the special ones and one for every single character that occurs in a token
            and can occur there in a word. Such a token is added if the vocabulary lacks it.
    """

    ids: dict[str, int]
    prefix: str
    unknown: str
    special: frozenset[str]
    floor: frozenset[str]


def read_wordpiece(tokenizer: TextTokenizer) -> WordPiece:
    """Return the WordPiece vocabulary of a tokenizer.

    Raises:
        ModelError: the vocabulary is of another kind.
    """
    content = json.loads(tokenizer.json_text)
    model = content["model"]
    kind = model.get("type")
    if kind != "WordPiece":
        raise ModelError(
            f"a vocabulary of the kind {kind} cannot be trimmed: {_KINDS.get(kind, 'this kind is unknown')}.",
            accepted={"vocabularies": "WordPiece, as in BERT, MiniLM, DistilBERT and ELECTRA"},
            fix=leave_out("vocabulary"),
        )
    ids, prefix, unknown = model["vocab"], model["continuing_subword_prefix"], model["unk_token"]
    added = {token["content"] for token in content["added_tokens"]} | _around(content.get("post_processor"))
    special = frozenset(token for token in (*added, *_ALWAYS, unknown) if token in ids)
    return WordPiece(ids, prefix, unknown, special, special | _characters(content, ids, prefix, special))


def with_vocabulary(json_text: str, vocabulary: Iterable[str], *, padding: str | None) -> tuple[str, list[str]]:
    """Return a tokenizer.json with another vocabulary, and all tokens in the order of their new ids.

    Args:
        json_text: the tokenizer.json. Added tokens that are not in its model's vocabulary are kept, with ids after it.
        vocabulary: the new vocabulary of the model, in the order of the new ids.
        padding: the padding token, which keeps its old id if possible, since some families' positions count from it.

    Raises:
        ModelError: the tokenizers library reads the result with other ids.
    """
    content = json.loads(json_text)
    old = content["model"]["vocab"]
    tokens = list(vocabulary)
    if padding in old and padding in tokens and old[padding] < len(tokens):
        tokens.remove(padding)
        tokens.insert(old[padding], padding)
    content["model"]["vocab"] = {token: number for number, token in enumerate(tokens)}
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
    """Return the tokens of single characters into which every token of the vocabulary can be split."""
    first: set[str] = set()
    later: set[str] = set()
    for token in ids:
        # Some vocabularies have an empty token; reserved tokens such as [unused1] are not text.
        if not token or token in special or (token.startswith("[unused") and token.endswith("]")):
            continue
        if token.startswith(prefix) and token != prefix:
            later.update(token[len(prefix) :])
        else:
            first.add(token[0])
            later.update(token[1:])
    alone = _standing_alone(content, later)
    return first | {prefix + character for character in later - alone}


def _standing_alone(content: dict[str, Any], characters: set[str]) -> set[str]:
    """Return the characters that BERT's pre-tokenizer always makes words of their own: punctuation and Chinese ones.

    Such a character never continues a word, so its token with the prefix is not needed; BERT's Chinese vocabulary has
    7,000 such tokens. Empty unless normalizer and pre-tokenizer are BERT's, which treat each character separately.
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
    """Return the special tokens that a post-processor adds to texts."""
    if processor is None:
        return set()
    if processor["type"] == "Sequence":
        return {token for part in processor["processors"] for token in _around(part)}
    if processor["type"] == "TemplateProcessing":
        return {token for entry in processor["special_tokens"].values() for token in entry["tokens"]}
    return {processor[name][0] for name in ("sep", "cls") if name in processor}


def _renumber(processor: dict[str, Any] | None, ids: Mapping[str, int]) -> None:
    """Set the new ids of special tokens in a post-processor."""
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
