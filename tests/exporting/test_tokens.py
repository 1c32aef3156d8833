"""Classifiers of tokens: logits are torch's at every real token, whichever way the graph is made and run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from transformers import AutoModelForTokenClassification, AutoTokenizer, pipeline

import liteft
from liteft.data import Split, load_dataset
from liteft.encoded import Encoded
from liteft.errors import ArtifactError
from liteft.exporting import export
from liteft.exporting.blueprint import Blueprint
from liteft.exporting.calibration import calibrate_ranges
from liteft.exporting.probes import run_probes
from liteft.exporting.quantization import Int8Plan
from liteft.exporting.rewriting import find_products, store_int8
from liteft.exporting.sensitivity import rank_products
from liteft.exporting.sessions import run_logits
from liteft.exporting.traced import trace_model
from liteft.finetuning.model import TorchClassifier, save_classifier
from liteft.finetuning.settings import ModelSettings
from liteft.form import ExportForm
from liteft.runtime import load
from liteft.runtime.native_engine import NativeEngine
from liteft.runtime.native_library import VARIABLE
from liteft.runtime.onnx_engine import OnnxEngine
from liteft.tasks import SINGLE_LABEL
from liteft.torch_module import native_module
from liteft.words import words_of_texts
from tests.exporting.conftest import Workshop, random_texts, write_unverified

CORPUS = Path(liteft.__file__).parent / "data" / "corpus"
LABELS = 5


@pytest.fixture(scope="module")
def loaded(workshop: Workshop) -> TorchClassifier:
    """A BERT of pairs that classifies tokens."""
    return workshop.loaded("bert", "none", paired=True, labels=LABELS)


@pytest.fixture(scope="module")
def traced(workshop: Workshop) -> tuple[TorchClassifier, onnx.ModelProto]:
    """A DeBERTa-v2, which is not built, and its traced graph."""
    made = workshop.loaded(
        "deberta-v2", "none", labels=LABELS, relative_attention=True, position_buckets=16, pos_att_type=["p2c", "c2p"],
        position_biased_input=False, type_vocab_size=0, max_relative_positions=-1, num_hidden_layers=2,
    )  # fmt: skip
    return made, trace_model(made)


@pytest.fixture
def native(built: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The native library, used for this test."""
    monkeypatch.setenv(VARIABLE, str(built / "libliteft.so"))
    return built


def by_torch(loaded: TorchClassifier, encoded: Encoded) -> np.ndarray:
    """Return torch's logits of all tokens, each text alone."""
    with torch.inference_mode():
        rows = [loaded.model(torch.from_numpy(text.ids.astype(np.int64))[None]).logits[0].numpy() for text in encoded]
    return np.concatenate(rows)


def test_the_classifier_is_transformers_own(loaded: TorchClassifier) -> None:
    assert type(loaded.model).__name__ == "BertForTokenClassification"
    blueprint = Blueprint(loaded)
    assert blueprint.trace_reason is None
    assert not {"head.dense", "classifier"} & set(blueprint.products)


