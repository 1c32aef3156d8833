"""The node ``liteft.EncoderClassifier``: its name, its inputs, and its attributes with their defaults.

The node is a contract with every file in the world, so it only grows. An attribute that is added has a default, which
is what files without it mean, and the version of the domain that first knows it. An attribute that equals its default
is not written, and a file names the lowest version that knows what was written, so that a reader of version 1 reads
every file that asks for nothing newer. The reader here refuses later versions and unknown attributes.

The operator in ONNX Runtime can do neither: it gets the nodes of every version of its domain, and sees only the
attributes that it asks for. An attribute that changes what is computed therefore comes with a new operator name, for
which an older library falls back to the definition in the file.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass

from liteft.encoder.spec import ACTIVATIONS, HEADS, INT8_SCHEMES, POOLINGS, EncoderSpec

__all__ = [
    "ATTRIBUTES",
    "DOMAIN",
    "KIND",
    "OUTPUT",
    "TOKENS",
    "VERSION",
    "Attribute",
    "Value",
    "token_inputs",
    "version_of",
    "with_defaults",
    "without_defaults",
]

DOMAIN, KIND, VERSION = "liteft", "EncoderClassifier", 1
"""VERSION is the latest that is known here."""
TOKENS = ("input_ids", "attention_mask", "token_type_ids")
"""Inputs of the graph in their order, int64 (texts, tokens); the last where the model takes it."""
OUTPUT = "logits"

Value = str | int | float


@dataclass(frozen=True, slots=True)
class Attribute:
    """An attribute of the node.

    Attributes:
        kind: of its value; a float is stored as float32.
        default: what it is where it is not written; None where it has to be.
        words: the values that a text may have; empty for any.
        least: the smallest integer.
        since: the first version of the domain that knows it.
    """

    kind: type[str] | type[int] | type[float]
    default: Value | None = None
    words: tuple[str, ...] = ()
    least: int = 1
    since: int = 1


ATTRIBUTES: Mapping[str, Attribute] = {
    "inputs": Attribute(str),
    "layers": Attribute(int),
    "heads": Attribute(int),
    "epsilon": Attribute(float, 1e-12),
    "activation": Attribute(str, "gelu", words=ACTIVATIONS),
    "pooling": Attribute(str, "cls", words=POOLINGS),
    "head": Attribute(str, "tanh", words=HEADS),
    "position_padding_id": Attribute(int, -1, least=-1),
    "int8_scheme": Attribute(str, "none", words=INT8_SCHEMES),
    "float_products": Attribute(str, ""),
}
"""Name -> attribute: names of all inputs, with a space between them; sizes; what is computed; how it is stored."""


def token_inputs(spec: EncoderSpec) -> tuple[str, ...]:
    """Return the names of the graph's inputs."""
    return TOKENS if spec.has_token_types else TOKENS[:2]


def without_defaults(values: Mapping[str, Value]) -> dict[str, Value]:
    """Return what is written of the values of all attributes."""
    return {name: value for name, value in values.items() if _stored(value) != _stored(ATTRIBUTES[name].default)}


def with_defaults(written: Mapping[str, Value]) -> dict[str, Value]:
    """Return the values of all attributes, floats rounded to float32.

    Raises:
        KeyError: one that has no default was not written.
    """
    found: dict[str, Value] = {}
    for name, attribute in ATTRIBUTES.items():
        value = _stored(written.get(name, attribute.default))
        if value is None:
            raise KeyError(name)
        found[name] = value
    return found


def version_of(written: Mapping[str, Value]) -> int:
    """Return the lowest version of the domain that knows the attributes that were written."""
    return max(ATTRIBUTES[name].since for name in written)


def _stored(value: Value | None) -> Value | None:
    """Return a value as a file holds it."""
    return struct.unpack("<f", struct.pack("<f", value))[0] if isinstance(value, float) else value
