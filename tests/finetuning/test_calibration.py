"""A temperature and a threshold are fitted after training and folded into the last layer, in every form of model."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import TrainerCallback, TrainerState

from liteft.data import Dataset
from liteft.distillation.teachers import Teacher, find_teacher
from liteft.errors import ConfigError
from liteft.finetuning import finetune
from liteft.finetuning import teacher as teacher_module
from liteft.finetuning.base import create_classifier
from liteft.finetuning.logits import predict_logits
from liteft.finetuning.model import load_classifier
from liteft.run import Run
from tests.finetuning.conftest import QUICK, make_dataset, make_multi

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
    assert run.info["best_step"] == best and run.info["best_metric"] == {"log_loss": pytest.approx(losses[best])}
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


@pytest.fixture(scope="module")
def several() -> Dataset:
    return make_multi(other=64)


@pytest.mark.parametrize("changes", [{}, {"pooling": "mean"}, {"lora_rank": 4, "learning_rate": 3e-3}])
def test_a_tuned_threshold_becomes_a_half_and_a_student_learns_the_probabilities_before(
    base: Get, several: Dataset, tmp_path: Path, changes: dict[str, Any]
) -> None:
    few = {"epochs": 1, "head": "random", **changes}
    plain, tuned = (
        trained(base("bert"), several, tmp_path / str(on), tune_threshold=on, **few) for on in (False, True)
    )
    threshold = tuned.info["threshold"]
    assert 0 < threshold < 1 and threshold != 0.5 and "threshold" not in plain.info
    (before, gold), (after, _) = (run.predictions("validation") for run in (plain, tuned))
    np.testing.assert_allclose(after, before - np.log(threshold / (1 - threshold)), atol=1e-4)
    scores = {at: several.task.score(before, gold, threshold=at)["micro_f1"] for at in (0.5, threshold)}
    assert scores[threshold] > scores[0.5]
    assert tuned.metrics["validation"]["micro_f1"] == pytest.approx(scores[threshold], abs=1e-6)
    np.testing.assert_array_equal(predict_logits(load_classifier(tuned.model_path), several.validation.texts), after)
    for source in (tuned, tuned.path, tuned.model_path):  # the run, its folder, or the model alone
        teacher = find_teacher(source, dataset=several)
        assert isinstance(teacher, Teacher) and teacher.shift == pytest.approx(np.log(threshold / (1 - threshold)))
        assert teacher.loaded.settings.threshold_shift == 0.0
        learned = predict_logits(teacher.loaded, several.validation.texts)
        np.testing.assert_allclose(learned, before, rtol=1e-4, atol=1e-4)
    assert load_classifier(plain.model_path).settings.threshold == 0.5
    assert "threshold_shift" not in (plain.model_path / "config.json").read_text()


def test_a_base_that_is_a_tuned_classifier_starts_without_its_shift(
    base: Get, several: Dataset, tmp_path: Path
) -> None:
    run = trained(base("bert"), several, tmp_path / "run", tune_threshold=True, epochs=1, head="random")
    assert run.info["threshold"] != 0.5
    settings: dict[str, Any] = {"labels": several.labels, "task": several.task, "pooling": "cls", "max_tokens": 12}
    start: Any = create_classifier(run.model_path, paired=False, **settings)
    assert start.settings.threshold_shift == 0.0 and "threshold_shift" not in start.config.liteft
    learned: Any = Teacher.of(run).loaded
    assert torch.equal(start.model.classifier.bias, learned.model.classifier.bias)
    more = {**settings, "labels": (*several.labels, "other")}  # a new head has no shift to take out
    new: Any = create_classifier(run.model_path, paired=False, **more)
    assert not new.model.classifier.bias.any()


def test_weights_are_chosen_at_the_threshold_that_they_get(base: Get, several: Dataset, tmp_path: Path) -> None:
    names = {"metric": ["micro_f1"], "balanced": ["balanced", "micro_f1", "macro_f1"]}
    for choose_by, kept in names.items():
        settings = {"tune_threshold": True, "calibrate": False, "epochs": 3, "choose_by": choose_by}
        run = trained(base("bert"), several, tmp_path / choose_by, **settings)
        best, reached = run.info["best_metric"], run.metrics["validation"]
        assert best is not None and list(best) == kept
        assert best["micro_f1"] == pytest.approx(reached["micro_f1"], abs=1e-6)
        log = [json.loads(line) for line in (run.path / "log.jsonl").read_text().splitlines()]
        seen = [entry[f"eval_{kept[0]}"] for entry in log if f"eval_{kept[0]}" in entry]
        assert max(seen) == best[kept[0]]


def test_a_threshold_does_not_change_the_log_loss_that_chooses_weights(
    base: Get, several: Dataset, tmp_path: Path
) -> None:
    settings = {"choose_by": "log_loss", "head": "random"}
    runs = [trained(base("bert"), several, tmp_path / str(on), tune_threshold=on, **settings) for on in (False, True)]
    assert runs[0].info["best_metric"] == runs[1].info["best_metric"]


def test_a_small_validation_split_tunes_no_threshold(base: Get, tmp_path: Path) -> None:
    lines: list[str] = []
    run = trained(base("bert"), make_multi(), tmp_path / "run", tune_threshold=True, progress=lines.append)
    assert run.info["temperature"] == 1.0 and "threshold" not in run.info
    (said,) = (line for line in run.info["warnings"] if "too few to tune" in line)
    assert said.startswith("18 validation texts are too few to tune a threshold on, which takes 50")
    assert [line for line in lines if "too few to tune" in line] == [f"warning: {said}"]
    reached = run.metrics["validation"]
    assert run.info["best_metric"]["micro_f1"] == pytest.approx(reached["micro_f1"], abs=1e-6)
    assert run.info["best_metric"]["balanced"] == pytest.approx(
        (reached["micro_f1"] + reached["macro_f1"]) / 2, abs=1e-6
    )


def test_a_threshold_is_refused_where_every_text_has_one_label(base: Get, noisy: Dataset, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="tune_threshold applies where a text may have several labels") as caught:
        trained(base("bert"), noisy, tmp_path / "run", tune_threshold=True)
    assert not (tmp_path / "run").exists() and "teacher.tune_threshold" in str(caught.value.fix)


def test_a_threshold_is_refused_where_the_last_layer_has_no_bias(base: Get, several: Dataset, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="the last layer of a gpt2 has no bias"):
        trained(base("gpt2"), several, tmp_path / "run", tune_threshold=True, head="random")


def test_a_family_that_is_not_known_is_refused_before_its_training_too(
    base: Get, several: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = teacher_module._start

    def without_bias(*given: Any) -> Any:
        loaded = start(*given)
        loaded.model.classifier.bias = None
        return loaded

    monkeypatch.setattr(teacher_module, "_start", without_bias)
    monkeypatch.setattr(teacher_module, "fit", lambda *given, **rest: pytest.fail("trained"))
    with pytest.raises(ConfigError, match="the last layer of a bert has no bias"):
        trained(base("bert"), several, tmp_path / "run", tune_threshold=True, head="random")
