"""The built graph computes what transformers computes, in the operators it promises."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from liteft.encoder.families import BUILT
from liteft.encoder.spec import POOLINGS
from liteft.exporting.graph import build_model
from liteft.exporting.weights import read_weights
from liteft.finetuning.model import TorchClassifier

FAMILIES = [*BUILT, "minilm", "electra-projected"]
SHAPES = [(1, 1), (1, 7), (3, 17), (4, 64)]


def torch_logits(loaded: TorchClassifier, feed: dict[str, np.ndarray]) -> np.ndarray:
    """Return transformers' own logits; models without type ids get none."""
    known = {name: torch.from_numpy(array) for name, array in feed.items()}
    if not getattr(loaded.config, "type_vocab_size", 0):
        del known["token_type_ids"]
    with torch.inference_mode():
        return loaded.model(**known).logits.numpy()


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("family", FAMILIES)
def test_logits_equal_transformers(family: str, pooling: str, workshop: Any, run_graph: Any, batch: Any) -> None:
    paired = family != "distilbert"
    loaded = workshop.loaded(family, pooling, paired=paired)
    model = build_model(read_weights(loaded))
    seen = []
    for kind in ("full", "right", "left", "holes"):
        for texts, tokens in SHAPES:
            feed = batch(kind, texts, tokens, pad=loaded.config.pad_token_id, seed=tokens)
            expected = torch_logits(loaded, feed)
            seen.append(expected.reshape(-1, 5))
            np.testing.assert_allclose(run_graph(model, feed), expected, atol=1e-5, err_msg=f"{kind} {texts}x{tokens}")
    assert np.concatenate(seen).std() > 0.05


@pytest.mark.parametrize("activation", ["relu", "gelu_new", "gelu_pytorch_tanh", "silu"])
def test_activations_equal_transformers(activation: str, workshop: Any, run_graph: Any, batch: Any) -> None:
    loaded = workshop.loaded("bert", hidden_act=activation)
    feed = batch("right", 3, 20, pad=0, typed=False)
    np.testing.assert_allclose(
        run_graph(build_model(read_weights(loaded)), feed), torch_logits(loaded, feed), atol=1e-5
    )


@pytest.mark.parametrize("pooling", POOLINGS)
def test_a_text_alone_equals_the_text_in_a_padded_batch(
    pooling: str, workshop: Any, run_graph: Any, batch: Any
) -> None:
    model = build_model(read_weights(workshop.loaded("bert", pooling)))
    feed = batch("right", 5, 40, pad=0)
    together = run_graph(model, feed)
    for row in range(5):
        length = int(feed["attention_mask"][row].sum())
        alone = run_graph(model, {name: array[row : row + 1, :length] for name, array in feed.items()})
        np.testing.assert_allclose(alone[0], together[row, :length] if pooling == "none" else together[row], atol=1e-5)


def test_column_0_is_pooled_even_where_the_mask_hides_it(workshop: Any, run_graph: Any, batch: Any) -> None:
    loaded = workshop.loaded("bert")
    feed = batch("full", 2, 9, pad=0, typed=False)
    feed["attention_mask"][:, :3] = 0
    np.testing.assert_allclose(
        run_graph(build_model(read_weights(loaded)), feed), torch_logits(loaded, feed), atol=1e-5
    )


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
@pytest.mark.parametrize("pooling", POOLINGS)
def test_the_model_passes_the_full_check_with_standard_operators_only(
    pooling: str, precision: Any, workshop: Any
) -> None:
    model = build_model(read_weights(workshop.loaded("electra-projected", pooling, paired=True)), precision)
    onnx.checker.check_model(model, full_check=True)
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 20)]
    assert {node.domain for node in model.graph.node} == {""}
    assert not model.functions


def test_every_operator_stands_in_its_fused_form(workshop: Any) -> None:
    weights = read_weights(workshop.loaded("bert", "mean"))
    kinds = Counter(node.op_type for node in build_model(weights).graph.node)
    layers = weights.spec.layers
    assert kinds["LayerNormalization"] == 1 + 2 * layers
    assert kinds["Gelu"] == kinds["Softmax"] == kinds["Split"] == layers
    assert kinds["MatMul"] == 6 * layers + 2  # four weights and two attention products a layer; the mean; the head
    assert kinds["Shape"] == kinds["Concat"] == kinds["Expand"] == kinds["Pow"] == 0


