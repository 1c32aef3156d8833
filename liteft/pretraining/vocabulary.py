"""Training a vocabulary on texts: WordPiece as BERT's, byte-level BPE as RoBERTa's, Unigram as XLM-R's.

The result depends on the texts alone, not on the number of threads: the alphabet is counted here and given to the
trainers of the tokenizers library, which otherwise number characters in the order of a hash table. Their Unigram
trainer adds floating-point numbers in that order, so unigram.py takes its place.

A corpus of more than 50 million characters is represented by that many, in texts that are drawn by their hashes.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Literal

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from liteft.errors import ConfigError, option
from liteft.pretraining.unigram import train_unigram

__all__ = ["SPECIAL_TOKENS", "VocabularyKind", "sample_of", "train_vocabulary"]

VocabularyKind = Literal["wordpiece", "bpe", "unigram"]

_BERT = {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}
_ROBERTA = {"cls": "<s>", "pad": "<pad>", "sep": "</s>", "unk": "<unk>", "mask": "<mask>"}
SPECIAL_TOKENS: dict[VocabularyKind, dict[str, str]] = {"wordpiece": _BERT, "bpe": _ROBERTA, "unigram": _ROBERTA}
"""The special tokens of each kind by what they are for, in the order of their ids."""

_MOST_CHARACTERS = 50_000_000
_ALPHABET = 0.5  # at most this share of a vocabulary are single characters


def train_vocabulary(texts: Sequence[str], *, kind: VocabularyKind, size: int, lowercase: bool = True) -> Tokenizer:
    """Return a tokenizer whose vocabulary was trained on texts.

    Args:
        texts: the texts.
        kind: "wordpiece", "bpe" or "unigram".
        size: number of tokens, special ones included; fewer if the texts give no more.
        lowercase: lower the case and remove accents, WordPiece only.

    Raises:
        ConfigError: the size leaves no room for single characters and special tokens.
    """
    trained = {"wordpiece": _wordpiece, "bpe": _byte_level, "unigram": _unigram}[kind](texts, size, lowercase)
    tokens = SPECIAL_TOKENS[kind]
    trained.add_special_tokens(list(tokens.values()))
    ids = [(tokens[name], trained.token_to_id(tokens[name])) for name in ("cls", "sep")]
    first, last = tokens["cls"], tokens["sep"]
    pair = f"{first} $A {last} $B:1 {last}:1" if kind == "wordpiece" else f"{first} $A {last} {last} $B {last}"
    trained.post_processor = processors.TemplateProcessing(single=f"{first} $A {last}", pair=pair, special_tokens=ids)
    return trained


def sample_of(texts: Iterable[str], most_characters: int = _MOST_CHARACTERS) -> list[str]:
    """Return texts of at most that many characters together: all, or those with the lowest hashes, in order.

    The hash of a text decides, so that the sample comes from everywhere, and equal texts are all in it or none is.
    """
    kept: list[tuple[int, str]] = []
    characters, limit = 0, 1 << 64
    for text in texts:
        rank = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8, person=b"sample").digest(), "little")
        if rank >= limit:
            continue
        kept.append((rank, text))
        characters += len(text)
        while characters > most_characters and len(kept) > 1:
            limit //= 2
            kept = [(rank, text) for rank, text in kept if rank < limit]
            characters = sum(len(text) for _, text in kept)
    return [text for _, text in kept]


def _wordpiece(texts: Sequence[str], size: int, lowercase: bool) -> Tokenizer:
    """Return a WordPiece tokenizer; every character that may continue a word has a token for that."""
    special = list(_BERT.values())
    tokenizer = Tokenizer(models.WordPiece(unk_token=_BERT["unk"]))
    tokenizer.normalizer = normalizers.BertNormalizer(
        clean_text=True, handle_chinese_chars=True, strip_accents=lowercase, lowercase=lowercase
    )
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    letters = _alphabet(texts, tokenizer, int(_ALPHABET * size))
    inside = [f"##{letter}" for letter in letters if _continues(tokenizer, letter)]
    _require_room(size, len(special) + len(letters) + len(inside))
    trainer = trainers.WordPieceTrainer(
        vocab_size=size,
        special_tokens=[*special, *letters, *inside],
        initial_alphabet=letters,
        limit_alphabet=len(letters),
        continuing_subword_prefix="##",
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    vocabulary = json.loads(tokenizer.to_str())["model"]["vocab"]
    whole = Tokenizer(models.WordPiece(vocabulary, unk_token=_BERT["unk"], max_input_chars_per_word=100))
    whole.normalizer, whole.pre_tokenizer, whole.decoder = (
        tokenizer.normalizer,
        tokenizer.pre_tokenizer,
        tokenizer.decoder,
    )
    return whole


def _byte_level(texts: Sequence[str], size: int, _lowercase: bool) -> Tokenizer:
    """Return a byte-level BPE tokenizer: its alphabet is the 256 bytes, so no text has an unknown token."""
    special = list(_ROBERTA.values())
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    _require_room(size, len(special) + len(alphabet))
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def _unigram(texts: Sequence[str], size: int, _lowercase: bool) -> Tokenizer:
    """Return a Unigram tokenizer on texts in compatibility form (NFKC), with a mark in the place of a space."""
    special = list(_ROBERTA.values())
    shell = Tokenizer(models.Unigram())
    shell.normalizer = normalizers.Sequence(
        [normalizers.Nmt(), normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")]
    )
    shell.pre_tokenizer = pre_tokenizers.Metaspace()
    letters = _alphabet(texts, shell, int(_ALPHABET * size))
    _require_room(size, len(special) + len(letters))
    words = Counter(word for text in texts for word in _words(shell, text))
    pieces = train_unigram(words, letters, size - len(special))
    vocabulary = [(token, 0.0) for token in special] + pieces
    tokenizer = Tokenizer(models.Unigram(vocabulary, special.index(_ROBERTA["unk"]), False))
    tokenizer.normalizer, tokenizer.pre_tokenizer = shell.normalizer, shell.pre_tokenizer
    tokenizer.decoder = decoders.Metaspace()
    return tokenizer


def _words(tokenizer: Tokenizer, text: str) -> list[str]:
    """Return a text's words as the model of a tokenizer gets them."""
    normalized = tokenizer.normalizer.normalize_str(text)
    return [word for word, _ in tokenizer.pre_tokenizer.pre_tokenize_str(normalized)]


