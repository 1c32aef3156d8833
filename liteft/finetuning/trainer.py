"""Hugging Face's Trainer with LiteFT's batches, loss, checkpoints and log.

Trainer is the loop: resuming, mixed precision, several processes, callbacks, optimizers. LiteFT adds reproducible
batches (batches.py), checkpoints that survive a kill (resumable.py), a loss for multi-label tasks and class
weights, and a log as JSON lines (callbacks.py). A subclass with another loss overrides ``text_loss``.
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import TrainingArguments

from liteft.errors import ConfigError, MissingExtraError, option
from liteft.finetuning.answer_batches import UNITS, unit_logits, units_of_rows, whole_batch
from liteft.finetuning.batches import Collator, LengthGroupedSampler, model_inputs
from liteft.finetuning.context import RunContext
from liteft.finetuning.loss import label_loss
from liteft.finetuning.pretrained import output_logits
from liteft.finetuning.resumable import ResumableTrainer
from liteft.finetuning.word_batches import COLUMNS, NO_WORD, flat_words, rows_of_rectangle, word_logits
from liteft.ragged import Ragged, Rows
from liteft.recipe_checks import require_shares
from liteft.recipes import TrainingRecipe
from liteft.tasks import SINGLE_LABEL, Task, fit_threshold
from liteft.tasks.answers import Answers

__all__ = [
    "ClassifierTrainer",
    "choosing_metric",
    "gold_of",
    "resolve_precision",
    "shown_metrics",
    "steps_per_epoch",
    "training_arguments",
]

_OPTIMIZERS = {
    "adamw": "adamw_torch_fused",
    "adamw8bit": "adamw_bnb_8bit",
    "sgd": "sgd",
    "adafactor": "adafactor",
}
_SCHEDULES = {"linear": "linear", "cosine": "cosine", "constant": "constant_with_warmup"}


def resolve_precision(precision: str) -> str:
    """Return "fp32" or "bf16"; "auto" takes bfloat16 if the device has bfloat16 arithmetic.

    Raises:
        ConfigError: bf16 was asked for and the GPU does not support it.
    """
    cuda = torch.cuda.is_available()
    if cuda:
        able = bool(torch.cuda.is_bf16_supported(including_emulation=False))
    else:
        able = bool(torch.cpu._is_avx512_bf16_supported())
    if precision == "auto":
        return "bf16" if able else "fp32"
    if precision == "bf16" and cuda and not able:
        raise ConfigError("this GPU does not compute in bfloat16.", fix=option("training_precision", "fp32"))
    return precision


def training_arguments(
    recipe: TrainingRecipe,
    *,
    folder: Path,
    texts: int,
    processes: int = 1,
    task: Task = SINGLE_LABEL,
    choose_best: bool = True,
) -> TrainingArguments:
    """Return Trainer's arguments for a recipe.

    Args:
        recipe: the settings.
        folder: checkpoints go here.
        texts: size of the training split.
        processes: number of training processes, which share the texts of each step.
        task: determines, with ``choose_by``, the metric that selects the best checkpoint.
        choose_best: end with the weights of the best evaluation, not the last ones.

    Raises:
        MissingExtraError: the 8-bit optimizer was asked for and bitsandbytes is missing.
        ConfigError: the texts of a step cannot be shared equally among the processes.
    """
    require_shares(recipe, processes)
    if recipe.optimizer == "adamw8bit":
        try:
            import bitsandbytes  # noqa: F401
        except ImportError:
            raise MissingExtraError(
                "the optimizer adamw8bit needs bitsandbytes, which is not installed.",
                fix=["pip install bitsandbytes", option("optimizer", "adamw")],
            ) from None
    assert recipe.epochs is not None and recipe.learning_rate is not None  # liteft.defaults
    assert recipe.evaluations_per_epoch is not None
    in_epoch = steps_per_epoch(recipe, texts)
    steps = recipe.max_steps or math.ceil(in_epoch * recipe.epochs)
    evaluate_every = max(1, min(steps, in_epoch // recipe.evaluations_per_epoch))
    plain: dict[str, Any] = dict(
        output_dir=str(folder),
        max_steps=steps,
        per_device_train_batch_size=recipe.batch_size // processes,
        per_device_eval_batch_size=2 * recipe.batch_size // processes,
        gradient_accumulation_steps=recipe.gradient_accumulation,
        learning_rate=recipe.learning_rate,
        optim=_OPTIMIZERS[recipe.optimizer],
        lr_scheduler_type=_SCHEDULES[recipe.schedule],
        warmup_steps=round(recipe.warmup * steps),
        weight_decay=recipe.weight_decay,
        max_grad_norm=recipe.max_grad_norm,
        bf16=resolve_precision(recipe.training_precision) == "bf16",
        seed=recipe.seed,
        data_seed=recipe.seed,
        eval_strategy="steps",
        eval_steps=evaluate_every,
        save_strategy="steps",
        save_steps=evaluate_every,
        load_best_model_at_end=choose_best,
        metric_for_best_model=choosing_metric(recipe, task),
        greater_is_better=recipe.choose_by != "log_loss",
        logging_strategy="steps",
        logging_steps=max(1, min(50, steps // 20)),
        use_cpu=not torch.cuda.is_available(),
        ddp_backend="gloo" if processes > 1 and not torch.cuda.is_available() else None,
        dataloader_num_workers=0,
        dataloader_pin_memory=torch.cuda.is_available(),
        remove_unused_columns=False,
        label_names=["labels"],
        report_to=[],
        disable_tqdm=True,
        log_level="error",
        logging_nan_inf_filter=False,  # it would log a mean in place of NaN
        **_checkpointing_arguments(recipe.gradient_checkpointing),
    )
    arguments = TrainingArguments(**plain | recipe.trainer)
    # Set afterwards: the constructor refuses saves between evaluations, unaware of SaveEvaluated.
    arguments.save_steps = min(recipe.checkpoint_steps or evaluate_every, evaluate_every)
    # One process, one GPU: DataParallel would multiply the batch size. Several GPUs take as many processes.
    if processes == 1:
        arguments._n_gpu = min(arguments.n_gpu, 1)
    return arguments


def _checkpointing_arguments(wanted: bool) -> dict[str, Any]:
    """Trainer's arguments for recomputing layers in the backward pass, under the names of the installed version."""
    newer = "activation_checkpointing" in TrainingArguments.__dataclass_fields__
    name = f"{'activation' if newer else 'gradient'}_checkpointing"
    # The reentrant variant needs a gradient of the embeddings, which a frozen base does not have.
    return {name: True, f"{name}_kwargs": {"use_reentrant": False}} if wanted else {}


