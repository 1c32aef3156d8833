"""The seeds of a distillation: a student with its arms for each, one after the other or as tasks of a Ray cluster."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from liteft.arguments import ProgressFunction
from liteft.arms import ARMS, Kind
from liteft.data import Dataset, Split
from liteft.data.pool import Unlabeled
from liteft.distillation.student import distill_one, settled_recipe
from liteft.distillation.teachers import Teacher
from liteft.fan_out import Call, in_tasks
from liteft.finetuning.context import RunContext
from liteft.finetuning.fit import computing_threads
from liteft.finetuning.run_folder import filled_from
from liteft.recipes import Recipe
from liteft.run import Run, read_run

__all__ = ["Seeds"]


@dataclass(frozen=True)
class Seeds:
    """Everything that the students of all seeds have in common.

    Attributes:
        teacher: of all of them.
        dataset: with the teacher's labels.
        recipe: the settings; its table ``student`` has the first seed and the number of seeds.
        context: of the first student; the folders of the others are beside its own, and their names begin with its.
        kinds: the student, then the arms beside it.
        encoder: as for ``distill_one``.
        show_check: report what the data check found, with the first student.
    """

    teacher: Teacher
    dataset: Dataset
    recipe: Recipe
    context: RunContext
    kinds: Sequence[Kind]
    encoder: Path | None = None
    show_check: bool = True

    def in_turn(self, unlabeled: Unlabeled) -> list[dict[Kind, Run]]:
        """Train one seed after the other; return the runs of each by kind."""
        return [self.trained(number, unlabeled) for number in range(self.recipe.student.seeds)]

    def trained(self, number: int, unlabeled: Unlabeled) -> dict[Kind, Run]:
        """Train one seed; return its runs by kind.

        Args:
            number: of the seed, from 0.
            unlabeled: as for ``distill_one``.
        """
        recipe, runs = self._recipe(number), dict[Kind, Run]()
        for kind in self.kinds:
            out = self.context.at(self.context.out.with_name(self._name(number) + ARMS[kind].suffix))
            # what the recipe leaves open is settled once, for the first student, also where arms or seeds come later
            same = filled_from(self.context.out, recipe.student, table="student")
            runs[kind] = distill_one(
                Teacher.of(runs["control"]) if kind == "c2" else self.teacher,
                self.dataset,
                recipe.model_copy(update={"student": same}),
                out,
                kind=kind,
                show_check=self.show_check and number == 0 and not runs,
                unlabeled=unlabeled,
                encoder=self.encoder,
            )
        return runs

    def in_tasks(self, unlabeled: Unlabeled) -> list[dict[Kind, Run]]:
        """Train each seed in a Ray task; return the runs of each by kind, as `in_turn` does.

        Raises:
            LiteftError: what the first seed that failed has raised, once the others have ended.
        """
        first = settled_recipe(
            self.teacher, self.dataset, self._recipe(0), self.context, unlabeled=unlabeled, encoder=self.encoder
        )
        settled = {name: getattr(first.student, name) for name in self.recipe.student.open_settings}
        recipe = self.recipe.model_copy(update={"student": self.recipe.student.model_copy(update=settled)})
        threads = recipe.student.threads or torch.get_num_threads()
        self.context.out.parent.mkdir(parents=True, exist_ok=True)
        found = in_tasks(
            [Call(self._name(number), _seed, (number,)) for number in range(recipe.student.seeds)],
            (replace(self, recipe=recipe, context=replace(self.context, progress=None)), unlabeled(), threads),
            threads=threads,
            gpus=int(torch.cuda.is_available()),
            out=self.context.out.parent,
            progress=self.context.tell,
        )
        for each in found:
            if isinstance(each, Exception):
                raise each
        return [{kind: read_run(path) for kind, path in each.items()} for each in found]

    def _name(self, number: int) -> str:
        return self.context.out.name if number == 0 else f"{self.context.out.name}-seed{number}"

    def _recipe(self, number: int) -> Recipe:
        own = self.recipe.student
        update = {"seed": own.seed + number, "seeds": 1, "folds": 0, "control": False, "arms": []}
        return self.recipe.model_copy(update={"student": own.model_copy(update=update)})


def _seed(
    seeds: Seeds, pool: Split | None, threads: int, number: int, *, progress: ProgressFunction
) -> dict[Kind, Path]:
    """Train one seed in a worker, and return the folders of its runs by kind."""
    here = replace(seeds, context=replace(seeds.context, progress=progress))
    with computing_threads(threads):
        return {kind: run.path for kind, run in here.trained(number, lambda: pool).items()}
