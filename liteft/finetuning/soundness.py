"""What is wrong with a training that ended: a loss that ran away, a model no better than a guess or below its teacher.

Such a run is finished, and its numbers say so to whoever reads them all. These lines say it to everybody else: they
are told while training, and stand in run.json under ``warnings``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from liteft.errors import ModelError, option
from liteft.metrics import Task, primary_metric

__all__ = ["Divergence", "Kept", "kept_evaluation", "warnings_of_metrics"]

_FAR_ABOVE_CHANCE = 5.0  # times the loss of a guess: far beyond models that are sure of wrong answers now and then
_FAR_ABOVE_START = 10.0  # times the first loss that was logged
_FAR_BELOW_TEACHER = 0.05


class Divergence(TrainerCallback):  # type: ignore[misc]
    """Ends a training whose loss is no number any more, and notes one whose loss is far above where it began.

    Args:
        name: of the training, for the error.
        task, labels: decide the loss of a guess that knows nothing.
        progress: told what is noted, at once.

    Attributes:
        warnings: what was noted.
    """

    def __init__(self, name: str, task: Task, labels: int, progress: Callable[[str], None] | None) -> None:
        self.name, self.progress = name, progress
        self.chance = math.log(max(2, labels)) if task == "single_label" else math.log(2)
        self.first: float | None = None
        self.warnings: list[str] = []

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,  # noqa: ARG002
        logs: dict[str, Any] | None = None,
        **rest: Any,  # noqa: ARG002
    ) -> None:
        for name, start, times in (
            ("loss", self.first, _FAR_ABOVE_START),
            ("eval_loss", self.chance, _FAR_ABOVE_CHANCE),
        ):
            loss = (logs or {}).get(name)
            if loss is None:
                continue
            if not math.isfinite(loss):
                raise ModelError(
                    f"{self.name}: the loss is {loss} at step {state.global_step} of {state.max_steps}, and no step "
                    "after it would mend that.",
                    accepted={"learning rate of this training": f"{args.learning_rate:g}"},
                    fix=[option("learning_rate", f"{args.learning_rate / 10:g}"), option("precision", "fp32")],
                )
            if start is not None and loss > times * start and not self.warnings:
                words = "validation loss" if name == "eval_loss" else "loss"
                base = f"a guess has {start:.2g}" if name == "eval_loss" else f"it began at {start:.2g}"
                self.warnings.append(
                    f"the training diverges: {words} {loss:,.4g} at step {state.global_step}, and {base}; "
                    f"try a lower learning rate than {args.learning_rate:g}"
                )
                if self.progress is not None and state.is_world_process_zero:
                    self.progress(f"{self.name}: warning: {self.warnings[-1]}")
        if self.first is None:
            self.first = (logs or {}).get("loss")


class Kept(NamedTuple):
    """Which of the evaluated weights a training ends with."""

    epoch: float
    text: str


def kept_evaluation(state: TrainerState, metric: str) -> Kept:
    """Return the evaluation whose weights were kept, as a number and in words."""
    evaluations = {entry["step"]: entry["epoch"] for entry in state.log_history if f"eval_{metric}" in entry}
    epoch = round(float(evaluations[state.best_global_step]), 2)
    score = f"{100 * state.best_metric:.1f}% validation {metric.replace('_', ' ')}"
    return Kept(epoch, f"kept: epoch {epoch:g}, {score} (step {state.best_global_step} of {state.global_step})")


def warnings_of_metrics(
    metrics: Mapping[str, Mapping[str, Any]], task: Task, *, kind: str, teacher: Mapping[str, Mapping[str, Any]] | None
) -> list[str]:
    """Return what a finished run's validation metrics give cause to say.

    Args:
        metrics: of the run, by split.
        task: decides which of them is looked at.
        kind: "teacher", "student" or "control".
        teacher: metrics of the teacher's run, by split, where there is one.
    """
    own = metrics.get("validation")
    if own is None:
        return []
    right = "accuracy" if task == "single_label" else "exact_match"
    found = []
    share, majority = 100 * own[right], 100 * own["majority"]
    if share <= majority:
        found.append(
            f"the {kind} is right on {share:.1f}% of the validation texts, and the most frequent answer alone on "
            f"{majority:.1f}%: it has learned nothing that counts. Train longer, with another learning rate, and read "
            "the data check"
        )
    metric = primary_metric(task)
    above = None if teacher is None else teacher.get("validation")
    if kind == "student" and above is not None and above[metric] - own[metric] > _FAR_BELOW_TEACHER:
        points = f"{100 * (above[metric] - own[metric]):.1f} points of validation {metric.replace('_', ' ')}"
        found.append(
            f"the student is {points} below its teacher. Try more epochs, unlabelled texts, several learning rates "
            "(student.learning_rates), or a larger size"
        )
    return found
