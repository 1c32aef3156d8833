"""The node that a classifier is in a file: its names, its inputs, and its attributes with their defaults.

``liteft.EncoderClassifier`` gives a row of logits for each text, ``liteft.EncoderTokenClassifier``, whose pooling is
"none", one for each token. Inputs and attributes of the two are alike. ``liteft.RaggedEncoderClassifier`` is the first
one for texts without padding: its ids and type ids are (tokens,), and offsets take the place of the mask.

The node is a contract with every file ever written, so attributes are only ever added. A new attribute has a default,
which is its meaning in files without it, and the version of the domain that introduced it. An attribute equal to its
default is not written, and a file names the lowest version that has all of its attributes, so that a reader of version
1 reads every file that uses nothing newer. The reader here refuses later versions and unknown attributes.

The operator in ONNX Runtime can do neither: it receives the nodes of every version of its domain, and sees only the
attributes that it queries. An attribute that changes what is computed therefore comes with a new operator name, for
which an older library falls back to the definition in the file. A value of an attribute that older libraries do not
know is such a change, too.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass

from liteft.encoder.spec import ACTIVATIONS, HEADS, INT8_SCHEMES, POOLINGS, EncoderSpec

__all__ = [
    "ATTRIBUTES",
    "DOMAIN",
    "ENDS",
    "END_NODES",
    "KIND",
    "KINDS",
    "OFFSETS",
    "OUTPUT",
    "RAGGED_KIND",
    "TOKENS",
    "TOKEN_KIND",
    "VERSION",
    "Attribute",
    "Value",
    "kind_of",
    "token_inputs",
    "version_of",
    "with_defaults",
    "without_defaults",
]

DOMAIN, KIND, TOKEN_KIND, VERSION = "liteft", "EncoderClassifier", "EncoderTokenClassifier", 1
"""Domain of the node, its names with pooling and without, and the latest version of the domain that this release
supports."""
KINDS = (KIND, TOKEN_KIND)
"""Names of the nodes that are a whole artifact's graph."""
RAGGED_KIND, OFFSETS = "RaggedEncoderClassifier", "offsets"
"""Name of the node for texts one after the other, and of its input where each text begins and the last one ends, int64
(texts + 1,). No artifact's graph has it; one with it is made for a server that joins requests."""
TOKENS = ("input_ids", "attention_mask", "token_type_ids")
"""Inputs of the graph in their order, int64 (texts, tokens); the last one only if the model takes it."""
OUTPUT = "logits"
ENDS = ("start_logits", "end_logits")
"""Outputs beside the logits of a model that answers questions, float32 (texts, tokens): their two columns. Other
libraries look for these names."""
END_NODES = (
    ("Constant", (), ("ends.axis",)),
    ("Split", (OUTPUT,), ("ends.start", "ends.end")),
    ("Squeeze", ("ends.start", "ends.axis"), ENDS[:1]),
    ("Squeeze", ("ends.end", "ends.axis"), ENDS[1:]),
)
"""Operator, inputs and outputs of the nodes that give `ENDS`, in their order, behind all others of the graph."""

Value = str | int | float


@dataclass(frozen=True, slots=True)
class Attribute:
    """An attribute of the node.

    Attributes:
        kind: type of its value; a float is stored as float32.
        default: its value in files without it; None if every file must have it.
        words: allowed values of a string; empty for any.
        least: smallest allowed integer.
        since: first version of the domain that has it.
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
"""Name -> attribute.

"inputs" has the names of all inputs and "float_products" those of float matmuls, separated by spaces. The others are
sizes, what is computed, and how activations are quantized.
"""


def kind_of(pooling: str) -> str:
    """Return the name of the node with this pooling."""
    return TOKEN_KIND if pooling == "none" else KIND


def token_inputs(spec: EncoderSpec) -> tuple[str, ...]:
    """Return the names of the graph's inputs."""
    return TOKENS if spec.has_token_types else TOKENS[:2]


def without_defaults(values: Mapping[str, Value]) -> dict[str, Value]:
    """Return the values that are written to a file: those that differ from their defaults."""
    return {name: value for name, value in values.items() if _stored(value) != _stored(ATTRIBUTES[name].default)}


def with_defaults(written: Mapping[str, Value]) -> dict[str, Value]:
    """Return the values of all attributes, floats rounded to float32.

    Raises:
        KeyError: an attribute without a default is missing.
    """
    found: dict[str, Value] = {}
    for name, attribute in ATTRIBUTES.items():
        value = _stored(written.get(name, attribute.default))
        if value is None:
            raise KeyError(name)
        found[name] = value
    return found


def version_of(written: Mapping[str, Value]) -> int:
    """Return the lowest version of the domain that has all written attributes."""
    return max(ATTRIBUTES[name].since for name in written)


def _stored(value: Value | None) -> Value | None:
    """Return a value as a file stores it: floats rounded to float32."""
    return struct.unpack("<f", struct.pack("<f", value))[0] if isinstance(value, float) else value
