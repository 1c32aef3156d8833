"""Distil one student from a fine-tuned teacher, or train one of the arms that it is compared with (`liteft.arms`).

All have the student's shape, as many steps and the same search of the learning rate.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from liteft import files
from liteft.arms import Kind
from liteft.data import Dataset, Split
from liteft.data.pool import Unlabeled, unlabeled_once
from liteft.data.trainable import report_check, require_trainable
from liteft.defaults import Shape, settled_student
from liteft.distillation.fake_quantization import require_quantizable
from liteft.distillation.initial import create_student, keeps_head
from liteft.distillation.public_texts import (
    from_public_start,
    kept_promise,
    learns_pool_alone,
    public_start,
    require_public_pool,
    settled_for_pool,
)
from liteft.distillation.raw_start import create_untaught, start_head, starts_with_discriminants
from liteft.distillation.seen_before import texts_seen_before
from liteft.distillation.selecting import select_pool
from liteft.distillation.stages import train_student
from liteft.distillation.teachers import Teacher
from liteft.distillation.training import StudentTraining
from liteft.distillation.transfer_set import transfer_set_of
from liteft.errors import ConfigError, Hint, option
from liteft.finetuning.answering import require_answerable
from liteft.finetuning.bases import resolve_base, weights_hash
from liteft.finetuning.calibration import calibrate, require_bias, require_threshold, told_untuned
from liteft.finetuning.context import RunContext
from liteft.finetuning.fit import training_threads
from liteft.finetuning.model import TorchClassifier, is_classifier
from liteft.finetuning.own_functions import require_functions
from liteft.finetuning.run_folder import (
    filled_from,
    finish_run,
    open_run_in_all,
    withdrawn_on_error,
    writing_run,
)
from liteft.recipe_checks import require_choice
from liteft.recipes import Recipe, StudentRecipe
from liteft.run import ADAPTER, Run, model_weights_sha256, read_run
from liteft.run_info import TrainingInfo
from liteft.trimming import prove_trimming, trim_classifier, trimming_text, write_tokenizer_files

__all__ = ["distill_one", "settled_recipe"]


def distill_one(
    teacher: Teacher,
    dataset: Dataset,
    recipe: Recipe,
    context: RunContext,
    *,
    kind: Kind = "student",
    show_check: bool = True,
    unlabeled: Unlabeled | None = None,
    encoder: Path | None = None,
) -> Run:
    """Train one student or another arm and return the finished run.

    Repeating the call returns the finished run, or resumes an unfinished one.

    Args:
        teacher: what is imitated, and what the student starts from.
        dataset: with the teacher's labels, in its order.
        recipe: its table ``student``; ``seeds``, ``control`` and ``arms`` are left to the caller. With
            ``quantized_epochs``, ``export`` too: what the last stage rounds to.
        context: of the run.
        kind: which arm. "c2" takes the finished control as its teacher.
        show_check: report what the data check found; it is written into the folder either way.
        unlabeled: gives the texts without labels, if they are read for several runs; None reads the recipe's.
        encoder: folder of the encoder that general distillation made; None for the start that the recipe names.

    Raises:
        ConfigError: a size or layers that do not fit the teacher, settings that exclude each other, or a vocabulary
            smaller than its single characters.
        DataError, RunError, ModelError: data, run folders or models that cannot be read, written or used.
    """
    require_trainable(dataset)
    require_public_pool(teacher, dataset, recipe, context.tell)
    texts = unlabeled or unlabeled_once(dataset, recipe, context.tell)
    training, student = _planned(teacher, dataset, recipe, context, kind, texts, encoder)
    recipe = recipe.model_copy(update={"student": training.recipe})
    if recipe.student.quantized_epochs:
        _require_int8(training, student)
    with writing_run(context):
        if not open_run_in_all(context, recipe, _inputs(training, student), table="student"):
            _train(training, student, texts, show_check=show_check)
    return read_run(context.out)


def settled_recipe(
    teacher: Teacher,
    dataset: Dataset,
    recipe: Recipe,
    context: RunContext,
    *,
    unlabeled: Unlabeled,
    encoder: Path | None = None,
) -> Recipe:
    """Return the recipe with what it leaves open, as `distill_one` would train a student by it.

    The arguments are those of ``distill_one``.
    """
    training, _ = _planned(teacher, dataset, recipe, context, "student", unlabeled, encoder)
    return recipe.model_copy(update={"student": training.recipe})


def _planned(
    teacher: Teacher,
    dataset: Dataset,
    recipe: Recipe,
    context: RunContext,
    kind: Kind,
    texts: Unlabeled,
    encoder: Path | None,
) -> tuple[StudentTraining, TorchClassifier]:
    """Return how a student is trained, with all settings, and the untrained student."""
    if encoder is None and recipe.student.student is not None:
        encoder = resolve_base(recipe.student.student)
    headed = encoder is not None and keeps_head(encoder, teacher.loaded)
    if encoder is not None and not headed and is_classifier(encoder):
        context.tell(f"the head of {encoder} is left out: its labels, its task or its max_tokens are not the teacher's")
    training = StudentTraining(teacher, dataset, recipe.student, context, recipe.export.form, kind, encoder, headed)
    public = from_public_start(training)
    if public is not None:
        student = public
    elif kind == "c0":
        student = create_untaught(training)
    else:
        whole = {"layers": "first"} if kind == "c2" else {}  # its teacher, C1, has the student's layers and no others
        student = create_student(teacher.loaded, recipe.student.model_copy(update=whole), encoder=encoder)
    require_answerable(recipe.student, dataset)
    require_choice(recipe.student, context.own.metrics, table="student")
    require_functions(context.own, recipe.student, dataset, taught=kind == "student")
    require_threshold(recipe.student, dataset, student.config)
    require_bias(recipe.student, student)
    student.settings = replace(student.settings, paired=dataset.paired, marked=dataset.marked)
    return replace(training, recipe=_settled(training, student, texts)), student


def _settled(training: StudentTraining, student: TorchClassifier, unlabeled: Unlabeled) -> StudentRecipe:
    """Return the recipe with what it leaves open: from the run that the folder holds, or from data and shape."""
    recipe, dataset = filled_from(training.context.out, training.recipe, table="student"), training.dataset
    alone = recipe.transfer == "pool"
    recipe = settled_for_pool(recipe) if alone else recipe
    if not recipe.open_settings:
        return recipe
    more = unlabeled()
    texts = 0 if alone else len(dataset.train)
    texts += 0 if more is None else min(len(more), recipe.pool_select or len(more))
    return settled_student(recipe, Shape.of(student.config), texts=texts, validation=len(dataset.validation))


def _require_int8(training: StudentTraining, student: TorchClassifier) -> None:
    """Refuse a last stage that rounds to int8 where the export or the student has none.

    Raises:
        ConfigError: another precision, or no linear layers that int8 quantizes.
    """
    if training.form.precision != "int8":
        raise ConfigError(
            f"quantized_epochs trains for int8, and export.precision is {training.form.precision}.",
            fix=[
                Hint('[export] precision = "int8", in the recipe', "--precision int8"),
                option("student.quantized_epochs", 0),
            ],
        )
    require_quantizable(student)


def _inputs(training: StudentTraining, student: TorchClassifier) -> dict[str, Any]:
    """Return what binds a run's folder besides its settings: hashes of everything that is read."""
    recipe = training.recipe
    inputs = {
        "kind": training.kind,
        "data": training.dataset.fingerprint,
        "teacher": training.teacher.logits_sha256 if training.is_control else training.teacher.asked_sha256,
        "student": _own_hash(student.path) if training.encoder else None,
        "unlabeled": _unlabeled_hash(recipe.unlabeled),
    }
    inputs |= training.context.own.record
    return inputs | ({"quantized": training.form.describe()} if recipe.quantized_epochs else {})


