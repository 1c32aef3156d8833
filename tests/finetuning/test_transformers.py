"""What LiteFT saves, loaded by the Auto classes of transformers: the same weights, ids and logits, or an error."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    AutoTokenizer,
    modeling_utils,
)

from liteft.data import Dataset
from liteft.errors import ModelError
from liteft.finetuning import finetune
from liteft.finetuning.base import create_classifier
from liteft.finetuning.calibration import calibrate
from liteft.finetuning.logits import predict_logits
from liteft.finetuning.model import TorchClassifier, load_classifier, save_classifier
from liteft.integrations.transformers import MeanPooledForSequenceClassification, rewrite_model
from liteft.recipes import TeacherRecipe
from liteft.report.parameters import safetensors_parameters
from tests.answered import question_split
from tests.finetuning.conftest import FAMILIES, LABELS, QUICK, make_dataset, make_multi, make_paired

Get = Callable[[str], Path]
TEXTS = [*make_dataset().test.texts, "w1 " * 40 + "red0", "", "RED0 unknown w3"]
TAGS = ("O", "B-x", "I-x")


def made(base: Path, pooling: str = "cls", task: str = "single_label", **changes: Any) -> TorchClassifier:
    settings = {"labels": LABELS, "max_tokens": 16, "paired": False, **changes}
    return create_classifier(base, task=task, pooling=pooling, **settings)  # type: ignore[arg-type]


def saved(loaded: TorchClassifier, folder: Path) -> Path:
    folder.mkdir()
    save_classifier(loaded.model, loaded.settings, loaded.path, folder)
    return folder


def asked(kind: Any, folder: Path, *texts: Any, **settings: Any) -> Any:
    """Return what a class of transformers answers, with its own tokenizer, and no weight missing or left over."""
    model, report = kind.from_pretrained(folder, output_loading_info=True, **settings)
    assert not report["missing_keys"] and not report["unexpected_keys"] and not report["mismatched_keys"]
    tokenizer = AutoTokenizer.from_pretrained(folder)
    with torch.no_grad():
        return model.eval()(**tokenizer(*texts, truncation=True, padding=True, return_tensors="pt"))


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_text_classifier_has_the_same_logits_from_text_on(base: Get, tmp_path: Path, family: str, side: str) -> None:
    loaded = made(base(family), truncation_side=side)
    texts = TEXTS if family != "gpt2" else [text for text in TEXTS if text]
    theirs = asked(AutoModelForSequenceClassification, saved(loaded, tmp_path / "model"), texts).logits
    np.testing.assert_allclose(theirs.numpy(), predict_logits(loaded, texts), atol=1e-5)


@pytest.mark.parametrize("pooling", ["cls", "mean"])
@pytest.mark.parametrize(("task", "labels"), [("multi_label", LABELS), ("scores", ("score",))])
def test_several_labels_and_scores_of_pairs_are_the_same(
    base: Get, tmp_path: Path, task: str, labels: tuple[str, ...], pooling: str
) -> None:
    loaded = made(base("bert"), pooling, task, labels=labels, paired=True)
    pairs = make_paired().test
    folder = saved(loaded, tmp_path / "model")
    theirs = asked(AutoModelForSequenceClassification, folder, pairs.texts, pairs.pairs, trust_remote_code=True).logits
    np.testing.assert_allclose(theirs.numpy(), predict_logits(loaded, pairs), atol=1e-5)
    found = AutoConfig.from_pretrained(folder)
    assert found.id2label == dict(enumerate(labels)) and found.problem_type == loaded.settings.task.problem_type


@pytest.mark.parametrize("family", ["bert", "distilbert", "roberta", "electra"])
def test_tags_of_words_are_those_of_their_first_tokens(base: Get, tmp_path: Path, family: str) -> None:
    loaded = made(base(family), "none", "tokens", labels=TAGS)
    folder, words = saved(loaded, tmp_path / "model"), ["red0", "w1", "w2", "blue3"]
    tokens = AutoTokenizer.from_pretrained(folder)(words, is_split_into_words=True, return_tensors="pt")
    with torch.no_grad():
        theirs = AutoModelForTokenClassification.from_pretrained(folder).eval()(**tokens).logits[0].numpy()
    firsts = [tokens.word_ids().index(word) for word in range(len(words))]
    np.testing.assert_allclose(theirs[firsts], predict_logits(loaded, [" ".join(words)])[0], atol=1e-5)


def test_answers_start_and_end_as_transformers_says(base: Get, tmp_path: Path) -> None:
    loaded = made(base("bert"), "none", "answers", labels=("start", "end"), paired=True, max_tokens=40)
    rows = question_split("test", 8, seed=0, words=(5, 12))
    folder = saved(loaded, tmp_path / "model")
    theirs = asked(AutoModelForQuestionAnswering, folder, rows.texts, rows.pairs)
    tokens = AutoTokenizer.from_pretrained(folder)(rows.texts, rows.pairs)
    for row, packed in enumerate(predict_logits(loaded, rows)):
        words = [place for place, kind in enumerate(tokens.sequence_ids(row)) if kind == 1]
        ends = np.stack([each[row, [0, *words]].numpy() for each in (theirs.start_logits, theirs.end_logits)], axis=1)
        np.testing.assert_allclose(ends, packed[:, :2], atol=1e-5)


@pytest.mark.parametrize("family", [family for family in FAMILIES if family != "gpt2"])
def test_the_encoder_of_a_mean_pooled_classifier_loads_with_every_weight(
    base: Get, tmp_path: Path, family: str
) -> None:
    loaded = made(base(family), "mean")
    folder = saved(loaded, tmp_path / "model")
    encoder, report = AutoModel.from_pretrained(folder, output_loading_info=True)
    assert not report["missing_keys"] and not report["mismatched_keys"]
    tokens = AutoTokenizer.from_pretrained(folder)(TEXTS, truncation=True, padding=True, return_tensors="pt")
    with torch.no_grad():
        hidden = encoder.eval()(**tokens).last_hidden_state
        own: Any = loaded.model.eval()
        torch.testing.assert_close(hidden, own.encoder(**tokens).last_hidden_state)
        mask = tokens["attention_mask"].unsqueeze(-1)
        logits = own.classifier((hidden * mask).sum(1) / mask.sum(1))
    np.testing.assert_allclose(logits.numpy(), predict_logits(loaded, TEXTS), atol=1e-5)


@pytest.mark.parametrize("family", [family for family in FAMILIES if family != "gpt2"])
def test_another_head_on_a_mean_pooled_classifier_is_refused_and_the_right_one_agrees(
    base: Get, tmp_path: Path, family: str
) -> None:
    loaded = made(base(family), "mean")
    folder = saved(loaded, tmp_path / "model")
    with pytest.raises(RuntimeError, match="ignore_mismatched_sizes"):
        AutoModelForSequenceClassification.from_pretrained(folder)
    expected = predict_logits(loaded, TEXTS)
    for kind, settings in (
        (AutoModelForSequenceClassification, {"trust_remote_code": True}),
        (MeanPooledForSequenceClassification, {}),
    ):
        theirs = asked(kind, folder, TEXTS, **settings).logits
        np.testing.assert_allclose(theirs.numpy(), expected, atol=1e-5)


def test_the_class_gives_hidden_states_and_refuses_a_folder_that_lacks_its_weights(base: Get, tmp_path: Path) -> None:
    loaded = made(base("bert"), "mean")
    model = MeanPooledForSequenceClassification.from_pretrained(saved(loaded, tmp_path / "mean"))
    tokens = AutoTokenizer.from_pretrained(tmp_path / "mean")(TEXTS[0], return_tensors="pt")
    with torch.no_grad():
        output = model(**tokens, output_hidden_states=True)
        plain = model.eval()(**tokens)
    assert len(output.hidden_states) == model.config.num_hidden_layers + 1 and plain.hidden_states is None
    with pytest.raises(ValueError, match="has no mean-pooled classifier of LiteFT"):
        MeanPooledForSequenceClassification.from_pretrained(saved(made(base("bert")), tmp_path / "cls"))


def test_transformers_says_what_a_mean_pooled_classifier_needs(
    base: Get, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr(modeling_utils.logger, "warning", told.append)
    with pytest.raises(RuntimeError):
        AutoModelForSequenceClassification.from_pretrained(saved(made(base("bert"), "mean"), tmp_path / "model"))
    assert "AutoModelForSequenceClassification needs trust_remote_code=True" in "".join(told)


def test_an_ordinary_classifier_of_the_family_still_gets_its_own_class(base: Get, tmp_path: Path) -> None:
    mean, plain = saved(made(base("bert"), "mean"), tmp_path / "mean"), saved(made(base("bert")), tmp_path / "cls")
    AutoModelForSequenceClassification.from_pretrained(mean, trust_remote_code=True)
    assert type(AutoModelForSequenceClassification.from_pretrained(plain)).__name__ == "BertForSequenceClassification"


def test_what_is_stored_for_transformers_alone_counts_as_no_parameter(base: Get, tmp_path: Path) -> None:
    loaded = made(base("bert"), "mean")
    folder = saved(loaded, tmp_path / "model")
    own = sum(parameter.numel() for parameter in loaded.model.parameters())
    assert safetensors_parameters(folder / "model.safetensors") == own


def test_the_same_mean_pooled_weights_are_stored_in_the_same_bytes(base: Get, tmp_path: Path) -> None:
    loaded = made(base("bert"), "mean")
    # Two metadata in a random order: that all of these agree by chance has odds of 1 in 2,000.
    stored = {saved(loaded, tmp_path / str(n)).joinpath("model.safetensors").read_bytes() for n in range(12)}
    assert len(stored) == 1


def test_a_mean_pooled_folder_of_an_earlier_version_loads_here_and_is_rewritten_for_transformers(
    base: Get, tmp_path: Path
) -> None:
    loaded = made(base("bert"), "mean")
    folder = saved(loaded, tmp_path / "old")
    config = json.loads((folder / "config.json").read_text())
    del config["auto_map"]
    config |= {"model_type": "liteft-mean-pooled", "encoder_type": "bert", "architectures": ["MeanPooledClassifier"]}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "modeling_mean_pooled.py").unlink()
    save_file(loaded.model.state_dict(), folder / "model.safetensors")
    expected = predict_logits(loaded, TEXTS)
    np.testing.assert_array_equal(predict_logits(load_classifier(folder), TEXTS), expected)
    new = rewrite_model(folder, tmp_path / "new")
    np.testing.assert_array_equal(predict_logits(load_classifier(new), TEXTS), expected)
    theirs = asked(AutoModelForSequenceClassification, new, TEXTS, trust_remote_code=True).logits
    np.testing.assert_allclose(theirs.numpy(), expected, atol=1e-5)
    with pytest.raises(ModelError, match="has something in it"):
        rewrite_model(folder, new)


@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_temperature_and_threshold_are_in_the_weights(base: Get, tmp_path: Path, pooling: str) -> None:
    loaded = made(base("bert"), pooling, "multi_label")
    before = predict_logits(loaded, TEXTS)
    split = make_multi(other=60).validation
    done = calibrate(loaded, split, TeacherRecipe(tune_threshold=True))
    assert done["temperature"] != 1.0 and done["threshold"] != 0.5
    folder = saved(loaded, tmp_path / "model")
    theirs = asked(AutoModelForSequenceClassification, folder, TEXTS, trust_remote_code=True).logits.numpy()
    shift = loaded.settings.threshold_shift
    np.testing.assert_allclose(theirs, before / done["temperature"] - shift, atol=1e-5)
    np.testing.assert_allclose(theirs, predict_logits(load_classifier(folder), TEXTS), atol=1e-5)


@pytest.mark.parametrize(("family", "pooling"), [("bert", "cls"), ("bert", "mean"), ("gpt2", "cls")])
def test_an_adapter_is_refused_alone_and_the_same_once_it_is_rewritten(
    base: Get, dataset: Dataset, tmp_path: Path, family: str, pooling: str
) -> None:
    pytest.importorskip("peft")
    settings = {**QUICK, "pooling": pooling, "lora_rank": 4, "epochs": 1}
    run = finetune(base(family), dataset, out=tmp_path / "run", **settings)
    for kind in (AutoModel, AutoModelForSequenceClassification):
        with pytest.raises((OSError, ValueError)):
            kind.from_pretrained(run.model_path)
    folder = rewrite_model(run.path, tmp_path / "plain")
    texts = dataset.test.texts
    theirs = asked(AutoModelForSequenceClassification, folder, texts, trust_remote_code=True).logits
    np.testing.assert_allclose(theirs.numpy(), run.predictions("test")[0], atol=1e-5)


@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_ids_length_and_side_are_those_of_transformers_tokenizer(base: Get, tmp_path: Path, pooling: str) -> None:
    loaded = made(base("bert"), pooling, truncation_side="left", max_tokens=9)
    theirs = AutoTokenizer.from_pretrained(saved(loaded, tmp_path / "model"))
    assert (theirs.model_max_length, theirs.truncation_side) == (9, "left")
    own = [text.ids.tolist() for text in loaded.tokenizer.encode(TEXTS)]
    assert own == theirs(TEXTS, truncation=True)["input_ids"]


def test_no_class_of_a_model_folder_is_run_by_liteft(base: Get, tmp_path: Path) -> None:
    folder = saved(made(base("bert"), "mean"), tmp_path / "model")
    (folder / "modeling_mean_pooled.py").write_text("raise SystemExit('the folder ran code')\n")
    copied = shutil.copytree(folder, tmp_path / "copy")
    again = finetune(copied, make_dataset(), out=tmp_path / "run", **QUICK, max_steps=1)
    assert load_classifier(copied).settings.pooling == "mean" and again.metrics
