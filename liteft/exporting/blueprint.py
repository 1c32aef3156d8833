"""A classifier's graph in any precision: built from its weights where they are known, else a traced graph rewritten."""

from __future__ import annotations

import numpy as np
import onnx

from liteft.errors import ModelError, option
from liteft.exporting import sizes
from liteft.exporting.builder import GraphBuilder
from liteft.exporting.graph import build_model, emit_classifier
from liteft.exporting.precision import Precision
from liteft.exporting.quantization import Quantization
from liteft.exporting.rewriting import find_products, store_half, store_int8
from liteft.exporting.traced import trace_model
from liteft.exporting.weights import EncoderWeights, read_weights
from liteft.exporting.wrapping import wrap_model
from liteft.finetuning.model import LoadedClassifier

__all__ = ["Blueprint"]

_HEAD = ("head.dense", "classifier")


class Blueprint:
    """Makes the graphs of one classifier.

    Args:
        loaded: the classifier.
        traced: trace it, since its graph cannot be built.

    Attributes:
        traced: as given.
        products: of an int8 graph, by name -> the value of the float graph that each multiplies. The head has none.
    """

    def __init__(self, loaded: LoadedClassifier, *, traced: bool) -> None:
        self._family, self._labels = loaded.config.model_type, len(loaded.settings.labels)
        self.traced = traced
        self._traced = trace_model(loaded) if traced else None
        self._weights: EncoderWeights | None = None if traced else read_weights(loaded)
        self.products = self._found_products()

    @property
    def positions(self) -> int | None:
        """Most tokens that there are positions for; None where the graph was traced."""
        if self._weights is None:
            return None
        before = self._weights.spec.position_padding_id  # positions up to the padding's are no token's
        return len(self._weights.tensors["embeddings.position.weight"]) - (0 if before is None else before + 1)

    @property
    def fits_as_float(self) -> bool:
        """Whether the float32 graph, which calibrating and blaming run, fits into one file."""
        if self._weights is None:
            return True  # it was traced, so it has been one
        return sum(tensor.nbytes for tensor in self._weights.tensors.values()) <= sizes.MOST_BYTES

    def flat(self, precision: Precision, quantization: Quantization | None = None) -> onnx.ModelProto:
        """Return the graph as standard nodes.

        Raises:
            ModelError: int8 was asked for, and no product can be.
        """
        if self._weights is not None:
            return build_model(self._weights, precision, quantization)
        assert self._traced is not None
        model = onnx.ModelProto()
        model.CopyFrom(self._traced)
        if precision == "fp16":
            store_half(model)
        elif precision == "int8":
            store_int8(model, labels=self._labels, quantization=quantization)
        return model

    def model(
        self, precision: Precision, quantization: Quantization | None = None, *, flat: bool = False
    ) -> onnx.ModelProto:
        """Return the checked graph for a file: one node where it is built and not asked to be flat.

        What is built is flat at first: inlining a wrapped one would rename its nodes and values.

        Raises:
            ModelError: int8 was asked for, and no product can be.
        """
        if precision == "int8" and not self.products:
            raise ModelError(
                f"the traced graph of a {self._family} has no products that int8 could take.",
                fix=option("precision", "fp16"),
            )
        model = self.flat(precision, quantization)
        if self._weights is not None and not flat:
            model = wrap_model(model, self._weights.spec, precision, quantization)
        onnx.checker.check_model(model, full_check=True)
        return model

    def _found_products(self) -> dict[str, str]:
        if self._traced is not None:
            return find_products(self._traced, labels=self._labels)
        found = {}
        for node in self._outline():
            name = node.input[1].removesuffix(".weight") if node.op_type == "MatMul" else ""
            if name and name != node.input[1] and name not in _HEAD:
                found[name] = node.input[0]
        return found

    def _outline(self) -> list[onnx.NodeProto]:
        """Return the nodes of the float graph without its weights, which may be more than one file can hold."""
        assert self._weights is not None
        builder = _Outline()
        names = ["input_ids", "attention_mask", *(["token_type_ids"] if self._weights.spec.typed else [])]
        emit_classifier(builder, self._weights, *names, precision="fp32")
        return builder.nodes


class _Outline(GraphBuilder):
    """Writes nodes, and keeps of the weights their types."""

    def weight(self, name: str, array: np.ndarray) -> str:
        """Return the name."""
        return super().weight(name, np.empty(0, dtype=array.dtype))
