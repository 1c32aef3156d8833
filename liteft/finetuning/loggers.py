"""Loggers of a training: TensorBoard, Weights & Biases and MLflow, by Trainer's own callbacks.

They get numbers: losses, rates, validation metrics, and the settings of the training. Trainer's callbacks would also
send the model's configuration, which has the names of the labels, and paths of this machine; here they do not. All
files are in the folder ``logs`` of the run. A resumed training goes on in the same log: TensorBoard is told which steps
are repeated, and the ids of the other loggers' runs are kept beside the log.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerState, TrainingArguments
from transformers.integrations.integration_utils import (
    MLflowCallback,
    TensorBoardCallback,
    WandbCallback,
    WandbLogModel,
)

from liteft import files
from liteft.errors import MissingExtraError, leave_out
from liteft.finetuning.context import RunContext
from liteft.recipes import TrainingRecipe

__all__ = ["LOGS", "close_loggers", "logger_callbacks", "require_loggers"]

LOGS = "logs"
"""Folder of a run in which loggers write."""
_PROJECT = "liteft"


def require_loggers(names: Sequence[str]) -> None:
    """Refuse loggers whose package is not installed.

    Args:
        names: of the recipe, ``report_to``.

    Raises:
        MissingExtraError: a package is missing.
    """
    for name in names:
        if find_spec(name) is None:
            raise MissingExtraError(
                f"report_to names {name}, and the package {name} is not installed.",
                fix=[f"pip install {name}", leave_out("report_to")],
            )
    if "mlflow" in names and find_spec("sqlalchemy") is None and not os.environ.get("MLFLOW_TRACKING_URI"):
        raise MissingExtraError(
            "report_to names mlflow, which keeps its log in a database, and the package sqlalchemy is not installed.",
            accepted={"a server": "MLFLOW_TRACKING_URI, which needs no database here"},
            fix=["pip install mlflow", leave_out("report_to")],
        )


def logger_callbacks(recipe: TrainingRecipe, context: RunContext, checkpoints: Path) -> list[TrainerCallback]:
    """Return the callbacks of the loggers that a recipe names.

    Args:
        recipe: of the training; ``report_to`` counts.
        context: of the run.
        checkpoints: of this training; a run of several trainings (learning rates, stages) has a log for each.
    """
    inner = checkpoints.relative_to(context.checkpoints) if checkpoints.is_relative_to(context.checkpoints) else Path()
    name = "-".join((context.out.absolute().name, *inner.parts))
    own = {key: getattr(recipe, key) for key in TrainingRecipe.model_fields}  # not the paths of a teacher or a student
    settings = {
        key: value for key, value in own.items() if isinstance(value, bool | int | float | str)
    } | recipe.trainer
    kinds = {"tensorboard": _TensorBoard, "wandb": _Wandb, "mlflow": _MLflow}
    return [kinds[each](context.out / LOGS / each / inner, name, settings) for each in recipe.report_to]


def close_loggers(callbacks: Iterable[TrainerCallback]) -> None:
    """End the logs of a training that has ended or failed; other callbacks are left alone."""
    for each in callbacks:
        if isinstance(each, _TensorBoard | _Wandb | _MLflow):
            each.close()


def _kept_id(folder: Path) -> str:
    """Return the id of a logger's run, which a resumed training finds again."""
    path = folder / "run_id.txt"
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        files.write_text(path, uuid.uuid4().hex)
    return path.read_text(encoding="utf-8").strip()


class _TensorBoard(TensorBoardCallback):  # type: ignore[misc]
    """Event files; the steps that a resumed training repeats are taken out of what was written before."""

    def __init__(self, folder: Path, name: str, settings: dict[str, Any]) -> None:
        super().__init__()
        self.folder, self.settings = folder, settings

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: Any, **rest: Any) -> None:
        if not state.is_world_process_zero:
            return
        from torch.utils.tensorboard import SummaryWriter

        resumed = state.global_step + 1 if state.global_step else None
        self.tb_writer = SummaryWriter(log_dir=str(self.folder), purge_step=resumed)
        if resumed is None:
            lines = [f"    {key} = {value!r}" for key, value in self.settings.items()]
            self.tb_writer.add_text("settings", "\n".join(lines))

    def on_train_end(self, args: TrainingArguments, state: TrainerState, control: Any, **rest: Any) -> None:
        self.close()

    def close(self) -> None:
        """Write what is left."""
        if self.tb_writer is not None:
            self.tb_writer.close()
            self.tb_writer = None


