"""Makes the ONNX graph of a classifier in any precision.

The graph is built from the weights if the architecture is one that LiteFT knows. Otherwise torch.onnx.export traces the
model, and the traced graph is rewritten to the precision.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
import onnx

from liteft.encoder.layout import layout
from liteft.encoder.operator import token_inputs
from liteft.errors import ModelError, option
from liteft.exporting import sizes
from liteft.exporting.builder import GraphBuilder
from liteft.exporting.graph import add_ends, build_model, emit_classifier
from liteft.exporting.quantization import Int8Plan
from liteft.exporting.rewriting import find_products, store_half, store_int8
from liteft.exporting.traced import trace_model
from liteft.exporting.weights import EncoderWeights, find_spec, read_weights
from liteft.exporting.wrapping import wrap_model
from liteft.finetuning.model import TorchClassifier
from liteft.form import Precision

__all__ = ["Blueprint"]


class Blueprint:
    """Makes the graphs of one classifier; weights are read, or the model traced, only when a graph is first needed.

    Args:
        loaded: the classifier.

    Attributes:
        trace_reason: why the graph has to be traced, in a few words; None if it is built from the weights.
    """

    def __init__(self, loaded: TorchClassifier) -> None:
        self._loaded = loaded
        found = find_spec(loaded)
        self._spec = None if isinstance(found, str) else found
        self.trace_reason = found if isinstance(found, str) else None

    @property
    def traced(self) -> bool:
        """Whether the graph is traced by torch rather than built from the weights."""
        return self._spec is None

    @cached_property
    def products(self) -> dict[str, str]:
        """The matmuls that an int8 graph quantizes: name -> the value of the float graph that is each one's input."""
        if self._spec is None:
            return find_products(self._trace, labels=self._labels)
        products = {slot.name for slot in layout(self._spec) if slot.kind == "linear" and slot.quantizable}
        read = {node.input[1]: node.input[0] for node in self._outline() if node.op_type == "MatMul"}
        named = {name.removesuffix(".weight"): value for name, value in read.items() if name.endswith(".weight")}
        return {name: value for name, value in named.items() if name in products}

    @property
    def positions(self) -> int | None:
        """How many tokens of a text have position embeddings; None if the graph is traced."""
        return None if self._spec is None else self._spec.max_tokens

    @property
    def fits_as_float(self) -> bool:
        """Whether the float32 graph, which calibration and sensitivity run, stays below protobuf's 2 GB."""
        if self._spec is None:
            return True  # tracing has already made that graph
        return sum(tensor.nbytes for tensor in self._weights.tensors.values()) <= sizes.MOST_BYTES

    def flat(self, precision: Precision, quantization: Int8Plan | None = None) -> onnx.ModelProto:
        """Return the graph in standard ONNX nodes.

        Args:
            precision: of its weights.
            quantization: which matmuls are int8, and how; None for all, per row.
        """
        if self._spec is not None:
            return build_model(self._weights, precision, quantization)
        model = onnx.ModelProto()
        model.CopyFrom(self._trace)
        if precision == "fp16":
            store_half(model)
        elif precision == "int8":
            store_int8(model, labels=self._labels, quantization=quantization)
        return model

    def model(
        self, precision: Precision, quantization: Int8Plan | None = None, *, flat: bool = False
    ) -> onnx.ModelProto:
        """Return the graph as it is written to the file, checked by onnx.

        Args:
            precision: of its weights.
            quantization: which matmuls are int8, and how; None for all, per row.
            flat: keep a built graph in standard nodes instead of wrapping it into one node.

        Raises:
            ModelError: the precision is int8, and the graph has no matmul that int8 can take.
        """
        if precision == "int8" and not self.products:
            raise ModelError(
                f"the traced graph of a {self._loaded.config.model_type} has no matmuls that int8 can take.",
                fix=option("precision", "fp16"),
            )
        model = self.flat(precision, quantization)
        if self._spec is not None and not flat:
            model = wrap_model(model, self._spec, precision, quantization)
        if self._loaded.settings.task.extractive:
            add_ends(model)
        onnx.checker.check_model(model, full_check=True)
        return model

    @cached_property
    def _trace(self) -> onnx.ModelProto:
        return trace_model(self._loaded)

    @cached_property
    def _weights(self) -> EncoderWeights:
        assert self._spec is not None
        return read_weights(self._loaded, self._spec)

    @property
    def _labels(self) -> int:
        return len(self._loaded.settings.labels)

    def _outline(self) -> list[onnx.NodeProto]:
        """Return the nodes of the float graph without its weights, which may exceed what one file can hold."""
        builder = _Outline()
        emit_classifier(builder, self._weights, *token_inputs(self._weights.spec), precision="fp32")
        return builder.nodes


class _Outline(GraphBuilder):
    """Writes nodes, and keeps only the dtype of each weight."""

    def weight(self, name: str, array: np.ndarray) -> str:
        """Keep an empty array of the weight's dtype, and return the name."""
        return super().weight(name, np.empty(0, dtype=array.dtype))
