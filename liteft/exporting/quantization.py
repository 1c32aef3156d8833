"""The plan of an int8 graph: the scheme of the activations, the bits of the weights, and the matmuls left in float.

Two schemes quantize the activations:

- "per_row" has one scale for each token, computed when the graph runs. It needs no calibration.
- "static" has one scale and zero point for each tensor, calibrated on real texts and fixed when the graph is written.
  It is the form that other engines know: QuantizeLinear and DequantizeLinear at a matmul's input.

In both, the weights of a matmul have one symmetric scale for each output channel. No scale is computed over a batch, so
a text gets the same result alone and beside any other texts.

7-bit weights are for processors with AVX2 or AVX-512 but without VNNI. There, ONNX Runtime adds pairs of u8 * s8
products in 16 bits, which saturate: 2 * 255 * 127 = 64,770 is above 32,767. With weights of at most 64 no pair can: 2 *
255 * 64 = 32,640. LiteFT's own sessions multiply 8 bits exactly there (`onnx_engine.session_options`), so 7 bits are
for other programs, and for speed.

A sensitive matmul may fall back: "weight_only" keeps its weights in int8 and multiplies in float, and "float" keeps its
weights in float too.
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
        form: of the artifact, with the scheme of the activations and the bits of weights and word embeddings.
        ranges: the range of each matmul's input, by the matmul's name; needed for "static".
        fallbacks: the matmuls that are computed in float, by name, and how. WORDS, the table of word embeddings, may be
            among them with "8 bits", if it would otherwise have 4.
        only: quantize this one matmul and leave everything else in float, embedding tables included; WORDS quantizes
            the tables alone. None quantizes everything without a fallback.
    """

    form: ExportForm = field(default_factory=ExportForm)
    ranges: Mapping[str, Range] = field(default_factory=dict)
    fallbacks: Mapping[str, Fallback] = field(default_factory=dict)
    only: str | None = None

    @property
    def scheme(self) -> Scheme:
        """The scheme of the activations; "per_row" if the form names none, as that of float32 does not."""
        return self.form.scheme or "per_row"

    @property
    def calibrated(self) -> bool:
        """Whether the scheme needs ``ranges``."""
        return self.form.calibrated

    @property
    def largest(self) -> int:
        """Largest absolute value of a matmul's int8 weights: 127, or 64 for 7-bit weights."""
        return LARGEST[self.form.weight_bits or 8]

    @property
    def tables(self) -> bool:
        """Whether embedding tables are quantized."""
        return self.only in (None, WORDS)

    @property
    def in_float(self) -> list[str]:
        """Names of the matmuls that fall back."""
        return [name for name in self.fallbacks if name != WORDS]

    def table_bits(self, table: str) -> int:
        """Return the bits per value of an embedding table: "word", "position" or "type"."""
        return 8 if WORDS in self.fallbacks else self.form.table_bits(table)

    def storage(self, product: str) -> Literal["int8", "weight_only", "float"]:
        """Return how a matmul is computed: in int8, in float with int8 weights, or all in float."""
        if self.only is not None and product != self.only:
            return "float"
        fallback = self.fallbacks.get(product)
        return "int8" if fallback is None or fallback == "8 bits" else fallback

    def falling_back(self, product: str, fallback: Fallback) -> Int8Plan:
        """Return the same plan with a fallback for one more matmul, or "8 bits" for WORDS."""
        return replace(self, fallbacks={**self.fallbacks, product: fallback})
