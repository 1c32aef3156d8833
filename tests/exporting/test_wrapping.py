"""A built graph as one node: the file computes what the flat graph computes, and the node says what it is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.inliner
import onnxruntime
import pytest
from onnx import helper, numpy_helper

from liteft.encoder.operator import DOMAIN, KIND, VERSION, kind_of, with_defaults
from liteft.exporting.graph import build_model
from liteft.exporting.weights import EncoderWeights, read_weights
from liteft.exporting.wrapping import wrap_model
from liteft.runtime.encoder_file import read_classifier

PRECISIONS = ["fp32", "fp16", "int8"]
FORMS = [
    ("bert", "cls", False),
    ("bert", "mean", True),
    ("roberta", "cls", False),
    ("distilbert", "mean", False),
    ("electra-projected", "cls", True),
    ("roberta", "none", True),
]
MOST_CONSTANT_ELEMENTS = 4


def both_forms(weights: EncoderWeights, precision: Any) -> tuple[onnx.ModelProto, onnx.ModelProto]:
    """Return the flat model and the wrapped one."""
    flat = build_model(weights, precision)
    return flat, wrap_model(flat, weights.spec, precision)


def attributes_of(model: onnx.ModelProto) -> dict[str, Any]:
    """Return the attributes of a wrapped model's node, strings as strings."""
    (node,) = model.graph.node
    found = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
    return {name: value.decode() if isinstance(value, bytes) else value for name, value in found.items()}


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize(("family", "pooling", "paired"), FORMS)
def test_the_wrapped_form_gives_the_bits_of_the_flat_one(
    family: str, pooling: str, paired: bool, precision: str, workshop: Any, run_graph: Any, batch: Any
) -> None:
    loaded = workshop.loaded(family, pooling, paired=paired)
    flat, wrapped = both_forms(read_weights(loaded), precision)
    for kind in ("full", "right", "left", "holes"):
        feed = batch(kind, 4, 23, pad=loaded.config.pad_token_id)
        expected = run_graph(flat, feed)
        assert run_graph(wrapped, feed).tobytes() == expected.tobytes()
        assert expected.std() > 0.05


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize(("family", "pooling", "paired"), FORMS)
def test_onnx_accepts_the_function_and_infers_shapes_through_it(
    family: str, pooling: str, paired: bool, precision: str, workshop: Any
) -> None:
    _, wrapped = both_forms(read_weights(workshop.loaded(family, pooling, paired=paired, labels=7)), precision)
    onnx.checker.check_model(wrapped, full_check=True)
    wrapped.graph.output[0].type.tensor_type.ClearField("shape")
    inferred = onnx.shape_inference.infer_shapes(wrapped, check_type=True, strict_mode=True, data_prop=True)
    axes = inferred.graph.output[0].type.tensor_type.shape.dim
    rows = ["texts", "tokens"] if pooling == "none" else ["texts"]
    assert [axis.dim_param or axis.dim_value for axis in axes] == [*rows, 7]


@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_inliner_gives_a_model_that_runs_the_same(
    precision: str, workshop: Any, run_graph: Any, batch: Any
) -> None:
    flat, wrapped = both_forms(read_weights(workshop.loaded("bert", paired=True)), precision)
    inlined = onnx.inliner.inline_local_functions(wrapped)
    assert not inlined.functions
    assert {node.domain for node in inlined.graph.node} == {""}
    feed = batch("right", 3, 19, pad=0)
    assert run_graph(inlined, feed).tobytes() == run_graph(flat, feed).tobytes()


def test_the_main_graph_is_one_node_and_the_function_lists_its_own_operators(workshop: Any) -> None:
    flat, wrapped = both_forms(read_weights(workshop.loaded("bert")), "fp32")
    (node,), (function,) = wrapped.graph.node, wrapped.functions
    assert (node.domain, node.op_type) == (function.domain, function.name) == ("liteft", "EncoderClassifier")
    assert (DOMAIN, KIND, VERSION) == ("liteft", "EncoderClassifier", 1)
    assert [(entry.domain, entry.version) for entry in wrapped.opset_import] == [("", 20), ("liteft", 1)]
    assert [(entry.domain, entry.version) for entry in function.opset_import] == [("", 20)]
    assert list(node.input) == list(function.input)
    assert list(node.output) == list(function.output) == ["logits"]
    assert list(function.node) == list(flat.graph.node)
    assert wrapped.ir_version >= 8  # the first that knows functions


def test_a_classifier_of_tokens_is_a_node_of_its_own_name(workshop: Any) -> None:
    _, wrapped = both_forms(read_weights(workshop.loaded("bert", "none")), "fp32")
    (node,), (function,) = wrapped.graph.node, wrapped.functions
    assert node.op_type == function.name == kind_of("none") == "EncoderTokenClassifier"
    assert {kind_of("cls"), kind_of("mean")} == {KIND}
    assert [(entry.domain, entry.version) for entry in wrapped.opset_import] == [("", 20), ("liteft", 1)]


