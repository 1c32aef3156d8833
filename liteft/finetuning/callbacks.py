"""What LiteFT adds to Trainer by callbacks: order of batches, checkpoints, early stopping, log."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from typing import Any, Self

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from liteft.finetuning.batches import EpochSampler
from liteft.finetuning.context import RunContext

__all__ = ["EarlyStopping", "EpochOrder", "SaveEvaluated", "StepLine", "TrainingLog"]


class EpochOrder(TrainerCallback):  # type: ignore[misc]
    """Tells the sampler its epoch, even when resuming in the middle of one, where Trainer does not call it."""

    def __init__(self, sampler: EpochSampler) -> None:
        self.sampler = sampler

    def on_epoch_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **rest: Any,
    ) -> None:
        """Set the sampler's epoch."""
        self.sampler.set_epoch(int(state.epoch or 0))


class SaveEvaluated(TrainerCallback):  # type: ignore[misc]
    """Saves at every evaluation, whatever the steps between checkpoints, so the best weights are always saved."""

    def on_step_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **rest: Any,
    ) -> None:
        """Ask for a checkpoint where an evaluation is due."""
        control.should_save = control.should_save or control.should_evaluate


class EarlyStopping(TrainerCallback):  # type: ignore[misc]
    """Ends the training after an evaluation when the trainer says so."""

    def __init__(self, has_stopped: Callable[[TrainerState], bool]) -> None:
        self.has_stopped = has_stopped

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **rest: Any,
    ) -> None:
        """Stop the training if patience has run out."""
        if self.has_stopped(state):
            control.should_training_stop = True


class StepLine(str):
    """A line of progress that says how far a training is; a notebook shows it as a bar.

    Attributes:
        training: its name.
        step, steps: done, and of all.
    """

    training: str
    step: int
    steps: int

    def __new__(cls, text: str, training: str, state: TrainerState) -> Self:
        """Make a line.

        Args:
            text: the line, without the training's name.
            training: its name, which comes before the text.
            state: of the training.
        """
        line = super().__new__(cls, f"{training}: {text}")
        line.training, line.step, line.steps = training, state.global_step, state.max_steps
        return line

    def __reduce__(self) -> tuple[type[str], tuple[str]]:
        """Be a plain line in another process, which has no notebook to draw a bar in."""
        return str, (str(self),)


class TrainingLog(TrainerCallback):  # type: ignore[misc]
    """Appends losses and metrics to a file, and reports progress now and then."""

    def __init__(self, context: RunContext, name: str, metrics: Sequence[str]) -> None:
        self.context = context
        self.name = name
        self.metrics = metrics
        self.started = self.told = time.monotonic()
        self.first_step = 0

    def on_train_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **rest: Any,
    ) -> None:
        """Log and report that a training is resumed."""
        self.started = self.told = time.monotonic()
        self.first_step = state.global_step
        if state.global_step and state.is_world_process_zero:
            self._write({"resumed": True, "skipped_steps": state.global_step})
            self._tell(f"resumed, {state.global_step} of {state.max_steps} steps skipped", state)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **rest: Any,
    ) -> None:
        """Append the entry to the log, and report an evaluation, or the loss every 5 seconds."""
        if not state.is_world_process_zero or logs is None:
            return
        self._write({"step": state.global_step, "epoch": state.epoch, **logs})
        now = time.monotonic()
        if f"eval_{self.metrics[0]}" in logs:
            values = ", ".join(f"{name} {logs[f'eval_{name}']:.4f}" for name in self.metrics)
            self._tell(f"step {state.global_step}/{state.max_steps}  validation {values}", state)
            self.told = now
        elif "loss" in logs and now - self.told >= 5:
            done = max(1, state.global_step - self.first_step)
            left = (now - self.started) / done * (state.max_steps - state.global_step)
            self._tell(f"step {state.global_step}/{state.max_steps}  loss {logs['loss']:.4f}  {left:.0f} s left", state)
            self.told = now

    def _tell(self, text: str, state: TrainerState) -> None:
        self.context.tell(StepLine(text, self.name, state))

    def _write(self, entry: dict[str, Any]) -> None:
        with open(self.context.log, "a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")
