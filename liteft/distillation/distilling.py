"""The students of a recipe, the arms they are compared with, and the teacher if it does not exist yet."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from liteft.arms import Kind, arms_of
from liteft.data import Dataset
from liteft.data.pool import Unlabeled, unlabeled_once
from liteft.defaults import read_length
from liteft.distillation.general import plan_general
from liteft.distillation.initial import check_own_encoder, check_student
from liteft.distillation.raw_start import untaught_start
from liteft.distillation.ready import TeacherSource, ready_teachers
from liteft.distillation.seeds import Seeds
from liteft.distillation.teachers import Base, Teacher, find_teacher, with_labels
from liteft.errors import ConfigError, option
from liteft.finetuning.answering import require_answerable
from liteft.finetuning.bases import resolve_base
from liteft.finetuning.calibration import require_threshold
from liteft.finetuning.context import RunContext
from liteft.finetuning.model import is_classifier, read_config
from liteft.finetuning.settings import position_limit
from liteft.finetuning.tokenizer_files import read_tokenizer
from liteft.pretraining import Pretrained
from liteft.recipes import Recipe, StudentRecipe
from liteft.run import Run
from liteft.trimming import check_budget

__all__ = ["Students", "check_student_of", "distill_students"]


@dataclass(frozen=True)
class Students:
    """What a recipe's student table makes.

    Attributes:
        teacher: what they learned from.
        arms: kind -> one run per seed, the students first.
        general: the base that all of them started from, made of general texts; None without.
    """

    teacher: Teacher
    arms: Mapping[str, tuple[Run, ...]]
    general: Pretrained | None = None


def distill_students(
    teacher: TeacherSource | Sequence[TeacherSource],
    dataset: Dataset,
    recipe: Recipe,
    context: RunContext,
    *,
    teacher_out: Path,
    general_out: Path | None = None,
    unlabeled: Unlabeled | None = None,
    engine: str = "local",
) -> Students:
    """Train every student that a recipe asks for, and the arms beside each.

    Args:
        teacher: as for ``liteft.distill``.
        dataset: the data.
        recipe: the settings.
        context: of the first student; the folders of the others are beside its own, and their names begin with its.
        teacher_out: run folder of the teacher, where ``teacher`` is a base.
        general_out: run folder of the general distillation; None for "general" beside the student's.
        unlabeled: as for ``distill_one``.
        engine: "local", one seed after the other, or "ray", one task each.
    """
    require_threshold(recipe.student, dataset)
    _check_start(recipe.student)
    first = teacher if isinstance(teacher, TeacherSource) else teacher[0]
    planned = None
    if recipe.student.general is not None:
        planned = plan_general(find_teacher(first, dataset=dataset, recipe=recipe), recipe)
    found, shown = ready_teachers(
        teacher,
        dataset,
        recipe,
        context.at(teacher_out),
        check=functools.partial(check_student_of, dataset=dataset, recipe=recipe),
    )  # the teacher's training shows the data check
    dataset = with_labels(dataset, found)
    if "c0" in recipe.student.arms and recipe.student.student is None and planned is None:
        untaught_start(found)  # it is trained last, and must not be refused then
    unlabeled = unlabeled or unlabeled_once(dataset, recipe, context.tell)
    general = None if planned is None else planned.run(context.at(general_out or context.out.with_name("general")))
    encoder = None if general is None else general.model_path
    kinds: tuple[Kind, ...] = ("student", *arms_of(recipe.student.arms, control=recipe.student.control))
    seeds = Seeds(found, dataset, recipe, context, kinds, encoder, show_check=not shown)
    runs = seeds.in_tasks(unlabeled) if engine == "ray" else seeds.in_turn(unlabeled)
    return Students(found, {kind: tuple(each[kind] for each in runs) for kind in kinds}, general)


def _check_start(recipe: StudentRecipe) -> None:
    """Refuse a classifier as the start of arm c0, whose head and layers may know the labels."""
    if "c0" not in recipe.arms or recipe.student is None:
        return
    folder = resolve_base(recipe.student)
    if is_classifier(folder):
        raise ConfigError(
            f"arm c0 must not know the labels, and {folder}, from which all arms start, is a classifier.",
            accepted={"student": "an encoder without a head"},
            fix=[option("arms", "c1"), option("student", "ENCODER")],
        )


def check_student_of(base: Base, dataset: Dataset, recipe: Recipe) -> None:
    """Refuse a student that does not fit its teacher, before the teacher is fine-tuned."""
    student = recipe.student
    own = base.folder if student.student is None else resolve_base(student.student)
    config = read_config(base.folder)
    length = read_length(extractive=dataset.task.extractive, most=position_limit(config))
    max_tokens = recipe.teacher.max_tokens or length
    require_answerable(student, dataset)
    check_student(student, config)
    require_threshold(student, dataset, config if student.student is None else read_config(own))
    if student.vocabulary is not None:
        check_budget(read_tokenizer(own).cutting(max_tokens), student.vocabulary)
    check_own_encoder(student, max_tokens=max_tokens)
