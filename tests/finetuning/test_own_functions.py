"""Metrics and losses of the user's own: what they get, what they change, and that a run is bound to them."""

from __future__ import annotations

import functools
import json
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, cohen_kappa_score
from torch import Tensor, nn

import liteft
from liteft.cli.groups import Settings
from liteft.cli.settings import resolve
from liteft.data import Dataset
from liteft.errors import ConfigError, RunError
from liteft.finetuning import finetune
from liteft.finetuning.function_hash import source_hash
from liteft.finetuning.own_functions import OwnFunctions, checked_functions, require_functions
from liteft.ragged import Ragged
from liteft.recipes import StudentRecipe, TeacherRecipe
from liteft.tasks import task_named
from tests.finetuning.conftest import QUICK, make_multi
from tests.finetuning.test_trainer_keys import StopAt

SAVING: dict[str, Any] = {**QUICK, "evaluations_per_epoch": 2, "checkpoint_steps": 2}
GAMMA = 2.0
Get = Callable[[str], Path]


def focal(logits: Tensor, labels: Tensor) -> Tensor:
    """Focal loss, Lin et al. 2017."""
    loss = nn.functional.cross_entropy(logits, labels, reduction="none")
    return ((1 - torch.exp(-loss)) ** GAMMA * loss).mean()


