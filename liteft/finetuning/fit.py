"""One training: encode, batch, train with checkpoints, keep the best weights.

Teacher and student share it; they differ in the trainer's loss and in what a batch contains.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from liteft.data import Dataset, Split
from liteft.finetuning.allocation import large_buffers_reused
from liteft.finetuning.batches import Collator, LengthGroupedSampler, RowDataset, collate
from liteft.finetuning.calibration import tunes_threshold
from liteft.finetuning.checkpoints import prepare_resume
from liteft.finetuning.context import RunContext
from liteft.finetuning.loggers import close_loggers, logger_callbacks
from liteft.finetuning.loss import balanced_weights
from liteft.finetuning.model import TorchClassifier, quiet_transformers, uses_type_ids
from liteft.finetuning.reading import read_split
from liteft.finetuning.resumable import ResumableTrainer
from liteft.finetuning.soundness import kept_evaluation
from liteft.finetuning.trainer import ClassifierTrainer, choosing_metric, shown_metrics, training_arguments
from liteft.finetuning.units import training_units
from liteft.ragged import Rows
from liteft.ranks import local_share
from liteft.recipes import TrainingRecipe
from liteft.run_info import FitInfo

__all__ = ["computing_threads", "encode_rows", "fit", "soft_targets", "trained_from", "training_threads"]


def _in_order(validation: Split, rows: np.ndarray) -> np.ndarray | None:
    """Return the validation texts with an unknown label in the order in which they are scored."""
    if validation.unseen_label is None or validation.words is not None:  # words are scored in the order of the texts
        return validation.unseen_label
    return np.asarray(validation.unseen_label[rows])


def soft_targets(split: Split) -> dict[str, np.ndarray]:
    """Return the probabilities of a training split's labels as extras of its batches; {} if it has none."""
    return {} if split.soft_labels is None else {"soft_labels": split.soft_labels}


def encode_rows(loaded: TorchClassifier, split: Split, **extras: Rows) -> Collator:
    """Return a collator over a split's texts, with labels and further values of texts or of their words.

    Raises:
        DataError: a text holds a token that the model has no row for.
    """
    reading = read_split(loaded, split)
    return Collator(
        reading,
        reading.by_row(split.labels),
        pad_id=loaded.tokenizer.pad_id,
        types=uses_type_ids(loaded.config),
        extras={name: reading.by_row(values) for name, values in extras.items()},
        gold=split.labels,
    )


@contextmanager
def computing_threads(count: int | None) -> Iterator[None]:
    """Compute with this many threads while the body runs, then restore the previous number; None changes nothing."""
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def training_threads(count: int | None) -> AbstractContextManager[None]:
    """Compute with this process's share of a training's threads while the body runs; None changes nothing."""
    return computing_threads(local_share(count))


def trained_from(trainer: ResumableTrainer, checkpoints: Path) -> None:
    """Train from the newest checkpoint on, or from the start, and leave the model as it was given: without wrappers.

    Args:
        trainer: its model holds the kept weights afterwards, in evaluation mode.
        checkpoints: their folder.
    """
    given = vars(trainer.model).get("forward")
    resume = prepare_resume(checkpoints) if trainer.is_world_process_zero() else None
    trainer.accelerator.wait_for_everyone()
    if not trainer.is_world_process_zero():
        resume = prepare_resume(checkpoints)
    try:
        if resume is None or not trainer.finish_from(resume):
            sizes = (weight.nbytes for weight in trainer.model.parameters() if weight.requires_grad)
            with large_buffers_reused(max(sizes, default=0)):
                trainer.train(resume_from_checkpoint=None if resume is None else str(resume))
        trainer.accelerator.wait_for_everyone()  # no process may remove a checkpoint before all have read the weights
    finally:  # also of a training that diverged: another rate may be tried
        if (noise := getattr(trainer, "neftune_hook_handle", None)) is not None:
            noise.remove()
        close_loggers(trainer.callback_handler.callbacks)
        # Accelerate has put bfloat16 autocast around the model's forward; its next user chooses the precision.
        model = trainer.accelerator.unwrap_model(trainer.model, keep_fp32_wrapper=False).eval()
        # It takes transformers' own wrappers off as well, of which one collects the hidden states.
        vars(model).pop("forward", None)
        if given is not None:
            model.forward = given


