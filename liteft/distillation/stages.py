"""The stages in which one student is trained, and the search for a learning rate.

1. With ``matching_epochs``, hidden states or attention relations are matched with the teacher's. The stage ends with
   its last weights.
2. The student learns the teacher's logits. The stage ends with the weights that were best on validation. Each
   learning rate of a search starts from the same weights, and the best one on validation is kept.
3. With ``quantized_epochs``, training continues while the model rounds as the int8 graph will. The stage ends with
   the weights that were best on validation in int8.

A finished stage stores its weights and its result beside its checkpoints, so a killed training resumes after it.
"""

from __future__ import annotations

import contextlib
import copy
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import set_seed

from liteft import files
from liteft.defaults import SEARCH_SHARE, searched_rates
from liteft.distillation.augmentation import AugmentingCollator
from liteft.distillation.fake_quantization import FakeQuantization
from liteft.distillation.relations import LastProjections
from liteft.distillation.text_augmentation import TextAugmentingCollator
from liteft.distillation.trainer import DistillingTrainer, Matching
from liteft.distillation.training import StudentTraining
from liteft.distillation.transfer_set import TransferSet, teacher_runs
from liteft.finetuning.batches import Collator, LengthGroupedSampler
from liteft.finetuning.checkpoints import DONE, remove_checkpoints
from liteft.finetuning.fit import fit
from liteft.finetuning.model import TorchClassifier
from liteft.finetuning.soundness import DivergedError
from liteft.finetuning.trainer import ClassifierTrainer, choosing_metric, steps_per_epoch
from liteft.recipes import StudentRecipe
from liteft.run_info import FitInfo

__all__ = ["train_student"]

_BEST = "best.safetensors"
_CALIBRATION_TEXTS = 300


def train_student(training: StudentTraining, student: TorchClassifier, rows: TransferSet) -> FitInfo:
    """Train a student in place and return what came out of it.

    Args:
        training: how.
        student: the untrained student; holds the chosen weights afterwards.
        rows: the texts to train on.

    Returns:
        The fields of ``fit`` for the chosen learning rate, and ``search``: rate -> validation metric. With a last
        stage the fields are that stage's, ``float`` holds those before it, and ``quantized`` what it rounded to.
    """
    recipe = training.recipe
    matched = bool(recipe.matching_epochs and (recipe.hidden_weight or recipe.relation_weight))
    # A control has no states to match: it learns from the labels for as many steps more.
    added = _steps(rows, recipe, recipe.matching_epochs) if matched and training.is_control else 0
    if matched and not training.is_control:
        _train_stage(training, student, rows, _matching_stage(recipe, rows))
        recipe = _logits_alone(recipe)
    if recipe.epochs == 0:
        stats = _train_stage(training, student, rows, _quantized_stage(recipe, rows, added))
        return {**stats, "quantized": training.form.rounding}
    stats, search = _search_rate(training, student, rows, recipe, added)
    if not recipe.quantized_epochs:
        return {**stats, "search": search}
    quantized = _train_stage(training, student, rows, _quantized_stage(recipe, rows, 0))
    return {**quantized, "search": search, "float": dict(stats), "quantized": training.form.rounding}


@dataclass(frozen=True)
class _Stage:
    """One stage of a training.

    Attributes:
        name: of the folder for its checkpoints and what it ended with.
        recipe: with the steps and the learning rate of the stage.
        logits: learn logits or labels, and end with the weights that are best on validation.
        rounded: compute as the int8 graph will.
        start: the weights to start from; empty for those that the student has.
        rate: the setting of its learning rate.
    """

    name: str
    recipe: StudentRecipe
    logits: bool = True
    rounded: bool = False
    start: dict[str, Tensor] = field(default_factory=dict)
    rate: str = "learning_rate"


def _matching_stage(recipe: StudentRecipe, rows: TransferSet) -> _Stage:
    steps = _steps(rows, recipe, recipe.matching_epochs)
    update = {"max_steps": steps, "learning_rate": recipe.matching_learning_rate, "early_stopping": 0}
    return _Stage("matching", recipe.model_copy(update=update), logits=False, rate="student.matching_learning_rate")


