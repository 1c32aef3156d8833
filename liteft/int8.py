"""What int8 is: its schemes, its numbers, and the operators that compute in integers.

What writes graphs, what trains for them, what reads them and what counts their products all read these: a training
that rounded otherwise than the export would be a training for another model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

__all__ = [
    "INTEGER_PRODUCTS",
    "LARGEST",
    "MICROSOFT",
    "NIBBLES",
    "NIBBLE_SHARES",
    "ONNX",
    "SCHEMES",
    "SMALLEST_SCALE",
    "STEPS",
    "ZERO_POINT",
    "Scheme",
    "SchemeFacts",
]

Scheme = Literal["per_row", "static"]


@dataclass(frozen=True, slots=True)
class SchemeFacts:
    """What is known of a scheme of int8's activations without torch or onnx.

    Attributes:
        activations: what has a scale of its own, as a model card says it.
        help: the name and what it takes, as the command line says it.
        calibrated: its ranges are found from texts, on the float32 graph, before the graph is written.
    """

    activations: str
    help: str
    calibrated: bool

    @property
    def described(self) -> str:
        """The scheme in one line."""
        return f"int8 products, a scale for each weight channel and each activation {self.activations}; head in float32"


SCHEMES: Mapping[Scheme, SchemeFacts] = {
    "per_row": SchemeFacts("row", "per_row (if left out)", calibrated=False),
    "static": SchemeFacts("tensor", "static, from a calibration", calibrated=True),
}

LARGEST: Mapping[int, int] = {8: 127, 7: 64}
"""Bits of a symmetric int8 value -> its largest absolute value."""

SMALLEST_SCALE = 1e-30
"""Least scale of a row of activations, which may be all zeros."""

ZERO_POINT = 128
"""The uint8 that is zero in a row of activations."""

STEPS = 255
"""Steps between the ends of a calibrated range in uint8."""

NIBBLES = (-8, 7)
"""Lowest and highest 4-bit value."""

NIBBLE_SHARES = (0.5, 1.0, 26)
"""Scales tried for a 4-bit row, as shares of max|row| / 7: the first, the last, how many."""

ONNX, MICROSOFT = "ai.onnx", "com.microsoft"

INTEGER_PRODUCTS: Mapping[tuple[str, str], int] = {
    (ONNX, "MatMulInteger"): 1,
    (ONNX, "QLinearMatMul"): 3,
    (ONNX, "ConvInteger"): 1,
    (ONNX, "QLinearConv"): 3,
    (MICROSOFT, "DynamicQuantizeMatMul"): 1,
    (MICROSOFT, "MatMulIntegerToFloat"): 1,
    (MICROSOFT, "QGemm"): 3,
    (MICROSOFT, "QAttention"): 1,
}
"""Domain and operator of a product of integers -> which input is the weight.

Source: onnx.ai/onnx/operators, and onnxruntime's docs/ContribOperators.md for com.microsoft.
"""
