"""One student in a folder that the test names: the step of ``liteft.distill`` that most tests are about."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from liteft.config import resolve_recipe
from liteft.data import Dataset
from liteft.distillation import distill_students
from liteft.finetuning.context import RunContext
from liteft.recipe_checks import require_student
from liteft.recipes import Recipe
from liteft.run import Run


def distill(
    teacher: Run | str | Path,
    data: Dataset,
    *,
    out: Path,
    recipe: Recipe | None = None,
    progress: Callable[[str], None] | None = None,
    callbacks: Sequence[Any] = (),
    **settings: Any,
) -> Run:
    """Return the first student, in OUT; a teacher that is fine-tuned first is in OUT-teacher."""
    recipe = resolve_recipe(recipe, "student", settings)
    require_student(recipe.student)
    teacher_out = out.with_name(f"{out.name}-teacher")
    context = RunContext(out, progress, callbacks)
    return distill_students(teacher, data, recipe, context, teacher_out=teacher_out).arms["student"][0]
