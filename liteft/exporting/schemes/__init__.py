"""How each scheme of int8 writes a product, one module each. What needs neither onnx nor torch is in `liteft.int8`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from liteft.exporting.builder import GraphBuilder
from liteft.exporting.quantization import Range
from liteft.exporting.schemes import per_row, static
from liteft.int8 import Scheme

__all__ = ["SCHEMES", "SchemeModule"]


class SchemeModule(Protocol):
    """What a module of a scheme has.

    Attributes:
        STACKED: ONNX Runtime computes it in integers only where the matrices of a Gemm are a stack of one.
    """

    STACKED: bool

    def emit(
        self, builder: GraphBuilder, x: str, weight: str, scale: str, *, name: str, values: Range | None = None
    ) -> str:
        """Write the product of a float32 value with an int8 matrix, and return its float32 value.

        Args:
            builder: where to write.
            x: float32 value, shape (..., inputs).
            weight: int8 value, shape (inputs, outputs).
            scale: float32 value, shape (outputs,).
            name: prefix of the nodes.
            values: the calibrated range of x, where the scheme has one.
        """


SCHEMES: Mapping[Scheme, SchemeModule] = {"per_row": per_row, "static": static}
