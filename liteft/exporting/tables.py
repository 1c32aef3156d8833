"""Stores embedding tables, and writes the nodes that look rows up in them.

Embeddings are half of a MiniLM and two thirds of a student of three layers, so the size of a file depends mostly on
them. In int8 each row has one symmetric scale. The table of word embeddings may have 4 bits per value instead. The
scale of a row is then the one with the least squared error, which clips the largest values: 16 steps over the whole
range would be too coarse.

Gather does not take 4-bit types, so two values share a byte: byte j of a row of width w has value j in its low half and
value j + w / 2 in its high half, each stored as value + 8. The graph unpacks them with standard operators: Gather,
BitwiseAnd and BitShift, Concat, Cast, Sub, Mul.
"""

from __future__ import annotations

import numpy as np
from onnx import TensorProto

from liteft.exporting.builder import GraphBuilder
from liteft.exporting.precision import quantize_channels, row_blocks, to_half
from liteft.form import Precision
from liteft.int8 import NIBBLE_SHARES, NIBBLES

__all__ = ["Table", "quantize_nibbles", "unpack_nibbles"]

_LOW, _HIGH = NIBBLES
_ZERO = -_LOW
_SHARES = np.linspace(*NIBBLE_SHARES, dtype=np.float32)


def quantize_nibbles(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Quantize a table to 4-bit values, two per byte, with one symmetric scale per row.

    Args:
        rows: float32, shape (rows, width), width even.

    Returns:
        The packed values, uint8, shape (rows, width / 2), in the layout that the module describes; and the scales,
        float32, shape (rows,), all positive. Each row takes the scale with the least squared error out of 26 between
        half of max|row| / 7 and the whole of it.
    """
    blocks = [_nibbles(rows[block]) for block in row_blocks(rows)]
    return np.concatenate([packed for packed, _ in blocks]), np.concatenate([scales for _, scales in blocks])


def _nibbles(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    largest = np.abs(rows).max(axis=1) / np.float32(_HIGH)
    largest = np.where(largest > 0, largest, 1).astype(np.float32)
    best = np.full(len(rows), np.inf, dtype=np.float32)
    scales = largest.copy()
    for share in _SHARES:
        tried = largest * share
        error = np.square(_steps(rows, tried) * tried[:, None] - rows).sum(axis=1)
        scales, best = np.where(error < best, tried, scales), np.minimum(error, best)
    halves = (_steps(rows, scales) + _ZERO).astype(np.uint8)
    low, high = np.split(halves, 2, axis=1)
    return low | high << 4, scales


def unpack_nibbles(packed: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """Return the rows that `quantize_nibbles` packed, float32, shape (rows, width)."""
    halves = np.concatenate([packed & 15, packed >> 4], axis=1)
    return np.asarray((halves.astype(np.float32) - _ZERO) * scales.reshape(-1, 1))


class Table:
    """An embedding table in a graph, stored in a precision, from which rows can be looked up.

    Args:
        builder: collects the nodes.
        name: of the table; its weight becomes ``name.weight`` (and ``name.scale``).
        rows: float32, shape (rows, width).
        precision: how the table is stored; "int8" adds a scale per row.
        bits: per value in int8: 8, or 4 if the width is even.
    """

    def __init__(
        self, builder: GraphBuilder, name: str, rows: np.ndarray, precision: Precision, *, bits: int = 8
    ) -> None:
        self._builder, self._name = builder, name
        self._packed = precision == "int8" and bits == 4
        if precision == "int8":
            quantized, scales = quantize_nibbles(rows) if self._packed else quantize_channels(rows)
            parts = [quantized, scales[:, None]]
        else:
            parts = [to_half(rows) if precision == "fp16" else rows]
        self._parts = [
            (builder.weight(f"{name}.{kind}", part), kind, part.dtype)
            for kind, part in zip(("weight", "scale"), parts, strict=False)
        ]

    def take(self, indices: str) -> str:
        """Write the lookup of the rows at int64 indices of any shape; return its name: float32, shape (..., width)."""
        values = []
        for stored, part, dtype in self._parts:
            name = f"{self._name}.{part}"
            value = self._builder.op("Gather", stored, indices, name=f"{name}.rows")
            if dtype == np.uint8:
                value = self._unpacked(name, value)
            elif dtype != np.float32:
                value = self._float(name, value)
            values.append(value)
        return values[0] if len(values) == 1 else self._builder.op("Mul", *values, name=self._name)

    def _unpacked(self, name: str, rows: str) -> str:
        op, constant = self._builder.op, self._builder.constant
        low = op("BitwiseAnd", rows, constant(np.uint8(15)), name=f"{name}.low")
        high = op("BitShift", rows, constant(np.uint8(4)), name=f"{name}.high", direction="RIGHT")
        halves = op("Concat", low, high, name=f"{name}.halves", axis=-1)
        return op("Sub", self._float(name, halves), self._builder.number(_ZERO), name=f"{name}.centred")

    def _float(self, name: str, value: str) -> str:
        return self._builder.op("Cast", value, name=f"{name}.float", to=TensorProto.FLOAT)


def _steps(rows: np.ndarray, scales: np.ndarray) -> np.ndarray:
    return np.asarray(np.clip(np.round(rows / scales[:, None]), _LOW, _HIGH))