def choosing_metric(recipe: TrainingRecipe, task: Task) -> str:
    """Return the validation metric by which a recipe chooses weights, and on which its patience waits."""
    return task.primary_metric if recipe.choose_by == "metric" else recipe.choose_by


def shown_metrics(recipe: TrainingRecipe, task: Task) -> tuple[str, ...]:
    """Return the validation metrics that progress shows: those that choose the weights."""
    return task.judged_by if recipe.choose_by == "balanced" else (choosing_metric(recipe, task),)


def steps_per_epoch(recipe: TrainingRecipe, texts: int) -> int:
    """Return the optimizer steps of one pass over ``texts`` texts; as many, whatever the number of processes."""
    return max(1, math.ceil(math.ceil(texts / recipe.batch_size) / recipe.gradient_accumulation))


def gold_of(batch: dict[str, Tensor]) -> Tensor:
    """Return the labels that a batch is trained on: their probabilities, float32 (texts, labels), where it has them."""
    return batch["soft_labels"] if "soft_labels" in batch else batch["labels"]


def _answered(values: np.ndarray, rows: np.ndarray, collator: Collator) -> Ragged:
    """Return the packed form of all questions, without a threshold, from the logits of rows in another order."""
    windows = collator.reading.answers
    assert windows is not None
    logits = units_of_rows(values, rows, windows)
    return replace(windows, form=windows.form.undecided).packed(logits[:, 0], logits[:, 1])


