"""The stored tensors of a model: their bytes, and the part of the classifier they belong to, judged by their names."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

import onnx

from liteft.encoder.modules import HEAD_MODULES
from liteft.inspection.nodes import Node
from liteft.inspection.result import Kind, Tensor

__all__ = ["kind_of", "read_tensors", "type_name"]

# The first match counts: a norm in a layer's attention is a norm, a projection in it is attention. The names are those
# of LiteFT's built graphs, and of transformers' encoders, which traced graphs keep.
_KINDS: tuple[tuple[Kind, re.Pattern[str]], ...] = (
    ("norms", re.compile(r"(^|[._/])(norm|layer_?norm|ln_?\w*)([._/]|$)", re.IGNORECASE)),
    ("embeddings", re.compile(r"embed|(^|[._/])w[tp]e([._/]|$)", re.IGNORECASE)),
    ("head", re.compile(rf"(^|[._/])({'|'.join(HEAD_MODULES)}|pooling|head)([._/]|$)", re.IGNORECASE)),
    ("attention", re.compile(r"attention|attn|(^|[._/])(query|key|value|[qkv]_lin|out_lin)([._/]|$)", re.IGNORECASE)),
    (
        "feed-forward",
        re.compile(r"feed_forward|intermediate|ffn|(^|[._/])(mlp|output|lin[12]|fc[12]|dense)([._/]|$)", re.IGNORECASE),
    ),
)
_BITS = {"BOOL": 8, "UINT4": 4, "INT4": 4, "FLOAT4E2M1": 4, "UINT2": 2, "INT2": 2}


def read_tensors(model: onnx.ModelProto, nodes: Iterable[Node]) -> list[Tensor]:
    """Return the initializers and the constants of a model, the largest first.

    Args:
        model: the model, with or without its tensors' data.
        nodes: all of its nodes; a tensor whose name does not tell its kind has the kind of the node that reads it.
    """
    readers: dict[str, str] = {}
    constants: list[onnx.TensorProto] = []
    for node in nodes:
        for value in node.inputs:
            readers.setdefault(value, node.name)
        if node.constant is not None:
            named = onnx.TensorProto()
            named.CopyFrom(node.constant)
            named.name = node.name
            constants.append(named)
    found = [
        Tensor(
            name=tensor.name,
            kind=_kind(tensor.name, readers),
            dtype=type_name(tensor.data_type),
            shape=tuple(tensor.dims),
            bytes=_bytes(tensor),
        )
        for tensor in [*model.graph.initializer, *constants]
    ]
    return sorted(found, key=lambda tensor: (-tensor.bytes, tensor.name))


def kind_of(name: str) -> Kind:
    """Return the part of an encoder classifier that a name belongs to; "rest" if the name does not tell."""
    return next((kind for kind, pattern in _KINDS if pattern.search(name)), "rest")


def type_name(number: int) -> str:
    """Return ONNX's name of a data type in lower case, such as "int8"."""
    return str(onnx.TensorProto.DataType.Name(number)).lower()


def _kind(name: str, readers: dict[str, str]) -> Kind:
    kind = kind_of(name)
    return kind_of(readers.get(name, "")) if kind == "rest" else kind


def _bytes(tensor: onnx.TensorProto) -> int:
    """Return the bytes of a tensor's values, in the file or outside."""
    if tensor.data_type == onnx.TensorProto.STRING:
        return sum(len(value) for value in tensor.string_data)
    name = onnx.TensorProto.DataType.Name(tensor.data_type)
    bits = _BITS.get(name) or 8 * int(onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize)
    return -(-int(math.prod(tensor.dims)) * bits // 8)
