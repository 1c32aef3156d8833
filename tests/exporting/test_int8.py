"""int8 products with a scale a row: everywhere, exact to the scheme; and a text's result is its own."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import onnx
import pytest

from liteft.exporting.builder import GraphBuilder
from liteft.exporting.graph import build_model
from liteft.exporting.precision import emit_linear, quantize_channels
from liteft.exporting.weights import read_weights


def test_channels_are_quantized_to_half_a_step() -> None:
    weight = np.random.default_rng(0).normal(0, [[0.01], [1], [100]], (3, 50)).astype(np.float32)
    quantized, scales = quantize_channels(weight)
    assert quantized.dtype == np.int8
    assert scales.shape == (3,)
    assert (np.abs(quantized).max(axis=1) == 127).all()
    assert (np.abs(quantized * scales[:, None] - weight) <= scales[:, None] * 0.5001).all()


def test_a_channel_of_zeros_stays_zero() -> None:
    quantized, scales = quantize_channels(np.zeros((2, 4), dtype=np.float32))
    assert not quantized.any()
    assert (scales > 0).all()


def test_every_row_is_multiplied_with_its_own_scale(run_graph: Any) -> None:
    """Rows a million times apart: a scale shared by rows, as a wrong fusion would have it, cannot pass."""
    generator = np.random.default_rng(1)
    weight = generator.normal(0, 0.1, (12, 32)).astype(np.float32)
    bias = generator.normal(0, 0.1, 12).astype(np.float32)
    rows = np.array([1e-3, 1, 50, 1e3, 0, 7], dtype=np.float32)
    table = rows[:, None] * generator.normal(0, 1, (6, 32)).astype(np.float32)

    builder = GraphBuilder()
    looked_up = builder.op("Gather", builder.weight("table", table), "input_ids", name="rows")
    product = emit_linear(builder, looked_up, name="layer", weight=weight, bias=bias, precision="int8", output="logits")
    model = builder.model(
        "one_layer", inputs={"input_ids": ("texts", "tokens")}, output=product, shape=("texts", "tokens", 12)
    )
    found = run_graph(model, {"input_ids": np.arange(6).reshape(2, 3)})

    quantized, scales = quantize_channels(weight)
    steps = np.maximum(np.abs(table).max(axis=1, keepdims=True) / 127, 1e-30)
    expected = np.round(table / steps) @ quantized.T.astype(np.float64) * steps * scales + bias
    np.testing.assert_allclose(found.reshape(6, 12), expected, rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("family", "pooling", "extra"),
    [("bert", "mean", 0), ("bert", "cls", 1), ("electra-projected", "mean", 1)],
)
def test_every_product_of_the_encoder_is_int8(family: str, pooling: str, extra: int, workshop: Any) -> None:
    weights = read_weights(workshop.loaded(family, pooling))
    model = build_model(weights, "int8")
    kinds = Counter(node.op_type for node in model.graph.node)
    layers = weights.spec.layers
    # four a layer; one more where the last layer's queries are apart, or ELECTRA projects
    assert kinds["MatMulInteger"] == 4 * layers + extra
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    floats = [node.input[1] for node in model.graph.node if node.op_type == "MatMul" and node.input[1] in constants]
    assert floats == (["classifier.weight"] if pooling == "mean" else ["head.dense.weight", "classifier.weight"])
    products = [node for node in model.graph.node if node.op_type == "MatMulInteger"]
    assert {constants[node.input[1]].data_type for node in products} == {onnx.TensorProto.INT8}
    tables = [
        name
        for name in constants
        if name.startswith("embeddings.") and constants[name].data_type == onnx.TensorProto.INT8
    ]
    assert {"embeddings.word.weight", "embeddings.position.weight"} <= set(tables)


@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_a_neighbour_changes_no_bit_of_a_texts_result(pooling: str, workshop: Any, run_graph: Any, batch: Any) -> None:
    loaded = workshop.loaded("bert", pooling)
    outlier = 9
    weights = read_weights(loaded)
    weights.tensors["embeddings.word.weight"][outlier] *= 1000
    model = build_model(weights, "int8")
    feed = batch("full", 2, 20, pad=0)
    with_ordinary = run_graph(model, feed)
    feed["input_ids"][1] = outlier
    with_outlier = run_graph(model, feed)
    assert with_ordinary[0].tobytes() == with_outlier[0].tobytes()
    assert np.abs(with_ordinary[1] - with_outlier[1]).max() > 0.01


@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_int8_is_close_to_float(pooling: str, workshop: Any, run_graph: Any, batch: Any) -> None:
    weights = read_weights(workshop.loaded("bert", pooling))
    feed = batch("right", 40, 30, pad=0)
    exact, near = run_graph(build_model(weights), feed), run_graph(build_model(weights, "int8"), feed)
    spread = (exact - exact.mean(axis=0)).std()
    assert np.sqrt(((near - exact) ** 2).mean()) < 0.05 * spread


def test_a_text_of_zeros_divides_by_no_zero(run_graph: Any) -> None:
    builder = GraphBuilder()
    table = builder.op("Gather", builder.weight("table", np.zeros((2, 4), dtype=np.float32)), "input_ids", name="rows")
    weight, bias = np.ones((3, 4), dtype=np.float32), np.arange(3, dtype=np.float32)
    product = emit_linear(builder, table, name="layer", weight=weight, bias=bias, precision="int8", output="logits")
    model = builder.model("zeros", inputs={"input_ids": ("texts",)}, output=product, shape=("texts", 3))
    np.testing.assert_array_equal(run_graph(model, {"input_ids": np.array([0])}), bias[None])
