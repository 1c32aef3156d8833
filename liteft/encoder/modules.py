"""The meaning of a name among a model's modules and weights: head or layer, and its role there.

The rules are derived from the families whose names are known (families.py). They hold for every family that names its
modules alike, which is true of most in transformers, since many follow BERT.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, get_args

from liteft.encoder.families import BUILT, FAMILIES, EncoderNames

__all__ = [
    "HEAD_MODULES",
    "HEAD_PATTERN",
    "LayerName",
    "Role",
    "in_head",
    "is_quantized",
    "read_layer",
    "role_of",
]

HEAD_MODULES = ("classifier", "qa_outputs", "pre_classifier", "pooler", "score", "seq_relationship")
"""Modules of a head: a base may lack them, and they are never quantized and get no adapter."""

HEAD_PATTERN = rf"(.*\.)?({'|'.join(HEAD_MODULES)})(\..*)?"
"""Regular expression for the full name of a head's module or weight, in the form that peft and transformers accept."""

Role = Literal[
    "embeddings",
    "norm",
    "attention.input",
    "attention.output",
    "feed_forward.inner",
    "head.dense",
    "feed_forward.outer",
    "classifier",
]

_HEAD = re.compile(HEAD_PATTERN)
_LAYER = re.compile(r"((?:.*?\.)?(?:layer|layers|h))\.(\d+)\.(.*)")


@dataclass(frozen=True, slots=True)
class LayerName:
    """A name inside a layer, such as "encoder.layer.3.output.dense": its stack, layer number, and the rest."""

    stack: str
    number: int
    rest: str

    @property
    def layer(self) -> str:
        """The name of the layer itself."""
        return f"{self.stack}.{self.number}"


def in_head(name: str) -> bool:
    """Return whether a module or a weight belongs to the head."""
    return _HEAD.fullmatch(name) is not None


def read_layer(name: str) -> LayerName | None:
    """Return the layer of a module or a weight and its name there; None if it is outside of all layers."""
    match = _LAYER.fullmatch(name)
    return None if match is None else LayerName(match[1], int(match[2]), match[3])


def is_quantized(name: str) -> bool:
    """Return whether int8 quantizes the linear layer of this name: those in layers, and the embeddings' projection."""
    return read_layer(name) is not None or _PROJECTION.search(name) is not None


def role_of(name: str) -> Role | None:
    """Return the role of a module, or of its weight or bias, in an encoder classifier; None if it is unknown."""
    return next((role for role, pattern in _ROLES.items() if pattern.search(name)), None)


def _known() -> list[EncoderNames]:
    """Return the names of all built families."""
    return [names for each in BUILT if (names := FAMILIES[each].names) is not None]


def _ending(ends: Iterable[str]) -> re.Pattern[str]:
    """Return a pattern for names that end in one of ``ends``, optionally followed by ".weight" or ".bias"."""
    return re.compile(rf"(^|\.)({'|'.join(map(re.escape, dict.fromkeys(ends)))})(\.(weight|bias))?$")


def _tails(*parts: str) -> list[str]:
    """Return the families' names of parts of a layer, relative to the layer."""
    named = [names.encoder[f"layers.{{layer}}.{part}"] for names in _known() for part in parts]
    return [name.split(".{layer}.")[1] for name in named]


def _last(names: Iterable[str]) -> list[str]:
    return [name.rsplit(".", 1)[-1] for name in names]


def _role_patterns() -> dict[Role, re.Pattern[str]]:
    """Return the pattern of every role; the first that matches counts."""
    tables = [
        names.encoder[f"embeddings.{table}.weight"] for names in _known() for table in ("word", "position", "type")
    ]
    heads = [names.head["head.dense"].removeprefix(f"{names.base}.") for names in _known()]
    patterns: dict[Role, re.Pattern[str]] = {
        "embeddings": _ending(table.removesuffix(".weight") for table in tables),
        "norm": re.compile(r"(LayerNorm|layer_norm)(\.(weight|bias))?$"),
        "attention.input": _ending(_last(_tails("attention.query", "attention.key", "attention.value"))),
        "attention.output": _ending(_tails("attention.output")),
        "feed_forward.inner": _ending(_tails("feed_forward.inner")),
        "head.dense": _ending(heads),
        "feed_forward.outer": _ending(_tails("feed_forward.outer")),
        "classifier": _ending([*(names.head["classifier"] for names in _known()), "qa_outputs"]),
    }
    assert tuple(patterns) == get_args(Role)
    return patterns


_PROJECTION = _ending(_last(names.encoder["embeddings.project"] for names in _known()))
_ROLES = _role_patterns()
