"""The constants of int8 quantization, and the ONNX operators that multiply integers.

Export, training with rounding, the readers of graphs and the inspection share them: a training that rounds differently
from the export would train a different model.
"""

from __future__ import annotations

from collections.abc import Mapping

__all__ = [
    "INTEGER_MATMULS",
    "LARGEST",
    "MICROSOFT",
    "NIBBLES",
    "NIBBLE_SHARES",
    "ONNX",
    "SMALLEST_SCALE",
    "STEPS",
    "ZERO_POINT",
]

LARGEST: Mapping[int, int] = {8: 127, 7: 64}
"""Bits of a symmetric int8 value -> its largest absolute value."""

SMALLEST_SCALE = 1e-30
"""Smallest scale of a row of activations, since a row may be all zeros."""

ZERO_POINT = 128
"""The uint8 value that means 0 in a row of activations."""

STEPS = 255
"""Steps between the ends of a calibrated range in uint8."""

NIBBLES = (-8, 7)
"""Lowest and highest 4-bit value."""

NIBBLE_SHARES = (0.5, 1.0, 26)
"""Scales that are tried for a 4-bit row, as shares of max|row| / 7: the first, the last, and their number."""

ONNX, MICROSOFT = "ai.onnx", "com.microsoft"

INTEGER_MATMULS: Mapping[tuple[str, str], int] = {
    (ONNX, "MatMulInteger"): 1,
    (ONNX, "QLinearMatMul"): 3,
    (ONNX, "ConvInteger"): 1,
    (ONNX, "QLinearConv"): 3,
    (MICROSOFT, "DynamicQuantizeMatMul"): 1,
    (MICROSOFT, "MatMulIntegerToFloat"): 1,
    (MICROSOFT, "QGemm"): 3,
    (MICROSOFT, "QAttention"): 1,
}
"""Domain and operator of an integer matmul -> index of the input that is the weight.

Source: onnx.ai/onnx/operators, and onnxruntime's docs/ContribOperators.md for com.microsoft.
"""
