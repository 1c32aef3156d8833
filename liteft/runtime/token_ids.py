"""Which token ids an engine may be given: everything that reaches ``run`` is checked here, the same for all engines.

A text without tokens is refused, since the model's answer would be made up, and so is an id that the tokenizer or the
model does not have. Type ids are those of the model's token types; a model without token types takes 0 alone, which is
what ``encode`` gives then.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from liteft.encoded import Encoded
from liteft.errors import InputError
from liteft.runtime.inputs import GIVE_NULL, kind_of
from liteft.tokenization import TextTokenizer

__all__ = ["check_encoded", "no_tokens", "unknown_token"]


def check_encoded(encoded: Any, tokenizer: TextTokenizer, token_types: int) -> None:
    """Refuse what an engine cannot run: inconsistent arrays, too many tokens, ids of another tokenizer or model.

    Args:
        encoded: what ``run`` was given.
        tokenizer: the artifact's.
        token_types: number of the model's token types; 0 if it has none.

    Raises:
        InputError: any of these; the message says which.
    """
    if not isinstance(encoded, Encoded):
        raise InputError(
            f"run got {kind_of(encoded)}.",
            accepted={"encoded": "what encode(texts) returns, or liteft.Encoded.of(ids)"},
            fix="run(encode(texts)), or predict(texts)",
        )
    _check_arrays(encoded)
    lengths = encoded.lengths
    if lengths.max(initial=0) > tokenizer.max_tokens:
        place = int(np.argmax(lengths))
        raise InputError(
            f"text {place} has {int(lengths[place]):,} tokens.",
            accepted={"tokens of a text": f"up to {tokenizer.max_tokens:,}"},
            fix="encode(texts), which cuts them",
        )
    if not len(encoded.ids):
        return
    if (token := _outside(encoded.ids, _vocabulary(encoded.ids, tokenizer))) is not None:
        raise InputError(
            f"text {_text_of(encoded, token)} holds the token id {int(encoded.ids[token])}, "
            "which this model's tokenizer does not have.",
            accepted={"token ids": f"those of the tokenizer's {tokenizer.vocabulary_size:,} tokens"},
            fix="encode texts with the classifier that runs them",
        )
    if (token := _outside(encoded.type_ids, max(1, token_types))) is not None:
        raise InputError(
            f"text {_text_of(encoded, token)} holds the type id {int(encoded.type_ids[token])}.",
            accepted={"type ids": f"0 to {token_types - 1}" if token_types > 1 else "0 alone: the model has no others"},
            fix="encode texts with the classifier that runs them",
        )


def _vocabulary(ids: np.ndarray, tokenizer: TextTokenizer) -> int:
    """Return the largest id plus 1 if the tokenizer has a token for it; else the largest id, which is then outside."""
    most = int(ids.max())
    return most if most < 0 or tokenizer.token(most) is None else most + 1


def _outside(ids: np.ndarray, count: int) -> int | None:
    """Return the place of the smallest id if it is negative, or of the largest if it is ``count`` or more."""
    if ids.min() < 0:
        return int(np.argmin(ids))
    return int(np.argmax(ids)) if ids.max() >= count else None


def _text_of(encoded: Encoded, token: int) -> int:
    return int(np.searchsorted(encoded.offsets[1:], token, side="right"))


def _check_arrays(encoded: Encoded) -> None:
    ids, types, offsets = encoded.ids, encoded.type_ids, encoded.offsets
    fits = (
        all(isinstance(each, np.ndarray) and each.ndim == 1 for each in (ids, types, offsets, encoded.truncated))
        and [each.dtype.name for each in (ids, types, offsets, encoded.truncated)]
        == ["int32", "int32", "int64", "bool"]
        and len(ids) == len(types)
        and len(offsets) == len(encoded) + 1
        and (offsets[0], offsets[-1]) == (0, len(ids))
        and bool((encoded.lengths >= 0).all())
    )
    if not fits:
        raise InputError(
            "the arrays of the Encoded do not fit together.",
            accepted={
                "ids and type_ids": "int32, shape (tokens,)",
                "offsets": "int64, shape (texts + 1,), ascending from 0 to the number of tokens",
                "truncated": "bool, shape (texts,)",
            },
            fix="encode(texts), or liteft.Encoded.of(ids, type_ids)",
        )


def no_tokens(name: str) -> InputError:
    """Return the error for a text without any token: the model's answer would be made up."""
    return InputError(
        f"{name} has no tokens, and this model's tokenizer adds no special tokens.",
        accepted={"text": "at least one token"},
        fix=["leave the text out", GIVE_NULL],
    )


def unknown_token(name: str, token: str | None, number: int, rows: int) -> InputError:
    """Return the error for a text with a token that was added to the tokenizer but not to the model."""
    return InputError(
        f"{name} holds {token!r}, and the model has no row for this token.",
        accepted={"id of the token": f"{number:,}", "rows of the model's word embeddings": f"{rows:,}"},
        fix=["take the token out of the text", GIVE_NULL, "train a model that has a row for every token"],
    )