def _quantized_stage(recipe: StudentRecipe, rows: TransferSet, added: int) -> _Stage:
    steps = _steps(rows, recipe, recipe.quantized_epochs) + added
    update = {"max_steps": steps, "learning_rate": recipe.quantized_learning_rate}
    recipe = _logits_alone(recipe).model_copy(update=update)
    return _Stage("quantized", recipe, rounded=True, rate="student.quantized_learning_rate")


def _logits_alone(recipe: StudentRecipe) -> StudentRecipe:
    """Return the recipe without the losses of hidden states and relations."""
    return recipe.model_copy(update={"hidden_weight": 0.0, "relation_weight": 0.0})


def _steps(rows: TransferSet, recipe: StudentRecipe, epochs: float) -> int:
    return math.ceil(steps_per_epoch(recipe, rows.epoch_texts) * epochs)


def _search_rate(
    training: StudentTraining, student: TorchClassifier, rows: TransferSet, recipe: StudentRecipe, added: int
) -> tuple[FitInfo, dict[str, float]]:
    """Train with the learning rate that is best on validation, and leave the best weights in the student.

    `learning_rates` are whole trainings, of which the best is kept. `rate_search` tries three rates for a quarter of
    the steps, each on a schedule of its own, and trains with the best of them. All start from the same weights.

    Returns:
        What came out of the best rate, and of each rate that was tried the validation metric that chooses.
    """
    assert recipe.epochs is not None and recipe.learning_rate is not None  # liteft.defaults
    steps = (recipe.max_steps or _steps(rows, recipe, recipe.epochs)) + added
    rates = searched_rates(recipe.learning_rate) if recipe.rate_search else recipe.learning_rates
    rates = rates or [recipe.learning_rate]
    start = copy.deepcopy(student.model.state_dict()) if len(rates) > 1 else {}
    tried: dict[float, FitInfo] = {}
    if recipe.rate_search:
        share = math.ceil(SEARCH_SHARE * steps)
        best, tried = _best_rate(training, student, rows, recipe, rates, steps=share, start=start, name="trial")
        rates = [best]
    best, found = _best_rate(training, student, rows, recipe, rates, steps=steps, start=start, name="rate")
    return found[best], _reached(training, tried or found)


def _best_rate(
    training: StudentTraining,
    student: TorchClassifier,
    rows: TransferSet,
    recipe: StudentRecipe,
    rates: list[float],
    *,
    steps: int,
    start: dict[str, Tensor],
    name: str,
) -> tuple[float, dict[float, FitInfo]]:
    """Train with each rate, leave the weights of the best in the student, and return it with what came out of each.

    Raises:
        DivergedError: with every rate the loss became NaN or infinite; of some rates alone it is told.
    """
    setting = "student.learning_rates" if recipe.learning_rates else "learning_rate"
    stages = {
        rate: _Stage(
            f"{name}-{rate:g}",
            recipe.model_copy(update={"max_steps": steps, "learning_rate": rate}),
            start=start,
            rate=setting,
        )
        for rate in rates
    }
    found: dict[float, FitInfo] = {}
    for rate, stage in stages.items():
        try:
            found[rate] = _train_stage(training, student, rows, stage)
        except DivergedError as error:
            if not found and rate == rates[-1]:
                raise
            training.context.tell(f"{training.kind}: warning: the learning rate {rate:g} diverged: {error.args[0]}")
    reached = _reached(training, found)
    best = (min if recipe.choose_by == "log_loss" else max)(found, key=lambda rate: reached[str(rate)])
    if len(rates) > 1:
        student.model.load_state_dict(load_file(_folder(training, stages[best]) / _BEST))
    return best, found


def _reached(training: StudentTraining, found: dict[float, FitInfo]) -> dict[str, float]:
    metric = choosing_metric(training.recipe, training.dataset.task)
    return {str(rate): (stats["best_metric"] or {})[metric] for rate, stats in found.items()}


def _folder(training: StudentTraining, stage: _Stage) -> Path:
    """Where a stage keeps its checkpoints, and what it ended with."""
    return training.context.checkpoints / stage.name


