"""Everything that teaches a student, ready to be asked: the teacher, others of an ensemble, and fold teachers."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from liteft.data import Dataset
from liteft.distillation.ensemble import check_augmented, check_ensemble
from liteft.distillation.folds import check_folds, recipe_of_folds, train_folds
from liteft.distillation.teachers import Base, Teacher, find_teacher, ready_teacher, with_labels
from liteft.errors import ConfigError, option
from liteft.finetuning.context import RunContext
from liteft.recipes import Recipe
from liteft.run import Run

__all__ = ["TeacherSource", "ready_teachers"]

TeacherSource = Run | str | Path


def ready_teachers(
    sources: TeacherSource | Sequence[TeacherSource],
    dataset: Dataset,
    recipe: Recipe,
    context: RunContext,
    *,
    check: Callable[[Base], None] | None = None,
) -> tuple[Teacher, bool]:
    """Return the teacher with all that are asked beside it, and whether it was trained by this call.

    Args:
        sources: as for ``find_teacher``; of several, the student starts from the first. A base is fine-tuned first: the
            second into OUT/teacher-2, and so on.
        dataset, recipe, context, check: as for ``ready_teacher``.

    Raises:
        ConfigError: settings with which several teachers or fold teachers cannot work.
        ModelError: a teacher that cannot be used, or was not made for the data.
    """
    first, *others = [sources] if isinstance(sources, TeacherSource) else sources
    unlabelled = dataset.pool is not None or recipe.student.unlabeled is not None
    check_ensemble(1 + len(others), recipe.student)
    check_folds(recipe, 1 + len(others), unlabelled=unlabelled)
    check_augmented(recipe.student, unlabelled=unlabelled, task=dataset.task)
    folds = recipe.student.teacher_folds
    if folds:  # refused before anything is trained
        recipe_of_folds(find_teacher(first, dataset=dataset, recipe=recipe), recipe)
    _check_others(first, others, dataset, recipe)
    teacher, trained = ready_teacher(first, dataset, recipe, context, check=check)
    if folds:
        again, ordered = recipe_of_folds(teacher, recipe), with_labels(dataset, teacher)
        return replace(teacher, folds=train_folds(ordered, again, folds, context)), trained
    found = []
    for number, source in enumerate(others, start=2):
        place = context.at(context.out.with_name(f"{context.out.name}-{number}"))
        found.append(ready_teacher(source, dataset, recipe, place)[0])
        with_labels(dataset, found[-1])
    if len({teacher.weights_sha256, *(each.weights_sha256 for each in found)}) <= len(found):
        raise _named_twice([each.name for each in (teacher, *found)])
    return replace(teacher, others=tuple(found)), trained


def _check_others(first: TeacherSource, others: Sequence[TeacherSource], dataset: Dataset, recipe: Recipe) -> None:
    """Refuse more teachers that do not exist or are named twice, before hours of training of the first."""
    sources = (first, *others) if others else ()
    places = [str(source.path if isinstance(source, Run) else source) for source in sources]
    if len({os.path.realpath(place) for place in places}) < len(places):
        raise _named_twice(places)
    for source in others:
        find_teacher(source, dataset=dataset, recipe=recipe)


def _named_twice(names: Sequence[str]) -> ConfigError:
    return ConfigError(
        "the same teacher was named twice.",
        accepted={"teachers": ", ".join(names)},
        fix=option("teacher", "RUN", note=", each once"),
    )