class _Wandb(WandbCallback):  # type: ignore[misc]
    """A run of Weights & Biases; the one that is active already, if the caller has begun one."""

    def __init__(self, folder: Path, name: str, settings: dict[str, Any]) -> None:
        super().__init__()
        self.folder, self.name, self.settings, self.began = folder, name, settings, False
        self._log_model: Any = WandbLogModel.FALSE  # a run's model lies in its folder

    def setup(self, args: TrainingArguments, state: TrainerState, model: Any, **rest: Any) -> None:
        self._initialized = True
        if not state.is_world_process_zero:
            return
        wandb = self._wandb
        if wandb.run is None:
            wandb.init(
                project=os.environ.get("WANDB_PROJECT") or _project(args),
                name=args.run_name or self.name,
                id=_kept_id(self.folder),
                resume="allow",
                dir=str(self.folder),
                settings=wandb.Settings(x_disable_meta=True, console="off", disable_code=True, disable_git=True),
            )
            self.began = True
        wandb.config.update(self.settings, allow_val_change=True)
        wandb.define_metric("train/global_step")
        wandb.define_metric("*", step_metric="train/global_step", step_sync=True)

    def on_train_end(self, args: TrainingArguments, state: TrainerState, control: Any, **rest: Any) -> None:
        self.close()

    def close(self) -> None:
        """End the run if this training has begun it."""
        if self.began:
            self._wandb.finish()
            self.began = False
        self._initialized = False


class _MLflow(MLflowCallback):  # type: ignore[misc]
    """A run of MLflow: in MLFLOW_TRACKING_URI or where ``mlflow.set_tracking_uri`` said, else in the run's folder."""

    def __init__(self, folder: Path, name: str, settings: dict[str, Any]) -> None:
        super().__init__()
        self.folder, self.name, self.settings = folder, name, settings
        self.own_store = False

    def setup(self, args: TrainingArguments, state: TrainerState, model: Any) -> None:
        self._initialized, self._async_log, self._log_artifacts = True, False, False
        if not state.is_world_process_zero:
            return
        mlflow = self._ml_flow
        if not mlflow.is_tracking_uri_set():
            self.own_store = True
            self.folder.mkdir(parents=True, exist_ok=True)
            mlflow.set_tracking_uri(f"sqlite:///{(self.folder / 'mlflow.db').absolute()}")
        if mlflow.active_run() is None:
            record = self.folder / "run_id.txt"
            if record.is_file():
                mlflow.start_run(run_id=record.read_text(encoding="utf-8").strip(), log_system_metrics=False)
            else:
                self._open_experiment(os.environ.get("MLFLOW_EXPERIMENT_NAME") or _project(args))
                begun = mlflow.start_run(run_name=args.run_name or self.name, log_system_metrics=False)
                self.folder.mkdir(parents=True, exist_ok=True)
                files.write_text(record, begun.info.run_id)
                mlflow.log_params(self.settings)
            self._auto_end_run = True

    def _open_experiment(self, name: str) -> None:
        """Log into an experiment; a new one in the run's folder keeps its artifacts there."""
        mlflow = self._ml_flow
        if self.own_store and mlflow.get_experiment_by_name(name) is None:
            mlflow.create_experiment(name, artifact_location=(self.folder / "artifacts").absolute().as_uri())
        mlflow.set_experiment(name)

    def on_train_end(self, args: TrainingArguments, state: TrainerState, control: Any, **rest: Any) -> None:
        self.close()

    def close(self) -> None:
        """End the run if this training has begun it."""
        if self._auto_end_run and self._ml_flow.active_run():
            self._ml_flow.end_run()
        self._initialized = self._auto_end_run = False
        if self.own_store:
            self._ml_flow.set_tracking_uri(None)  # it is of the whole process
            self.own_store = False


def _project(args: TrainingArguments) -> str:
    """Return the project of a training: ``trainer.project``, or LiteFT's name in place of transformers' own."""
    plain = TrainingArguments.__dataclass_fields__["project"].default
    return str(args.project) if args.project != plain else _PROJECT