def _train_stage(training: StudentTraining, student: TorchClassifier, rows: TransferSet, stage: _Stage) -> FitInfo:
    """Train a stage and store what it ended with; of a stage that had ended, load that."""
    folder, model = _folder(training, stage), student.model
    if (folder / DONE).is_file():
        model.load_state_dict(load_file(folder / _BEST))
        stored: FitInfo = files.read_json(folder / DONE)
        return stored
    if stage.start:
        model.load_state_dict(stage.start)
    with _rounding(training, student, rows) if stage.rounded else contextlib.nullcontext():
        stats = _fit_stage(training, student, rows, stage)
    state = training.context.state
    if state.is_main_process:
        weights = {name: tensor.detach().contiguous().cpu() for name, tensor in model.state_dict().items()}
        with files.writing_file(folder / _BEST) as temporary:
            save_file(weights, temporary)
        files.write_json(folder / DONE, stats)
        remove_checkpoints(folder)  # a search of many rates would keep two per rate
    state.wait_for_everyone()
    return stats


@contextmanager
def _rounding(training: StudentTraining, student: TorchClassifier, rows: TransferSet) -> Iterator[None]:
    """Let the student compute as its int8 graph will; ranges are calibrated on the weights that it has now."""
    split = rows.split
    places = np.linspace(0, len(split) - 1, min(len(split), _CALIBRATION_TEXTS)).round().astype(np.int64)
    split = split.take(places)
    rounding = FakeQuantization(student, training.form, split)
    try:
        yield
    finally:
        rounding.close()


def _fit_stage(training: StudentTraining, student: TorchClassifier, rows: TransferSet, stage: _Stage) -> FitInfo:
    recipe = stage.recipe
    sampler = LengthGroupedSampler.of(rows.train, recipe)
    set_seed(recipe.seed)  # the projections' first weights, whatever was drawn before
    with _imitation(training, student, rows, stage) as arguments:
        return fit(
            student,
            training.dataset,
            recipe,
            training.context,
            checkpoints=_folder(training, stage),
            train=_collator(training, student, rows, sampler),
            sampler=sampler,
            trainer_class=ClassifierTrainer if training.is_control else DistillingTrainer,
            trainer_arguments=arguments,
            name=training.kind if stage.logits else f"{training.kind}, matching",
            choose_best=stage.logits and recipe.transfer == "all",
            epoch_texts=rows.epoch_texts,
            rate=stage.rate,
        )


@contextmanager
def _imitation(
    training: StudentTraining, student: TorchClassifier, rows: TransferSet, stage: _Stage
) -> Iterator[dict[str, Any]]:
    """Yield what a DistillingTrainer takes, and {} for a control; afterwards take off what matching hung on models."""
    if training.is_control:
        yield {}
        return
    teacher, recipe = training.teacher.loaded, stage.recipe
    matching, relations = None, None
    with contextlib.ExitStack() as attached:
        if recipe.hidden_weight:
            matching = Matching(teacher.config, student.config)
            student.model.add_module("matching", matching)
            attached.callback(delattr, student.model, "matching")
        if recipe.relation_weight:
            relations = LastProjections(student.model), LastProjections(teacher.model)
            for each in relations:
                attached.callback(each.close)
        yield {
            "teacher": teacher if teacher_runs(recipe) else None,
            "matching": matching,
            "relations": relations,
            "logits": stage.logits,
            "teacher_ids": rows.teacher_ids,
        }


def _collator(
    training: StudentTraining, student: TorchClassifier, rows: TransferSet, sampler: LengthGroupedSampler
) -> Collator:
    """Return the rows, augmented where the recipe asks for it. A control keeps the words in their order."""
    kind, seed = training.recipe.augmentation, training.recipe.seed
    if kind == "none" or (training.is_control and (kind != "mask" or not rows.augments_labelled)):
        return rows.train
    if not rows.same_tokens and rows.teacher_ids is None:
        return TextAugmentingCollator(
            rows.train,
            rows.split,
            kind=kind,
            student=student,
            teacher=None if training.is_control else training.teacher.loaded,
            seed=seed,
            epoch=lambda: sampler.epoch,
        )
    return AugmentingCollator(
        rows.train, kind=kind, tokenizer=student.tokenizer, seed=seed, epoch=lambda: sampler.epoch
    )
