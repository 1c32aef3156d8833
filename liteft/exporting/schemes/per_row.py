"""int8 with one symmetric scale for each row of activations, which is one token of one text.

The scales are computed as the graph runs: there is nothing to calibrate, and what a text gets does not depend on the
texts beside it. In standard operators a row x becomes round(x * 127 / max|x|) + 128 as uint8 with zero point 128;
signed activations would be several times slower in ONNX Runtime.

The order of the last products is a trap. Multiplying the two scales first and the int32 result by that product is what
ONNX Runtime's MatMulIntegerToFloat fusion looks for, and it takes the scale of the first row for all rows. The result
is therefore multiplied by the row scale, then by the channel scale.

Source: Dettmers et al. 2022, section 3.1 (vector-wise quantization), arXiv:2208.07339.
"""

from __future__ import annotations

import numpy as np
from onnx import TensorProto

from liteft.exporting.builder import GraphBuilder
from liteft.exporting.quantization import Range
from liteft.int8 import LARGEST, SMALLEST_SCALE, ZERO_POINT

__all__ = ["STACKED", "emit"]

STACKED = False
_LARGEST = LARGEST[8]


def emit(
    builder: GraphBuilder,
    x: str,
    weight: str,
    scale: str,
    *,
    name: str,
    values: Range | None = None,  # noqa: ARG001
) -> str:
    """Write the product; as of `SchemeModule`. ``values`` is not read."""
    largest = builder.op(
        "ReduceMax",
        builder.op("Abs", x, name=f"{name}.abs"),
        builder.integers(-1),
        name=f"{name}.max",
        keepdims=1,
    )
    largest = builder.op("Max", largest, builder.number(_LARGEST * SMALLEST_SCALE), name=f"{name}.positive")
    row_scale = builder.op("Mul", largest, builder.number(1 / _LARGEST), name=f"{name}.row_scale")
    rounded = builder.op("Round", builder.op("Div", x, row_scale, name=f"{name}.scaled"), name=f"{name}.rounded")
    shifted = builder.op("Add", rounded, builder.number(ZERO_POINT), name=f"{name}.shifted")
    rows = builder.op("Cast", shifted, name=f"{name}.rows", to=TensorProto.UINT8)
    zero = builder.constant(np.uint8(ZERO_POINT))
    total = builder.op("MatMulInteger", rows, weight, zero, name=f"{name}.total")
    total = builder.op("Cast", total, name=f"{name}.total_float", to=TensorProto.FLOAT)
    return builder.op("Mul", builder.op("Mul", total, row_scale, name=f"{name}.by_row"), scale, name=f"{name}.product")
