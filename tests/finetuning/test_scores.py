"""Training on scores: the loss, the units in which they are learned, what is stored, and what is refused."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from liteft.data import Dataset, Split
from liteft.errors import ConfigError
from liteft.finetuning import finetune
from liteft.finetuning.head import last_layer
from liteft.finetuning.logits import predict_logits
from liteft.finetuning.loss import label_loss
from liteft.finetuning.model import load_classifier, merged_classifier
from liteft.finetuning.units import start_in_units, training_units
from liteft.run import Run, read_run
from liteft.tasks import SCORES
from tests.cache import Cache
from tests.finetuning.conftest import FILLERS, QUICK, TOPICS

LEARNED = QUICK | {"max_steps": 60, "learning_rate": 3e-3, "evaluations_per_epoch": 1}


def scored(*, scale: float = 1.0, shift: float = 0.0) -> Dataset:
    """Return texts of eight words; a text's score is the share of them that are of one topic."""
    splits = {}
    for seed, (name, count) in enumerate((("train", 96), ("validation", 40), ("test", 40))):
        random = np.random.default_rng(seed)
        topic = next(iter(TOPICS.values()))
        counts = random.integers(0, 9, count)
        texts = [" ".join([*random.choice(topic, own), *random.choice(FILLERS, 8 - own)]) for own in counts]
        splits[name] = Split(name, texts, None, scale * counts / 8 + shift)
    return Dataset("shares", "scores", ("score",), splits)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def bounded(cache: Cache, base: Callable[[str], Path]) -> Run:
    """A run on scores from 0 to 1. Read it only."""
    return read_run(cache("scores-0-1", lambda out: finetune(base("bert"), scored(), out=out, **LEARNED)))


@pytest.fixture(scope="module")
def wide(cache: Cache, base: Callable[[str], Path]) -> Run:
    """A run on scores from 400 to 500. Read it only."""
    data = scored(scale=100, shift=400)
    return read_run(cache("scores-400-500", lambda out: finetune(base("bert"), data, out=out, **LEARNED)))


def test_the_loss_is_cross_entropy_from_0_to_1_and_squared_differences_elsewhere() -> None:
    logits, labels = torch.tensor([[0.5], [-1.0], [3.0]]), torch.tensor([1.0, 0.25, math.nan])
    plain = label_loss(logits, labels, task=SCORES)
    assert float(plain) == pytest.approx((0.5**2 + 1.25**2) / 2)
    known = torch.tensor([0.5, -1.0]), torch.tensor([1.0, 0.25])
    expected = torch.nn.functional.binary_cross_entropy_with_logits(*known)
    assert float(label_loss(logits, labels, task=SCORES.activated("sigmoid"))) == pytest.approx(float(expected))
    spread = SCORES.suited(np.array([0.0, 20.0]))
    assert float(label_loss(logits, labels, task=spread)) == pytest.approx(float(plain) / 100)
    assert float(label_loss(logits, torch.full((3,), math.nan), task=SCORES)) == 0.0


@pytest.mark.parametrize(("scores", "activation"), [("bounded", "sigmoid"), ("wide", "none")])
def test_scores_of_any_size_are_learned(scores: str, activation: str, request: pytest.FixtureRequest) -> None:
    run: Run = request.getfixturevalue(scores)
    found = run.metrics["test"]
    assert found["spearman"] > 0.6 and found["majority"] is None and run.info["warnings"] == []
    assert (run.info.get("activation"), run.task.activation) == (activation, activation)
    spread = (100 if scores == "wide" else 1) * float(np.std(scored().test.labels))
    assert found["rmse"] < 0.85 * spread, "a constant would be one deviation off"
    logits, gold = run.predictions("test")
    assert logits.shape == (40, 1) and run.task.score(logits, gold)["rmse"] == pytest.approx(found["rmse"], rel=1e-4)


def test_config_json_says_what_transformers_and_liteft_have_to_know(bounded: Run, wide: Run) -> None:
    for run, activation in ((bounded, "sigmoid"), (wide, "none")):
        config = json.loads((run.model_path / "config.json").read_text())
        assert config["problem_type"] == "regression" and config["id2label"] == {"0": "score"}
        assert config["liteft"]["activation"] == activation
        assert load_classifier(run.model_path).settings.task.activation == activation


def test_the_last_layer_gives_standard_scores_only_while_it_is_trained(wide: Run) -> None:
    loaded = load_classifier(wide.model_path)
    data = scored(scale=100, shift=400)
    before = predict_logits(loaded, data.test)
    with training_units(loaded, data.task) as (mean, spread):
        standard = predict_logits(loaded, data.test)
    assert standard * spread + mean == pytest.approx(before, rel=1e-4) and np.abs(standard).max() < 5
    assert predict_logits(loaded, data.test) == pytest.approx(before, rel=1e-5)
    weights = last_layer(loaded.model, 1).weight.clone()
    with training_units(loaded, scored().task) as units:
        assert units == (0.0, 1.0) and torch.equal(last_layer(loaded.model, 1).weight, weights)


def test_a_new_head_starts_at_the_mean_of_the_scores(wide: Run) -> None:
    loaded = load_classifier(wide.model_path)
    layer = last_layer(loaded.model, 1)
    torch.nn.init.zeros_(layer.weight)
    torch.nn.init.zeros_(layer.bias)
    task = scored(scale=100, shift=400).task
    object.__setattr__(loaded.settings, "task", task)
    start_in_units(loaded)
    assert float(layer.bias) == pytest.approx(task.mean)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "setting",
    [{"label_smoothing": 0.1}, {"class_weights": "balanced"}, {"tune_threshold": True}, {"choose_by": "log_loss"},
     {"head": "lda"}],
)  # fmt: skip
def test_settings_of_labels_with_names_are_refused(
    base: Callable[[str], Path], tmp_path: Path, setting: dict[str, Any]
) -> None:
    (name,) = setting
    with pytest.raises(ConfigError, match=f"{name}=.* applies to labels with names") as caught:
        finetune(base("bert"), scored(), out=tmp_path / "run", **QUICK, **setting)
    assert "scores" not in caught.value.accepted[name] and caught.value.fix


def test_a_model_that_has_learned_nothing_is_told(base: Callable[[str], Path], tmp_path: Path) -> None:
    run = finetune(base("bert"), scored(), out=tmp_path / "run", **QUICK | {"max_steps": 1, "learning_rate": 1e-9})
    if run.metrics["validation"]["spearman"] < 0.05:
        assert any("spearman of" in line for line in run.info["warnings"])


def test_an_adapter_learns_scores_of_any_size_and_merges_into_its_base(
    base: Callable[[str], Path], tmp_path: Path
) -> None:
    settings = LEARNED | {"lora_rank": 4, "learning_rate": 1e-2}
    run = finetune(base("bert"), scored(scale=100, shift=400), out=tmp_path / "run", **settings)
    assert run.metrics["test"]["spearman"] > 0.6 and run.metrics["test"]["rmse"] < 50
    split = scored(scale=100, shift=400).test
    loaded = load_classifier(run.model_path)
    merged = predict_logits(merged_classifier(loaded), split)
    assert merged == pytest.approx(run.predictions("test")[0], rel=1e-4)