def test_transformers_alone_gives_the_same_tags_and_spans_from_the_model_folder(
    workshop: Workshop, tmp_path: Path
) -> None:
    known = " ".join(load_dataset(CORPUS).test.texts[:30]).split()
    texts = [" ".join(known[start : start + 4]) for start in range(0, len(known), 4)]
    source = tmp_path / "model"
    source.mkdir()
    pieces = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    pieces.normalizer, pieces.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]"]
    pieces.train_from_iterator(texts, trainers.WordPieceTrainer(vocab_size=200, special_tokens=special))
    pieces.post_processor = processors.BertProcessing(("[SEP]", 2), ("[CLS]", 1))
    pieces.save(str(source / "tokenizer.json"))
    tags = ("O", "B-item", "I-item", "B-date", "I-date")
    own = workshop.model("bert", "none", labels=len(tags), vocab_size=pieces.get_vocab_size(), pad_token_id=0)
    save_classifier(own, ModelSettings(tags, "tokens", "none", 64, False), source, source)

    model, tokenizer = AutoModelForTokenClassification.from_pretrained(source), AutoTokenizer.from_pretrained(source)
    assert model.config.id2label == dict(enumerate(tags))
    tag = pipeline("token-classification", model=model, tokenizer=tokenizer, aggregation_strategy="first")
    split = Split("validation", texts, words=words_of_texts(texts))
    with load(export(source, tmp_path / "out", precision="fp32", verify=split).path, threads=1) as classifier:
        logits, found = classifier.logits(texts), classifier.predict(texts)
    legal = 0
    for text, ours, tagged in zip(texts, logits, found, strict=True):
        encoded = tokenizer(text, return_tensors="pt")
        with torch.inference_mode():
            rows = model(**encoded).logits[0].numpy()
        words = encoded.word_ids()
        first = [place for place, word in enumerate(words) if word is not None and word != words[place - 1]]
        np.testing.assert_allclose(ours, rows[first], atol=1e-4)
        if [tags[row.argmax()] for row in ours] == list(tagged.tags):  # else the pipeline has illegal ones
            legal += 1
            spans = tag(text)
            assert [(span["entity_group"], span["start"], span["end"]) for span in spans] == [
                (span.label, span.start, span.end) for span in tagged.spans
            ]
            assert [span["score"] for span in spans] == pytest.approx([span.score for span in tagged.spans], abs=1e-4)
    assert legal > len(texts) / 4


def test_a_traced_graph_is_right_at_every_real_token(
    traced: tuple[TorchClassifier, onnx.ModelProto], batch: Callable[..., dict[str, np.ndarray]], run_graph: Any
) -> None:
    loaded, graph = traced
    assert Blueprint(loaded).trace_reason is not None
    feed = batch("right", 4, 26, pad=0)
    with torch.inference_mode():
        known = (torch.from_numpy(feed[name]) for name in ("input_ids", "attention_mask"))
        expected = loaded.model(*known).logits.numpy()
    shown = feed["attention_mask"] == 1
    found = run_graph(graph, feed)
    assert found.shape == (4, 26, LABELS)
    np.testing.assert_allclose(found[shown], expected[shown], atol=1e-5)
    exact = found[shown]
    products = find_products(graph, labels=LABELS)
    assert len(products) == 6 * 2  # the classifier stays in float
    assert store_int8(graph, labels=LABELS) == len(products)
    assert 0 < np.abs(run_graph(graph, feed)[shown] - exact).max() < 0.1 * exact.std() + 0.05


def test_an_artifact_of_a_traced_graph_runs_on_onnxruntime(
    traced: tuple[TorchClassifier, onnx.ModelProto], tmp_path: Path
) -> None:
    artifact = write_unverified(traced[0], tmp_path / "out")
    assert artifact.manifest.graph == "traced"
    found = run_probes(traced[0], OnnxEngine(artifact, device="cpu", threads=1))
    assert found.reference_difference < 1e-4 and found.batch_difference < 1e-4


@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert", "electra-projected"])
def test_probes_compare_every_token(family: str, workshop: Workshop, native: Path, tmp_path: Path) -> None:
    loaded = workshop.loaded(family, "none", labels=LABELS)
    artifact = write_unverified(loaded, tmp_path / "out")
    for engine, allowed in (
        (OnnxEngine(artifact, device="cpu", threads=1), 1e-4),
        (NativeEngine(artifact, threads=2), 0),
    ):
        found = run_probes(loaded, engine)
        assert found.lengths[0] == 1 and found.lengths[-1] == loaded.settings.max_tokens
        assert found.reference_difference < 1e-4
        assert found.batch_difference <= allowed
    with torch.no_grad():
        loaded.model.classifier.bias[3] += 0.5
    assert run_probes(loaded, engine).reference_difference > 0.4


