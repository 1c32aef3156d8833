"""Architectures without a built graph go through torch.onnx.export, and come out the same."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from liteft.errors import ModelError
from liteft.exporting.calibration import calibrate_ranges
from liteft.exporting.quantization import Int8Plan
from liteft.exporting.rewriting import find_products, store_half, store_int8
from liteft.exporting.traced import trace_model
from liteft.finetuning.model import TorchClassifier
from liteft.form import ExportForm
from tests.cache import Cache
from tests.exporting.conftest import random_texts

LABELS = 3


@pytest.fixture(scope="module")
def gpt2(workshop: Any) -> TorchClassifier:
    """A tiny GPT-2 classifier that reads its last token."""
    return workshop.loaded("gpt2", "last", labels=LABELS)


@pytest.fixture(scope="module")
def traced(gpt2: TorchClassifier, cache: Cache) -> onnx.ModelProto:
    """Its traced graph, float32."""

    def write(folder: Path) -> None:
        folder.mkdir()
        onnx.save(trace_model(gpt2), folder / "model.onnx")

    return onnx.load(cache("traced-gpt2", write) / "model.onnx")


@pytest.fixture
def copied(traced: onnx.ModelProto) -> onnx.ModelProto:
    """A copy to be rewritten."""
    return onnx.ModelProto.FromString(traced.SerializeToString())


@pytest.fixture
def feed(batch: Any) -> dict[str, np.ndarray]:
    """Right-padded ids."""
    return batch("right", 4, 26, pad=0)


@pytest.fixture
def expected(gpt2: TorchClassifier, feed: dict[str, np.ndarray]) -> np.ndarray:
    """What torch says to them."""
    with torch.inference_mode():
        output = gpt2.model(
            input_ids=torch.from_numpy(feed["input_ids"]),
            attention_mask=torch.from_numpy(feed["attention_mask"]),
        )
    return output.logits.numpy()


def test_a_traced_decoder_equals_transformers(
    traced: onnx.ModelProto, feed: dict[str, np.ndarray], expected: np.ndarray, run_graph: Any
) -> None:
    onnx.checker.check_model(traced, full_check=True)
    np.testing.assert_allclose(run_graph(traced, feed), expected, atol=1e-5)
    row = {name: array[:1, : int(feed["attention_mask"][0].sum())] for name, array in feed.items()}
    np.testing.assert_allclose(run_graph(traced, row), expected[:1], atol=1e-5)


def test_a_traced_graph_says_nothing_about_the_machine_it_was_made_on(traced: onnx.ModelProto) -> None:
    content = traced.SerializeToString()
    assert b"site-packages" not in content
    assert b".py" not in content
    assert not any(node.metadata_props for node in traced.graph.node)


def test_half_storage_halves_a_traced_graph(
    traced: onnx.ModelProto, copied: onnx.ModelProto, feed: Any, expected: np.ndarray, run_graph: Any
) -> None:
    assert store_half(copied) > 0
    onnx.checker.check_model(copied, full_check=True)
    assert copied.ByteSize() < 0.6 * traced.ByteSize()
    assert 0 < np.abs(run_graph(copied, feed) - expected).max() < 1e-2


def test_rows_are_quantized_in_a_traced_graph(
    traced: onnx.ModelProto, copied: onnx.ModelProto, feed: Any, expected: np.ndarray, run_graph: Any
) -> None:
    layers = 2
    assert store_int8(copied, labels=LABELS) == 4 * layers
    onnx.checker.check_model(copied, full_check=True)
    kinds = Counter(node.op_type for node in copied.graph.node)
    assert kinds["MatMulInteger"] == 4 * layers
    assert copied.ByteSize() < 0.4 * traced.ByteSize()
    assert 0 < np.abs(run_graph(copied, feed) - expected).max() < 0.1 * expected.std() + 0.05


def test_a_traced_graph_is_made_static_as_a_built_one(
    gpt2: TorchClassifier, traced: onnx.ModelProto, copied: onnx.ModelProto, feed: Any, expected: np.ndarray,
    run_graph: Any, optimized: Any,
) -> None:  # fmt: skip
    products = find_products(traced, labels=LABELS)
    encoded = gpt2.tokenizer.encode(random_texts(60))
    ranges = calibrate_ranges(traced, products, encoded, method="percentile")
    quantization = Int8Plan(ExportForm(scheme="static"), ranges).falling_back(next(iter(products)), "weight_only")
    assert store_int8(copied, labels=LABELS, quantization=quantization) == len(products) - 1
    onnx.checker.check_model(copied, full_check=True)
    kinds = Counter(node.op_type for node in optimized(copied).graph.node)
    assert kinds["MatMulIntegerToFloat"] == len(products) - 1
    assert 0 < np.abs(run_graph(copied, feed) - expected).max() < 0.1 * expected.std() + 0.05


def test_a_neighbour_changes_no_bit_in_a_traced_int8_graph(copied: onnx.ModelProto, batch: Any, run_graph: Any) -> None:
    store_int8(copied, labels=LABELS)
    feed = batch("full", 2, 12, pad=0)
    before = run_graph(copied, feed)
    feed["input_ids"][1] = 5
    after = run_graph(copied, feed)
    assert before[0].tobytes() == after[0].tobytes()
    assert before[1].tobytes() != after[1].tobytes()


def test_what_torch_cannot_export_is_a_model_error(gpt2: TorchClassifier, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: Any, **keywords: Any) -> None:
        raise RuntimeError("no such operator\nand a page of details")

    monkeypatch.setattr(torch.onnx, "export", refuse)
    with pytest.raises(ModelError, match=r"cannot export a gpt2: no such operator\.\n") as caught:
        trace_model(gpt2)
    assert "a page of details" not in str(caught.value)


@pytest.fixture(scope="module")
def deberta(workshop: Any) -> tuple[TorchClassifier, onnx.ModelProto]:
    """A tiny DeBERTa-v2 classifier, whose relative positions are multiplied too, and its graph."""
    loaded = workshop.loaded(
        "deberta-v2", labels=LABELS, relative_attention=True, position_buckets=16, share_att_key=True,
        norm_rel_ebd="layer_norm", pos_att_type=["p2c", "c2p"], position_biased_input=False, type_vocab_size=0,
        max_relative_positions=-1, pooler_hidden_size=64, num_hidden_layers=1,
    )  # fmt: skip
    return loaded, trace_model(loaded)


@pytest.mark.parametrize("scheme", ["per_row", "static"])
def test_products_of_constants_are_not_waited_for_among_the_integer_products(
    deberta: tuple[TorchClassifier, onnx.ModelProto], scheme: Any, batch: Any, run_graph: Any, optimized: Any
) -> None:
    loaded, graph = deberta
    products, feed = find_products(graph, labels=LABELS), batch("right", 4, 26, pad=0)
    assert len(products) == 7  # six of the layer and the pooler's; of relative positions two more are folded
    ranges = calibrate_ranges(graph, products, loaded.tokenizer.encode(random_texts(60)), method="percentile")
    copied = onnx.ModelProto.FromString(graph.SerializeToString())
    count = store_int8(copied, labels=LABELS, quantization=Int8Plan(ExportForm(scheme=scheme), ranges))
    kinds = Counter(node.op_type for node in optimized(copied).graph.node)
    assert count == len(products) == kinds["MatMulIntegerToFloat"] + kinds["MatMulInteger"]
    exact = run_graph(graph, feed)
    assert 0 < np.abs(run_graph(copied, feed) - exact).max() < 0.1 * exact.std() + 0.05
