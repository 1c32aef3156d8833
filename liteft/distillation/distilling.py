"""The students of a recipe, their controls, and the teacher if it does not exist yet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from transformers import TrainerCallback

from liteft.config import Recipe
from liteft.data import Dataset
from liteft.distillation.initial import check_own_encoder, check_student
from liteft.distillation.student import Kind, distill_one
from liteft.distillation.teachers import Base, Teacher, find_teacher, with_labels
from liteft.finetuning import finetune
from liteft.finetuning.bases import resolve_base
from liteft.finetuning.model import read_config
from liteft.finetuning.tokenizer_files import read_tokenizer
from liteft.finetuning.trainer import Progress
from liteft.run import RUN_FILE, Run
from liteft.trimming import check_budget

__all__ = ["Students", "distill_students"]


@dataclass(frozen=True)
class Students:
    """What a recipe's student table makes.

    Attributes:
        teacher: what they learned from.
        students: one per seed.
        controls: one per seed, or none.
    """

    teacher: Teacher
    students: tuple[Run, ...]
    controls: tuple[Run, ...]


def distill_students(
    teacher: Run | str | Path,
    dataset: Dataset,
    *,
    out: Path,
    teacher_out: Path,
    recipe: Recipe,
    progress: Progress | None = None,
    callbacks: Sequence[TrainerCallback] = (),
) -> Students:
    """Train every student and control that a recipe asks for.

    Args:
        teacher: as for ``liteft.distill``.
        dataset: the data.
        out: run folder of the first student; the others' names begin with it.
        teacher_out: run folder of the teacher, where ``teacher`` is a base.
        recipe: the settings.
        progress: called with a line of text now and then.
        callbacks: transformers callbacks.
    """
    shown = False
    found = find_teacher(teacher, dataset=dataset, recipe=recipe, progress=progress)
    if isinstance(found, Base):
        _check_student_of(found, recipe)
        shown = not (teacher_out / RUN_FILE).is_file()  # the teacher's training shows the data check
        run = finetune(found.name, dataset, out=teacher_out, recipe=recipe, progress=progress, callbacks=callbacks)
        found = Teacher.of(run)
    dataset = with_labels(dataset, found)
    kinds: tuple[Kind, ...] = ("student", "control") if recipe.student.control else ("student",)
    runs: dict[Kind, list[Run]] = {"student": [], "control": []}
    for number in range(recipe.student.seeds):
        name = out.name if number == 0 else f"{out.name}-seed{number}"
        update = {"seed": recipe.student.seed + number, "seeds": 1, "control": False}
        one = recipe.model_copy(update={"student": recipe.student.model_copy(update=update)})
        for kind in kinds:
            run = distill_one(
                found,
                dataset,
                out=out.with_name(name if kind == "student" else f"{name}-control"),
                recipe=one,
                kind=kind,
                show_check=not shown,
                progress=progress,
                callbacks=callbacks,
            )
            runs[kind].append(run)
            shown = True
    return Students(found, tuple(runs["student"]), tuple(runs["control"]))


def _check_student_of(base: Base, recipe: Recipe) -> None:
    """Refuse a student that does not fit its teacher, before the teacher is fine-tuned."""
    student, max_tokens = recipe.student, recipe.teacher.max_tokens
    check_student(student, read_config(base.folder))
    if student.vocabulary is not None:
        own = base.folder if student.student is None else resolve_base(student.student)
        check_budget(read_tokenizer(own).cutting(max_tokens), student.vocabulary)
    check_own_encoder(student, max_tokens=max_tokens)