class ClassifierTrainer(ResumableTrainer):
    """Trainer for a classifier of either form.

    Args:
        task: single-label or multi-label.
        sampler: the order of the training rows.
        recipe: smoothing, class weights, patience.
        class_weights: float32 (labels,), or None.
        unseen_label: bool (validation rows,), in their order here: rows that count as wrong.
        context: of the run: losses and metrics are appended to its log, and it is told progress.
        name: prefix of each line of progress.
        labels: number of labels.
        arguments: all other arguments of Trainer.
    """

    def __init__(
        self,
        *,
        task: Task,
        sampler: LengthGroupedSampler,
        recipe: TrainingRecipe,
        context: RunContext,
        class_weights: Tensor | None = None,
        unseen_label: np.ndarray | None = None,
        name: str = "training",
        labels: int = 2,
        **arguments: Any,
    ) -> None:
        self.task = task
        self.class_weights = class_weights
        self.units = (0.0, 1.0)  # of scores: added to the logits, after they are multiplied; see units.py
        self.unseen_label = unseen_label
        self.own = context.own
        super().__init__(
            sampler=sampler,
            recipe=recipe,
            context=context,
            name=name,
            metric=choosing_metric(recipe, task),
            shown=shown_metrics(recipe, task),
            chance=task.chance_loss(labels),
            compute_metrics=self._metrics,
            **arguments,
        )

    def text_loss(self, logits: Tensor, batch: dict[str, Tensor], outputs: Any) -> Tensor:
        """Return the training loss of one batch, shape (); a subclass may use more than the labels."""
        return self.gold_loss(logits, gold_of(batch))

    def gold_loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the loss against labels or their probabilities, shape (): the user's own, else by the recipe."""
        if self.own.loss is not None:
            return self.own.loss_of(logits, labels)
        weights = None if self.class_weights is None else self.class_weights.to(logits.device)
        return label_loss(logits, labels, task=self.task, smoothing=self.recipe.label_smoothing, weights=weights)

    def model_inputs(self, batch: dict[str, Tensor]) -> dict[str, Any]:
        """Return the model's inputs from a batch."""
        return model_inputs(batch)

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Tensor],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        """Trainer's hook: the training loss while training, the hard-label loss while evaluating."""
        outputs = model(**self.model_inputs(inputs))
        logits, batch = self.judged(output_logits(outputs), inputs), inputs
        if self.task.numeric:
            logits = logits.float() * self.units[1] + self.units[0]
        if self.task.per_word:
            batch = flat_words(inputs)
        elif self.task.extractive:
            batch = whole_batch(inputs)
        if model.training:
            loss = self.text_loss(logits, batch, outputs)
        else:
            loss = label_loss(logits, batch["labels"], task=self.task)
        return (loss, {"logits": self._gatherable(logits, inputs)}) if return_outputs else loss

    def judged(self, logits: Tensor, batch: dict[str, Tensor]) -> Tensor:
        """Return the logits that are judged: (texts, labels), of words (words, labels), of answers (rows, units, 2)."""
        if self.task.extractive:
            return unit_logits(logits, batch[UNITS])
        return word_logits(logits, batch[COLUMNS]) if self.task.per_word else logits

    def _gatherable(self, logits: Tensor, batch: dict[str, Tensor]) -> Tensor:
        """Return logits as Trainer can join them over batches and processes."""
        if not self.task.per_word:
            return logits
        words = batch[COLUMNS] != NO_WORD
        filled = logits.new_full((*words.shape, logits.shape[1]), NO_WORD)
        filled[words] = logits
        return filled

    def _evaluated(self, prediction: Any) -> tuple[Rows, Rows]:
        """Return the logits and the labels of all validation texts, in the order of the rows evaluated."""
        logits, labels = np.asarray(prediction.predictions, dtype=np.float32), np.asarray(prediction.label_ids)
        if self.task.extractive:
            rows = self.eval_dataset  # type: ignore[assignment]
            return _answered(logits, rows.rows, rows.collator), rows.collator.gold
        if not self.task.per_word:
            return logits, labels.astype(self.task.label_dtype)
        rows = [rows_of_rectangle(values, labels) for values in (logits, labels.astype(self.task.label_dtype))]
        evaluated = self.eval_dataset.rows  # type: ignore[union-attr]  # a RowDataset of windows, in another order
        windows = self.eval_dataset.collator.reading.windows  # type: ignore[union-attr]
        back = np.argsort(evaluated)
        whole = [Ragged(each[back].values, windows.text_words) for each in rows]
        return whole[0], whole[1]

    def _metrics(self, prediction: Any) -> dict[str, float]:
        logits, labels = self._evaluated(prediction)
        if isinstance(self.task, Answers):  # the threshold is fitted again after training
            fitted, _ = self.task.fit_no_answer(logits, labels)
            scores = self.task.score(logits, labels, threshold=fitted)
            return scores | {"balanced": self.task.balanced(scores)}
        scores = self.task.score(logits, labels, unseen_label=self.unseen_label)
        if self.recipe.tune_threshold:  # it is fitted again after training; probabilities stay until then
            shift, _ = fit_threshold(logits, labels, self.task, unseen_label=self.unseen_label)
            logits = logits - np.float32(shift)
            shifted = self.task.score(logits, labels, unseen_label=self.unseen_label)
            scores |= {name: shifted[name] for name in self.task.headline_metrics}
        own = self.own.scores(self.task, logits, labels, choosing=self.metric)
        return scores | {"balanced": self.task.balanced(scores)} | own
