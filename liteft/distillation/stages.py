"""The training of one student: stages, and the search for a learning rate.

Stage 1, where ``matching_epochs`` asks for it, matches hidden states or attention relations alone and ends with
its last weights. Stage 2 learns the logits and ends with the weights that were best on validation. Each learning
rate of a search starts stage 2 from the same weights; the best on validation is kept. Finished candidates lie beside
the checkpoints, so a killed search resumes where it stopped. A last stage, where ``quantized_epochs`` asks for
it, goes on from there with the rounding of the int8 graph in the model, and ends with what is best on validation in
int8.
"""

from __future__ import annotations

import contextlib
import copy
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from accelerate import PartialState
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import set_seed

from liteft import files
from liteft.config import StudentRecipe
from liteft.data import Dataset
from liteft.distillation.augmentation import AugmentingCollator
from liteft.distillation.fake_quantization import FakeQuantization
from liteft.distillation.relations import LastProjections
from liteft.distillation.teachers import Teacher
from liteft.distillation.text_augmentation import TextAugmentingCollator
from liteft.distillation.trainer import DistillingTrainer, Matching
from liteft.distillation.transfer_set import TransferSet, teacher_runs
from liteft.finetuning.batches import Collator, LengthGroupedSampler
from liteft.finetuning.checkpoints import DONE, remove_checkpoints
from liteft.finetuning.context import RunContext
from liteft.finetuning.fit import fit
from liteft.finetuning.model import TorchClassifier
from liteft.finetuning.trainer import ClassifierTrainer, steps_per_epoch
from liteft.form import ExportForm

__all__ = ["train_student"]

_BEST = "best.safetensors"
_CALIBRATION_TEXTS = 300


def train_student(
    student: TorchClassifier,
    teacher: Teacher,
    dataset: Dataset,
    pool: TransferSet,
    recipe: StudentRecipe,
    context: RunContext,
    *,
    form: ExportForm,
    kind: str,
) -> dict[str, Any]:
    """Train a student in place and return what came out of it.

    Args:
        student: the untrained student; holds the chosen weights afterwards.
        teacher: run on the batches of stages that read augmented texts or match states.
        dataset: gives the validation split.
        pool: the rows to train on.
        recipe: the settings.
        context: of the run.
        form: what the last stage rounds to, if the recipe has one.
        kind: "student" or "control".

    Returns:
        The fields of ``fit`` for the chosen learning rate, and ``search``: rate -> validation metric. With a last stage
        the fields are that stage's, ``float`` holds those before it, and ``quantized`` what it rounded to.
    """
    training = _Training(student, teacher, dataset, pool, kind, context)
    matching = recipe.hidden_weight or recipe.relation_weight
    extra = 0
    if matching and recipe.matching_epochs:
        if kind == "control":
            extra = _steps(pool.rows, recipe, recipe.matching_epochs)
        else:
            training.match(recipe)
            recipe = recipe.model_copy(update={"hidden_weight": 0.0, "relation_weight": 0.0})
    if not recipe.epochs:
        return training.quantize(recipe, form, extra) | {"quantized": form.rounding}
    steps = recipe.max_steps or _steps(pool.rows, recipe, recipe.epochs)
    recipe = recipe.model_copy(update={"max_steps": steps + extra})
    rates = recipe.learning_rates or [recipe.learning_rate]
    start = copy.deepcopy(student.model.state_dict()) if len(rates) > 1 else {}
    found: dict[float, dict[str, Any]] = {}
    for rate in rates:
        found[rate] = training.learn(recipe.model_copy(update={"learning_rate": rate}), start)
    metric = dataset.task.primary_metric
    best = max(found, key=lambda rate: found[rate]["best_metric"][metric])
    if len(rates) > 1:
        student.model.load_state_dict(load_file(training.folder(best) / _BEST))
    search = {str(rate): stats["best_metric"][metric] for rate, stats in found.items()}
    if not recipe.quantized_epochs:
        return found[best] | {"search": search}
    stats = training.quantize(recipe, form, 0)
    return stats | {"search": search, "float": found[best], "quantized": form.rounding}


def _steps(rows: int, recipe: StudentRecipe, epochs: float) -> int:
    return math.ceil(steps_per_epoch(recipe, rows, PartialState().num_processes) * epochs)