def test_queries_keys_and_values_are_one_product_with_their_weights_side_by_side(workshop: Any) -> None:
    weights = read_weights(workshop.loaded("bert", "mean"))
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in build_model(weights).graph.initializer}
    merged = stored["layers.1.attention.query_key_value.weight"]
    width = weights.spec.width
    assert merged.shape == (width, 3 * width)
    for number, part in enumerate(("query", "key", "value")):
        expected = weights.tensors[f"layers.1.attention.{part}.weight"].T
        np.testing.assert_array_equal(merged[:, number * width : (number + 1) * width], expected)


def test_a_cls_model_computes_its_last_layer_for_column_0_only(workshop: Any) -> None:
    model = onnx.shape_inference.infer_shapes(build_model(read_weights(workshop.loaded("bert", "cls"))))
    shapes = {
        value.name: [axis.dim_param or axis.dim_value for axis in value.type.tensor_type.shape.dim]
        for value in model.graph.value_info
    }
    assert shapes["layers.1.feed_forward.inner"] == ["texts", "tokens", 128]
    assert shapes["layers.2.feed_forward.inner"] == ["texts", 1, 128]
    assert shapes["layers.2.attention.key_value"] == ["texts", "tokens", 128]


def test_a_classifier_of_tokens_computes_every_layer_for_every_token(workshop: Any) -> None:
    model = onnx.shape_inference.infer_shapes(build_model(read_weights(workshop.loaded("bert", "none", labels=7))))
    shapes = {
        value.name: [axis.dim_param or axis.dim_value for axis in value.type.tensor_type.shape.dim]
        for value in (*model.graph.value_info, *model.graph.output)
    }
    assert shapes["layers.2.feed_forward.inner"] == ["texts", "tokens", 128]
    assert shapes["logits"] == ["texts", "tokens", 7]
    assert "head.dense.weight" not in {tensor.name for tensor in model.graph.initializer}


def test_type_ids_are_an_input_only_where_pairs_need_them(workshop: Any) -> None:
    def inputs(**keywords: Any) -> list[str]:
        return [value.name for value in build_model(read_weights(workshop.loaded(**keywords))).graph.input]

    assert inputs(family="bert") == ["input_ids", "attention_mask"]
    assert inputs(family="bert", paired=True) == ["input_ids", "attention_mask", "token_type_ids"]
    assert inputs(family="roberta", paired=True, type_vocab_size=1) == ["input_ids", "attention_mask"]
    assert inputs(family="distilbert", paired=True) == ["input_ids", "attention_mask"]


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_the_same_weights_give_the_same_bytes(precision: Any, workshop: Any) -> None:
    weights = read_weights(workshop.loaded("roberta"))
    first, second = (build_model(weights, precision).SerializeToString(deterministic=True) for _ in range(2))
    assert first == second


def test_half_precision_storage_halves_the_file_and_stays_close(workshop: Any, run_graph: Any, batch: Any) -> None:
    weights = read_weights(workshop.loaded("bert"))
    full, half = build_model(weights), build_model(weights, "fp16")
    assert half.ByteSize() < 0.58 * full.ByteSize()
    feed = batch("right", 6, 30, pad=0)
    expected = run_graph(full, feed)
    assert 0 < np.abs(run_graph(half, feed) - expected).max() < 5e-3


def test_weights_beyond_half_precision_stay_in_single(workshop: Any, run_graph: Any, batch: Any) -> None:
    loaded = workshop.loaded("bert")
    with torch.no_grad():
        loaded.model.bert.embeddings.word_embeddings.weight[7, 0] = 1e5
    model = build_model(read_weights(loaded), "fp16")
    stored = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    assert stored["embeddings.word.weight"] == onnx.TensorProto.FLOAT
    assert stored["embeddings.position.weight"] == onnx.TensorProto.FLOAT16
    assert np.isfinite(run_graph(model, batch("full", 2, 8, pad=0))).all()
