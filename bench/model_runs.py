"""Finds the finished runs of a model folder's recipe, and checks that they were made with that recipe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from liteft.arms import ARMS, Kind, arms_of
from liteft.artifact import Artifact, read_artifact
from liteft.config import differences, read_recipe
from liteft.errors import ArtifactError, RunError
from liteft.recipes import Recipe
from liteft.run import Run, read_run

__all__ = ["Runs", "check_recipes", "find_runs"]


@dataclass(frozen=True)
class Runs:
    """A recipe's runs and artifact: RUNS/NAME/teacher, student, student-control, student-seed1, ..., artifact.

    Attributes:
        teacher: the teacher's run.
        arms: kind -> its runs, one per seed; the students first.
        artifact: of the first student.
    """

    teacher: Run
    arms: Mapping[Kind, tuple[Run, ...]]
    artifact: Artifact

    @property
    def firsts(self) -> tuple[Run, ...]:
        """The first run of each arm, the student's first."""
        return tuple(runs[0] for runs in self.arms.values())

    @property
    def all(self) -> tuple[Run, ...]:
        """All runs: the teacher first, then those of each seed, the student before its arms."""
        return (self.teacher, *(run for runs in zip(*self.arms.values(), strict=True) for run in runs))


def find_runs(runs: Path, recipe: Recipe) -> Runs:
    """Return the runs and the artifact that a recipe makes.

    Raises:
        RunError: a run is missing or unfinished.
        ArtifactError: there is no artifact, or it was not exported from the first student as the recipe says.
    """
    names = ["student", *(f"student-seed{number}" for number in range(1, recipe.student.seeds))]
    kinds: tuple[Kind, ...] = ("student", *arms_of(recipe.student.arms, control=recipe.student.control))
    found = Runs(
        read_run(runs / "teacher"),
        {kind: tuple(read_run(runs / f"{name}{ARMS[kind].suffix}") for name in names) for kind in kinds},
        read_artifact(runs / "artifact"),
    )
    first = found.firsts[0]
    manifest = found.artifact.manifest
    made_of = manifest.verification.get("weights_sha256")
    if made_of != first.info["weights_sha256"] or manifest.form.precision != recipe.export.precision:
        raise ArtifactError(
            f"{found.artifact.path} is not an artifact in {recipe.export.precision} of {first.path}.",
            fix="run liteft distill again, which exports the existing student",
        )
    return found


def check_recipes(runs: Runs, recipe: Recipe) -> list[str]:
    """Return the arguments of --set for settings that may differ from the recipe, which are the numbers of threads.

    Raises:
        RunError: a run was made with other settings; the error shows them, the recipe's value first.
    """
    words: dict[str, None] = {}
    seeds = {run.path: recipe.student.seed + number for each in runs.arms.values() for number, run in enumerate(each)}
    for run in runs.all:
        table = "teacher" if run.kind == "teacher" else "student"
        asked = getattr(recipe, table)
        if table == "student":
            asked = asked.model_copy(
                update={"seed": seeds[run.path], "seeds": 1, "folds": 0, "control": False, "arms": []}
            )
        stored = read_recipe(run.path / "recipe.toml")
        data = stored.data.model_copy(update={"source": recipe.data.source})
        settled = {name: getattr(getattr(stored, table), name) for name in asked.open_settings}
        changed = differences(asked.model_copy(update=settled), getattr(stored, table), prefix=f"{table}.")
        changed |= differences(recipe.data, data, prefix="data.")
        if changed.pop(f"{table}.threads", None) is not None:
            words[f"{table}.threads={getattr(stored, table).threads}"] = None
        if changed:
            raise RunError(
                f"{run.path} was made with settings that differ from the recipe's.",
                accepted=changed,
                fix=["train again with the recipe", "change the recipe to the settings of the run"],
            )
    return list(words)
