"""int8 with one scale and zero point for each tensor of activations, fixed from real texts when the graph is written.

A product is QuantizeLinear and DequantizeLinear at its input, DequantizeLinear at its weights, and a MatMul in between:
what ONNX Runtime, OpenVINO and others turn into one product of integers. ONNX Runtime makes one Gemm in float of a
product of matrices and its bias before it looks for int8; not of a stack of one.
"""

from __future__ import annotations

from liteft.exporting.builder import GraphBuilder
from liteft.exporting.quantization import Range

__all__ = ["STACKED", "emit"]

STACKED = True


def emit(builder: GraphBuilder, x: str, weight: str, scale: str, *, name: str, values: Range | None = None) -> str:
    """Write the product within a calibrated range; as of `SchemeModule`."""
    assert values is not None, "static int8 needs a range"
    step, zero = builder.constant(values.scale), builder.constant(values.zero_point)
    coarse = builder.op("QuantizeLinear", x, step, zero, name=f"{name}.input.int8")
    return builder.op(
        "MatMul",
        builder.op("DequantizeLinear", coarse, step, zero, name=f"{name}.input"),
        builder.op("DequantizeLinear", weight, scale, name=f"{name}.float", axis=1),
        name=f"{name}.product",
    )
