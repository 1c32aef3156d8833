"""int8 with one scale and zero point for each tensor of activations, calibrated with real texts at export.

A matmul is written as QuantizeLinear and DequantizeLinear at its input, DequantizeLinear at its weights, and a MatMul:
the form that ONNX Runtime, OpenVINO and others turn into one integer matmul. ONNX Runtime would first fuse a matmul of
two matrices and its bias into a float Gemm and then find no int8 form; it does not fuse a stack of one matrix.
"""

from __future__ import annotations

from typing import Any

from liteft.int8 import STEPS
from liteft.schemes.base import ActivationScheme, GraphWriter, Range, straight_through

__all__ = ["Static"]


class Static(ActivationScheme):
    """One calibrated range per tensor of activations."""

    activations = "tensor"
    help = "static, from a calibration"
    calibrated = True
    stacked = True

    def emit(
        self, graph: GraphWriter, x: str, weight: str, scale: str, *, name: str, values: Range | None = None
    ) -> str:
        """Write the nodes of a matmul as described in `ActivationScheme`."""
        assert values is not None, "static int8 needs a range"
        step, zero = graph.constant(values.scale), graph.constant(values.zero_point)
        coarse = graph.op("QuantizeLinear", x, step, zero, name=f"{name}.input.int8")
        return graph.op(
            "MatMul",
            graph.op("DequantizeLinear", coarse, step, zero, name=f"{name}.input"),
            graph.op("DequantizeLinear", weight, scale, name=f"{name}.float", axis=1),
            name=f"{name}.product",
        )

    def rounded(self, x: Any, values: Range | None = None) -> Any:
        """Return activations rounded to uint8 within the range; clipped values have no gradient."""
        assert values is not None, "static int8 needs a range"
        step = (values.high - values.low) / STEPS or 1.0
        zero = min(max(round(-values.low / step), 0), STEPS)
        inside = x.clamp(-zero * step, (STEPS - zero) * step)
        return straight_through(inside, (inside / step).round() * step)
