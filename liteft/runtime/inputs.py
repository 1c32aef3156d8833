"""Which values are texts: everything a caller may hand to a classifier is judged here, and nowhere else.

A model of single texts takes strings. A model of pairs takes pairs: a tuple or a list of two strings. So
``["a", "b"]`` is two texts for the one and a pair for the other, and only the manifest decides. An empty
text is classified like any other ([CLS] [SEP]): training and scoring on files know empty texts too, and one
empty cell must not stop a service; ``Stats.empty`` counts them. What no encoding can hold, a lone
surrogate, is refused.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from typing import Any, NamedTuple

from liteft.errors import Hint, InputError

__all__ = ["Text", "checked_iterable", "checked_text", "is_one_text", "no_tokens", "unknown_token"]

_SINGLE = "a string, or a list of strings"
_PAIR = "(text, pair), or a list of such tuples"
_NULL = Hint('stream(..., on_error="null") to get None for such texts', "--on-error null, to give such texts no label")


class Text(NamedTuple):
    """A text, or a pair of texts."""

    first: str
    second: str | None

    @property
    def characters(self) -> int:
        """Number of characters of both texts."""
        return len(self.first) + len(self.second or "")

    @property
    def empty(self) -> bool:
        """True when there is nothing but white space."""
        return not (self.first.strip() or (self.second or "").strip())


def is_one_text(inputs: Any, *, paired: bool) -> bool:
    """Return True for one text or one pair, False for a collection of them.

    Raises:
        InputError: ``inputs`` is neither.
    """
    if isinstance(inputs, str):
        return True
    if isinstance(inputs, tuple | list) and len(inputs) == 2 and all(isinstance(x, str) for x in inputs):
        return paired or isinstance(inputs, tuple)  # a tuple for a model of single texts: refused as a pair
    if isinstance(inputs, bytes | bytearray | Mapping | set | frozenset) or not isinstance(inputs, Collection):
        endless = isinstance(inputs, Iterable) and not isinstance(inputs, Collection)
        raise InputError(
            f"predict got {_seen(inputs)}.",
            accepted={"inputs": _PAIR if paired else _SINGLE},
            fix="stream(...) for a generator" if endless else (),
        )
    return False


def checked_iterable(inputs: Any) -> Iterable[Any]:
    """Return ``inputs`` when it may be streamed.

    Raises:
        InputError: it is a string, or cannot be iterated.
    """
    if isinstance(inputs, str | bytes | bytearray | Mapping) or not isinstance(inputs, Iterable):
        raise InputError(
            f"stream got {_seen(inputs)}.",
            accepted={"inputs": "an iterable of texts, or of pairs for a model of pairs"},
            fix="predict(text) for one text",
        )
    return inputs


def checked_text(value: Any, *, paired: bool, name: str) -> Text:
    """Return ``value`` as a Text.

    Args:
        value: what the caller gave.
        paired: the model reads pairs.
        name: how to call the value in an error, "text 17".

    Raises:
        InputError: it is no text, or no pair where the model reads pairs, or cannot be encoded.
    """
    if isinstance(value, str):
        if paired:
            raise InputError(
                f"{name} is one text, but this model reads pairs.",
                accepted={"inputs": _PAIR},
                fix=Hint("(text, pair)", "a tab between the two texts of a line, or --pair TEXT"),
            )
        return Text(_encodable(value, name), None)
    if isinstance(value, tuple | list) and len(value) == 2 and all(isinstance(part, str) for part in value):
        if not paired:
            raise InputError(
                f"{name} is a pair, but this model reads single texts.",
                accepted={"inputs": _SINGLE},
                fix="[text, text] for two texts",
            )
        return Text(_encodable(value[0], f"{name}, first half,"), _encodable(value[1], f"{name}, second half,"))
    missing = value is None or (isinstance(value, float) and math.isnan(value))  # pandas' missing text
    raise InputError(
        f"{name} is {_seen(value)}.",
        accepted={"inputs": _PAIR if paired else _SINGLE},
        fix=_NULL if missing else (),
    )


def no_tokens(name: str) -> InputError:
    """Return the error for a text without a single token: a model could only make its answer up."""
    return InputError(
        f"{name} has no tokens, and this model's tokenizer adds no special tokens.",
        accepted={"text": "at least one token"},
    )


def unknown_token(name: str, token: str | None, number: int, rows: int) -> InputError:
    """Return the error for a text with a token that its tokenizer was given and its model was not."""
    return InputError(
        f"{name} holds {token!r}, and the model has no row for this token.",
        accepted={"id of the token": f"{number:,}", "rows of the model's word embeddings": f"{rows:,}"},
        fix=["take the token out of the text", _NULL, "train a model that has a row for every token"],
    )


def _encodable(text: str, name: str) -> str:
    if text.isascii():
        return text
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InputError(
            f"{name} contains half a surrogate pair at position {error.start}: a lone surrogate, "
            f"U+{ord(text[error.start]):04X}.",
            accepted={"text": "anything that UTF-8 can encode"},
            fix=[Hint('text.encode("utf-8", "replace").decode("utf-8")', "a file in UTF-8"), _NULL],
        ) from None
    return text


def _seen(value: Any) -> str:
    if value is None or isinstance(value, bool | int | float):
        return repr(value)
    return f"a value of type {type(value).__name__}"
