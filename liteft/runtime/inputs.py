"""Which values are texts: texts and pairs that a caller passes are checked here, token ids in `token_ids`.

A model of single texts takes strings. A model of pairs takes pairs: a tuple or a list of two strings. So ``["a", "b"]``
is two texts for one and a pair for the other; only the manifest decides. An empty text is classified like any other
([CLS] [SEP]): scoring of files has empty texts too, and one empty cell must not stop a service; ``Stats.empty`` counts
them. A lone surrogate, which no encoding can represent, is refused.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Set
from typing import Any, NamedTuple, cast

from liteft.errors import Hint, InputError

__all__ = [
    "GIVE_NULL",
    "Text",
    "as_text",
    "checked_columns",
    "checked_iterable",
    "checked_text",
    "checked_texts",
    "is_collection",
    "is_one_text",
    "kind_of",
    "list_hint",
    "text_error",
]

_SINGLE = "a string, or a list of strings"
_PAIR = "(text, pair), or a list of such tuples"
GIVE_NULL = Hint(
    'stream(..., on_error="null") to get None for such texts', "--on-error null, to give such texts no label"
)


class Text(NamedTuple):
    """A text, or a pair of texts."""

    first: str
    second: str | None

    @property
    def characters(self) -> int:
        """Number of characters of the text, or of both texts."""
        return len(self.first) + len(self.second or "")

    @property
    def empty(self) -> bool:
        """True if there is nothing but white space."""
        return not (self.first.strip() or (self.second or "").strip())


def is_one_text(inputs: Any, *, paired: bool) -> bool:
    """Return True for one text or one pair, False for a collection of them.

    Raises:
        InputError: ``inputs`` is neither.
    """
    if isinstance(inputs, str):
        return True
    if isinstance(inputs, tuple | list) and len(inputs) == 2 and all(isinstance(x, str) for x in inputs):
        return paired or isinstance(inputs, tuple)  # a tuple for a model of single texts is refused later, as a pair
    if isinstance(inputs, bytes | bytearray | Mapping | set | frozenset) or not is_collection(inputs):
        endless = isinstance(inputs, Iterable) and not isinstance(inputs, Collection)
        raise InputError(
            f"predict got {kind_of(inputs)}.",
            accepted={"inputs": _PAIR if paired else _SINGLE},
            fix="stream(...) for a generator" if endless else list_hint(inputs),
        )
    return False


def checked_iterable(inputs: Any) -> Iterable[Any]:
    """Return ``inputs`` if it can be streamed.

    Raises:
        InputError: it is a string, or cannot be iterated.
    """
    if isinstance(inputs, str | bytes | bytearray | Mapping) or not isinstance(inputs, Iterable) or _is_table(inputs):
        raise InputError(
            f"stream got {kind_of(inputs)}.",
            accepted={"inputs": "an iterable of texts, or of pairs for a model of pairs"},
            fix=list_hint(inputs) if _is_table(inputs) else "predict(text) for one text",
        )
    return inputs


def checked_columns(texts: Any, pairs: Any, *, call: str) -> Iterable[Any]:
    """Return texts, or texts zipped with the second texts of pairs, as values to check.

    Raises:
        InputError: either is not a list, or their lengths differ; ``call`` names the method in the message.
    """
    for name, values in (("texts", texts), ("pairs", pairs)):
        listed = is_collection(values) and not isinstance(values, str | bytes | bytearray | Mapping | Set)
        if not listed and (name == "texts" or values is not None):
            raise InputError(
                f"{call} got {kind_of(values)} for {name}.",
                accepted={name: "a list of strings" + (", or None" if name == "pairs" else "")},
                fix="[text] for one text" if isinstance(values, str) else list_hint(values),
            )
    if pairs is None:
        return cast("Iterable[Any]", texts)
    if len(pairs) != len(texts):
        raise InputError(
            f"{call} got {len(texts)} texts and {len(pairs)} pairs.",
            accepted={"pairs": "one second text per text"},
            fix="as many pairs as texts",
        )
    return zip(texts, pairs, strict=True)


def checked_texts(values: Iterable[Any], *, paired: bool) -> list[Text]:
    """Return all values as Texts.

    Raises:
        InputError: a value is not a text (or not a pair, for a model of pairs) or cannot be encoded; the message says
            which.
    """
    texts = []
    for number, value in enumerate(values):
        text = as_text(value, paired=paired)
        if text is None:
            raise text_error(value, paired=paired, name=f"text {number}")
        texts.append(text)
    return texts


def checked_text(value: Any, *, paired: bool, name: str) -> Text:
    """Return one value as a Text; ``name`` is its name in an error.

    Raises:
        InputError: the error of `text_error`.
    """
    text = as_text(value, paired=paired)
    if text is None:
        raise text_error(value, paired=paired, name=name)
    return text


def as_text(value: Any, *, paired: bool) -> Text | None:
    """Return ``value`` as a Text, or None if the model cannot read it: `text_error` says why."""
    if isinstance(value, str):
        return None if paired or _surrogate(value) is not None else Text(value, None)
    if paired and _is_pair(value) and _surrogate(value[0]) is None and _surrogate(value[1]) is None:
        return Text(value[0], value[1])
    return None


def text_error(value: Any, *, paired: bool, name: str) -> InputError:
    """Return the error for a value that is not a text (or not a pair, for a model of pairs) or cannot be encoded.

    Args:
        value: a value for which ``as_text`` returned None.
        paired: True if the model reads pairs.
        name: the value's name in the message, "text 17".
    """
    if isinstance(value, str):
        if not paired:
            return _no_utf8(value, name)
        return InputError(
            f"{name} is one text, but this model reads pairs.",
            accepted={"inputs": _PAIR},
            fix=Hint("(text, pair)", "a tab between the two texts of a line, or --pair-text TEXT"),
        )
    if _is_pair(value):
        if paired:
            half = 0 if _surrogate(value[0]) is not None else 1
            return _no_utf8(value[half], f"{name}, {('first', 'second')[half]} half,")
        return InputError(
            f"{name} is a pair, but this model reads single texts.",
            accepted={"inputs": _SINGLE},
            fix="[text, text] for two texts",
        )
    if paired and isinstance(value, tuple) and len(value) > 2 and all(isinstance(part, str) for part in value):
        return InputError(
            f"{name} holds {len(value)} texts, and this model reads pairs.",
            accepted={"inputs": _PAIR},
            fix=Hint("(text, pair)", "one tab in a line, between its two texts: leave out other columns"),
        )
    two = paired and isinstance(value, tuple | list) and len(value) == 2
    if two:
        place = 0 if not isinstance(value[0], str) else 1
        value, name = value[place], f"{name}, {('first', 'second')[place]} half,"
    missing = value is None or (isinstance(value, float) and math.isnan(value))  # NaN is pandas' missing text
    return InputError(
        f"{name} is {kind_of(value)}.",
        accepted={"inputs": _PAIR if paired else _SINGLE},
        fix=GIVE_NULL if missing else ("(text, pair)" if paired and not two else "str(value), for a text"),
    )


def is_collection(values: Any) -> bool:
    """Return whether values are a collection of texts; a table would be read as the names of its columns."""
    return isinstance(values, Collection) and not _is_table(values)


def _is_table(values: Any) -> bool:
    return hasattr(values, "columns")  # of pandas, polars and pyarrow


def list_hint(values: Any) -> str:
    """Return what to give instead of values that are no list of texts."""
    return "a column of it, such as table['text']" if _is_table(values) else "a list of texts"


def _is_pair(value: Any) -> bool:
    return isinstance(value, tuple | list) and len(value) == 2 and all(isinstance(part, str) for part in value)


def _surrogate(text: str) -> int | None:
    """Return the position of a lone surrogate, which UTF-8 cannot encode; None if there is none."""
    if text.isascii():
        return None
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        return error.start
    return None


def _no_utf8(text: str, name: str) -> InputError:
    place = _surrogate(text) or 0
    return InputError(
        f"{name} contains half a surrogate pair at position {place}: a lone surrogate, U+{ord(text[place]):04X}.",
        accepted={"text": "anything that UTF-8 can encode"},
        fix=[Hint('text.encode("utf-8", "replace").decode("utf-8")', "a file in UTF-8"), GIVE_NULL],
    )


def kind_of(value: Any) -> str:
    """Return in words what a caller passed: a plain value itself, or its type."""
    if value is None or isinstance(value, bool | int | float):
        return repr(value)
    return f"a value of type {type(value).__name__}"
