"""Exports of models of scores: the gate by agreement and correlation, rerankers from elsewhere, what the files say."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import liteft
from liteft.data import Split
from liteft.errors import ConfigError, DataError, VerificationError
from liteft.exporting import Limits, exporter, measured, verify
from liteft.exporting.disagreement import Comparison
from liteft.exporting.exporter import export
from liteft.exporting.limits import logit_scale
from liteft.exporting.probes import ProbeResult
from liteft.exporting.verify import _beyond, _measured
from liteft.finetuning.logits import predict_logits
from liteft.finetuning.model import load_classifier
from liteft.tasks import SCORES, SINGLE_LABEL
from liteft.words import words_of_texts
from tests.exporting.conftest import random_texts

Learned = tuple[Path, Split]


def learned(workshop: Any, *, paired: bool = False, count: int = 60) -> Learned:
    """Return a model of scores, and texts whose scores are nearly what it gives."""
    folder = workshop.folder("bert", labels=1, task="scores", paired=paired)
    texts, pairs = random_texts(count), random_texts(count, seed=1) if paired else None
    found = predict_logits(load_classifier(folder), Split("validation", texts, pairs))[:, 0].astype(np.float64)
    noise = 0.1 * found.std() * np.random.default_rng(0).normal(size=count)
    return folder, Split("validation", texts, pairs, found + noise)


def from_elsewhere(folder: Path, out: Path, **changes: Any) -> Path:
    """Copy a model folder as transformers would have written it."""
    shutil.copytree(folder, out)
    config = json.loads((out / "config.json").read_text()) | changes
    dropped = ("liteft", *(name for name in ("problem_type",) if name not in changes))
    (out / "config.json").write_text(json.dumps({key: value for key, value in config.items() if key not in dropped}))
    return out


@pytest.fixture(scope="module")
def texts(workshop: Any) -> Learned:
    return learned(workshop)


@pytest.fixture(scope="module")
def pairs(workshop: Any) -> Learned:
    return learned(workshop, paired=True)


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_a_model_of_scores_becomes_an_artifact_that_scores(texts: Learned, tmp_path: Path, precision: Any) -> None:
    folder, split = texts
    told: list[str] = []
    artifact = export(
        folder, tmp_path / "out", precision=precision, verify=split, test=replace(split, name="test"),
        progress=told.append,
    )  # fmt: skip
    manifest, checked = artifact.manifest, artifact.manifest.verification
    assert (manifest.task, manifest.labels, manifest.activation) == ("scores", ("label 0",), "none")
    assert checked["accuracy"] is None and checked["majority"] is None and checked["agreement"] > 0.95
    assert checked["primary"]["metric"] == "spearman" and checked["primary"]["model"] > 0.9
    assert any("spearman" in line and line.startswith("exported") for line in told)
    assert "spearman" in artifact.render() and "% right" not in artifact.render()
    measured = manifest.measured["test"]["onnxruntime"]
    card = (artifact.path / "card.md").read_text()
    assert f"{measured['rmse']:.4g}" in card and "majority" not in card and "which are the scores" in card
    with liteft.load(artifact.path, backend="onnxruntime") as scorer:
        assert isinstance(scorer, liteft.Scorer)
        found = scorer.scores(split.texts)
    assert SCORES.score(found[:, None], np.asarray(split.labels))["rmse"] == pytest.approx(measured["rmse"], rel=1e-3)


def test_the_edge_form_scores_pairs_and_ranks_as_the_model_does(pairs: Learned, tmp_path: Path) -> None:
    folder, split = pairs
    artifact = export(folder, tmp_path / "out", precision="int8", target="edge", verify=split)
    config = json.loads((artifact.path / "config.json").read_text())
    assert (config["problem_type"], config["id2label"]) == ("regression", {"0": "label 0"})
    expected = predict_logits(load_classifier(folder), split)[:, 0]
    with liteft.load(artifact.path) as scorer:
        found = scorer.scores(split.texts, split.pairs)
        assert len(scorer.rank(split.texts[0], split.pairs)) == len(split)
    assert float(np.corrcoef(found, expected)[0, 1]) > 0.98


def test_a_model_whose_scores_do_not_depend_on_the_text_is_refused(texts: Learned, tmp_path: Path) -> None:
    folder, split = texts
    shuffled = np.random.default_rng(3).permutation(np.asarray(split.labels))
    with pytest.raises(VerificationError, match="no better on validation than answers that do not depend") as caught:
        export(folder, tmp_path / "out", precision="fp32", verify=replace(split, labels=shuffled))
    assert "its mean of spearman and pearson" in caught.value.accepted and caught.value.accepted["needed"] == (
        "more than 5.0%"
    )
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("noise", [0.02, 0.5])
def test_scores_that_are_too_far_from_the_models_are_beyond_the_limits(noise: float) -> None:
    generator = np.random.default_rng(0)
    model = generator.normal(size=(300, 1)).astype(np.float32)
    exported = model + noise * generator.normal(size=model.shape).astype(np.float32)
    split = Split("validation", [f"text {row}" for row in range(300)], None, model[:, 0].astype(np.float64))
    probes = ProbeResult((4, 8), 0.0, 0.0)
    comparison = Comparison("native", split, SCORES, model, exported, probes)
    beyond = _beyond(comparison, _measured(comparison), Limits().resolved("int8"))
    assert set(beyond) == ({SCORES.alike, "spearman"} if noise > 0.1 else set())


def test_limits_grow_with_the_scores_and_a_callers_limit_does_not() -> None:
    logits = np.array([[450.0], [-20.0]])
    assert logit_scale(SCORES, logits) == 45 and logit_scale(SCORES, logits / 100) == 1.0
    assert logit_scale(SINGLE_LABEL, logits) == 1.0
    assert Limits().resolved("fp32", scale=45).logit_difference == pytest.approx(4.5e-3)
    assert Limits(logit_difference=1e-5).resolved("fp32", scale=45).logit_difference == 1e-5
    assert Limits().resolved("int8", scale=45).logit_difference is None


@pytest.mark.parametrize(
    ("config", "said", "activation"),
    [
        ({}, None, "none"),
        ({}, "sigmoid", "sigmoid"),
        ({"problem_type": "regression"}, None, "none"),
        ({"sentence_transformers": {"activation_fn": "torch.nn.modules.activation.Sigmoid"}}, None, "sigmoid"),
    ],
)
def test_a_reranker_from_elsewhere_is_exported_as_it_is(
    pairs: Learned, tmp_path: Path, config: dict[str, Any], said: str | None, activation: str
) -> None:
    folder = from_elsewhere(pairs[0], tmp_path / "model", **config)
    told: list[str] = []
    split = replace(pairs[1], labels=None)
    artifact = export(folder, tmp_path / "out", precision="fp32", verify=split, activation=said, progress=told.append)
    assert (artifact.manifest.activation, artifact.manifest.labels) == (activation, ("score",))
    assert any("without an activation" in line for line in told) == (not config and said is None)
    logits = predict_logits(load_classifier(pairs[0]), split)
    with liteft.load(artifact.path) as scorer:
        ranked = scorer.rank(split.texts[0], split.pairs)
        assert scorer.logits(split.texts, split.pairs) == pytest.approx(logits, abs=1e-4)
        found = scorer.predict((split.texts[0], split.pairs[0]))  # type: ignore[index]
    assert (found.score == found.logit) == (activation == "none") and len(ranked) == len(split)


def test_texts_with_labels_do_not_verify_scores(pairs: Learned, tmp_path: Path) -> None:
    folder = from_elsewhere(pairs[0], tmp_path / "model")
    classes = replace(pairs[1], labels=np.arange(len(pairs[1])) % 2)
    with pytest.raises(DataError, match=r"have labels with names, and .* gives scores"):
        export(folder, tmp_path / "out", precision="fp32", verify=classes)


@pytest.mark.parametrize("task", ["scores", "tokens"])
def test_the_gate_and_what_is_measured_compute_with_the_threads_that_were_asked_for(
    texts: Learned, workshop: Any, tmp_path: Path, task: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, split = texts
    if task == "tokens":
        folder = workshop.folder("bert", "none", labels=5, task="tokens")
        split = Split("validation", split.texts, None, words=words_of_texts(split.texts))
    given: dict[str, set[tuple[int, int]]] = {"gate": set(), "measured": set()}
    chosen, loaded = verify.choose_engine, measured.load

    def choose(*some: Any, **more: Any) -> Any:
        given["gate"].add((more["threads"], torch.get_num_threads()))
        return chosen(*some, **more)

    def load(*some: Any, **more: Any) -> Any:
        given["measured"].add((more["threads"], torch.get_num_threads()))
        return loaded(*some, **more)

    monkeypatch.setattr(verify, "choose_engine", choose)
    monkeypatch.setattr(measured, "load", load)
    before = torch.get_num_threads()
    test = replace(split, name="test") if task == "scores" else None
    export(folder, tmp_path / "out", precision="fp32", verify=split, test=test, threads=before + 1)
    assert given["gate"] == {(before + 1, before + 1)}
    assert given["measured"] == (given["gate"] if task == "scores" else set())
    assert torch.get_num_threads() == before
    with pytest.raises(ConfigError, match="threads must be"):
        export(folder, tmp_path / "out", verify=split, threads=0)


def test_a_vocabulary_is_trimmed_with_the_threads_that_were_asked_for(
    texts: Learned, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, split = texts
    given = []

    def trim(*some: Any, **more: Any) -> Any:
        given.append(torch.get_num_threads())
        raise KeyboardInterrupt

    monkeypatch.setattr(exporter, "trim", trim)
    before = torch.get_num_threads()
    with pytest.raises(KeyboardInterrupt):
        export(folder, tmp_path / "out", verify=split, vocabulary=50, texts=split, threads=before + 1)
    assert given == [before + 1] and torch.get_num_threads() == before
