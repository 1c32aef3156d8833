"""Fine-tuning: a pretrained base and labelled text become a teacher.

`finetune` opens the run folder, checks the data, trains, and writes the finished run. The checkpoint is chosen on
the validation split; the test split is predicted once, at the end.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from liteft import files
from liteft.arguments import ProgressFunction, checked_callbacks, checked_progress, require_path
from liteft.config import resolve_recipe
from liteft.data import Dataset
from liteft.data.trainable import report_check, require_trainable, resolve_data
from liteft.defaults import MAX_TOKENS, Shape, read_length, settled_teacher
from liteft.encoder.families import family_of
from liteft.errors import ConfigError, leave_out
from liteft.finetuning.adapters import Adapter, asked_adapter
from liteft.finetuning.answering import form_for, require_answerable
from liteft.finetuning.base import create_classifier
from liteft.finetuning.bases import base_name, resolve_base, weights_bytes, weights_hash
from liteft.finetuning.calibration import calibrate, require_bias, require_threshold, told_untuned
from liteft.finetuning.checkpoints import can_go_on
from liteft.finetuning.consistency import ConsistencyTrainer
from liteft.finetuning.context import RunContext
from liteft.finetuning.fit import fit, training_threads
from liteft.finetuning.from_scratch import USUAL_WIDTH, create_from_scratch
from liteft.finetuning.head import start_from_discriminants
from liteft.finetuning.model import TorchClassifier, read_config
from liteft.finetuning.own_functions import LossFunction, MetricFunction, checked_functions, require_functions
from liteft.finetuning.private_settings import refuse_for_privacy, settled_privately
from liteft.finetuning.run_folder import (
    filled_from,
    finish_run,
    open_run_in_all,
    withdrawn_on_error,
    writing_run,
)
from liteft.finetuning.settings import Pooling, position_limit
from liteft.finetuning.trainer import ClassifierTrainer, resolve_precision
from liteft.finetuning.trainer_keys import checked_trainer
from liteft.foreign import read_pooling
from liteft.ranks import checked_processes, launch
from liteft.recipe_checks import require_choice, require_shares, require_teacher
from liteft.recipes import Recipe, TeacherRecipe, parse_size
from liteft.run import RUN_FILE, Run, read_run
from liteft.run_info import CalibrationInfo, FitInfo
from liteft.tasks import Task

__all__ = ["finetune", "pooling_of", "train_teacher"]


def finetune(
    base: str | Path | None,
    data: Dataset | str | Path,
    *,
    out: str | Path,
    recipe: Recipe | None = None,
    progress: ProgressFunction | bool | None = None,
    callbacks: Sequence[TrainerCallback] = (),
    metrics: Mapping[str, MetricFunction] | None = None,
    loss: LossFunction | None = None,
    processes: int = 1,
    **settings: Any,
) -> Run:
    """Fine-tune a classifier and return the finished run.

    Repeating the call returns the finished run, or resumes an unfinished one.

    Args:
        base: folder or hub name of a pretrained model; None with ``from_scratch=True``.
        data: a data set, or what ``load_dataset`` takes (the recipe's ``[data]`` table then says how).
        out: the run folder.
        recipe: settings; its tables ``data`` and ``teacher`` are used.
        progress: called with a line of text now and then; True prints it to stderr.
        callbacks: transformers callbacks, such as your own loggers.
        metrics: name -> function(labels, predictions), computed on validation and logged; ``choose_by`` may name one.
        loss: function(logits, labels), in place of the cross entropy; see docs/guides/training.md.
        processes: train in so many processes of this machine, one per GPU if it has any (docs/guides/distributed.md).
        settings: keys of the recipe's ``[teacher]`` table, which override the recipe.

    Raises:
        ConfigError: an unknown or unusable setting.
        DataError: data that cannot be trained on.
        ModelError: a base that cannot be used.
        MissingExtraError: an adapter or a quantized base was asked for, and peft or bitsandbytes is not installed.
        RunError: the folder holds another run, or cannot be written.

    Source: Devlin et al. 2019, section 4, arXiv:1810.04805.
    """
    progress, callbacks = checked_progress(progress), checked_callbacks(callbacks, TrainerCallback)
    require_path("out", out, accepted="a folder")
    if base is not None:
        require_path("base", base, accepted="a folder or hub name; None with from_scratch=True")
    given = {} if base is None else {"base": os.fspath(base)}
    own = checked_functions(metrics, loss)
    recipe = resolve_recipe(recipe, "teacher", given | settings)
    require_choice(recipe.teacher, own.metrics, table="teacher")
    if checked_processes(processes) > 1 and not (Path(out) / RUN_FILE).is_file():
        data = _trainable_by(processes, data, recipe)
        threads = recipe.teacher.threads
        launch(
            finetune,
            base,
            data,
            out=out,
            recipe=recipe,
            processes=processes,
            threads=threads,
            progress=progress,
            callbacks=callbacks,
            metrics=own.metrics,
            loss=own.loss,
        )
    return train_teacher(data, recipe, RunContext(Path(out), progress, callbacks, own))


def _trainable_by(processes: int, data: Dataset | str | Path, recipe: Recipe) -> Dataset:
    """Return the data, read and checked once for all processes."""
    require_teacher(recipe.teacher)
    checked_trainer(recipe.teacher, table="teacher")
    require_shares(recipe.teacher, processes)
    dataset = resolve_data(data, recipe)
    require_trainable(dataset)
    return dataset


def train_teacher(data: Dataset | str | Path, recipe: Recipe, context: RunContext) -> Run:
    """Fine-tune the base that a recipe names into the folder of ``context``; see ``finetune``."""
    teacher = recipe.teacher
    require_teacher(teacher)
    checked_trainer(teacher, table="teacher")
    adapter = asked_adapter(teacher, bf16=resolve_precision(teacher.training_precision) == "bf16")
    dataset = resolve_data(data, recipe)
    require_trainable(dataset)
    source = None if teacher.base is None else resolve_base(teacher.base)
    require_threshold(teacher, dataset, None if source is None else read_config(source))
    require_answerable(teacher, dataset)
    refuse_for_privacy(teacher, dataset, context)
    require_choice(teacher, context.own.metrics, table="teacher")
    require_functions(context.own, teacher, dataset)
    inputs = {"kind": "teacher", "data": dataset.fingerprint, "base": weights_hash(source)} | context.own.record
    if source is None and teacher.vocabulary_file is not None and Path(teacher.vocabulary_file).is_file():
        inputs["vocabulary"] = files.sha256_file(Path(teacher.vocabulary_file))
    if adapter is not None and source is not None:
        adapter = replace(adapter, base_sha256=str(inputs["base"]), base_bytes=weights_bytes(source))
    teacher = _settled(filled_from(context.out, teacher, table="teacher"), source, dataset)
    recipe = recipe.model_copy(update={"teacher": teacher})
    with writing_run(context):
        if not open_run_in_all(context, recipe, inputs, table="teacher"):
            _train(context, teacher, source, dataset, adapter)
    return read_run(context.out)


def _settled(teacher: TeacherRecipe, base: Path | None, dataset: Dataset) -> TeacherRecipe:
    """Return the recipe with what it leaves open: from the data, and from the base or the size from scratch."""
    if base is None:
        layers, width = parse_size(teacher.size or "")
        shape, pretrained, most = Shape(layers, width or USUAL_WIDTH), False, 512
    else:
        config = read_config(base)
        shape, pretrained = Shape.of(config), not family_of(config.model_type).decoder
        most = position_limit(config)
    texts, several = len(dataset.train), dataset.task.several
    teacher = teacher if teacher.epsilon is None else settled_privately(teacher, texts)
    length = read_length(extractive=dataset.task.extractive, most=most)
    return settled_teacher(teacher, shape, texts=texts, several=several, pretrained=pretrained, max_tokens=length)


def _train(
    context: RunContext, teacher: TeacherRecipe, source: Path | None, dataset: Dataset, adapter: Adapter | None
) -> None:
    """Train into an open run folder, in every process of the training."""
    state = context.state
    started = time.monotonic()
    with (
        files.temporary_folder() as spare,
        withdrawn_on_error(context),
        training_threads(teacher.threads),
    ):
        loaded = _start(teacher, source, dataset, spare, adapter)
        loaded.settings = replace(loaded.settings, answers=form_for(loaded, dataset.train, teacher))
        require_bias(teacher, loaded)
        too_few = told_untuned(teacher, dataset.validation, context.tell)
        if state.is_main_process:
            report_check(dataset, loaded.tokenizer, context.out, context.progress)
        if teacher.head == "lda" and not can_go_on(context.checkpoints):
            loaded.model.to(state.device)
            bf16 = resolve_precision(teacher.training_precision) == "bf16"
            start_from_discriminants(loaded, dataset.train, seed=teacher.seed, bf16=bf16)
        stats, calibrated = _fitted(context, loaded, dataset, teacher)
        if state.is_main_process:
            finish_run(
                context,
                loaded,
                dataset,
                kind="teacher",
                tokenizer_source=loaded.path,
                train_bf16=stats["precision"] == "bf16",
                info={
                    "base": base_name(teacher.base) if teacher.base else f"from scratch, {teacher.size}",
                    "teacher": None,
                    "seed": teacher.seed,
                    **calibrated,
                    "seconds": round(time.monotonic() - started, 1),
                    **stats,
                    "warnings": [*stats["warnings"], *too_few],
                },
            )
    state.wait_for_everyone()


def _fitted(
    context: RunContext, loaded: TorchClassifier, dataset: Dataset, teacher: TeacherRecipe
) -> tuple[FitInfo, CalibrationInfo]:
    """Train a classifier in place, and fit on validation what the recipe asks for: nothing of texts with an epsilon."""
    if teacher.epsilon is not None:
        from liteft.finetuning.private_training import fit_privately

        context.tell("nothing is chosen or fitted on validation: the last weights are kept, and the temperature is 1")
        if teacher.base is not None and (Path(teacher.base) / RUN_FILE).is_file():
            context.tell("warning: the epsilon does not cover texts that the base has learned before")
        if context.callbacks:
            context.tell("callbacks are not called: losses and weights on the way would tell of texts")
        return fit_privately(loaded, dataset, teacher, context), {"temperature": 1.0}
    stats = fit(
        loaded,
        dataset,
        teacher,
        context,
        trainer_class=ConsistencyTrainer if teacher.rdrop_weight else ClassifierTrainer,
        name="teacher",
    )
    return stats, calibrate(loaded, dataset.validation, teacher) if context.state.is_main_process else {
        "temperature": 1.0
    }


def pooling_of(recipe: TeacherRecipe, base: Path | None, task: Task) -> Pooling:
    """Return the pooling that a recipe asks for: none where words are judged, or first and last words of answers.

    "auto" follows the base: the mean if the base was trained with it (a sentence-transformers folder says
    so), else [CLS].

    Raises:
        ModelError: the base was trained with another pooling.
        ConfigError: a pooling was asked for, and words are judged.
    """
    if not task.of_whole_texts:
        if recipe.pooling != "auto":
            raise ConfigError(
                f"pooling {recipe.pooling} makes one vector of a text, and this task judges every word.",
                fix=leave_out("pooling"),
            )
        return "none"
    if recipe.pooling != "auto":
        return recipe.pooling
    return (None if base is None else read_pooling(base)) or "cls"


def _start(
    teacher: TeacherRecipe, base: Path | None, dataset: Dataset, folder: Path, adapter: Adapter | None
) -> TorchClassifier:
    """Return the untrained classifier; from scratch, its tokenizer is written into ``folder``."""
    common: dict[str, Any] = {
        "labels": dataset.labels,
        "task": dataset.task,
        "pooling": pooling_of(teacher, base, dataset.task),
        "max_tokens": teacher.max_tokens or MAX_TOKENS,
        "paired": dataset.paired,
        "marked": dataset.marked,
        "truncation_side": teacher.truncation_side,
        "dropout": teacher.dropout,
        "seed": teacher.seed,
    }
    if base is not None:
        return create_classifier(base, adapter=adapter, **common)
    assert teacher.size is not None and teacher.vocabulary_file is not None  # require_teacher
    return create_from_scratch(Path(teacher.vocabulary_file), folder, size=teacher.size, **common)
