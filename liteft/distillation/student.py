"""Distilling: one student, or its control, from a fine-tuned teacher.

A student is trained in up to three stages: states matched with the teacher's, logits, then logits in int8's rounding.
The control is the same student from the same start, with as many steps and the same search of the learning rate, on
labels alone: what it reaches is what the teacher did not contribute.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from accelerate import PartialState
from transformers import TrainerCallback

from liteft import files
from liteft.config import Recipe, StudentRecipe
from liteft.data import Dataset, Split, load_unlabeled
from liteft.data.trainable import report_check, require_trainable
from liteft.distillation.fake_quantization import require_quantizable
from liteft.distillation.initial import create_student
from liteft.distillation.stages import train_student
from liteft.distillation.teachers import Teacher
from liteft.distillation.transfer_set import transfer_set_of
from liteft.errors import ConfigError, Hint, option
from liteft.finetuning.bases import weights_hash
from liteft.finetuning.context import RunContext
from liteft.finetuning.fit import computing_threads
from liteft.finetuning.model import TorchClassifier
from liteft.finetuning.run_folder import (
    finish_run,
    open_run_in_all,
    withdrawn_on_error,
    writing_run,
)
from liteft.finetuning.trainer import Progress
from liteft.form import ExportForm
from liteft.run import ADAPTER, Run, model_weights_sha256, read_run
from liteft.trimming import prove_trimming, trim_classifier, trimming_text, write_tokenizer_files

__all__ = ["Kind", "distill_one"]

Kind = Literal["student", "control"]


def distill_one(
    teacher: Teacher,
    dataset: Dataset,
    *,
    out: Path,
    recipe: Recipe,
    kind: Kind = "student",
    show_check: bool = True,
    progress: Progress | None = None,
    callbacks: Sequence[TrainerCallback] = (),
) -> Run:
    """Train one student or one control and return the finished run.

    Repeating the call returns the finished run, or resumes an unfinished one.

    Args:
        teacher: what is imitated, and what the student starts from.
        dataset: with the teacher's labels, in its order.
        out: the run folder.
        recipe: its table ``student``; ``seeds`` and ``control`` are left to the caller. With ``quantized_epochs``,
            ``export`` too: what the last stage rounds to.
        kind: "control" ignores the teacher's outputs.
        show_check: tell ``progress`` what the data check found; it is written into the folder either way.
        progress: called with a line of text now and then.
        callbacks: transformers callbacks.

    Raises:
        ConfigError: a size or layers that do not fit the teacher, settings that exclude each other, or a vocabulary
            smaller than its single characters.
        DataError, RunError, ModelError: data, run folders or models that cannot be read, written or used.
    """
    student = recipe.student
    require_trainable(dataset)
    loaded = create_student(teacher.loaded, student)
    loaded.settings = replace(loaded.settings, paired=dataset.paired)
    inputs = {
        "kind": kind,
        "data": dataset.fingerprint,
        "teacher": teacher.weights_sha256,
        "student": _own_hash(loaded.path) if student.student else None,
        "unlabeled": _unlabeled_hash(student.unlabeled),
    }
    form = recipe.export.form
    if student.quantized_epochs:
        if form.precision != "int8":
            raise ConfigError(
                f"quantized_epochs trains for int8, and export.precision is {form.precision}.",
                fix=[
                    Hint('[export] precision = "int8", in the recipe', "--precision int8"),
                    option("student.quantized_epochs", 0),
                ],
            )
        require_quantizable(loaded)
        inputs["quantized"] = form.describe()
    context = RunContext(out, progress, callbacks)
    with writing_run(context.state, out):
        finished = open_run_in_all(context.state, out, recipe, inputs, table="student")
        if finished is None:
            _train(context, teacher, dataset, loaded, student, form, kind, show_check)
    return finished or read_run(out)


def _train(
    context: RunContext,
    teacher: Teacher,
    dataset: Dataset,
    loaded: TorchClassifier,
    student: StudentRecipe,
    form: ExportForm,
    kind: Kind,
    show_check: bool,
) -> None:
    """Train into a run folder that is open, from every process of the training."""
    out, state, progress = context.out, context.state, context.progress
    started = time.monotonic()
    withdrawal = withdrawn_on_error(out) if state.is_main_process else contextlib.nullcontext()
    with withdrawal, computing_threads(student.threads):
        unlabeled = None if student.unlabeled is None else load_unlabeled(student.unlabeled)
        tokenizer_source = loaded.path
        described: dict[str, Any] = {}
        if student.vocabulary is not None:
            tokenizer_source = context.checkpoints / "tokenizer"
            loaded, described = _trimmed(loaded, dataset, unlabeled, student, tokenizer_source, progress)
        if state.is_main_process:
            report_check(dataset, loaded.tokenizer, out, progress=progress if show_check else None)
        pool = transfer_set_of(teacher, dataset, unlabeled, loaded, student, kind=kind, out=out, progress=progress)
        stats = train_student(
            loaded,
            teacher,
            dataset,
            pool,
            student,
            context,
            form=form,
            kind=kind,
        )
        if state.is_main_process:
            info = {
                "base": None,
                "teacher": teacher.described(),
                "size": student.size or student.student,
                "seed": student.seed,
                "seconds": round(time.monotonic() - started, 1),
                "training_texts": len(pool.train.encoded),
                **described,
                **stats,
            }
            finish_run(
                out,
                loaded,
                dataset,
                kind=kind,
                tokenizer_source=tokenizer_source,
                train_bf16=stats["precision"] == "bf16",
                info=info,
                teacher=teacher.run,
                progress=progress,
            )
    state.wait_for_everyone()


def _trimmed(
    student: TorchClassifier,
    dataset: Dataset,
    unlabeled: Split | None,
    recipe: StudentRecipe,
    folder: Path,
    progress: Progress | None,
) -> tuple[TorchClassifier, dict[str, Any]]:
    """Return the student with the tokens that its texts use, and a field for run.json; write its tokenizer's files.

    A control gets the same tokens, including those of the unlabelled texts.
    """
    splits = [dataset.train, *([] if unlabeled is None else [unlabeled])]
    assert recipe.vocabulary is not None
    trimmed, vocabulary = trim_classifier(student, splits, most=recipe.vocabulary, fill=recipe.fill_vocabulary)
    if PartialState().is_main_process:
        folder.mkdir(parents=True, exist_ok=True)
        write_tokenizer_files(vocabulary, student.path, folder)
    proof = prove_trimming(student, trimmed, vocabulary, dataset.validation)
    if progress is not None:
        progress(trimming_text(proof))
    return trimmed, {"vocabulary": proof | {"trimmed": "before distillation"}}


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
