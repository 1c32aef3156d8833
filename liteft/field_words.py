"""The accepted values of a setting in words, from its type and bounds, for error messages."""

from __future__ import annotations

from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

__all__ = ["field_words"]

_KINDS = {float: "a number", int: "a whole number", str: "a string", bool: "true or false"}
_BOUNDS = {"gt": "above", "ge": "at least", "lt": "below", "le": "at most"}


def field_words(field: FieldInfo) -> str:
    """Return the accepted values of a field, such as "a number above 0 and at most 1,000" or "fp32, fp16, int8"."""
    words = _kind(field.annotation)
    bounds = [
        f"{word} {_number(getattr(entry, name))}"
        for entry in field.metadata
        for name, word in _BOUNDS.items()
        if getattr(entry, name, None) is not None
    ]
    return " ".join([words, " and ".join(bounds)]) if bounds else words


def _number(bound: float) -> str:
    return f"{bound:,}" if isinstance(bound, int) else f"{bound:g}"


def _kind(annotation: Any) -> str:
    """Return the accepted type, or the accepted values, of a field's annotation in words."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _kind(arguments[0])
    if origin in (Union, UnionType):
        kinds = [_kind(each) for each in arguments if each is not NoneType]
        return " or ".join(kinds)
    if origin is Literal:
        return ", ".join(str(value) for value in arguments)
    if origin is dict:
        return "a table of keys and values"
    if origin is list:
        each = _kind(arguments[0])
        return f"a list of {each}" if get_origin(arguments[0]) is Literal else f"a list, each {each}"
    return _KINDS.get(annotation) or str(getattr(annotation, "__name__", annotation))