def _train(training: StudentTraining, student: TorchClassifier, texts: Unlabeled, *, show_check: bool) -> None:
    """Train into a run folder that is open, from every process of the training."""
    recipe, dataset, context = training.recipe, training.dataset, training.context
    started = time.monotonic()
    with withdrawn_on_error(context), training_threads(recipe.threads):
        pool = unlabeled = texts()
        if starts_with_discriminants(training) and not learns_pool_alone(training):
            start_head(training, student)
        if unlabeled is not None:
            unlabeled = select_pool(training, student, unlabeled)
        tokenizer_source = student.path
        trimming: dict[str, Any] | None = None
        if recipe.vocabulary is not None:
            tokenizer_source = context.checkpoints / "tokenizer"
            student, trimming = _trimmed(training, student, pool, tokenizer_source)
        if context.state.is_main_process:
            report_check(dataset, student.tokenizer, context.out, context.progress if show_check else None)
        seen = texts_seen_before(training, pool)
        for line in seen:
            context.tell(f"warning: {line}")
        too_few = told_untuned(recipe, dataset.validation, context.tell)
        rows = transfer_set_of(training, student, unlabeled)
        stats = train_student(training, student, rows)
        if context.state.is_main_process:
            info: TrainingInfo = {
                "base": None,
                "teacher": training.teacher.described(),
                "size": recipe.size or recipe.student,
                "start": public_start(training) or training.start,
                "seed": recipe.seed,
                **calibrate(student, dataset.validation, recipe),
                "seconds": round(time.monotonic() - started, 1),
                "training_texts": len(rows.split),
                **stats,
                "warnings": [*stats["warnings"], *seen, *too_few],
            }
            if trimming is not None:
                info["vocabulary"] = trimming
            if learns_pool_alone(training):
                info["transfer"] = "pool"
                if (promised := kept_promise(training)) is not None:
                    info["privacy"] = promised
            finish_run(
                context,
                student,
                dataset,
                kind=training.kind,
                tokenizer_source=tokenizer_source,
                train_bf16=stats["precision"] == "bf16",
                info=info,
                teacher=training.teacher.run,
                pool=None if training.is_control else unlabeled,
            )
    context.state.wait_for_everyone()


