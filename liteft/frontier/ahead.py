"""The trainings of a search as tasks of a Ray cluster, before the shapes are exported and timed one after the other.

No task runs while anything is timed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from transformers import TrainerCallback

from liteft.arguments import ProgressFunction
from liteft.data import Dataset, Split
from liteft.distillation.student import distill_one
from liteft.distillation.teachers import Teacher
from liteft.fan_out import Call, in_tasks
from liteft.finetuning.context import RunContext
from liteft.finetuning.fit import computing_threads
from liteft.frontier.training import Pruned
from liteft.recipes import Recipe

__all__ = ["Ahead"]


@dataclass(frozen=True)
class Ahead:
    """Everything that the trainings of all shapes have in common.

    Attributes:
        teacher: of all of them.
        dataset: with the teacher's labels.
        context: of the search.
        pool: texts without labels, or None.
        threads: of each task.
        show_check: report what the data check found, with the first shape.
    """

    teacher: Teacher
    dataset: Dataset
    context: RunContext
    pool: Split | None
    threads: int
    show_check: bool

    def trained(
        self, shapes: Mapping[str, tuple[Recipe, Sequence[TrainerCallback]]]
    ) -> dict[str, dict[str, Any] | Exception | None]:
        """Train each shape in a task, into OUT/SHAPE/student.

        Args:
            shapes: name -> its recipe, and callbacks that may give it up.

        Returns:
            name -> None for a finished run, where it was given up, or the exception that it raised.
        """
        names, first = [*shapes], next(iter(shapes))
        calls = [Call(name, _shape, (name, *shapes[name], self.show_check and name == first)) for name in names]
        found = in_tasks(
            calls,
            (replace(self, context=replace(self.context, progress=None)),),
            threads=self.threads,
            gpus=int(torch.cuda.is_available()),
            out=self.context.out,
            progress=self.context.tell,
        )
        return dict(zip(names, found, strict=True))


def _shape(
    ahead: Ahead,
    name: str,
    recipe: Recipe,
    watch: Sequence[TrainerCallback],
    show_check: bool,
    *,
    progress: ProgressFunction,
) -> dict[str, Any] | None:
    """Train one shape in a worker; return where it was given up, or None."""
    whole = ahead.context
    out, callbacks = whole.out / name / "student", (*whole.callbacks, *watch)
    context = replace(whole, out=out, progress=progress, callbacks=callbacks)
    with computing_threads(ahead.threads):
        try:
            distill_one(
                ahead.teacher, ahead.dataset, recipe, context, show_check=show_check, unlabeled=lambda: ahead.pool
            )
        except Pruned as error:
            return error.to_dict()
    return None
