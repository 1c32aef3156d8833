"""What ONNX Runtime's optimizer makes of a built graph, flat or wrapped, counted in the file that it writes."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from liteft.exporting.graph import build_model
from liteft.exporting.weights import read_weights
from liteft.exporting.wrapping import wrap_model


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
@pytest.mark.parametrize("pooling", ["cls", "mean"])
@pytest.mark.parametrize("family", ["bert", "distilbert", "roberta", "electra-projected"])
def test_residuals_biases_and_scales_are_fused_in_every_layer(
    family: str, pooling: str, precision: Any, workshop: Any, optimized: Any
) -> None:
    weights = read_weights(workshop.loaded(family, pooling))
    flat = build_model(weights, precision)
    kinds = Counter(node.op_type for node in optimized(flat).graph.node)
    layers = weights.spec.layers
    placed = int(family == "roberta")  # its positions have the words' shape, so their sum is fused as well
    assert kinds["SkipLayerNormalization"] == 2 * layers + placed
    assert kinds["LayerNormalization"] == 1 - placed
    assert kinds["BiasGelu"] == layers
    assert kinds["FusedMatMul"] == layers  # the product of queries and keys takes the scale in
    assert kinds["Shape"] == kinds["Expand"] == kinds["Constant"] == 0
    wrapped = optimized(wrap_model(flat, weights.spec, precision))
    assert Counter(node.op_type for node in wrapped.graph.node) == kinds


def test_the_casts_of_stored_halves_are_folded_when_the_file_is_loaded(workshop: Any, optimized: Any) -> None:
    weights = read_weights(workshop.loaded("bert", "mean"))
    single, half = (
        Counter(node.op_type for node in optimized(build_model(weights, precision)).graph.node)
        for precision in ("fp32", "fp16")
    )
    assert half["Cast"] == single["Cast"] + 2  # of the rows that are looked up of two tables
    assert half["MatMul"] == single["MatMul"]
