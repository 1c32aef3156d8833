"""A temperature is fitted after training and folded into the last layer, in every form of classifier."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformers import TrainerCallback, TrainerState

from liteft.data import Dataset
from liteft.finetuning import finetune
from liteft.finetuning.logits import predict_logits
from liteft.finetuning.model import load_classifier
from liteft.run import Run
from tests.finetuning.conftest import QUICK, make_dataset

Get = Callable[[str], Path]
NOISY: dict[str, Any] = {**QUICK, "learning_rate": 1e-2, "epochs": 4}
ADAPTER = {"lora_rank": 4}


@pytest.fixture(scope="module")
def noisy() -> Dataset:
    """Texts of which every fourth in validation has another label than its topic, so that sure models are wrong."""
    data = make_dataset(other=64)
    gold = data.validation.labels
    assert gold is not None
    gold[::4] = (gold[::4] + 1) % 3
    return data


def trained(base: Path, data: Dataset, out: Path, **changes: Any) -> Run:
    return finetune(base, data, out=out, **{**NOISY, **changes})


@pytest.mark.parametrize(
    ("family", "changes"),
    [("bert", {}), ("roberta", {}), ("bert", {"pooling": "mean"}), ("gpt2", {}), ("gpt2", ADAPTER)],
)
def test_a_calibrated_run_has_the_labels_of_an_uncalibrated_one_and_its_logits_divided(
    base: Get, noisy: Dataset, tmp_path: Path, family: str, changes: dict[str, Any]
) -> None:
    runs = [trained(base(family), noisy, tmp_path / str(on), calibrate=on, **changes) for on in (True, False)]
    temperature = runs[0].info["temperature"]
    assert temperature != 1.0 and runs[1].info["temperature"] == 1.0
    calibrated, plain = (run.predictions("test")[0] for run in runs)
    np.testing.assert_allclose(calibrated * temperature, plain, rtol=1e-4, atol=1e-4)
    assert (calibrated.argmax(1) == plain.argmax(1)).all()
    assert runs[0].metrics["validation"]["log_loss"] < runs[1].metrics["validation"]["log_loss"]
    again = predict_logits(load_classifier(runs[0].model_path), noisy.test.texts)
    np.testing.assert_array_equal(again, calibrated)


def test_a_small_validation_split_leaves_the_logits_alone(base: Get, dataset: Dataset, tmp_path: Path) -> None:
    assert trained(base("bert"), dataset, tmp_path / "run").info["temperature"] == 1.0


def test_the_weights_of_the_lowest_log_loss_are_kept_and_patience_waits_on_it(
    base: Get, noisy: Dataset, tmp_path: Path
) -> None:
    settings = {"epochs": 12, "calibrate": False, "choose_by": "log_loss", "early_stopping": 3}
    run = trained(base("bert"), noisy, tmp_path / "run", **settings)
    log = [json.loads(line) for line in (run.path / "log.jsonl").read_text().splitlines()]
    losses = {entry["step"]: entry["eval_log_loss"] for entry in log if "eval_log_loss" in entry}
    best = min(losses, key=losses.__getitem__)
    assert run.info["best_step"] == best and run.info["best_metric"] == {"log_loss": losses[best]}
    assert run.metrics["validation"]["log_loss"] == pytest.approx(losses[best], abs=1e-5)
    assert run.info["steps"] == best + 3 * 6 < 12 * 6


class Interrupting(TrainerCallback):  # type: ignore[misc]
    """Ctrl-C after 15 of 24 steps."""

    def on_step_end(self, _args: Any, state: TrainerState, *_given: Any, **_rest: Any) -> None:
        if state.global_step == 15:
            raise KeyboardInterrupt


def test_a_resumed_run_is_calibrated_to_the_same_bits(base: Get, noisy: Dataset, tmp_path: Path) -> None:
    whole = trained(base("bert"), noisy, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        trained(base("bert"), noisy, tmp_path / "killed", callbacks=[Interrupting()])
    resumed = trained(base("bert"), noisy, tmp_path / "killed")
    assert resumed.info["temperature"] == whole.info["temperature"] != 1.0
    assert resumed.info["weights_sha256"] == whole.info["weights_sha256"]