def surely_right(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """The mean probability of the right label."""
    return float(probabilities[np.arange(len(labels)), labels].mean())


def kappa(labels: np.ndarray, predictions: np.ndarray) -> float:
    return cohen_kappa_score(labels, predictions)


def wrong_way(labels: np.ndarray, logits: np.ndarray) -> float:
    return -float((logits.argmax(axis=1) == labels).mean())


def log(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (path / "log.jsonl").read_text().splitlines()]


def test_metrics_are_logged_at_each_evaluation_and_kept_for_each_split(
    base: Get, dataset: Dataset, tmp_path: Path
) -> None:
    own = {"kappa": kappa, "surely": surely_right}
    run = finetune(base("bert"), dataset, out=tmp_path / "run", metrics=own, **SAVING)
    evaluated = [line for line in log(run.path) if "eval_accuracy" in line]
    assert len(evaluated) == 4
    assert all({"eval_kappa", "eval_surely"} <= line.keys() for line in evaluated)
    for split in ("validation", "test"):
        logits, labels = run.predictions(split)
        assert run.metrics[split]["kappa"] == cohen_kappa_score(labels, logits.argmax(axis=1))
        shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        assert run.metrics[split]["surely"] == pytest.approx(shares[np.arange(len(labels)), labels].mean(), abs=1e-6)
    assert sorted(run.info["functions"]) == ["metrics.kappa", "metrics.surely"]


@pytest.mark.parametrize(("metric", "best"), [(surely_right, max), (wrong_way, max)])
def test_weights_are_chosen_by_an_own_metric(
    metric: Any, best: Any, base: Get, dataset: Dataset, tmp_path: Path
) -> None:
    told: list[str] = []
    settings = {**SAVING, "choose_by": "mine", "calibrate": False}
    run = finetune(
        base("bert"), dataset, out=tmp_path / "run", metrics={"mine": metric}, progress=told.append, **settings
    )
    found = {line["step"]: line["eval_mine"] for line in log(run.path) if "eval_mine" in line}
    assert len(set(found.values())) > 1
    assert run.info["best_metric"]["mine"] == best(found.values()) == found[run.info["best_step"]]
    assert run.metrics["validation"]["mine"] == pytest.approx(best(found.values()), abs=1e-6)
    assert any("validation mine" in line for line in told)


def test_a_loss_replaces_that_of_the_labels_and_a_run_with_it_resumes_in_the_same_bits(
    base: Get, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = finetune(base("bert"), dataset, out=tmp_path / "plain", **SAVING)
    whole = finetune(base("bert"), dataset, out=tmp_path / "whole", loss=focal, **SAVING)
    assert whole.info["weights_sha256"] != plain.info["weights_sha256"]
    with pytest.raises(KeyboardInterrupt):
        finetune(base("bert"), dataset, out=tmp_path / "cut", loss=focal, callbacks=[StopAt(7)], **SAVING)
    with monkeypatch.context() as patch:
        patch.setitem(globals(), "GAMMA", 3.0)
        with pytest.raises(RunError, match="an unfinished run with other settings") as caught:
            finetune(base("bert"), dataset, out=tmp_path / "cut", loss=focal, **SAVING)
        assert "test_own_functions:focal, source" in caught.value.accepted["loss"]
    with pytest.raises(RunError) as caught:
        finetune(base("bert"), dataset, out=tmp_path / "cut", **SAVING)
    assert caught.value.accepted["loss"].endswith("-> None")
    again = finetune(base("bert"), dataset, out=tmp_path / "cut", loss=focal, **SAVING)
    assert again.info["weights_sha256"] == whole.info["weights_sha256"]
    assert again.info["functions"] == whole.info["functions"]


def test_the_cross_entropy_as_an_own_loss_gives_the_bits_of_liteft(base: Get, dataset: Dataset, tmp_path: Path) -> None:
    def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
        return nn.functional.cross_entropy(logits, labels)

    runs = [
        finetune(base("bert"), dataset, out=tmp_path / str(loss), loss=loss, **QUICK)
        for loss in (None, cross_entropy, nn.CrossEntropyLoss())
    ]
    assert len({run.info["weights_sha256"] for run in runs}) == 1


def test_a_student_and_its_teacher_learn_labels_by_the_own_loss(base: Get, dataset: Dataset, tmp_path: Path) -> None:
    settings = {name: value for name, value in QUICK.items() if name != "max_tokens"} | {
        "size": "1",
        "until": "student",
    }
    teacher = finetune(base("bert"), dataset, out=tmp_path / "teacher", **QUICK)
    made = [
        liteft.distill(teacher, dataset, out=tmp_path / str(place), loss=loss, **settings).arms["student"][0]
        for place, loss in enumerate((None, focal))
    ]
    assert made[0].info["weights_sha256"] != made[1].info["weights_sha256"]
    assert "test_own_functions:focal" in made[1].info["functions"]["loss"]
    with pytest.raises(ConfigError, match="would not use the loss"):
        liteft.distill(teacher, dataset, out=tmp_path / "no", loss=focal, hard_weight=0, **settings)


def test_several_labels_and_words_reach_a_metric_as_arrays() -> None:
    multi = make_multi()
    gold = multi.validation.labels
    own = checked_functions({"exact": accuracy_score})
    assert own.scores(multi.task, np.where(gold, 1.0, -1.0), gold) == {"exact": 1.0}  # type: ignore[arg-type]
    seen: list[Any] = []

    def lengths(labels: Any, predictions: Any) -> float:
        seen.append((labels, predictions))
        return float(len(labels))

    tagging = task_named("tokens").bound(("O", "B-x"))
    rows = Ragged(np.array([0, 1, 0]), np.array([0, 2, 3]))
    logits = Ragged(np.array([[2.0, 0.0], [0.0, 2.0], [2.0, 0.0]], dtype=np.float32), rows.offsets)
    assert checked_functions({"texts": lengths}).scores(tagging, logits, rows) == {"texts": 2.0}
    labels, predictions = seen[0]
    assert [each.tolist() for each in labels] == [each.tolist() for each in predictions] == [[0, 1], [0]]


def refused(call: Callable[[], Any]) -> str:
    with pytest.raises(ConfigError) as caught:
        call()
    return str(caught.value)


def test_what_cannot_be_a_metric_or_a_loss_is_refused() -> None:
    assert "LiteFT has a metric of that name" in refused(lambda: checked_functions({"accuracy": surely_right}))
    assert "not a name in small letters" in refused(lambda: checked_functions({"My metric": surely_right}))
    assert "metrics is a list" in refused(lambda: checked_functions([surely_right]))  # type: ignore[arg-type]
    assert "loss is 'mse'" in refused(lambda: checked_functions(loss="mse"))  # type: ignore[arg-type]
    assert "loss is the class CrossEntropyLoss" in refused(lambda: checked_functions(loss=nn.CrossEntropyLoss))
    message = refused(lambda: checked_functions({"mine": lambda gold, found: 1.0}))
    assert "has the parameters (gold, found), which do not say what it gets" in message
    assert "y_pred" in message


def test_a_metric_that_chooses_must_be_finite_and_another_need_not(base: Get, dataset: Dataset, tmp_path: Path) -> None:
    undefined: dict[str, Any] = {"mine": lambda labels, predictions: float("nan")}
    run = finetune(base("bert"), dataset, out=tmp_path / "run", metrics=undefined, **QUICK)
    assert run.metrics["validation"]["mine"] is None
    with pytest.raises(ConfigError, match="by which weights are chosen, is nan"):
        finetune(base("bert"), dataset, out=tmp_path / "no", metrics=undefined, choose_by="mine", **QUICK)


def test_a_loss_is_refused_for_a_student_of_public_texts_alone(dataset: Dataset) -> None:
    recipe = StudentRecipe(size="1", unlabeled="public.txt", transfer="pool")
    own = OwnFunctions(loss=focal)
    assert "transfer=pool learns no labels" in refused(lambda: require_functions(own, recipe, dataset, taught=True))


def test_what_a_function_returns_is_checked() -> None:
    own = OwnFunctions({"mine": lambda labels, predictions: "good"}, lambda logits, labels: logits.sum(dim=1))  # type: ignore[dict-item, return-value]
    labels = np.array([0, 1])
    assert "the metric mine returned a str" in refused(
        lambda: own.scores(task_named("single_label"), np.eye(2, dtype=np.float32), labels)
    )
    logits = torch.zeros(2, 2, requires_grad=True)
    assert "a tensor of shape (2,)" in refused(lambda: own.loss_of(logits, torch.tensor(labels)))
    assert "without a gradient" in refused(lambda: own.loss_of(logits.detach(), torch.tensor(labels)))


def test_settings_that_belong_to_the_loss_of_liteft_are_refused_beside_another(dataset: Dataset) -> None:
    own = OwnFunctions(loss=focal)
    for settings in ({"label_smoothing": 0.1}, {"class_weights": "balanced"}):
        recipe = TeacherRecipe(base="x", **settings)
        assert "belongs to LiteFT's loss" in refused(functools.partial(require_functions, own, recipe, dataset))
    answers = types.SimpleNamespace(task=task_named("answers"), name="questions")
    assert "answers in their contexts" in refused(lambda: require_functions(own, StudentRecipe(), answers))  # type: ignore[arg-type]


def test_a_metric_to_choose_by_that_nobody_computes_is_refused_at_once(tmp_path: Path) -> None:
    message = refused(
        lambda: finetune("nowhere", "nowhere.csv", out=tmp_path, choose_by="kapa", metrics={"kappa": kappa})
    )
    assert "choose_by must be one of balanced, metric, log_loss, kappa" in message
    assert "did you mean 'kappa'?" in message
    assert "did you mean 'balanced'?" in refused(
        lambda: resolve(Settings(assigned=["teacher.choose_by=balancd"]), teacher={})
    )


WEIGHTED = nn.CrossEntropyLoss(weight=torch.tensor([1.0, 2.0]))


def through_module(logits: Tensor, labels: Tensor) -> Tensor:
    return WEIGHTED(logits, labels)


def made(gamma: float) -> Callable[[Tensor, Tensor], Tensor]:
    def loss(logits: Tensor, labels: Tensor) -> Tensor:
        return focal(logits, labels) * gamma

    return loss


def test_a_hash_follows_what_a_function_computes(monkeypatch: pytest.MonkeyPatch) -> None:
    assert source_hash(made(1.0)) == source_hash(made(1.0))
    assert source_hash(made(1.0)) != source_hash(made(2.0))
    assert source_hash(functools.partial(focal)) != source_hash(focal)
    weights = [nn.CrossEntropyLoss(weight=torch.tensor([1.0, value])) for value in (1.0, 1.0, 2.0)]
    found = [source_hash(each) for each in weights]
    assert found[0] == found[1] != found[2]
    scaled = [source_hash(made(np.float32(gamma))) for gamma in (1.0, 2.0)]  # type: ignore[arg-type]
    assert scaled[0] != scaled[1]
    counted = (focal, made(1.0), functools.partial(focal), functools.partial(functools.partial(focal)), through_module)
    before = [source_hash(each) for each in counted]
    monkeypatch.setitem(globals(), "GAMMA", 3.0)
    monkeypatch.setitem(globals(), "WEIGHTED", nn.CrossEntropyLoss(weight=torch.tensor([1.0, 3.0])))
    assert all(old != source_hash(each) for old, each in zip(before, counted, strict=True))


def test_code_without_a_source_file_is_hashed_as_compiled() -> None:
    found = []
    for power in (2, 2, 3):
        space: dict[str, Any] = {"__name__": "made_up"}
        exec(f"def loss(logits, labels):\n    return (logits ** {power}).mean()", space)
        found.append(source_hash(space["loss"]))
    assert found[0] == found[1] != found[2]
