"""Artifacts in pipelines of transformers: labels and scores of ``predict``, logits of torch, errors that help."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from transformers import (
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    AutoTokenizer,
    pipeline,
)
from transformers.pipelines import base as pipelines_base

import liteft
from liteft import files
from liteft.errors import ConfigError, InputError, MissingExtraError, ModelError
from liteft.form import ExportForm
from liteft.integrations.optimum import (
    LiteftModelForQuestionAnswering,
    LiteftModelForSequenceClassification,
    LiteftModelForTokenClassification,
)
from liteft.runtime.native_library import VARIABLE
from tests.answered import made_artifact, made_teacher, questions
from tests.cache import Cache
from tests.exporting.conftest import Workshop, random_texts, write_unverified

Made = Callable[..., tuple[Path, Path]]
TEXTS = random_texts(20)
PAIRS = random_texts(20, seed=1)
KINDS: dict[str, dict[str, Any]] = {
    "one of five": {},
    "the mean, in DistilBERT": {"family": "distilbert", "pooling": "mean"},
    "several": {"task": "multi_label"},
    "pairs": {"paired": True},
    "RoBERTa": {"family": "roberta"},
}


@pytest.fixture(autouse=True)
def native(built: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The native library, used for this test."""
    monkeypatch.setenv(VARIABLE, str(built / "libliteft.so"))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A function that returns a tiny model's folder, and that of its artifact."""
    workshop = Workshop(tmp_path_factory.mktemp("models"))
    done: dict[str, tuple[Path, Path]] = {}

    def get(form: ExportForm | None = None, changes: dict[str, Any] | None = None, **model: Any) -> tuple[Path, Path]:
        key = repr((form, changes, model))
        if key not in done:
            loaded = workshop.loaded(**model)
            out = loaded.path.with_name(f"{loaded.path.name}-artifact")
            write_unverified(loaded, out, form, **(changes or {}))
            done[key] = loaded.path, out
        return done[key]

    return get


def classify(artifact: Path, **settings: Any) -> Any:
    model = LiteftModelForSequenceClassification.from_pretrained(artifact, threads=1)
    return pipeline("text-classification", model=model, tokenizer=str(artifact), truncation=True, **settings)


@pytest.mark.parametrize("kind", KINDS)
def test_a_pipeline_gives_the_labels_and_scores_of_predict_and_torchs_labels(made: Made, kind: str) -> None:
    folder, artifact = made(**KINDS[kind])
    pairs = list(zip(TEXTS, PAIRS, strict=True)) if "paired" in KINDS[kind] else None
    inputs: list[Any] = TEXTS if pairs is None else [{"text": text, "text_pair": pair} for text, pair in pairs]
    with liteft.load(artifact, threads=1) as classifier:
        predicted = classifier.predict(pairs or TEXTS, top_k=5)
    ours = classify(artifact)
    trusted = "mean" in KINDS[kind].values()
    model = AutoModelForSequenceClassification.from_pretrained(folder, trust_remote_code=trusted)
    torchs = pipeline("text-classification", model=model, tokenizer=str(folder), truncation=True, device="cpu")
    for batch in (1, 7):
        found = ours(inputs, batch_size=batch)
        assert [one["label"] for one in found] == [each.label for each in predicted]
        assert [one["score"] for one in found] == pytest.approx([each.score for each in predicted], abs=1e-6)
        wanted = torchs(inputs, batch_size=batch)
        assert [one["label"] for one in found] == [one["label"] for one in wanted]
        assert [one["score"] for one in found] == pytest.approx([one["score"] for one in wanted], abs=1e-4)
    for every, each in zip(ours(inputs, top_k=None), predicted, strict=True):
        assert [one["label"] for one in every] == [label for label, _ in each.top]


@pytest.mark.parametrize("activation", ["none", "sigmoid"])
def test_a_score_is_that_of_predict_with_its_activation(made: Made, activation: str) -> None:
    _, artifact = made(labels=1, task="scores", changes={"activation": activation})
    with liteft.load(artifact, threads=1) as scorer:
        wanted = [each.score for each in scorer.predict(TEXTS)]
    assert [one["score"] for one in classify(artifact)(TEXTS, batch_size=4)] == pytest.approx(wanted, abs=1e-6)


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_a_texts_logits_are_those_of_liteft_bit_for_bit_in_any_batch(made: Made, precision: Any) -> None:
    _, artifact = made(form=ExportForm(precision))
    model = LiteftModelForSequenceClassification.from_pretrained(artifact, threads=1)
    tokenizer = AutoTokenizer.from_pretrained(artifact)
    with liteft.load(artifact, threads=1) as classifier:
        wanted = classifier.logits(TEXTS)
    for texts, rows in ((TEXTS, slice(None)), (TEXTS[3:5], slice(3, 5)), (TEXTS[:1], slice(1))):
        batch = tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
        np.testing.assert_array_equal(model(**batch).logits.numpy(), wanted[rows])


