"""``liteft.distill``: the students of a recipe, their controls, and the teacher where it is not there yet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from liteft.arguments import checked_callbacks, checked_progress, require_path
from liteft.config import Recipe, require_student, resolve_recipe
from liteft.data import Dataset
from liteft.data.trainable import resolve_data
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

__all__ = ["Students", "distill", "distill_all"]


@dataclass(frozen=True)
class Students:
    """What a recipe's student table makes.

    Attributes:
        teacher: what they learned from.
        students: one a seed.
        controls: one a seed, or none.
    """

    teacher: Teacher
    students: tuple[Run, ...]
    controls: tuple[Run, ...]


def distill(
    teacher: Run | str | Path,
    data: Dataset | str | Path,
    *,
    out: str | Path,
    recipe: Recipe | None = None,
    progress: Progress | bool | None = None,
    callbacks: Sequence[TrainerCallback] = (),
    **settings: Any,
) -> Run:
    """Distil a teacher into a small student and return the student's finished run.

    The same call again returns the finished run, or goes on where an unfinished one was stopped. With ``control`` the
    control stands in OUT-control, with ``seeds`` further students in OUT-seed1, OUT-seed2 and so on.

    Args:
        teacher: a run, a classifier's folder, or a base that is not fine-tuned yet: that is fine-tuned first, into
            OUT-teacher, as the recipe's ``[teacher]`` table says.
        data: a data set, or what ``load_dataset`` takes (the recipe's ``[data]`` table then says how).
        out: the run folder.
        recipe: settings; its tables ``data``, ``teacher`` and ``student`` are used, and ``export`` for quantized
            epochs.
        progress: called with a line of text now and then; True prints it to stderr.
        callbacks: transformers callbacks, for loggers of your own.
        settings: keys of the recipe's ``[student]`` table, over the recipe: ``size="3x384"`` above all.

    Raises:
        ConfigError: an unknown or unusable setting, a size deeper than the teacher.
        DataError: data that cannot be trained on.
        ModelError: a teacher or student that cannot be used.
        RunError: the folder holds another run, or cannot be written.

    Source: Hinton et al. 2015, arXiv:1503.02531; initialising a student from its teacher's layers: Sanh et al. 2019
    (DistilBERT), section 3, arXiv:1910.01108.
    """
    progress, callbacks = checked_progress(progress), checked_callbacks(callbacks, TrainerCallback)
    require_path("out", out, accepted="a folder")
    require_path("teacher", teacher, kinds=(Run,), accepted="a run, a classifier's folder, or a base by folder or name")
    recipe = resolve_recipe(recipe, "student", settings)
    require_student(recipe.student)
    out = Path(out)
    made = distill_all(
        teacher,
        resolve_data(data, recipe),
        out=out,
        teacher_out=out.with_name(f"{out.name}-teacher"),
        recipe=recipe,
        progress=progress,
        callbacks=callbacks,
    )
    return made.students[0]


def distill_all(
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
        teacher: as for ``distill``.
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
    """Refuse a student that does not fit its teacher, before that is fine-tuned."""
    student, max_tokens = recipe.student, recipe.teacher.max_tokens
    check_student(student, read_config(base.folder))
    if student.vocabulary is not None:
        own = base.folder if student.student is None else resolve_base(student.student)
        check_budget(read_tokenizer(own).cutting(max_tokens), student.vocabulary)
    check_own_encoder(student, max_tokens=max_tokens)
