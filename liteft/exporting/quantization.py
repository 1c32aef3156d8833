"""How the products of an int8 graph are computed: the scheme, the weights' bits, and the products that stay in float.

Two schemes quantize the activations:

- "per_row": one scale for each token, computed as the graph runs. Nothing to calibrate.
- "static": one scale and zero point for each tensor, fixed when the graph is written, from real texts. The form that
  other engines know: QuantizeLinear and DequantizeLinear at a product's input.

In both a product has one symmetric scale for each output channel of its weights, and a text gets what it gets alone,
whatever stands beside it: no scale is taken over a batch.

Weights of 7 bits are for processors with AVX2 or AVX-512 and without VNNI. ONNX Runtime's
products there add u8 * s8 in pairs into 16 bits, which saturate: 2 * 255 * 127 = 64,770 is above 32,767. With weights
of at most 64 no pair can: 2 * 255 * 64 = 32,640.

A product may be left out of it, for its own sake: "weight_only" keeps its weights in int8 and multiplies them in float,
"float" keeps the weights in float as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from liteft.artifact import Fallback
from liteft.form import ExportForm
from liteft.int8 import LARGEST
from liteft.schemes import Range, Scheme

__all__ = ["WORDS", "Int8Plan"]

WORDS = "embeddings.word"


@dataclass(frozen=True, slots=True)
class Int8Plan:
    """What an int8 graph quantizes, and how.

    Attributes:
        form: of the artifact: the scheme of the activations, the bits of weights and words.
        ranges: of the input of each product, by the product's name; "static" needs them.
        fallbacks: products that are computed in float, by name; and WORDS, where 8 bits are in the place of 4.
        only: the one product to quantize, everything else in float, tables too, or WORDS for the tables alone; None
            quantizes all that does not fall back.
    """

    form: ExportForm = field(default_factory=ExportForm)
    ranges: Mapping[str, Range] = field(default_factory=dict)
    fallbacks: Mapping[str, Fallback] = field(default_factory=dict)
    only: str | None = None

    @property
    def scheme(self) -> Scheme:
        """The scheme of the activations; float32's form names none."""
        return self.form.scheme or "per_row"

    @property
    def calibrated(self) -> bool:
        """Whether products need the ranges of their inputs."""
        return self.form.calibrated

    @property
    def largest(self) -> int:
        """Largest absolute value of a stored weight of a product."""
        return LARGEST[self.form.weight_bits or 8]

    @property
    def tables(self) -> bool:
        """Whether embedding tables are quantized."""
        return self.only in (None, WORDS)

    @property
    def in_float(self) -> list[str]:
        """The products that fall back."""
        return [name for name in self.fallbacks if name != WORDS]

    def table_bits(self, table: str) -> int:
        """Return the bits of a value of an embedding table: "word", "position" or "type"."""
        return 8 if WORDS in self.fallbacks else self.form.table_bits(table)

    def storage(self, product: str) -> Literal["int8", "weight_only", "float"]:
        """Return how a product is computed."""
        if self.only is not None and product != self.only:
            return "float"
        fallback = self.fallbacks.get(product)
        return "int8" if fallback is None or fallback == "8 bits" else fallback

    def falling_back(self, product: str, fallback: Fallback) -> Int8Plan:
        """Return the same with one more product in float, or WORDS in 8 bits."""
        return replace(self, fallbacks={**self.fallbacks, product: fallback})