def test_logits_of_a_graph_in_memory_are_in_the_order_of_the_tokens(loaded: TorchClassifier) -> None:
    encoded = loaded.tokenizer.encode(random_texts(40))
    found = run_logits(Blueprint(loaded).flat("fp32"), encoded)
    assert found.shape == (len(encoded.ids), LABELS)
    np.testing.assert_allclose(found, by_torch(loaded, encoded), atol=1e-5)


def test_static_int8_is_calibrated_and_layers_are_ranked_by_the_rows_that_are_judged(loaded: TorchClassifier) -> None:
    encoded = loaded.tokenizer.encode(random_texts(30))
    blueprint, form = Blueprint(loaded), ExportForm(scheme="static")
    ranges = calibrate_ranges(blueprint.flat("fp32"), blueprint.products, encoded, method="percentile")
    assert set(ranges) == set(blueprint.products)
    plan, judged, inner = Int8Plan(form, ranges), [], ~np.isin(encoded.ids, encoded.ids[[0, -1]])

    def inner_tokens(logits: np.ndarray) -> np.ndarray:
        judged.append(len(logits))
        return logits[inner]

    effects = rank_products(blueprint, plan, encoded, SINGLE_LABEL, judged=inner_tokens)
    assert {effect.product for effect in effects} == set(blueprint.products)
    assert set(judged) == {len(encoded.ids)} and all(effect.divergence > 0 for effect in effects)


@pytest.mark.parametrize("form", [ExportForm("fp32", flat=True), ExportForm("int8", target="edge"), ExportForm("fp16")])
def test_every_layout_gives_the_logits_of_tokens(form: ExportForm, loaded: TorchClassifier, tmp_path: Path) -> None:
    artifact = write_unverified(loaded, tmp_path / "out", form)
    assert artifact.manifest.one_node == (not form.flat)
    encoded = loaded.tokenizer.encode(random_texts(20))
    found = OnnxEngine(artifact, device="cpu", threads=1).run(encoded)
    expected = by_torch(loaded, encoded)
    assert np.abs(found - expected).max() < (0.1 * expected.std() + 0.05 if form.precision == "int8" else 5e-3)


@pytest.mark.parametrize("kind", ["full", "right", "left", "holes"])
def test_as_a_torch_module_it_gives_a_rectangle_with_zeros_at_the_padding(
    kind: str, loaded: TorchClassifier, native: Path, batch: Callable[..., dict[str, np.ndarray]], tmp_path: Path
) -> None:
    module = native_module(write_unverified(loaded, tmp_path / "out").path)
    feed = {name: torch.from_numpy(array) for name, array in batch(kind, 7, 20, pad=0).items()}
    with torch.inference_mode():
        expected = loaded.model(**feed).logits
    found, shown = module(**feed), feed["attention_mask"] == 1
    assert found.shape == (7, 20, LABELS)
    assert (found[shown] - expected[shown]).abs().max() < 1e-4
    assert not found[~shown].any()


def test_a_manifest_of_another_pooling_is_refused(loaded: TorchClassifier, native: Path, tmp_path: Path) -> None:
    artifact = write_unverified(loaded, tmp_path / "out", pooling="mean")
    with pytest.raises(ArtifactError, match="has other pooling than its manifest"):
        NativeEngine(artifact, threads=1)
    with pytest.raises(ArtifactError, match=r"has no output logits of shape \(texts, 5\)"):
        OnnxEngine(artifact, device="cpu", threads=1)


def test_a_graph_that_pools_is_refused_where_the_manifest_says_tokens(
    workshop: Workshop, native: Path, tmp_path: Path
) -> None:
    artifact = write_unverified(workshop.loaded("bert", "mean", labels=LABELS), tmp_path / "out", pooling="none")
    with pytest.raises(ArtifactError, match="has other pooling than its manifest"):
        NativeEngine(artifact, threads=1)
    with pytest.raises(ArtifactError, match=r"has no output logits of shape \(texts, tokens, 5\)"):
        OnnxEngine(artifact, device="cpu", threads=1)
