"""A Trainer whose training, killed at any moment and started again, ends in the same bits.

The order of its rows is a function of seed and epoch, a checkpoint counts once it is complete (checkpoints.py), and
losses, metrics and warnings go to the run's log. What is trained, and on which loss, is up to its subclasses.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from torch import nn
from torch.utils.data import Sampler
from transformers import Trainer, TrainerState
from transformers.trainer_callback import PrinterCallback

from liteft.finetuning.adapter_files import load_adapter_weights, save_adapter_weights
from liteft.finetuning.adapters import adapter_of
from liteft.finetuning.batches import EpochSampler
from liteft.finetuning.callbacks import EarlyStopping, EpochOrder, SaveEvaluated, TrainingLog
from liteft.finetuning.checkpoints import STATE, discard, mark_complete, remove_superseded
from liteft.finetuning.context import RunContext
from liteft.finetuning.ordered_gradients import OrderedGradients
from liteft.finetuning.soundness import Divergence
from liteft.recipes import TrainingRecipe

__all__ = ["ResumableTrainer"]


class ResumableTrainer(Trainer):
    """Trainer with reproducible batches, checkpoints that survive a kill, and a log as JSON lines.

    Args:
        sampler: the order of the training rows.
        recipe: patience.
        context: of the run: losses and metrics are appended to its log, and it is told progress.
        name: prefix of each line of progress.
        metric: of the validation split, which chooses the checkpoint.
        shown: the metrics that progress shows; () for that one.
        chance: validation loss of a blind guess, by which a loss that diverges is known.
        arguments: all other arguments of Trainer.
    """

    def __init__(
        self,
        *,
        sampler: EpochSampler,
        recipe: TrainingRecipe,
        context: RunContext,
        name: str,
        metric: str,
        chance: float,
        shown: tuple[str, ...] = (),
        **arguments: Any,
    ) -> None:
        self.recipe = recipe
        self.metric = metric
        self.index_sampler = sampler
        super().__init__(**arguments)
        self.model_accepts_loss_kwargs = False
        self.remove_callback(PrinterCallback)
        self.add_callback(EpochOrder(self.index_sampler))
        self.add_callback(SaveEvaluated())
        self.add_callback(OrderedGradients(self))
        if recipe.early_stopping:
            self.add_callback(EarlyStopping(self.has_stopped))
        self.add_callback(TrainingLog(context, name, shown or (metric,)))
        self.divergence = Divergence(name, chance, context.tell)
        self.add_callback(self.divergence)

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler[Any]:
        return self.index_sampler

    def has_stopped(self, state: TrainerState) -> bool:
        """Say whether the recipe's patience has run out: that many evaluations since the best one.

        It is read from the log that a checkpoint keeps, so a resumed run stops where the uninterrupted one does.
        """
        name = f"eval_{self.metric}"
        values = np.array([entry[name] for entry in state.log_history if name in entry])
        best = np.argmax(values if self.args.greater_is_better else -values) if len(values) else -1
        waited = len(values) - 1 - int(best) if len(values) else 0
        return 0 < self.recipe.early_stopping <= waited

    def finish_from(self, checkpoint: Path) -> bool:
        """Take state and weights from the checkpoint of a training that had ended; otherwise return False.

        Trainer itself would take one step too many.
        """
        state = TrainerState.load_from_json(str(checkpoint / STATE))
        if state.global_step < self.args.max_steps and not self.has_stopped(state):
            return False
        self.state = state
        best = state.best_global_step if self.args.load_best_model_at_end else None
        self._load_from_checkpoint(str(checkpoint.with_name(f"checkpoint-{best}") if best else checkpoint))
        self.callback_handler.on_train_begin(self.args, self.state, self.control)
        self.callback_handler.on_train_end(self.args, self.state, self.control)
        return True

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None) -> None:
        """Write a checkpoint's weights; for a classifier with an adapter only the trained ones, not the base."""
        if adapter_of(self.model) is None:
            super()._save(output_dir, state_dict)
        else:
            save_adapter_weights(self.model, Path(output_dir or self.args.output_dir))

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        if adapter_of(self.model) is None:
            super()._load_from_checkpoint(resume_from_checkpoint, model)
        else:
            load_adapter_weights(self.model, Path(resume_from_checkpoint))

    def _load_best_model(self) -> None:
        if adapter_of(self.model) is None:
            super()._load_best_model()
        else:
            load_adapter_weights(self.model, Path(str(self.state.best_model_checkpoint)))

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        checkpoint = Path(self.args.output_dir) / f"checkpoint-{self.state.global_step}"
        try:
            super()._save_checkpoint(model, trial)
            self.accelerator.wait_for_everyone()
            if self.args.should_save:
                mark_complete(checkpoint)
        except BaseException:  # Ctrl-C, a full disk
            if self.args.should_save:
                discard(checkpoint)
            raise
        if self.args.should_save:
            remove_superseded(checkpoint, best=self.state.best_global_step)
