"""int8 with one symmetric scale for each row of activations, which is one token of one text.

The scales are computed at run time, so nothing is calibrated, and a text's result does not depend on the other texts of
its batch. In standard operators a row x becomes round(x * 127 / max|x|) + 128 as uint8 with zero point 128; signed
activations would be several times slower in ONNX Runtime.

The order of the last multiplications matters. If the two scales were multiplied first, ONNX Runtime's
MatMulIntegerToFloat fusion would match, and it uses the scale of the first row for all rows. So the int32 result is
multiplied by the row scale first, then by the channel scale.

Source: Dettmers et al. 2022, section 3.1 (vector-wise quantization), arXiv:2208.07339.
"""

from __future__ import annotations

from typing import Any

from liteft.int8 import LARGEST, SMALLEST_SCALE, ZERO_POINT
from liteft.schemes.base import ActivationScheme, GraphWriter, Range, straight_through

__all__ = ["PerRow"]

_LARGEST = LARGEST[8]
_FLOAT, _UINT8 = 1, 2  # onnx.TensorProto.DataType


class PerRow(ActivationScheme):
    """One scale per row of activations."""

    activations = "row"
    help = "per_row (if left out)"

    def emit(
        self,
        graph: GraphWriter,
        x: str,
        weight: str,
        scale: str,
        *,
        name: str,
        values: Range | None = None,  # noqa: ARG002
    ) -> str:
        """Write the nodes of a matmul as described in `ActivationScheme`; ``values`` is ignored."""
        import numpy as np

        largest = graph.op(
            "ReduceMax",
            graph.op("Abs", x, name=f"{name}.abs"),
            graph.integers(-1),
            name=f"{name}.max",
            keepdims=1,
        )
        largest = graph.op("Max", largest, graph.number(_LARGEST * SMALLEST_SCALE), name=f"{name}.positive")
        row_scale = graph.op("Mul", largest, graph.number(1 / _LARGEST), name=f"{name}.row_scale")
        rounded = graph.op("Round", graph.op("Div", x, row_scale, name=f"{name}.scaled"), name=f"{name}.rounded")
        shifted = graph.op("Add", rounded, graph.number(ZERO_POINT), name=f"{name}.shifted")
        rows = graph.op("Cast", shifted, name=f"{name}.rows", to=_UINT8)
        zero = graph.constant(np.uint8(ZERO_POINT))
        total = graph.op("MatMulInteger", rows, weight, zero, name=f"{name}.total")
        total = graph.op("Cast", total, name=f"{name}.total_float", to=_FLOAT)
        return graph.op("Mul", graph.op("Mul", total, row_scale, name=f"{name}.by_row"), scale, name=f"{name}.product")

    def rounded(self, x: Any, values: Range | None = None) -> Any:  # noqa: ARG002
        """Return activations rounded to int8 as described in `ActivationScheme`; ``values`` is ignored."""
        scale = (x.detach().abs().amax(dim=-1, keepdim=True) / _LARGEST).clamp_min(SMALLEST_SCALE)
        return straight_through(x, (x / scale).round() * scale)