def _alphabet(texts: Sequence[str], tokenizer: Tokenizer, most: int) -> list[str]:
    """Return the most frequent characters of normalized texts, but no white space, in the order of their codes."""
    counts: Counter[str] = Counter()
    for start in range(0, len(texts), 1024):
        counts.update(tokenizer.normalizer.normalize_str("\n".join(texts[start : start + 1024])))
    if isinstance(tokenizer.pre_tokenizer, pre_tokenizers.Metaspace):
        counts["▁"] = 1 + sum(counts.values())
    letters = [letter for letter in counts if not letter.isspace()]
    return sorted(sorted(letters, key=lambda letter: (-counts[letter], letter))[:most])


def _continues(tokenizer: Tokenizer, letter: str) -> bool:
    """Say whether a character can stand inside a word; BERT makes punctuation and Chinese characters words."""
    return _words(tokenizer, f"a{letter}") == [f"a{letter}"]


def _require_room(size: int, least: int) -> None:
    if size <= least:
        raise ConfigError(
            f"a vocabulary of {size:,} tokens has no room for more than single characters.",
            accepted={"vocabulary": f"above {least:,}, the special tokens and single characters of these texts"},
            fix=option("vocabulary", 1000 * (least // 500 + 1)),
        )


def described(tokenizer: Tokenizer) -> dict[str, Any]:
    """Return the number of tokens and the kind of a vocabulary, as run.json has them."""
    model = json.loads(tokenizer.to_str())["model"]
    return {"tokens": tokenizer.get_vocab_size(with_added_tokens=True), "kind": str(model.get("type"))}