def _trimmed(
    training: StudentTraining, student: TorchClassifier, unlabeled: Split | None, folder: Path
) -> tuple[TorchClassifier, dict[str, Any]]:
    """Return the student with the tokens that its texts use, and what run.json says of it; write its tokenizer's files.

    All arms get the same tokens, those of the labelled texts and of the whole pool, also where ``pool_select`` picks
    other texts for each of them. A student that learns the pool alone gets the tokens of the pool.
    """
    recipe, dataset = training.recipe, training.dataset
    assert recipe.vocabulary is not None
    splits = [] if learns_pool_alone(training) else [dataset.train]
    splits += [] if unlabeled is None else [unlabeled]
    trimmed, vocabulary = trim_classifier(
        student, splits, most=recipe.vocabulary, fill=recipe.fill_vocabulary, min_count=recipe.vocabulary_min_count
    )
    if training.context.state.is_main_process:
        folder.mkdir(parents=True, exist_ok=True)
        write_tokenizer_files(vocabulary, student.path, folder)
    proof = prove_trimming(student, trimmed, vocabulary, dataset.validation)
    training.context.tell(trimming_text(proof))
    return trimmed, proof | {"trimmed": "before distillation"}


def _own_hash(folder: Path) -> str | None:
    """Return a hash of the weights that a user's own student starts from; an adapter's includes its base's."""
    return model_weights_sha256(folder) if (folder / ADAPTER).is_file() else weights_hash(folder)


def _unlabeled_hash(source: str | None) -> str | None:
    """Return a hash of the unlabelled files' bytes, or the name itself for a hub data set."""
    if source is None:
        return None
    path = Path(source)
    parts = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
    hashes = [files.sha256_file(part) for part in parts if part.is_file()]
    return " ".join(hashes) or source
