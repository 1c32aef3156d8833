"""How the weights of linear layers are stored and multiplied: float32, float16 on disk, or int8.

float32 is the model as it was trained. float16 halves the file: matrices and embedding tables are stored in half
precision and cast to float32 where they are used; all arithmetic is float32. ONNX Runtime does the casts of matrices
once, when it loads the file, and casts only the rows that are looked up in tables. So float16 saves disk and download,
a little memory and no time.

int8 quantizes the weights and the activations of every matmul in the encoder, as `quantization` says. A weight matrix
has one symmetric scale for each output channel; a scheme decides how activations are rounded (`liteft.schemes`). A
matmul with only its weights in int8 is written with Cast and Mul, which ONNX Runtime folds when it loads the file, and
then computes in float. DequantizeLinear would not do: ONNX Runtime 1.32 turns it into MatMulNBits, which quantizes the
activations after all. Embedding tables are in `tables`.

On processors with AVX2 or AVX-512 but without VNNI, ONNX Runtime adds pairs of 8-bit products in 16 bits, which can
saturate. Simulated on a MiniLM-L6, 3 pairs in 100,000 did, and the error of the logits grew by a third. LiteFT's own
sessions set ``session.x64quantprecision`` to 1 there, which is exact, but slower. 7-bit weights are also exact,
coarser, and as fast.
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
    """Quantize a matrix to int8 with one symmetric scale per row.

    Args:
        weight: float32, shape (rows, width); a row is an output channel, or a row of an embedding table.
        largest: the largest absolute value to use; 64 for 7-bit weights.

    Returns:
        The values, int8, shape (rows, width), between -largest and largest; and the scales, float32, shape (rows,), all
        positive.
    """
    quantized = np.empty(weight.shape, dtype=np.int8)
    scales = np.empty(len(weight), dtype=np.float32)
    for rows in row_blocks(weight):
        found = np.abs(weight[rows]).max(axis=1) / np.float32(largest)
        scales[rows] = np.where(found > 0, found, 1)
        quantized[rows] = np.clip(np.round(weight[rows] / scales[rows, None]), -largest, largest)
    return quantized, scales


def row_blocks(weight: np.ndarray) -> Iterator[slice]:
    """Yield slices of a matrix's rows with about four million values each.

    A large embedding table may leave no memory for a copy of the whole of it.
    """
    step = max(1, _BLOCK // max(1, weight.shape[1]))
    for start in range(0, len(weight), step):
        yield slice(start, start + step)


def to_half(weight: np.ndarray) -> np.ndarray:
    """Return a float32 array as float16 if all its values fit, and the array itself if not."""
    fits = weight.size == 0 or (weight.max() <= _HALF_MAX and weight.min() >= -_HALF_MAX)
    return weight.astype(np.float16) if fits else weight


def emit_stored(builder: GraphBuilder, name: str, array: np.ndarray, precision: Precision) -> str:
    """Add a float array as a weight, in float16 if the precision is fp16, and return the name of its float32 value."""
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
    """Write a linear layer, x W^T + b, and return the name of its result.

    Args:
        builder: collects the nodes.
        x: name of a float32 value, shape (..., inputs).
        name: of the layer; its weights become ``name.weight`` and ``name.bias`` (and ``name.scale``).
        weight: float32, shape (outputs, inputs); stored transposed.
        bias: float32, shape (outputs,).
        precision: "int8" quantizes the matmul.
        output: name of the result.
        quantization: which matmuls are int8, and how; None for all, per row.
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
    """Write the matmul of x with an int8 matrix, and return the name of its float32 result.

    Args:
        builder: collects the nodes.
        x: name of a float32 value, shape (..., inputs).
        weight: name of an int8 value, shape (inputs, outputs).
        scale: name of a float32 value, shape (outputs,).
        name: prefix of the nodes' names.
        product: the matmul's name in the plan, whose storage for it must not be "float".
        quantization: the plan, with the scheme and whether this matmul is computed in float.
    """
    if quantization.storage(product) == "weight_only":
        whole = builder.op("Cast", weight, name=f"{name}.whole", to=TensorProto.FLOAT)
        return builder.op("MatMul", x, builder.op("Mul", whole, scale, name=f"{name}.float"), name=f"{name}.product")
    values = quantization.ranges[product] if quantization.calibrated else None
    return SCHEMES[quantization.scheme].emit(builder, x, weight, scale, name=name, values=values)
