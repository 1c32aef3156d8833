"""How weights are stored and multiplied: float32, float16 on disk, or int8.

float32 is the model as it was trained. float16 halves the file: matrices and tables are stored in half
precision and cast to float32 where they are used, and all arithmetic is float32. ONNX Runtime folds the
casts of matrices when it loads the file and casts only the rows that are looked up of tables: float16 saves
disk and download, a little memory and no time.

int8 quantizes both sides of every product in the encoder, as `quantization` says. A weight matrix has one symmetric
scale for each output channel; how activations are rounded is for a scheme to say (`liteft.schemes`). A matmul
whose weights alone are int8 has Cast and Mul instead of DequantizeLinear: ONNX Runtime folds those two when it loads
the file, and computes in float; DequantizeLinear alone it takes (1.32) for the weights of MatMulNBits, which quantizes
the activations after all. Embedding tables are in `tables`.

Processors with AVX2 or AVX-512 but without VNNI add pairs of 8-bit products in 16 bits, and ONNX Runtime
lets them saturate: simulated on a MiniLM-L6, 3 pairs in 100,000 did, and the error of the logits grew by a
third. A session with ``session.x64quantprecision`` set to 1 is exact there too, and slower. Weights of 7 bits are exact
as well, coarser, and as fast.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from onnx import TensorProto

from liteft.exporting.builder import GraphBuilder
from liteft.exporting.quantization import Int8Plan
from liteft.form import Precision
from liteft.int8 import LARGEST
from liteft.schemes import SCHEMES

__all__ = [
    "emit_int8_product",
    "emit_linear",
    "emit_stored",
    "quantize_channels",
    "row_blocks",
    "to_half",
]

_HALF_MAX = 65504.0
_BLOCK = 1 << 22


def quantize_channels(weight: np.ndarray, largest: int = LARGEST[8]) -> tuple[np.ndarray, np.ndarray]:
    """Return a matrix as int8 with one symmetric scale a row.

    Args:
        weight: float32, shape (rows, width); rows are output channels, or the rows of a table.
        largest: the largest absolute value to use; 64 for weights of 7 bits.

    Returns:
        int8, shape (rows, width), between -largest and largest; and scales, float32, shape (rows,), all positive.
    """
    quantized = np.empty(weight.shape, dtype=np.int8)
    scales = np.empty(len(weight), dtype=np.float32)
    for rows in row_blocks(weight):
        found = np.abs(weight[rows]).max(axis=1) / np.float32(largest)
        scales[rows] = np.where(found > 0, found, 1)
        quantized[rows] = np.clip(np.round(weight[rows] / scales[rows, None]), -largest, largest)
    return quantized, scales


def row_blocks(weight: np.ndarray) -> Iterator[slice]:
    """Yield rows of a matrix, some million values at a time: no copy of a large table may fit beside it."""
    step = max(1, _BLOCK // max(1, weight.shape[1]))
    for start in range(0, len(weight), step):
        yield slice(start, start + step)


def to_half(weight: np.ndarray) -> np.ndarray:
    """Return float16 where every value fits into it, else the float32 array itself."""
    fits = weight.size == 0 or (weight.max() <= _HALF_MAX and weight.min() >= -_HALF_MAX)
    return weight.astype(np.float16) if fits else weight


def emit_stored(builder: GraphBuilder, name: str, array: np.ndarray, precision: Precision) -> str:
    """Store a float array, and return it as a float32 value."""
    if precision == "fp16" and array.ndim > 1 and (half := to_half(array)).dtype == np.float16:
        return builder.op("Cast", builder.weight(name, half), name=f"{name}.float", to=TensorProto.FLOAT)
    return builder.weight(name, array)


def emit_linear(
    builder: GraphBuilder,
    x: str,
    *,
    name: str,
    weight: np.ndarray,
    bias: np.ndarray,
    precision: Precision,
    output: str,
    quantization: Int8Plan | None = None,
) -> str:
    """Write x W^T + b and return its value.

    Args:
        builder: where to write.
        x: float32 value, shape (..., inputs).
        name: of the layer; its weights become ``name.weight`` and ``name.bias`` (and ``name.scale``).
        weight: float32, shape (outputs, inputs); stored transposed.
        bias: float32, shape (outputs,).
        precision: "int8" quantizes the product.
        output: name of the value.
        quantization: how, in int8; None for a scale a row.
    """
    quantization = quantization or Int8Plan()
    if precision == "int8" and quantization.storage(name) != "float":
        quantized, scales = quantize_channels(weight, quantization.largest)
        stored = builder.weight(f"{name}.weight", quantized.T)
        scale = builder.weight(f"{name}.scale", scales)
        product = emit_int8_product(builder, x, stored, scale, name=name, product=name, quantization=quantization)
    else:
        stored = emit_stored(builder, f"{name}.weight", weight.T, precision)
        product = builder.op("MatMul", x, stored, name=f"{name}.product")
    return builder.op("Add", product, builder.weight(f"{name}.bias", bias), name=output)


def emit_int8_product(
    builder: GraphBuilder, x: str, weight: str, scale: str, *, name: str, product: str, quantization: Int8Plan
) -> str:
    """Write the product of x with an int8 matrix, as a quantization has it; return a float32 value.

    Args:
        builder: where to write.
        x: float32 value, shape (..., inputs).
        weight: int8 value, shape (inputs, outputs).
        scale: float32 value, shape (outputs,).
        name: prefix of the nodes.
        product: name that the quantization knows it by; it is not stored in "float".
        quantization: scheme and storage.
    """
    if quantization.storage(product) == "weight_only":
        whole = builder.op("Cast", weight, name=f"{name}.whole", to=TensorProto.FLOAT)
        return builder.op("MatMul", x, builder.op("Mul", whole, scale, name=f"{name}.float"), name=f"{name}.product")
    values = quantization.ranges[product] if quantization.calibrated else None
    return SCHEMES[quantization.scheme].emit(builder, x, weight, scale, name=name, values=values)
