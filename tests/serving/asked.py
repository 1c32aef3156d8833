"""What each kind of model is asked in tests: values as Python has them, and how requests say the same."""

from __future__ import annotations

from typing import Any

__all__ = ["LONG", "VALUES", "instance_of", "item_of", "tensors_of"]

LONG = " ".join(f"w{number}" for number in range(60))
"""Longer than the 32 tokens that the models read."""

_TEXTS = ["w1 w2 w3", "w200 w7", "", "unknown w9 é😀", "w5", LONG]
_PAIRS = [("w1 w2", "w3"), ("w9", "w9"), ("", "w4 w5"), ("w1", LONG)]
_WORDS: list[Any] = ["w1 w2 w3 w4, w5", ["w9", "w8", "w7"], "", "w30 w31", LONG]

VALUES: dict[str, list[Any]] = {
    "topics": _TEXTS,
    "several": _TEXTS,
    "pairs": _PAIRS,
    "scores": _TEXTS,
    "ranking": _PAIRS,
    "words": _WORDS,
    "roles": [("w1 w2 w3 w4", 0), (["w9", "w8", "w7"], 2), (LONG, 30)],
    "questions": [("w1", "w4 w5 w6 w7"), ("w2 w3", LONG), ("w1", ""), ("w100", "w50 w60 w70")],
}
"""Values by the kind of a model, as its ``predict`` takes them."""

_PARTS = {"pairs": ("text", "pair"), "ranking": ("text", "pair"), "questions": ("question", "context")}


def instance_of(kind: str, value: Any) -> dict[str, Any]:
    """Return a value as an object with the names of its parts."""
    if kind in _PARTS:
        return dict(zip(_PARTS[kind], value, strict=True))
    text, predicate = value if kind == "roles" else (value, None)
    named = {"text" if isinstance(text, str) else "words": text}
    return named if predicate is None else named | {"predicate": predicate}


def item_of(kind: str, value: Any) -> Any:
    """Return a value in its shortest form: a string, or a list of strings, or an object if it must be one."""
    if kind == "roles":
        return instance_of(kind, value)
    return list(value) if isinstance(value, tuple) else value


def tensors_of(kind: str, values: list[Any]) -> list[dict[str, Any]]:
    """Return values that are strings, or pairs with strings, as inputs of the Open Inference Protocol, in JSON."""
    names = {"roles": ("text", "predicate"), **_PARTS}.get(kind, ("text",))
    columns = [values] if len(names) == 1 else list(map(list, zip(*values, strict=True)))
    return [
        {"name": name, "shape": [len(column)], "datatype": "INT64" if name == "predicate" else "BYTES", "data": column}
        for name, column in zip(names, columns, strict=True)
    ]
