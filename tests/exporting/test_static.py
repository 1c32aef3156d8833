"""Static int8: what ONNX Runtime makes of it, what it computes, and that a text's result is its own."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from liteft.exporting.blueprint import Blueprint
from liteft.exporting.builder import GraphBuilder
from liteft.exporting.calibration import calibrate_ranges
from liteft.exporting.precision import emit_linear, quantize_channels
from liteft.exporting.quantization import Int8Plan
from liteft.exporting.weights import read_weights
from liteft.exporting.wrapping import wrap_model
from liteft.finetuning.model import TorchClassifier
from liteft.form import ExportForm
from liteft.schemes import Range
from tests.exporting.conftest import random_texts

FORMS = [("bert", "cls"), ("bert", "mean"), ("roberta", "cls"), ("distilbert", "mean"), ("electra-projected", "cls")]
INTEGER_PRODUCTS = ("MatMulInteger", "MatMulIntegerToFloat", "QLinearMatMul", "DynamicQuantizeMatMul")


def static(loaded: TorchClassifier, **changes: Any) -> tuple[Blueprint, Int8Plan]:
    """Return the blueprint of a classifier, and a static quantization calibrated on random texts."""
    blueprint = Blueprint(loaded)
    encoded = loaded.tokenizer.encode(random_texts(60))
    ranges = calibrate_ranges(blueprint.flat("fp32"), blueprint.products, encoded, method="percentile")
    return blueprint, Int8Plan(ExportForm(scheme="static", **changes), ranges)


@pytest.mark.parametrize("flat", [True, False])
@pytest.mark.parametrize(("family", "pooling"), FORMS)
def test_onnxruntime_computes_every_product_in_integers_and_loses_no_fusion(
    family: str, pooling: str, flat: bool, workshop: Any, optimized: Any
) -> None:
    blueprint, quantization = static(workshop.loaded(family, pooling))
    kinds = Counter(node.op_type for node in optimized(blueprint.model("int8", quantization, flat=flat)).graph.node)
    assert kinds["MatMulIntegerToFloat"] == len(blueprint.products)
    assert kinds["DequantizeLinear"] == 0
    layers = 3
    placed = int(family == "roberta")
    assert kinds["SkipLayerNormalization"] == 2 * layers + placed
    assert kinds["BiasGelu"] == layers
    assert kinds["FusedMatMul"] == layers


def test_a_product_in_float_is_none_of_the_integers(workshop: Any, optimized: Any) -> None:
    blueprint, quantization = static(workshop.loaded("bert"))
    quantization = quantization.falling_back("layers.1.attention.output", "weight_only")
    quantization = quantization.falling_back("layers.0.feed_forward.outer", "float")
    kinds = Counter(node.op_type for node in optimized(blueprint.model("int8", quantization)).graph.node)
    assert sum(kinds[kind] for kind in INTEGER_PRODUCTS) == len(blueprint.products) - 2
    assert kinds["MatMulNBits"] == 0  # would quantize the activations after all


def test_what_a_static_product_computes_is_written_down(run_graph: Any) -> None:
    generator = np.random.default_rng(1)
    weight = generator.normal(0, 0.1, (12, 32)).astype(np.float32)
    bias = generator.normal(0, 0.1, 12).astype(np.float32)
    table = generator.normal(0.3, 1, (6, 32)).astype(np.float32)
    values = Range(-2.0, 2.5)  # some of the table lies outside

    builder = GraphBuilder()
    rows = builder.op("Gather", builder.weight("table", table), "input_ids", name="rows")
    quantization = Int8Plan(ExportForm(scheme="static"), {"layer": values})
    product = emit_linear(
        builder,
        rows,
        name="layer",
        weight=weight,
        bias=bias,
        precision="int8",
        output="logits",
        quantization=quantization,
    )
    model = builder.model(
        "one", inputs={"input_ids": ("texts", "tokens")}, output=product, shape=("texts", "tokens", 12)
    )
    found = run_graph(model, {"input_ids": np.arange(6).reshape(2, 3)}).reshape(6, 12)

    quantized, scales = quantize_channels(weight)
    step, zero = float(values.scale), int(values.zero_point)
    coarse = np.clip(np.round(table / values.scale) + zero, 0, 255) - zero
    expected = coarse @ quantized.T.astype(np.float64) * step * scales + bias
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    assert (np.abs(table) > 2.5).any()


def test_a_range_holds_zero_exactly_and_an_empty_one_divides_by_no_zero() -> None:
    assert Range(-1.0, 3.0).zero_point == 64
    assert Range(0.0, 2.55).scale == pytest.approx(0.01)
    assert (Range(0.0, 0.0).scale, Range(0.0, 0.0).zero_point) == (1, 0)


@pytest.mark.parametrize("flat", [True, False])
@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_a_neighbour_changes_no_bit_of_a_texts_result(
    pooling: str, flat: bool, workshop: Any, run_graph: Any, batch: Any
) -> None:
    """The neighbour's token is a thousand times as large as any that the calibration saw."""
    loaded = workshop.loaded("bert", pooling)
    outlier = 9
    blueprint, quantization = static(loaded)
    weights = read_weights(loaded)
    weights.tensors["embeddings.word.weight"][outlier] *= 1000
    blueprint._weights = weights
    model = blueprint.model("int8", quantization, flat=flat)
    feed = batch("full", 2, 20, pad=0)
    with_ordinary = run_graph(model, feed)
    feed["input_ids"][1] = outlier
    with_outlier = run_graph(model, feed)
    assert with_ordinary[0].tobytes() == with_outlier[0].tobytes()
    assert np.abs(with_ordinary[1] - with_outlier[1]).max() > 0.01
    alone = run_graph(model, {name: array[:1] for name, array in feed.items()})
    np.testing.assert_allclose(alone[0], with_outlier[0], atol=1e-2)  # the gate's own bound


