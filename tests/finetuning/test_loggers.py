"""Loggers: what they get, where it lies, that no text is in it, and that a resumed training goes on in it."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from liteft.cli.groups import Settings
from liteft.cli.settings import resolve
from liteft.data import Dataset
from liteft.errors import ConfigError, MissingExtraError
from liteft.finetuning import finetune, loggers
from liteft.recipes import TeacherRecipe
from liteft.run import Run
from tests.finetuning.conftest import LABELS, QUICK
from tests.finetuning.test_trainer_keys import StopAt

SAVING: dict[str, Any] = {**QUICK, "evaluations_per_epoch": 2, "checkpoint_steps": 2}
Get = Callable[[str], Path]


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """What TensorBoard shows of a folder: tag -> steps and values."""
    pytest.importorskip("tensorboard", reason="reads event files")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(folder))
    found.Reload()
    return {tag: [(each.step, each.value) for each in found.Scalars(tag)] for tag in found.Tags()["scalars"]}


def logged(run: Run, name: str) -> list[tuple[int, float]]:
    """The last values of a metric in log.jsonl, by step."""
    lines = [json.loads(line) for line in (run.path / "log.jsonl").read_text().splitlines()]
    return sorted({line["step"]: line[name] for line in lines if name in line}.items())


def interrupted(base: Path, dataset: Dataset, out: Path, **settings: Any) -> Run:
    """Train to step 7, and then go on from the checkpoint of step 6."""
    with pytest.raises(KeyboardInterrupt):
        finetune(base, dataset, out=out, callbacks=[StopAt(7)], **SAVING, **settings)
    return finetune(base, dataset, out=out, **SAVING, **settings)


def holds_no_text(folder: Path, dataset: Dataset) -> None:
    content = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
    words = {text.encode() for split in dataset.splits.values() for text in split.texts} | {
        json.dumps(label).encode() for label in LABELS
    }
    assert content
    assert not [word for word in words if word in content]


def test_tensorboard_has_what_the_log_has_and_no_text(base: Get, dataset: Dataset, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    run = finetune(base("bert"), dataset, out=tmp_path / "run", report_to=["tensorboard"], **SAVING)
    found = scalars(run.path / "logs" / "tensorboard")
    for tag, name in {"eval/accuracy": "eval_accuracy", "train/loss": "loss", "eval/loss": "eval_loss"}.items():
        expected = logged(run, name)
        assert len(expected) > 3
        assert [step for step, _ in found[tag]] == [step for step, _ in expected]
        assert [value for _, value in found[tag]] == pytest.approx([value for _, value in expected])
    holds_no_text(run.path / "logs", dataset)


def test_a_resumed_training_goes_on_in_the_same_events(base: Get, dataset: Dataset, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    run = interrupted(base("bert"), dataset, tmp_path / "run", report_to=["tensorboard"], trainer={"logging_steps": 1})
    folder = run.path / "logs" / "tensorboard"
    assert len(list(folder.glob("events.*"))) == 2
    assert [step for step, _ in scalars(folder)["train/loss"]] == list(range(1, 13))  # step 7 once


def test_a_run_that_fails_before_a_checkpoint_leaves_no_log(base: Get, dataset: Dataset, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")

    class Failing(StopAt):
        def on_step_end(self, *_arguments: Any, **_rest: Any) -> None:
            raise ValueError("as a user's callback may")

    with pytest.raises(ValueError, match="as a user"):
        finetune(
            base("bert"), dataset, out=tmp_path / "run", report_to=["tensorboard"], callbacks=[Failing(1)], **QUICK
        )
    assert not (tmp_path / "run").exists()


def test_a_logger_that_is_not_installed_is_named_before_anything_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loggers, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match="report_to names wandb, and the package wandb is not") as caught:
        finetune("nowhere", "nowhere.csv", out=tmp_path / "run", report_to=["wandb"])
    assert caught.value.fix[0] == "pip install wandb"


def test_mlflow_without_a_database_is_refused_unless_there_is_a_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loggers, "find_spec", lambda name: None if name == "sqlalchemy" else name)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(MissingExtraError, match="sqlalchemy is not installed"):
        loggers.require_loggers(["mlflow"])
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    loggers.require_loggers(["mlflow"])


def test_loggers_are_a_list_or_names_with_commas() -> None:
    recipe = resolve(Settings(), teacher={"report_to": "tensorboard, mlflow"})
    assert recipe.teacher.report_to == ["tensorboard", "mlflow"]
    with pytest.raises(ConfigError, match=r"report_to must be .*tensorboard, wandb, mlflow"):
        resolve(Settings(), teacher={"report_to": "tensorbord"})
    assert TeacherRecipe(report_to="wandb").report_to == ["wandb"]  # type: ignore[arg-type]


@pytest.mark.skipif(importlib.util.find_spec("mlflow") is None, reason="the package mlflow is not installed")
def test_mlflow_has_one_run_that_a_resumed_training_goes_on_with(
    base: Get, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow

    run = interrupted(base("bert"), dataset, tmp_path / "run", report_to=["mlflow"])
    folder = run.path / "logs" / "mlflow"
    assert not mlflow.is_tracking_uri_set()
    assert mlflow.active_run() is None
    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{folder / 'mlflow.db'}")
    (experiment,) = [each for each in client.search_experiments() if each.name == "liteft"]
    (found,) = client.search_runs([experiment.experiment_id])
    history = {each.step: each.value for each in client.get_metric_history(found.info.run_id, "eval_accuracy")}
    assert history == pytest.approx(dict(logged(run, "eval_accuracy")))
    assert found.data.params["batch_size"] == "8"
    assert (found.info.status, found.info.run_name) == ("FINISHED", "run")
    holds_no_text(folder, dataset)


@pytest.mark.skipif(importlib.util.find_spec("wandb") is None, reason="the package wandb is not installed")
def test_wandb_offline_has_one_id_that_a_resumed_training_goes_on_with(
    base: Get, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import wandb

    monkeypatch.setenv("WANDB_MODE", "offline")
    run = interrupted(base("bert"), dataset, tmp_path / "run", report_to=["wandb"])
    assert wandb.run is None
    folder = run.path / "logs" / "wandb"
    own = (folder / "run_id.txt").read_text()
    parts = sorted(path for path in (folder / "wandb").iterdir() if path.name.startswith("offline-run"))
    assert len(parts) == 2  # wandb sync joins the parts of one id
    assert all(path.name.endswith(own) for path in parts)
    content = b"".join(path.read_bytes() for part in parts for path in part.rglob("*.wandb"))
    assert b"eval/accuracy" in content
    holds_no_text(folder, dataset)