def test_padding_is_not_computed_on_either_side(made: Made) -> None:
    _, artifact = made()
    model = LiteftModelForSequenceClassification.from_pretrained(artifact, threads=1)
    outputs = []
    for side in ("right", "left"):
        tokenizer = AutoTokenizer.from_pretrained(artifact, padding_side=side)
        batch = tokenizer(TEXTS, padding=True, truncation=True, return_tensors="pt")
        outputs.append(model(**batch).logits)
        assert (batch["attention_mask"] == 0).any()
    assert torch.equal(*outputs)
    assert model.model.backend == "native"
    assert model.model.stats.tokens == model.model.stats.padded_tokens == 2 * int(batch["attention_mask"].sum())


def test_a_flat_artifact_runs_in_onnxruntime(made: Made) -> None:
    pytest.importorskip("onnxruntime")
    _, artifact = made(form=ExportForm("fp32", flat=True))
    with liteft.load(artifact, threads=1) as classifier:
        wanted = [each.label for each in classifier.predict(TEXTS)]
        assert classifier.backend == "onnxruntime"
    assert [one["label"] for one in classify(artifact)(TEXTS, batch_size=8)] == wanted


def test_a_long_text_is_cut_as_predict_cuts_it_if_the_pipeline_is_told_to_and_else_refused(made: Made) -> None:
    _, artifact = made()
    long = " ".join(random_texts(6, longest=40, seed=5)) + " w1 w2 w3" * 20
    with liteft.load(artifact, threads=1) as classifier:
        wanted = classifier.predict(long)
    assert wanted.truncated
    (found,) = classify(artifact)(long)
    assert (found["label"], found["score"]) == (wanted.label, pytest.approx(wanted.score, abs=1e-6))
    with pytest.raises(InputError, match=r"a text has \d+ tokens") as caught:
        classify(artifact)(long, truncation=False)
    assert "truncation=True" in str(caught.value)


def test_tags_and_spans_are_those_of_torch(made: Made) -> None:
    folder, artifact = made(family="bert", pooling="none", labels=5, task="tokens")
    ours = LiteftModelForTokenClassification.from_pretrained(artifact, threads=1)
    theirs = AutoModelForTokenClassification.from_pretrained(folder).eval()
    batch = AutoTokenizer.from_pretrained(artifact)(TEXTS, padding=True, truncation=True, return_tensors="pt")
    real = batch["attention_mask"].bool()
    with torch.no_grad():
        found, wanted = ours(**batch).logits, theirs(**batch).logits
    assert found.shape == wanted.shape and not found[~real].any()
    torch.testing.assert_close(found[real], wanted[real], atol=1e-4, rtol=0)
    settings: dict[str, Any] = {"tokenizer": str(artifact), "aggregation_strategy": "first", "device": "cpu"}
    spans = [pipeline("token-classification", model=model, **settings) for model in (ours, theirs)]
    for batch_size in (1, 4):
        sides = [[each for text in pipe(TEXTS, batch_size=batch_size) for each in text] for pipe in spans]
        assert len(sides[0]) > 20
        for one, other in zip(*sides, strict=True):
            assert float(one.pop("score")) == pytest.approx(float(other.pop("score")), abs=1e-4)
            assert one == other


def test_starts_and_ends_of_answers_are_those_of_torch(cache: Cache, tmp_path: Path) -> None:
    folder, rows = made_teacher(cache).model_path, questions().validation
    artifact = liteft.export(folder, tmp_path / "artifact", precision="fp32", verify=rows, threads=1).path
    ours = LiteftModelForQuestionAnswering.from_pretrained(artifact, threads=1)
    theirs = AutoModelForQuestionAnswering.from_pretrained(folder).eval()
    batch = AutoTokenizer.from_pretrained(artifact)(
        rows.texts, rows.pairs, padding=True, truncation="only_second", return_tensors="pt"
    )
    real = batch["attention_mask"].bool()
    with torch.no_grad():
        found, wanted = ours(**batch), theirs(**batch)
    for name in ("start_logits", "end_logits"):
        torch.testing.assert_close(found[name][real], wanted[name][real], atol=1e-4, rtol=0)
        assert (found[name][~real] == torch.finfo(torch.float32).min).all()


def test_transformers_has_dropped_the_pipeline_of_answers(cache: Cache) -> None:
    artifact = made_artifact(cache)
    model = LiteftModelForQuestionAnswering.from_pretrained(artifact, threads=1)
    with pytest.raises(KeyError, match="question-answering has been removed"):
        pipeline("question-answering", model=model, tokenizer=str(artifact))


