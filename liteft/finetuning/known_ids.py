"""Token ids without an embedding: tokens were added to the tokenizer, but the embedding table was not resized.

On such a text transformers raises an IndexError that names neither text nor token. Most texts contain no such token,
so the model is accepted, and the first text with one is refused by name. A token that is added to every text, such as
a special token, makes the model itself unusable.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import nn

from liteft.encoded import Encoded
from liteft.errors import DataError, ModelError
from liteft.finetuning.model import TorchClassifier
from liteft.tokenization import TextTokenizer

__all__ = ["check_ids", "embedding_rows", "unknown_tokens", "without_row"]

_RESIZE = "in transformers: model.resize_token_embeddings(len(tokenizer)), then save_pretrained"
_FIX = f"{_RESIZE}, and train it again"


def embedding_rows(model: nn.Module) -> int | None:
    """Return the number of rows of a classifier's word embeddings; None if the model does not name that table."""
    encoder: Any = model if hasattr(model, "get_input_embeddings") else getattr(model, "encoder", model)
    try:
        table = encoder.get_input_embeddings()
    except (AttributeError, NotImplementedError):
        return None
    weight = getattr(table, "weight", None)
    return None if weight is None else len(weight)


def unknown_tokens(loaded: TorchClassifier) -> list[str]:
    """Return the tokens that the tokenizer may produce but the model has no embedding for, in order of their ids.

    Raises:
        ModelError: one of them is part of every text.
    """
    rows = embedding_rows(loaded.model)
    tokens = [] if rows is None else [token for token in loaded.tokenizer.tokens()[rows:] if token]
    if rows is None or not tokens:
        return []
    pairs = [""] if loaded.settings.paired else None
    everywhere = [int(number) for number in loaded.tokenizer.encode([""], pairs).ids if number >= rows]
    if everywhere or loaded.tokenizer.pad_id >= rows:
        token = loaded.tokenizer.token(everywhere[0] if everywhere else loaded.tokenizer.pad_id)
        raise ModelError(
            f"{loaded.path}: the tokenizer puts {token!r} into every text or batch, and the model has no row for it.",
            accepted={"rows of its word embeddings": f"{rows:,}"},
            fix=_FIX,
        )
    return tokens


def check_ids(loaded: TorchClassifier, encoded: Encoded, name: str) -> None:
    """Refuse texts with a token that the model has no embedding for.

    Args:
        loaded: the classifier.
        encoded: the texts.
        name: what to call them, such as "split 'train'".

    Raises:
        DataError: a text contains such a token; the error names both.
    """
    rows = embedding_rows(loaded.model)
    ids = encoded.ids
    if rows is None or not len(ids) or ids.max() < rows:
        return
    token = int(np.argmax(ids >= rows))
    text = int(np.searchsorted(encoded.offsets[1:], token, side="right"))
    raise without_row(f"text {text} of {name} holds", loaded.tokenizer, int(ids[token]), rows, fix=_FIX)


def without_row(where: str, tokenizer: TextTokenizer, number: int, rows: int, *, fix: str = _RESIZE) -> DataError:
    """Return the error of a token in a text that the model has no embedding for.

    Args:
        where: the text and the verb, as "text 3 holds".
        tokenizer: knows the token.
        number: its id.
        rows: of the word embeddings.
        fix: of the model.
    """
    return DataError(
        f"{where} {tokenizer.token(number)!r}, and the model has no row for it.",
        accepted={"rows of its word embeddings": f"{rows:,}", "id of the token": f"{number:,}"},
        fix=[fix, "take the token out of the texts, or out of the tokenizer"],
    )
