"""The classifier on disk and in memory: round trips, transformers' own classes, padding, pooling."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from liteft.errors import ModelError
from liteft.finetuning.base import create_classifier
from liteft.finetuning.logits import pad_batch, predict_logits
from liteft.finetuning.model import (
    MeanPooledClassifier,
    TorchClassifier,
    load_classifier,
    save_classifier,
    uses_type_ids,
)
from tests.finetuning.conftest import FAMILIES, LABELS, make_dataset

Get = Callable[[str], Path]
TEXTS = make_dataset().test.texts


def create(folder: Path, pooling: str = "cls", **changes: Any) -> TorchClassifier:
    settings: dict[str, Any] = {
        "labels": LABELS,
        "task": "single_label",
        "pooling": pooling,
        "max_tokens": 16,
        "paired": False,
        **changes,
    }
    return create_classifier(folder, **settings)


def saved(loaded: TorchClassifier, folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    save_classifier(loaded.model, loaded.settings, loaded.path, folder)
    return folder


@pytest.mark.parametrize("pooling", ["cls", "mean"])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_saved_classifier_comes_back_with_equal_logits(base: Get, tmp_path: Path, family: str, pooling: str) -> None:
    made = create(base(family), pooling, truncation_side="left")
    back = load_classifier(saved(made, tmp_path / "model"))
    assert back.settings == made.settings
    assert back.settings.pooling == ("last" if family == "gpt2" else pooling)
    np.testing.assert_array_equal(predict_logits(back, TEXTS), predict_logits(made, TEXTS))


@pytest.mark.parametrize("family", FAMILIES)
def test_transformers_loads_a_saved_classifier_with_the_same_logits(base: Get, tmp_path: Path, family: str) -> None:
    made = create(base(family))
    folder = saved(made, tmp_path / "model")
    theirs, report = AutoModelForSequenceClassification.from_pretrained(folder, output_loading_info=True)
    assert not report["missing_keys"] and not report["unexpected_keys"]
    assert theirs.config.id2label == dict(enumerate(LABELS))
    batch = pad_batch(made.tokenizer.encode(TEXTS), range(len(TEXTS)), pad_id=0, types=uses_type_ids(made.config))
    with torch.no_grad():
        logits = theirs.eval()(**batch).logits.numpy()
    np.testing.assert_allclose(logits, predict_logits(made, TEXTS), atol=1e-5)


def test_transformers_own_tokenizer_gives_the_same_ids(base: Get, tmp_path: Path) -> None:
    made = create(base("bert"))
    folder = saved(made, tmp_path / "model")
    theirs = AutoTokenizer.from_pretrained(folder)
    theirs.backend_tokenizer.no_padding()
    ours = load_classifier(folder).tokenizer.encode(TEXTS[:4])
    assert [text.ids.tolist() for text in ours] == theirs(TEXTS[:4], truncation=True, max_length=16, padding=False)[
        "input_ids"
    ]


@pytest.mark.parametrize("pooling", ["cls", "mean"])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_text_alone_has_the_logits_it_has_in_a_padded_batch(base: Get, family: str, pooling: str) -> None:
    made = create(base(family), pooling)
    together = predict_logits(made, TEXTS, batch_size=len(TEXTS))
    alone = np.concatenate([predict_logits(made, [text]) for text in TEXTS])
    np.testing.assert_allclose(together, alone, atol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_an_empty_text_has_finite_logits(base: Get, family: str) -> None:
    made = create(base(family), "mean")
    assert np.isfinite(predict_logits(made, ["", TEXTS[0]])).all()


def test_logits_come_in_the_order_of_the_texts(base: Get) -> None:
    made = create(base("bert"))
    order = np.random.default_rng(0).permutation(len(TEXTS))
    shuffled = predict_logits(made, [TEXTS[row] for row in order], batch_size=4)
    np.testing.assert_allclose(shuffled, predict_logits(made, TEXTS, batch_size=4)[order], atol=1e-5)


def test_predicting_restores_the_models_mode(base: Get) -> None:
    made = create(base("bert"), dropout=0.5)
    for training in (True, False):
        made.model.train(training)
        predict_logits(made, TEXTS)
        assert made.model.training is training


def test_the_mean_is_over_real_tokens_only(base: Get) -> None:
    made = create(base("bert"), "mean")
    assert isinstance(made.model, MeanPooledClassifier)
    ids = made.tokenizer.encode(TEXTS[:1]).ids.astype(np.int64)[None]
    mask = torch.ones(ids.shape, dtype=torch.int64)
    with torch.no_grad():
        hidden = made.model.encoder(input_ids=torch.from_numpy(ids), attention_mask=mask).last_hidden_state
        expected = made.model.classifier(hidden[0].mean(0)).numpy()
    np.testing.assert_allclose(predict_logits(made, TEXTS[:1])[0], expected, atol=1e-5)


def test_bf16_prediction_is_close_to_float32_but_not_it(base: Get) -> None:
    made = create(base("bert"))
    exact, rough = predict_logits(made, TEXTS), predict_logits(made, TEXTS, bf16=True)
    assert rough.dtype == np.float32
    assert 0 < np.abs(exact - rough).max() < 0.1


def test_a_folder_without_config_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"is not a model folder: it has no config\.json"):
        load_classifier(tmp_path)


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"model_type": "no such family"}', "\0"])
def test_a_broken_config_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "config.json").write_text(content, encoding="utf-8")
    with pytest.raises(ModelError, match=r"config\.json cannot be used"):
        load_classifier(tmp_path)


def test_a_headless_base_is_no_classifier(base: Get) -> None:
    with pytest.raises(ModelError, match=r"not a classifier: its architecture is BertModel") as caught:
        load_classifier(base("bert"))
    assert any("liteft finetune --base" in hint for hint in caught.value.command_hints())


def test_pickled_weights_are_never_loaded(base: Get, tmp_path: Path) -> None:
    folder = saved(create(base("bert")), tmp_path / "model")
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="weights in other formats are never loaded"):
        load_classifier(folder)
    (folder / "manifest.json").write_text("{}")
    with pytest.raises(ModelError, match="is an artifact: it contains a graph, not weights that can be trained"):
        load_classifier(folder)


@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_truncated_weights_are_an_error_that_names_the_file(base: Get, tmp_path: Path, pooling: str) -> None:
    folder = saved(create(base("bert"), pooling), tmp_path / "model")
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(ModelError, match=r"model\.safetensors"):
        load_classifier(folder)


@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_a_missing_weight_is_an_error(base: Get, tmp_path: Path, pooling: str) -> None:
    folder = saved(create(base("bert"), pooling), tmp_path / "model")
    weights = load_file(folder / "model.safetensors")
    del weights["classifier.weight" if pooling == "cls" else "liteft_mean_pooled_classifier.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"classifier\.weight|Missing key"):
        load_classifier(folder)


def test_settings_that_do_not_fit_are_an_error(base: Get, tmp_path: Path) -> None:
    folder = saved(create(base("bert")), tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    config["liteft"]["colour"] = "red"
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match="the key 'liteft' does not fit"):
        load_classifier(folder)


def test_a_classifier_that_transformers_wrote_is_read(base: Get, tmp_path: Path) -> None:
    made = create(base("distilbert"))
    folder = saved(made, tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    del config["liteft"]
    (folder / "config.json").write_text(json.dumps(config))
    back = load_classifier(folder)
    assert (back.settings.labels, back.settings.task, back.settings.pooling) == (LABELS, "single_label", "cls")
    assert back.settings.max_tokens == 16 and back.cut_by == "the tokenizer's model_max_length"
    np.testing.assert_array_equal(predict_logits(back, TEXTS), predict_logits(made, TEXTS))


@pytest.mark.parametrize(("stated", "expected"), [(12, 12), (1e30, 40), (None, 40), ("long", 40)])
def test_a_foreign_tokenizer_s_length_counts_up_to_the_positions(
    base: Get, tmp_path: Path, stated: object, expected: int
) -> None:
    folder = saved(create(base("distilbert")), tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    del config["liteft"]
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "tokenizer_config.json").write_text(json.dumps({"model_max_length": stated}))
    assert load_classifier(folder).settings.max_tokens == expected


def test_a_model_folder_can_be_moved(base: Get, tmp_path: Path) -> None:
    made = create(base("roberta"))
    folder = saved(made, tmp_path / "model")
    moved = tmp_path / "elsewhere"
    shutil.move(folder, moved)
    np.testing.assert_array_equal(predict_logits(load_classifier(moved), TEXTS), predict_logits(made, TEXTS))
