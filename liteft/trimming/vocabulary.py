"""From a tokenizer and texts to a smaller tokenizer, and to the rows of the embedding that go with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from liteft.data import Split
from liteft.errors import ConfigError, option
from liteft.finetuning.tokenizer_files import read_tokenizer, write_tokenizer
from liteft.tokenization import TextTokenizer
from liteft.trimming.choosing import choose_pieces, count_words, fill_pieces
from liteft.trimming.wordpiece import read_wordpiece, with_pieces

__all__ = [
    "TrimmedVocabulary",
    "check_budget",
    "least_pieces",
    "trim_vocabulary",
    "write_tokenizer_files",
]

_UNCUT = 2**31 - 1
NO_TOKEN = -2  # an id that nothing has, old or new


@dataclass(frozen=True, slots=True)
class TrimmedVocabulary:
    """A smaller vocabulary and where its pieces come from.

    Attributes:
        json_text: the tokenizer.json.
        tokens: all tokens, in the order of their new ids.
        old_ids: int64 (tokens,), the id that each had before; -1 where it is new.
        made_of: of each new piece the old ids of the pieces that hold its character.
        of: number of tokens before.
        most: the budget.
        unknown: old id of the token of words that cannot be cut into pieces; -2 where the vocabulary has none.
    """

    json_text: str
    tokens: tuple[str, ...]
    old_ids: np.ndarray
    made_of: dict[int, tuple[int, ...]]
    of: int
    most: int
    unknown: int


def trim_vocabulary(
    tokenizer: TextTokenizer, splits: Sequence[Split], *, most: int, fill: bool = False
) -> TrimmedVocabulary:
    """Return the part of a vocabulary that texts use, within a budget.

    Every word that the whole vocabulary cuts into pieces is cut into kept ones, in the worst case into single
    characters: the pieces of all characters stay, whether the texts use them or not, as do special tokens. Of the
    others, those stay that the texts use, the most frequent ones where they are too many. Pieces that the texts do not
    use leave even where there is room, unless it is to be filled.

    Args:
        tokenizer: a WordPiece tokenizer.
        splits: the texts, unlabelled ones among them.
        most: tokens to keep at most, special and single-character ones included.
        fill: where there is room, keep pieces that the texts do not use as well, the first ones of the vocabulary.

    Raises:
        ConfigError: a budget below the special tokens and single characters.
        ModelError: a vocabulary of another kind.
    """
    check_budget(tokenizer, most)
    whole = read_wordpiece(tokenizer)
    old = tokenizer.tokens()
    added = sum(token != "" and token not in whole.ids for token in old)
    words = count_words(tokenizer, splits, prefix=whole.prefix)
    kept = choose_pieces(words, whole.ids, floor=whole.floor, prefix=whole.prefix, most=most - added)
    kept = fill_pieces(kept, whole.ids, most=most - added) if fill else kept
    padding = old[tokenizer.pad_id] if tokenizer.pad_id < len(old) else None
    ordered = sorted(kept, key=lambda piece: (whole.ids.get(piece, len(old)), piece))
    json_text, tokens = with_pieces(tokenizer.json_text, ordered, padding=padding)
    numbers = {token: number for number, token in enumerate(old)}
    old_ids = np.array([numbers.get(token, -1) for token in tokens], dtype=np.int64)
    made_of = {
        number: tuple(whole.ids[piece] for piece in whole.ids if _holds(piece, token, whole.prefix))
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
        unknown=numbers.get(whole.unknown, NO_TOKEN),
    )


def check_budget(tokenizer: TextTokenizer, most: int) -> None:
    """Refuse a budget that a vocabulary cannot be trimmed to.

    Raises:
        ConfigError: it is below the special tokens and single characters.
        ModelError: a vocabulary of another kind than WordPiece.
    """
    least = least_pieces(tokenizer)
    if most < least:
        raise ConfigError(
            f"a vocabulary of {most:,} tokens is too small for this tokenizer.",
            accepted={
                "tokens": f"at least {least:,}: special tokens and single characters, which can write every word"
            },
            fix=option("vocabulary", -(-least * 3 // 2000) * 1000),
        )


def least_pieces(tokenizer: TextTokenizer) -> int:
    """Return how many tokens every trimmed vocabulary keeps: special ones and single characters.

    Raises:
        ModelError: a vocabulary of another kind than WordPiece.
    """
    whole = read_wordpiece(tokenizer)
    return len(whole.floor) + sum(token != "" and token not in whole.ids for token in tokenizer.tokens())


def write_tokenizer_files(vocabulary: TrimmedVocabulary, source: Path, folder: Path) -> None:
    """Write the tokenizer as transformers reads it, with the new ids.

    Args:
        vocabulary: the trimmed vocabulary.
        source: folder of the classifier before, whose other settings are taken over.
        folder: an existing folder.
    """
    found = read_tokenizer(source)
    tokenizer = TextTokenizer(
        vocabulary.json_text,
        max_tokens=found.model_max_length or _UNCUT,
        truncation_side=found.truncation_side,
    )
    write_tokenizer(found.settings, tokenizer, folder, types=found.types)


def _holds(piece: str, character: str, prefix: str) -> bool:
    """Say whether a piece holds a character (with the prefix: other than as the first of a word)."""
    if not character.startswith(prefix):
        return piece.startswith(character)
    later = piece[len(prefix) :] if piece.startswith(prefix) else piece[1:]
    return character[len(prefix) :] in later
