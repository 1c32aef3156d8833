"""The start of arm C0: the shape of the student, cut out of the base as it was before any fine-tuning, with a new head.

A student starts from its fine-tuned teacher's layers and head, which know the labels already. C0 knows only what the
base knows, so the difference between the two is what the whole procedure is worth.
"""

from __future__ import annotations

from pathlib import Path

from transformers import set_seed

from liteft.config import read_recipe
from liteft.distillation.initial import create_student, create_with_new_head, student_config
from liteft.distillation.teachers import Teacher
from liteft.distillation.training import StudentTraining
from liteft.errors import ConfigError, Hint, ModelError, option
from liteft.finetuning.bases import resolve_base, weights_hash
from liteft.finetuning.head import start_from_discriminants
from liteft.finetuning.model import TorchClassifier, untrained_classifier
from liteft.finetuning.run_folder import RECIPE, read_inputs
from liteft.finetuning.trainer import resolve_precision
from liteft.finetuning.units import start_in_units
from liteft.recipes import TeacherRecipe
from liteft.run import Run

__all__ = [
    "create_untaught",
    "raw_base",
    "start_head",
    "starts_with_discriminants",
    "untaught_start",
]


def create_untaught(training: StudentTraining) -> TorchClassifier:
    """Return an untrained classifier of the student's shape that has not seen the teacher.

    Its head is as new as the teacher's was, before ``start_head`` where that began with discriminants. A student that
    starts from an encoder of its own has the same start in all arms.

    Raises:
        ConfigError: the teacher's base is not known, because LiteFT did not fine-tune it.
        ModelError: the base is not what it was when the teacher was fine-tuned.
    """
    recipe, teacher = training.recipe, training.teacher
    if training.encoder is not None:
        return create_student(teacher.loaded, recipe, encoder=training.encoder)
    made, folder = untaught_start(teacher)
    if folder is None:
        return _random(training)
    loaded = create_with_new_head(folder, teacher.loaded.settings, seed=recipe.seed, dropout=made.dropout)
    return create_student(loaded, recipe)


def untaught_start(teacher: Teacher) -> tuple[TeacherRecipe, Path | None]:
    """Return how a teacher was fine-tuned, and the folder of its base as it was then; None if it began at random.

    Raises:
        ConfigError, ModelError: as for ``create_untaught``.
    """
    made = _recipe_of(teacher)
    if made.base is None:
        return made, None
    assert teacher.run is not None
    return made, raw_base(teacher.run, made.base, fix=option("arms", "c1", note=", which needs no base"))


def _recipe_of(teacher: Teacher) -> TeacherRecipe:
    """Return how a teacher was fine-tuned; ConfigError if LiteFT did not do it."""
    if teacher.run is None or teacher.run.kind != "teacher":  # a student's recipe says nothing of a base
        what = "a classifier from elsewhere" if teacher.run is None else f"a run of the kind {teacher.run.kind}"
        raise ConfigError(
            f"arm c0 starts from the teacher's base, and {what} does not say what that is.",
            accepted={"teacher": "a base, or a run that liteft.finetune made"},
            fix=option("arms", "c1"),
        )
    return read_recipe(teacher.run.path / RECIPE).teacher


def starts_with_discriminants(training: StudentTraining) -> bool:
    """Return whether a student's head is new and is to start as discriminants: as its teacher's, or by default."""
    if training.kind == "c0" and training.encoder is None:
        made = _recipe_of(training.teacher)
        return made.base is not None and made.head == "lda"
    new = training.encoder is not None and not training.headed
    return training.dataset.task.several and new  # as a teacher's, see liteft.defaults


def start_head(training: StudentTraining, student: TorchClassifier) -> None:
    """Set a new head to discriminants of the training texts, in place."""
    student.model.to(training.context.state.device)
    bf16 = resolve_precision(training.recipe.training_precision) == "bf16"
    start_from_discriminants(student, training.dataset.train, seed=training.recipe.seed, bf16=bf16)


def raw_base(run: Run, base: str, *, fix: Hint) -> Path:
    """Return the folder of the base that a teacher was fine-tuned from, as it was then.

    Args:
        run: the teacher's.
        base: what its recipe names.
        fix: what to do without the base.

    Raises:
        ModelError: the base cannot be found, or has other weights now.
    """
    folder = resolve_base(base)
    if weights_hash(folder) != read_inputs(run.path).get("base"):
        raise ModelError(
            f"{folder} has other weights than when {run.path} was fine-tuned from it.", fix=["the base as it was", fix]
        )
    return folder


def _random(training: StudentTraining) -> TorchClassifier:
    """Return the student's shape with random weights, as its teacher started."""
    teacher = training.teacher.loaded
    config, _ = student_config(teacher.config, training.recipe)
    set_seed(training.recipe.seed)
    model = untrained_classifier(config, teacher.settings)
    student = TorchClassifier(model.eval(), teacher.tokenizer, teacher.settings, teacher.path)
    start_in_units(student)
    return student