@dataclass(frozen=True)
class _Training:
    """One student's trainings, which share everything but their recipe."""

    student: TorchClassifier
    teacher: Teacher
    dataset: Dataset
    pool: TransferSet
    kind: str
    context: RunContext

    def folder(self, rate: float | str) -> Path:
        """Where a stage or a candidate keeps its checkpoints, and what it ended with."""
        return self.context.checkpoints / (rate if isinstance(rate, str) else f"rate-{rate:g}")

    def match(self, recipe: StudentRecipe) -> None:
        """Stage 1: states alone."""
        steps = _steps(self.pool.rows, recipe, recipe.matching_epochs)
        update = {"max_steps": steps, "learning_rate": recipe.matching_learning_rate, "early_stopping": 0}
        self._fit(recipe.model_copy(update=update), self.folder("matching"), logits=False, start={})

    def learn(self, recipe: StudentRecipe, start: dict[str, Tensor]) -> dict[str, Any]:
        """Stage 2 with one learning rate, from the weights ``start`` if several are tried."""
        return self._fit(recipe, self.folder(recipe.learning_rate), logits=True, start=start)

    def quantize(self, recipe: StudentRecipe, form: ExportForm, extra: int) -> dict[str, Any]:
        """The last stage: continue with the rounding of int8, learning from logits alone.

        Ranges are calibrated on the weights at hand. ``extra`` steps make up for a stage that a control did not have.
        """
        steps = _steps(self.pool.rows, recipe, recipe.quantized_epochs) + extra
        update = {"max_steps": steps, "learning_rate": recipe.quantized_learning_rate}
        update |= {"hidden_weight": 0.0, "relation_weight": 0.0}
        split = self.pool.split
        split = split.take(np.linspace(0, len(split) - 1, min(len(split), _CALIBRATION_TEXTS)).round().astype(np.int64))
        rounding = FakeQuantization(self.student, form, split.texts, split.pairs)
        try:
            return self._fit(recipe.model_copy(update=update), self.folder("quantized"), logits=True, start={})
        finally:
            rounding.close()

    def _fit(self, recipe: StudentRecipe, folder: Path, *, logits: bool, start: dict[str, Tensor]) -> dict[str, Any]:
        model = self.student.model
        if (folder / DONE).is_file():
            model.load_state_dict(load_file(folder / _BEST))
            stored: dict[str, Any] = files.read_json(folder / DONE)
            return stored
        if start:
            model.load_state_dict(start)
        stats = self._run(recipe, folder, logits=logits)
        state = PartialState()
        if state.is_main_process:
            weights = {name: tensor.detach().contiguous().cpu() for name, tensor in model.state_dict().items()}
            with files.writing_file(folder / _BEST) as temporary:
                save_file(weights, temporary)
            files.write_json(folder / DONE, stats)
            remove_checkpoints(folder)  # a search of many rates would keep two per rate
        state.wait_for_everyone()
        return stats

    def _run(self, recipe: StudentRecipe, folder: Path, *, logits: bool) -> dict[str, Any]:
        imitating = self.kind != "control"
        sampler = LengthGroupedSampler.of(self.pool.train, recipe)
        set_seed(recipe.seed)  # the projections' first weights, whatever was drawn before
        with contextlib.ExitStack() as attached:
            return fit(
                self.student,
                self.dataset,
                recipe,
                self.context,
                checkpoints=folder,
                train=self._rows(recipe, sampler),
                sampler=sampler,
                trainer_class=DistillingTrainer if imitating else ClassifierTrainer,
                trainer_arguments=self._imitation(recipe, attached, logits=logits) if imitating else {},
                name=self.kind if logits else f"{self.kind}, matching",
                choose_best=logits,
                epoch_texts=self.pool.rows,
            )

    def _imitation(self, recipe: StudentRecipe, attached: contextlib.ExitStack, *, logits: bool) -> dict[str, Any]:
        """What a DistillingTrainer takes; what it hangs on the models comes off when ``attached`` is closed."""
        student, teacher = self.student, self.teacher.loaded
        matching, relations = None, None
        if recipe.hidden_weight:
            matching = Matching(teacher, student)
            student.model.add_module("matching", matching)
            attached.callback(delattr, student.model, "matching")
        if recipe.relation_weight:
            relations = LastProjections(student.model), LastProjections(teacher.model)
            for each in relations:
                attached.callback(each.close)
        return {
            "teacher": teacher if teacher_runs(recipe) else None,
            "matching": matching,
            "relations": relations,
            "logits": logits,
            "teacher_ids": self.pool.teacher_ids,
        }

    def _rows(self, recipe: StudentRecipe, sampler: LengthGroupedSampler) -> Collator:
        """The pool's rows, augmented where the recipe asks for it. A control keeps the words in their order."""
        kind = recipe.augmentation if self.kind != "control" or recipe.augmentation == "mask" else "none"
        if kind == "none":
            return self.pool.train
        if not self.pool.same_tokens and self.pool.teacher_ids is None:
            return TextAugmentingCollator(
                self.pool.train,
                self.pool.split,
                kind=kind,
                student=self.student,
                teacher=None if self.kind == "control" else self.teacher.loaded,
                seed=recipe.seed,
                epoch=lambda: sampler.epoch,
            )
        return AugmentingCollator(
            self.pool.train,
            kind=kind,
            tokenizer=self.student.tokenizer,
            seed=recipe.seed,
            epoch=lambda: sampler.epoch,
        )