def test_a_pipeline_does_not_complain_about_the_class(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr(pipelines_base.logger, "error", told.append)
    pipe = classify(made()[1])
    assert not told and "LiteftModelForSequenceClassification" in repr(pipe)


def test_the_class_of_another_task_is_refused_with_the_right_one(made: Made) -> None:
    _, texts = made()
    _, tags = made(family="bert", pooling="none", labels=5, task="tokens")
    for wrong, artifact, right in (
        (LiteftModelForSequenceClassification, tags, "LiteftModelForTokenClassification"),
        (LiteftModelForQuestionAnswering, texts, "LiteftModelForSequenceClassification"),
    ):
        with pytest.raises(ModelError, match=f"which {wrong.__name__} does not have") as caught:
            wrong.from_pretrained(artifact)
        assert f"{right}.from_pretrained" in str(caught.value)


def test_a_saved_model_is_the_artifact_byte_for_byte(made: Made, tmp_path: Path) -> None:
    _, artifact = made()
    model = LiteftModelForSequenceClassification.from_pretrained(artifact)
    model.save_pretrained(tmp_path / "saved")
    for path in artifact.rglob("*"):
        if path.is_file():
            assert files.sha256_file(tmp_path / "saved" / path.relative_to(artifact)) == files.sha256_file(path)
    LiteftModelForSequenceClassification.from_pretrained(tmp_path / "saved")


def test_the_folder_of_a_pipeline_stands_for_its_artifact(made: Made, tmp_path: Path) -> None:
    (tmp_path / "run@1").mkdir()
    (tmp_path / "run@1" / "artifact").symlink_to(made()[1])
    assert LiteftModelForSequenceClassification.from_pretrained(tmp_path / "run@1", threads=1).model.threads == 1


def test_a_model_is_pushed_as_liteft_pushes_it_and_private(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[Any] = []

    def push(*place: Any, **options: Any) -> Any:
        given.append((*place, options))
        return SimpleNamespace(url="https://hub/acme/reviews/commit/1")

    monkeypatch.setattr("liteft.integrations.optimum.push_to_hub", push)
    model = LiteftModelForSequenceClassification.from_pretrained(made()[1])
    assert model.push_to_hub("saved", "acme/reviews", license="mit") == "https://hub/acme/reviews/commit/1"
    model.push_to_hub("saved", "acme/reviews", private=False, token="hf_1", license="mit")
    assert given == [
        ("saved", "acme/reviews", {"license": "mit", "private": True}),
        ("saved", "acme/reviews", {"license": "mit", "private": False, "token": "hf_1"}),
    ]


def test_tensors_that_do_not_fit_are_refused(made: Made) -> None:
    model = LiteftModelForSequenceClassification.from_pretrained(made()[1])
    ids = torch.tensor([[1, 5, 6, 2]])
    cases: dict[str, tuple[Any, ...]] = {
        "has shape": (ids[0],),
        "differ in shape": (ids, torch.ones(1, 3)),
        "has no tokens": (ids, torch.zeros_like(ids)),
        "other values than 0 and 1": (ids, torch.tensor([[0.0, 0.0, -1e4, -1e4]])),
        "the token id 99999": (torch.tensor([[1, 99999, 2]]),),
        "the type id 7": (ids, None, torch.full_like(ids, 7)),
        "the token id 8589934592": (torch.tensor([[1, 1 << 33, 2]]),),
    }
    for words, tensors in cases.items():
        with pytest.raises(InputError, match=words):
            model(*tensors)


def test_an_export_without_texts_is_refused(made: Made) -> None:
    with pytest.raises(ConfigError, match="without texts to verify on") as caught:
        LiteftModelForSequenceClassification.from_pretrained(made()[0], export=True)
    assert "liteft.export(" in str(caught.value)


def test_optimums_own_pipeline_takes_no_accelerator_but_its_two() -> None:
    from optimum.pipelines import pipeline as optimum_pipeline

    with pytest.raises(ValueError, match="Please use 'ort' or 'ov'"):
        optimum_pipeline("text-classification", accelerator="liteft")


@pytest.mark.parametrize(
    ("module", "missing", "extra"),
    [
        ("optimum", "optimum.modeling_base", "optimum"),
        ("transformers", "liteft.finetuning.modeling_mean_pooled", "train"),
    ],
)
def test_what_is_not_installed_is_named_with_its_extra(
    monkeypatch: pytest.MonkeyPatch, module: str, missing: str, extra: str
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    monkeypatch.delitem(sys.modules, f"liteft.integrations.{module}", raising=False)
    with pytest.raises(MissingExtraError, match=f"needs {missing}") as caught:
        importlib.import_module(f"liteft.integrations.{module}")
    assert extra in str(caught.value.fix)
