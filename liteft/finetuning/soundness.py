"""Warnings about a training: a loss that diverged, a model no better than a guess or far below its teacher.

Such a run is finished, and a careful reader of its metrics would notice. The warnings make it plain: they are reported
during training and kept in run.json under ``warnings``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from liteft.errors import ModelError, option
from liteft.tasks import Task
from liteft.text_tables import metric_words

__all__ = ["DivergedError", "Divergence", "Kept", "kept_evaluation", "warnings_of_metrics"]

_FAR_ABOVE_CHANCE = 5.0  # times the loss of a guess: far beyond models that are occasionally confident and wrong
_FAR_ABOVE_START = 10.0  # times the first logged loss
_FAR_BELOW_TEACHER = 0.05


class DivergedError(ModelError):
    """A training whose loss is NaN or infinite."""


class Divergence(TrainerCallback):  # type: ignore[misc]
    """Stops a training whose loss is NaN or infinite, and warns about one whose loss is far above its start.

    Args:
        name: of the training, for the error.
        chance: validation loss of a blind guess.
        tell: called with each warning at once.

    Attributes:
        warnings: the warnings so far.
        rate: the setting of the learning rate, which errors recommend to lower.
    """

    def __init__(self, name: str, chance: float, tell: Callable[[str], None]) -> None:
        self.name, self.chance, self.tell = name, chance, tell
        self.warnings: list[str] = []
        self.rate = "learning_rate"

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **rest: Any,
    ) -> None:
        """Check the latest log entry."""
        self._look_at(logs or {}, state.global_step, args, state)

    def on_train_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **rest: Any,
    ) -> None:
        """Check what a resumed training had logged before."""
        for entry in state.log_history:  # of a resumed training: earlier warnings were lost with its process
            self._look_at(entry, int(entry["step"]), args, state)

    def _look_at(self, logs: Mapping[str, Any], step: int, args: TrainingArguments, state: TrainerState) -> None:
        # of the whole training: a resumed one starts with a small loss
        first = next((entry["loss"] for entry in state.log_history if "loss" in entry), None)
        for name, start, times in (
            ("loss", first, _FAR_ABOVE_START),
            ("eval_loss", self.chance, _FAR_ABOVE_CHANCE),
        ):
            loss = logs.get(name)
            if loss is None:
                continue
            if not math.isfinite(loss):
                lower = float(f"{args.learning_rate / 10:g}")
                raise DivergedError(
                    f"{self.name}: the loss is {loss} at step {step} of {state.max_steps}, and no later "
                    "step can repair that.",
                    accepted={"learning rate of this training": f"{args.learning_rate:g}"},
                    fix=[
                        option(self.rate, [lower] if self.rate.endswith("rates") else lower),
                        option("training_precision", "fp32"),
                    ],
                )
            if start is not None and loss > times * start and not self.warnings:
                words = "validation loss" if name == "eval_loss" else "loss"
                base = f"a guess has {start:.2g}" if name == "eval_loss" else f"it began at {start:.2g}"
                self.warnings.append(
                    f"the training diverges: {words} {loss:,.4g} at step {step}, and {base}; "
                    f"try a lower learning rate than {args.learning_rate:g}"
                )
                if state.is_world_process_zero:
                    self.tell(f"{self.name}: warning: {self.warnings[-1]}")


class Kept(NamedTuple):
    """Which of the evaluated weights a training ends with."""

    epoch: float
    values: dict[str, float]
    text: str


def kept_evaluation(state: TrainerState, metrics: Sequence[str]) -> Kept:
    """Return the evaluation whose weights were kept, as numbers and in words.

    Args:
        state: of a finished training.
        metrics: the validation metrics to name.
    """
    evaluations = {entry["step"]: entry for entry in state.log_history if f"eval_{metrics[0]}" in entry}
    kept = evaluations[state.best_global_step]
    epoch, values = round(float(kept["epoch"]), 2), {name: float(kept[f"eval_{name}"]) for name in metrics}
    scores = " and ".join(
        f"{value:.4f} {metric_words(name)}" if name == "log_loss" else f"{100 * value:.1f}% {metric_words(name)}"
        for name, value in values.items()
    )
    step = f"(step {state.best_global_step} of {state.global_step})"
    return Kept(epoch, values, f"kept: epoch {epoch:g}, validation {scores} {step}")


def warnings_of_metrics(
    metrics: Mapping[str, Mapping[str, Any]],
    task: Task,
    *,
    kind: str,
    teacher: Mapping[str, Mapping[str, Any]] | None,
    whose: str = "its teacher",
    labels: np.ndarray | None = None,
    count: int = 0,
    unlike: bool = False,
) -> list[str]:
    """Return warnings about a finished run's validation metrics.

    Args:
        metrics: of the run, by split.
        task: determines which metric is checked.
        kind: "teacher", "student" or "control".
        teacher: metrics of the teacher's run by split, or None.
        whose: these are, in words; several teachers have no metrics together.
        labels: of the validation texts, as for ``Task.is_blind``; None if they have none.
        count: number of the model's labels.
        unlike: the teacher has a tuned threshold and the run has none, so their metrics are not compared.
    """
    own = metrics.get("validation")
    if own is None:
        return []
    found = []
    if labels is not None and task.is_blind(own, labels, count):
        found.append(
            f"the {kind} {_blindness(own, task)}: it has learned nothing that counts. Train longer, with another "
            "learning rate, and read the data check"
        )
    metric = task.primary_metric
    above = None if teacher is None or unlike else teacher.get("validation")
    if kind == "student" and above is not None and above[metric] - own[metric] > _FAR_BELOW_TEACHER:
        points = f"{100 * (above[metric] - own[metric]):.1f} points of validation {metric_words(metric)}"
        found.append(
            f"the student is {points} below {whose}. Try more epochs, more texts without labels, several learning "
            "rates (student.learning_rates), or a larger size"
        )
    return found


def _blindness(own: Mapping[str, Any], task: Task) -> str:
    """Return in words that a model's validation metrics are those of answers that do not depend on the text."""
    if task.numeric:
        metric = task.primary_metric
        return f"has a {metric_words(metric)} of {100 * own[metric]:.1f}% on validation, and the same score for all 0%"
    share, majority = 100 * own[task.text_metric], 100 * own["majority"]
    return f"is right on {share:.1f}% of the validation texts, and the most frequent answer alone on {majority:.1f}%"