@pytest.mark.parametrize(
    ("family", "pooling", "keywords", "precision", "expected"),
    [
        ("bert", "cls", {}, "fp32", ("gelu", "cls", "tanh", -1, "none")),
        ("bert", "mean", {"hidden_act": "gelu_new"}, "fp16", ("gelu_tanh", "mean", "none", -1, "none")),
        ("roberta", "none", {}, "fp32", ("gelu", "none", "none", 1, "none")),
        ("minilm", "cls", {"hidden_act": "silu"}, "int8", ("silu", "cls", "tanh", -1, "per_row")),
        ("distilbert", "cls", {"activation": "relu"}, "fp32", ("relu", "cls", "relu", -1, "none")),
        ("roberta", "cls", {}, "int8", ("gelu", "cls", "tanh", 1, "per_row")),
        ("electra", "cls", {}, "fp32", ("gelu", "cls", "gelu", -1, "none")),
    ],
)
def test_the_attributes_say_what_the_body_computes(
    family: str, pooling: str, keywords: Any, precision: str, expected: tuple[Any, ...], workshop: Any
) -> None:
    weights = read_weights(workshop.loaded(family, pooling, **keywords))
    _, wrapped = both_forms(weights, precision)
    written = attributes_of(wrapped)
    found = with_defaults(written)
    names = ("activation", "pooling", "head", "position_padding_id", "int8_scheme")
    assert tuple(found[name] for name in names) == expected
    assert (found["layers"], found["heads"]) == (weights.spec.layers, weights.spec.heads)
    assert found["epsilon"] == np.float32(weights.spec.epsilon)
    assert str(found["inputs"]).split(" ") == list(wrapped.graph.node[0].input)
    assert sorted(wrapped.functions[0].attribute) == sorted(written)


def test_inputs_are_ids_mask_types_and_the_weights_as_the_body_asks_for_them(workshop: Any) -> None:
    weights = read_weights(workshop.loaded("bert", "cls", paired=True, num_hidden_layers=2))
    _, wrapped = both_forms(weights, "int8")

    def linear(name: str, *parts: str) -> list[str]:
        return [f"{name}.{part}" for part in parts or ("weight", "scale", "bias")]

    def norm(name: str) -> list[str]:
        return linear(name, "weight", "bias")

    def after_attention(name: str) -> list[str]:
        forward = f"{name}.feed_forward"
        names = [*linear(f"{name}.attention.output"), *norm(f"{name}.attention.norm")]
        return [*names, *linear(f"{forward}.inner"), *linear(f"{forward}.outer"), *norm(f"{forward}.norm")]

    tables = [linear(f"embeddings.{table}", "weight", "scale") for table in ("word", "position", "type")]
    assert list(wrapped.graph.node[0].input) == [
        *("input_ids", "attention_mask", "token_type_ids"),
        *(name for table in tables for name in table),
        *norm("embeddings.norm"),
        *linear("layers.0.attention.query_key_value"),
        *after_attention("layers.0"),
        *linear("layers.1.attention.query"),
        *linear("layers.1.attention.key_value"),
        *after_attention("layers.1"),
        *linear("head.dense", "weight", "bias"),
        *linear("classifier", "weight", "bias"),
    ]


@pytest.mark.parametrize("precision", PRECISIONS)
def test_weights_are_initializers_of_the_graph_and_none_hides_in_the_function(precision: str, workshop: Any) -> None:
    flat, wrapped = both_forms(read_weights(workshop.loaded("bert", "mean")), precision)
    assert list(wrapped.graph.initializer) == list(flat.graph.initializer)
    assert [tensor.name for tensor in wrapped.graph.initializer] == list(wrapped.graph.node[0].input)[2:]
    constants = [
        numpy_helper.to_array(node.attribute[0].t) for node in wrapped.functions[0].node if node.op_type == "Constant"
    ]
    assert constants
    assert max(array.size for array in constants) <= MOST_CONSTANT_ELEMENTS
    assert wrapped.ByteSize() < flat.ByteSize() + 12_000


@pytest.mark.parametrize("paired", [False, True])
def test_sessions_have_the_names_that_onnx_users_expect(paired: bool, workshop: Any) -> None:
    _, wrapped = both_forms(read_weights(workshop.loaded("bert", paired=paired)), "fp32")
    session = onnxruntime.InferenceSession(wrapped.SerializeToString(), providers=["CPUExecutionProvider"])
    types = ["token_type_ids"] if paired else []
    assert [value.name for value in session.get_inputs()] == ["input_ids", "attention_mask", *types]
    assert {value.type for value in session.get_inputs()} == {"tensor(int64)"}
    assert [(value.name, value.type, value.shape) for value in session.get_outputs()] == [
        ("logits", "tensor(float)", ["texts", 5])
    ]


@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_runtime_reads_the_nodes_weights_out_of_the_file(precision: str, workshop: Any, tmp_path: Path) -> None:
    weights = read_weights(workshop.loaded("roberta", "mean"))
    _, wrapped = both_forms(weights, precision)
    (tmp_path / "model.onnx").write_bytes(wrapped.SerializeToString(deterministic=True))
    stored = read_classifier(tmp_path / "model.onnx")
    assert stored.spec == replace(weights.spec, epsilon=float(np.float32(weights.spec.epsilon)))
    assert stored.int8_scheme == ("per_row" if precision == "int8" else "none")
    assert list(stored.weights) == [tensor.name for tensor in wrapped.graph.initializer]
    for tensor in wrapped.graph.initializer:
        expected = numpy_helper.to_array(tensor)
        np.testing.assert_array_equal(stored.weights[tensor.name], np.atleast_2d(expected))


def test_wrapping_leaves_the_flat_model_alone_and_gives_the_same_bytes_again(workshop: Any) -> None:
    weights = read_weights(workshop.loaded("bert"))
    flat = build_model(weights, "int8")
    before = flat.SerializeToString(deterministic=True)
    first, second = (wrap_model(flat, weights.spec, "int8").SerializeToString(deterministic=True) for _ in range(2))
    assert first == second
    assert flat.SerializeToString(deterministic=True) == before
