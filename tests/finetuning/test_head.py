"""The head's first weights: discriminants, against their textbook form and against a random start."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from transformers import TrainerCallback, TrainerState

from liteft.data import Dataset, Split
from liteft.errors import ConfigError
from liteft.finetuning import finetune
from liteft.finetuning import teacher as teacher_module
from liteft.finetuning.base import create_classifier
from liteft.finetuning.head import discriminants, start_from_discriminants
from liteft.finetuning.logits import predict_logits
from liteft.finetuning.loss import label_loss
from liteft.finetuning.model import TorchClassifier, load_classifier
from liteft.finetuning.settings import Pooling
from liteft.run import Run
from liteft.tasks import MULTI_LABEL, SINGLE_LABEL
from tests.finetuning.conftest import FAMILIES, QUICK, WIDTH, make_dataset, make_multi, make_paired, write_base


class Interrupting(TrainerCallback):  # type: ignore[misc]
    """Ctrl-C after 8 steps."""

    def on_step_end(self, _args: Any, state: TrainerState, *_given: Any, **_rest: Any) -> None:
        if state.global_step == 8:
            raise KeyboardInterrupt


Get = Callable[[str], Path]
UNTRAINED = {**QUICK, "learning_rate": 1e-12, "max_steps": 1, "dropout": 0.0}


def started(base: Path, data: Dataset, out: Path) -> tuple[TorchClassifier, np.ndarray]:
    """Return a mean-pooled classifier that starts from discriminants, and its logits of the training texts."""
    run = finetune(base, data, out=out, **{**UNTRAINED, "pooling": "mean"})
    loaded = load_classifier(run.model_path)
    start_from_discriminants(loaded, data.train, seed=0, bf16=False)
    return loaded, predict_logits(loaded, data.train.texts)


@pytest.fixture(scope="module")
def clouds() -> tuple[np.ndarray, np.ndarray]:
    """Three overlapping clouds in 5 dimensions of unlike spread: float32 (600, 5) and int64 (600,)."""
    random = np.random.default_rng(3)
    labels = random.choice(3, 600, p=[0.6, 0.3, 0.1])
    middles = random.normal(size=(3, 5)) * 2
    mixing = random.normal(size=(5, 5))
    return (middles[labels] + random.normal(size=(600, 5)) @ mixing).astype(np.float32), labels


def test_decisions_are_those_of_linear_discriminant_analysis(clouds: tuple[np.ndarray, np.ndarray]) -> None:
    features, labels = clouds
    weight, bias = discriminants(features, labels, count=3, task=SINGLE_LABEL)
    theirs = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=0.3).fit(features, labels)
    found = (features @ weight.T + bias).argmax(1)
    assert (found == theirs.predict(features)).mean() > 0.97
    assert (found == labels).mean() > (labels == 0).mean() + 0.1
    assert (weight.dtype, bias.dtype) == (np.float32, np.float32)


def test_no_other_scale_makes_the_labels_likelier(clouds: tuple[np.ndarray, np.ndarray]) -> None:
    features, labels = clouds
    weight, bias = discriminants(features, labels, count=3, task=SINGLE_LABEL)
    frequency = np.log(np.bincount(labels) / len(labels))

    def loss(scale: float) -> float:
        logits = scale * (features @ weight.T + bias - frequency) + frequency
        return float(label_loss(torch.from_numpy(logits), torch.from_numpy(labels), task=SINGLE_LABEL))

    assert loss(1.0) <= min(loss(0.5), loss(2.0))


def test_several_labels_are_each_parted_from_their_absence() -> None:
    random = np.random.default_rng(4)
    labels = random.random((800, 3)) < [0.5, 0.2, 0.05]
    features = random.normal(size=(800, 6)) + labels @ random.normal(size=(3, 6)) * 3
    weight, bias = discriminants(features, labels, count=3, task=MULTI_LABEL)
    decided = features @ weight.T + bias > 0
    assert ((decided == labels).mean(0) > 0.9).all()


def test_a_label_without_texts_gets_no_weight_and_is_never_likely(clouds: tuple[np.ndarray, np.ndarray]) -> None:
    features, labels = clouds
    weight, bias = discriminants(features, labels, count=4, task=SINGLE_LABEL)
    assert np.isfinite(weight).all()
    assert not ((features @ weight.T + bias).argmax(1) == 3).any()
    assert bias[3] == pytest.approx(np.log(0.5 / 600))


def test_equal_features_leave_the_frequencies() -> None:
    labels = np.array([0, 0, 0, 1])
    weight, bias = discriminants(np.ones((4, 3), np.float32), labels, count=2, task=SINGLE_LABEL)
    np.testing.assert_allclose(np.ones(3) @ weight.T + bias, np.log([0.75, 0.25]), atol=1e-5)


@pytest.mark.parametrize("pooling", ["cls", "mean"])
@pytest.mark.parametrize("family", [name for name in FAMILIES if name != "gpt2"])
def test_every_family_classifies_before_its_first_step(
    base: Get, dataset: Dataset, tmp_path: Path, family: str, pooling: str
) -> None:
    runs = {
        head: finetune(base(family), dataset, out=tmp_path / head, **{**UNTRAINED, "pooling": pooling, "head": head})
        for head in ("lda", "random")
    }
    losses = {head: run.metrics["train"]["log_loss"] for head, run in runs.items()}
    assert losses["lda"] < losses["random"] - 0.05


def test_the_texts_meet_their_own_labels(base: Get, tmp_path: Path) -> None:
    """Texts of unlike lengths are read in another order than they stand in."""
    data = make_dataset(train=96)
    loaded, before = started(base("bert"), data, tmp_path / "run")
    start_from_discriminants(loaded, data.train.take(np.arange(95, -1, -1)), seed=0, bf16=False)
    np.testing.assert_allclose(predict_logits(loaded, data.train.texts), before, atol=1e-3)


@pytest.mark.parametrize("pooling", ["cls", "mean"])
@pytest.mark.parametrize("family", ["bert", "distilbert", "roberta", "electra", "xlm-roberta"])
def test_as_many_labels_as_the_encoder_is_wide_leave_the_encoder_alone(
    tmp_path: Path, family: str, pooling: Pooling
) -> None:
    """transformers registers the encoder of XLM-RoBERTa after its head."""
    base = write_base(tmp_path / "base", family.removeprefix("xlm-"))
    if family == "xlm-roberta":
        config = json.loads((base / "config.json").read_text("utf-8"))
        config |= {"model_type": family, "architectures": ["XLMRobertaModel"]}
        (base / "config.json").write_text(json.dumps(config), encoding="utf-8")
    labels = tuple(f"label {number}" for number in range(WIDTH))
    loaded = create_classifier(base, labels=labels, task=SINGLE_LABEL, pooling=pooling, max_tokens=16, paired=False)
    before = {name: tensor.clone() for name, tensor in loaded.model.state_dict().items()}
    start_from_discriminants(loaded, make_dataset().train, seed=0, bf16=False)
    changed = {name for name, tensor in loaded.model.state_dict().items() if not torch.equal(tensor, before[name])}
    assert len(changed) == 2
    assert all(name.startswith("classifier.") and "dense" not in name for name in changed)


def test_texts_whose_label_is_unknown_do_not_count(base: Get, tmp_path: Path) -> None:
    data = make_dataset(train=48)
    loaded, before = started(base("bert"), data, tmp_path / "run")
    assert data.train.labels is not None
    unknown = np.concatenate([data.train.labels, np.full(18, -1)])
    joined = Split("train", [*data.train.texts, *data.test.texts], None, unknown)
    start_from_discriminants(loaded, joined, seed=0, bf16=False)
    np.testing.assert_allclose(predict_logits(loaded, data.train.texts), before, atol=1e-3)


@pytest.mark.parametrize("make", [make_paired, make_multi])
def test_pairs_and_several_labels_start_so_too(base: Get, tmp_path: Path, make: Callable[[], Dataset]) -> None:
    settings = {**QUICK, "max_tokens": 32, "pooling": "mean", "head": "lda", "rdrop_weight": 0.5}
    run: Run = finetune(base("bert"), make(), out=tmp_path / "run", **settings)
    assert np.isfinite(run.predictions("test")[0]).all()


@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_a_decoder_is_refused(base: Get, dataset: Dataset, tmp_path: Path, pooling: str) -> None:
    with pytest.raises(ConfigError, match="reads every token") as caught:
        finetune(base("gpt2"), dataset, out=tmp_path / "run", **{**QUICK, "pooling": pooling, "head": "lda"})
    assert caught.value.command_hints() == ["--set teacher.head=random"]
    assert not (tmp_path / "run").exists()


def test_a_resumed_run_does_not_read_the_texts_again(
    base: Get, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {**QUICK, "head": "lda", "training_precision": "fp32"}
    whole = finetune(base("bert"), dataset, out=tmp_path / "whole", **settings)
    with pytest.raises(KeyboardInterrupt):
        finetune(base("bert"), dataset, out=tmp_path / "run", callbacks=[Interrupting()], **settings)
    monkeypatch.setattr(teacher_module, "start_from_discriminants", lambda *_, **__: pytest.fail("read again"))
    run = finetune(base("bert"), dataset, out=tmp_path / "run", **settings)
    assert run.info["weights_sha256"] == whole.info["weights_sha256"]