@pytest.mark.parametrize("bits", [7, 8])
@pytest.mark.parametrize(("family", "pooling"), FORMS)
def test_static_int8_is_close_to_float(
    family: str, pooling: str, bits: Any, workshop: Any, run_graph: Any, batch: Any
) -> None:
    loaded = workshop.loaded(family, pooling)
    blueprint, quantization = static(loaded, weight_bits=bits)
    feed = batch("right", 40, 30, pad=loaded.config.pad_token_id)
    exact, near = run_graph(blueprint.flat("fp32"), feed), run_graph(blueprint.flat("int8", quantization), feed)
    spread = (exact - exact.mean(axis=0)).std()
    assert 0 < np.sqrt(((near - exact) ** 2).mean()) < 0.2 * spread


@pytest.mark.parametrize("scheme", ["per_row", "static"])
def test_products_of_7_bit_weights_fit_into_16_bits_in_pairs(scheme: Any, workshop: Any) -> None:
    blueprint, quantization = static(workshop.loaded("bert"), weight_bits=7)
    quantization = Int8Plan(ExportForm(scheme=scheme, weight_bits=7), quantization.ranges)
    matrices = {
        tensor.name: onnx.numpy_helper.to_array(tensor).astype(np.int64)
        for tensor in blueprint.flat("int8", quantization).graph.initializer
        if tensor.data_type == onnx.TensorProto.INT8 and not tensor.name.startswith("embeddings.")
    }
    assert len(matrices) == len(blueprint.products)
    pairs = [np.abs(array[0::2]) + np.abs(array[1::2]) for array in matrices.values()]
    assert max(255 * int(pair.max()) for pair in pairs) <= 2**15 - 1
    assert max(int(np.abs(array).max()) for array in matrices.values()) == 64


def test_the_wrapped_form_gives_the_bits_of_the_flat_one(workshop: Any, run_graph: Any, batch: Any) -> None:
    blueprint, quantization = static(workshop.loaded("bert", paired=True))
    quantization = quantization.falling_back("layers.0.attention.output", "weight_only")
    flat, wrapped = (blueprint.model("int8", quantization, flat=flat) for flat in (True, False))
    for kind in ("full", "right", "left", "holes"):
        feed = batch(kind, 4, 23, pad=0)
        assert run_graph(wrapped, feed).tobytes() == run_graph(flat, feed).tobytes()


def test_the_node_says_its_scheme_and_its_float_products(workshop: Any, tmp_path: Path) -> None:
    blueprint, quantization = static(workshop.loaded("bert"))
    kept = quantization.falling_back("layers.2.attention.query", "float")
    for chosen, names in ((quantization, None), (kept, "layers.2.attention.query")):
        (node,) = wrap_model(
            blueprint.flat("int8", chosen), read_weights(workshop.loaded("bert")).spec, "int8", chosen
        ).graph.node
        found = {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}
        assert found["int8_scheme"] == b"static"
        assert found.get("float_products") == (None if names is None else names.encode())