def fit(
    loaded: TorchClassifier,
    dataset: Dataset,
    recipe: TrainingRecipe,
    context: RunContext,
    *,
    checkpoints: Path | None = None,
    train: Collator | None = None,
    sampler: LengthGroupedSampler | None = None,
    trainer_class: type[ClassifierTrainer] = ClassifierTrainer,
    trainer_arguments: dict[str, Any] | None = None,
    name: str = "training",
    choose_best: bool = True,
    epoch_texts: int | None = None,
    rate: str = "learning_rate",
) -> FitInfo:
    """Train a classifier in place, resuming from ``checkpoints`` if the run was stopped.

    Args:
        loaded: the classifier; holds the best weights by the validation metric afterwards.
        dataset: provides the validation split, and the training split unless ``train`` does.
        recipe: steps, optimizer, schedule, precision; ``threads`` is left to the caller.
        context: of the run.
        checkpoints: folder of checkpoints; None for the run's.
        train: rows to train on; None encodes the training split.
        sampler: their order; None for the recipe's.
        trainer_class: ClassifierTrainer or a subclass with another loss.
        trainer_arguments: further arguments for it.
        name: prefix of each progress line.
        choose_best: end with the weights of the best evaluation, not the last ones.
        epoch_texts: texts per epoch, which determine when to evaluate; None for the number in ``train``.
        rate: the setting of the learning rate, which errors recommend to lower.

    Returns:
        steps, training seconds of this process, best_metric, best_step and best_epoch (of the kept weights),
        and warnings about a loss that diverged.

    Raises:
        DivergedError: the loss became NaN or infinite.
    """
    quiet_transformers()
    checkpoints = checkpoints or context.checkpoints
    validation = dataset.validation
    if not tunes_threshold(recipe, validation):
        recipe = recipe.model_copy(update={"tune_threshold": False})
    train = train or encode_rows(loaded, dataset.train, **soft_targets(dataset.train))
    evaluation = encode_rows(loaded, validation)
    by_length = np.argsort(evaluation.encoded.lengths, kind="stable")
    arguments = training_arguments(
        recipe,
        folder=checkpoints,
        texts=epoch_texts or len(train.encoded.lengths),
        processes=context.state.num_processes,
        task=dataset.task,
        choose_best=choose_best,
    )
    weights = None
    if recipe.class_weights == "balanced" and dataset.train.labels is not None:
        weights = balanced_weights(dataset.train.labels, len(dataset.labels))
    trainer = trainer_class(
        model=loaded.model,
        args=arguments,
        train_dataset=RowDataset(train),
        eval_dataset=RowDataset(evaluation, by_length),
        data_collator=collate,
        task=dataset.task,
        sampler=sampler or LengthGroupedSampler.of(train, recipe),
        recipe=recipe,
        class_weights=weights,
        unseen_label=_in_order(validation, by_length),
        context=context,
        name=name,
        labels=len(dataset.labels),
        callbacks=[*context.callbacks, *logger_callbacks(recipe, context, checkpoints)],
        **(trainer_arguments or {}),
    )
    trainer.divergence.rate = rate
    started = time.monotonic()
    with training_units(loaded, dataset.task) as trainer.units:
        trained_from(trainer, checkpoints)
    best, metric = trainer.state.best_metric, choosing_metric(recipe, dataset.task)
    shown = shown_metrics(recipe, dataset.task)
    kept = kept_evaluation(trainer.state, shown) if choose_best and best is not None else None
    if kept is not None and trainer.is_world_process_zero():
        context.tell(f"{name}: {kept.text}")
    return {
        "steps": trainer.state.global_step,
        "training_seconds": round(time.monotonic() - started, 1),
        "best_metric": None if best is None else {metric: float(best)} | (kept.values if kept else {}),
        "best_step": trainer.state.best_global_step,
        "best_epoch": None if kept is None else kept.epoch,
        "precision": "bf16" if arguments.bf16 else "fp32",
        "learning_rate": arguments.learning_rate,
        "warnings": trainer.divergence.warnings,
    }
