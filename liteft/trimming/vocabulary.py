"""Trimming of a tokenizer's vocabulary to the tokens that texts use."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from liteft.data import Split
from liteft.errors import ConfigError, option
from liteft.finetuning.tokenizer_files import read_tokenizer, write_tokenizer
from liteft.tokenization import TextTokenizer
from liteft.trimming.choosing import choose_tokens, count_words, fill_tokens
from liteft.trimming.frequent import frequent_tokens, recut, texts_of_words, without_rare
from liteft.trimming.wordpiece import read_wordpiece, with_vocabulary

__all__ = [
    "TrimmedVocabulary",
    "check_budget",
    "smallest_vocabulary",
    "trim_vocabulary",
    "uncut",
    "write_tokenizer_files",
]

_UNCUT = 2**31 - 1
NO_TOKEN = -2  # neither an old id nor the -1 of a new token


@dataclass(frozen=True, slots=True)
class TrimmedVocabulary:
    """A trimmed vocabulary and the origin of its tokens.

    Attributes:
        json_text: the tokenizer.json.
        tokens: all tokens, in the order of their new ids.
        old_ids: int64 (tokens,), the id of each token before trimming; -1 for a new token.
        made_of: new id of each new token -> old ids of the tokens that contain its character.
        of: number of tokens before trimming.
        most: the requested maximum number of tokens.
        min_count: different texts that each token occurs in, at least, single characters and what fills apart.
        unknown: old id of the token for unknown words, usually [UNK]; -2 if the vocabulary has none.
    """

    json_text: str
    tokens: tuple[str, ...]
    old_ids: np.ndarray
    made_of: dict[int, tuple[int, ...]]
    of: int
    most: int
    min_count: int
    unknown: int


def trim_vocabulary(
    tokenizer: TextTokenizer,
    splits: Sequence[Split],
    *,
    most: int,
    fill: bool = False,
    whole: bool = False,
    min_count: int = 1,
) -> TrimmedVocabulary:
    """Return the part of a vocabulary that texts use, with a maximum number of tokens.

    Every word that the whole vocabulary can represent is still represented, in the worst case by single characters: the
    tokens of all characters are kept, whether the texts use them or not, as are special tokens. Of the other tokens,
    those that the texts use are kept, the most frequent ones if there are too many. Tokens that the texts do not use
    are removed even if there is room, unless ``fill`` is set.

    Args:
        tokenizer: a WordPiece tokenizer.
        splits: the texts, labelled or not.
        most: maximum number of tokens, including special tokens and single characters.
        fill: fill the remaining room with the first tokens of the vocabulary that the texts do not use.
        min_count: keep only tokens that occur in so many different texts; what fills the rest, and the tokens of all
            characters, tell nothing of the texts.
        whole: count all tokens of a text, as its windows are read, instead of the first ``max_tokens``.

    Raises:
        ConfigError: ``most`` is below the number of special tokens and single characters.
        ModelError: the vocabulary is not a WordPiece vocabulary.
    """
    check_budget(tokenizer, most)
    pieces = read_wordpiece(tokenizer)
    old = tokenizer.tokens()
    added = sum(token != "" and token not in pieces.ids for token in old)
    reading = uncut(tokenizer) if whole else tokenizer
    words = count_words(reading, splits, prefix=pieces.prefix)
    floor, prefix, room = pieces.floor, pieces.prefix, most - added
    if min_count == 1:
        kept = choose_tokens(words, pieces.ids, floor=floor, prefix=prefix, most=room)
    else:
        texts = texts_of_words(reading, splits, prefix=prefix, most=min_count)
        others = {token for word in texts for token in word if token not in pieces.ids}  # added to the vocabulary
        stays = floor | others
        words = recut(words, frequent_tokens(texts, floor=stays, prefix=prefix, least=min_count), prefix=prefix)
        kept = choose_tokens(words, pieces.ids, floor=floor, prefix=prefix, most=room)
        kept = without_rare(texts, kept | others, floor=stays, prefix=prefix, least=min_count) - others
    kept = fill_tokens(kept, pieces.ids, most=room) if fill else kept
    padding = old[tokenizer.pad_id] if tokenizer.pad_id < len(old) else None
    ordered = sorted(kept, key=lambda token: (pieces.ids.get(token, len(old)), token))
    json_text, tokens = with_vocabulary(tokenizer.json_text, ordered, padding=padding)
    numbers = {token: number for number, token in enumerate(old)}
    old_ids = np.array([numbers.get(token, -1) for token in tokens], dtype=np.int64)
    made_of = {
        number: tuple(pieces.ids[each] for each in pieces.ids if _contains(each, token, pieces.prefix))
        for number, token in enumerate(tokens)
        if token not in numbers
    }
    return TrimmedVocabulary(
        json_text=json_text,
        tokens=tuple(tokens),
        old_ids=old_ids,
        made_of=made_of,
        of=tokenizer.vocabulary_size,
        most=most,
        min_count=min_count,
        unknown=numbers.get(pieces.unknown, NO_TOKEN),
    )


def uncut(tokenizer: TextTokenizer) -> TextTokenizer:
    """Return a tokenizer that reads texts of any length as a whole."""
    return TextTokenizer(tokenizer.json_text, max_tokens=_UNCUT, pad_id=tokenizer.pad_id)


def check_budget(tokenizer: TextTokenizer, most: int) -> None:
    """Check that a vocabulary can be trimmed to ``most`` tokens.

    Raises:
        ConfigError: ``most`` is below the number of special tokens and single characters.
        ModelError: the vocabulary is not a WordPiece vocabulary.
    """
    least = smallest_vocabulary(tokenizer)
    if most < least:
        raise ConfigError(
            f"a vocabulary of {most:,} tokens is too small for this tokenizer.",
            accepted={
                "tokens": f"at least {least:,}: special tokens and single characters, which can write every word"
            },
            fix=option("vocabulary", -(-least * 3 // 2000) * 1000),
        )


def smallest_vocabulary(tokenizer: TextTokenizer) -> int:
    """Return the smallest number of tokens that a vocabulary can be trimmed to: special tokens and single characters.

    Raises:
        ModelError: the vocabulary is not a WordPiece vocabulary.
    """
    whole = read_wordpiece(tokenizer)
    return len(whole.floor) + sum(token != "" and token not in whole.ids for token in tokenizer.tokens())


def write_tokenizer_files(vocabulary: TrimmedVocabulary, source: Path, folder: Path) -> None:
    """Write the files of the trimmed tokenizer in the form that transformers reads.

    Args:
        vocabulary: the trimmed vocabulary.
        source: folder of the original classifier, whose other tokenizer settings are copied.
        folder: an existing folder to write to.
    """
    found = read_tokenizer(source)
    tokenizer = TextTokenizer(
        vocabulary.json_text,
        max_tokens=found.model_max_length or _UNCUT,
        truncation_side=found.truncation_side,
    )
    write_tokenizer(found.settings, tokenizer, folder, types=found.types)


def _contains(token: str, character: str, prefix: str) -> bool:
    """Return whether a token contains a character: at its beginning, or, with the prefix, after it."""
    if not character.startswith(prefix):
        return token.startswith(character)
    later = token[len(prefix) :] if token.startswith(prefix) else token[1:]
    return character[len(prefix) :] in later
