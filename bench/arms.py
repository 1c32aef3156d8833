"""Runs an experiment on distillation: the student and the arms of a recipe, over subsets of the labels, folds or seeds.

    python bench/arms.py bench/experiments/few_labels.toml --data ../shared/data/clinc150 --runs RUNS --subsets 5
    python bench/arms.py bench/experiments/corpus.toml --data liteft/data/corpus --runs RUNS --folds 5
    python bench/arms.py bench/experiments/one_layer.toml --data ../shared/data/sst2 --runs RUNS \\
        --unlabeled RUNS/imdb_sentences.txt

With --subsets each run gets other labels (``data.labels_per_class``, ``data.subset_seed``), and the arms are compared
within each subset. With --folds all labelled texts are one set, each of which is tested once, by models that have not
seen it. With neither, the recipe's ``student.seeds`` are compared. The floors are trained on the same labels.

What is asked stands in the recipe's first lines, and was written there before anything was run. All settings are chosen
on validation. A stopped experiment goes on where it was when it is started again; with --unit several processes share
the work, and a last one without it finds all of it finished. The last line printed is a JSON
document, as in bench/results/arms_NAME.json.
"""

from __future__ import annotations

import argparse
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from machine import ROOT, commit, machine, tell, versions, write_result

from liteft.arms import ARMS
from liteft.config import read_recipe
from liteft.cross_validated import fold_datasets, labelled_texts, together
from liteft.data import Dataset, load_dataset
from liteft.data.trainable import resolve_data
from liteft.distilled import Distillation
from liteft.errors import LiteftError
from liteft.pipeline import distill
from liteft.recipes import Recipe
from liteft.report import seeds_table
from liteft.run import Run

PACKAGES = ("liteft", "torch", "transformers", "scikit-learn")


def main() -> int:
    """Run the experiment, write its result, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--runs", type=Path, required=True)
    parser.add_argument("--subsets", type=int, default=0, help="number of subsets of the labels")
    parser.add_argument("--folds", type=int, default=0, help="number of folds")
    parser.add_argument("--unlabeled", type=Path, help="texts without labels to distil on")
    parser.add_argument("--student", type=Path, help="an encoder to start the students from")
    parser.add_argument("--threads", type=int, help="of every training")
    parser.add_argument("--unit", help="train this one alone (subset0, fold1, ...) and write no result")
    given = parser.parse_args()
    try:
        places = {name: str(getattr(given, name)) for name in ("unlabeled", "student") if getattr(given, name)}
        recipe = with_threads(read_recipe(given.recipe, overrides={"student": places}), given.threads)
        if recipe.student.seeds > 1 and (given.folds or given.subsets):
            parser.error("folds and subsets are of one seed each: their runs are counted as runs on different texts")
        out = given.runs / given.recipe.stem
        units = datasets(recipe, given.data, subsets=given.subsets, folds=given.folds)
        made = [trained(each, data, out / name) for name, each, data in units if given.unit in (None, name)]
        if given.unit is not None:
            return 0 if made else parser.error(f"there is no unit {given.unit}")
        runs = [run for one in made for run in runs_of(one)]
    except LiteftError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    words = [f"bench/experiments/{given.recipe.name}", f"--data DATA/{given.data.name}", "--runs RUNS"]
    words += [f"--{name} RUNS/{Path(place).name}" for name, place in places.items()]
    words += [f"--{name} {getattr(given, name)}" for name in ("subsets", "folds", "threads") if getattr(given, name)]
    result = {
        "command": " ".join(["python bench/arms.py", *words]),
        "asked": asked(given.recipe),
        "arms": {run.kind: ARMS[run.kind].described(run.start) for run in runs if run.kind in ARMS},
        **(over_folds(runs) if given.folds else table(runs, given.subsets)),
        "floors": [None if one.floors is None else one.floors.to_dict() for one in made],
        "recipe": tomllib.loads(given.recipe.read_text(encoding="utf-8")),
        "seconds": sum(run.info["seconds"] for run in runs),
        "machine": machine(),
        "versions": versions(PACKAGES),
        "commit": commit(),
    }
    write_result(ROOT / "bench" / "results" / f"arms_{given.recipe.stem}.json", result)
    return 0


def with_threads(recipe: Recipe, threads: int | None) -> Recipe:
    """Return the recipe with a number of threads for teacher and students."""
    if threads is None:
        return recipe
    tables = {name: getattr(recipe, name).model_copy(update={"threads": threads}) for name in ("teacher", "student")}
    return recipe.model_copy(update=tables)


def asked(path: Path) -> str:
    """Return the comment at the head of a recipe, in which the experiment says what it asks."""
    lines = path.read_text(encoding="utf-8").splitlines()
    head = lines[: next(number for number, line in enumerate(lines) if not line.startswith("#"))]
    return " ".join(line.removeprefix("#").strip() for line in head)


def datasets(recipe: Recipe, source: Path, *, subsets: int, folds: int) -> Iterator[tuple[str, Recipe, Dataset]]:
    """Yield a name, the recipe and a data set for each unit of the experiment."""
    if folds:
        whole = load_dataset(source, **recipe.data.model_dump(exclude={"source"}))
        labelled = labelled_texts(whole, [name for name, split in whole.splits.items() if split.labels is not None])
        whole = replace(whole, splits={"train": labelled, "validation": labelled.take([])})
        dealt: dict[str, Any] = {"seed": recipe.data.seed, "validation_fraction": recipe.data.validation_fraction}
        for number, fold in enumerate(fold_datasets(whole, folds, **dealt), start=1):
            yield f"fold{number}", recipe, fold
        return
    for number in range(max(1, subsets)):
        data = recipe.data.model_copy(update={"subset_seed": number} if subsets else {})
        each = recipe.model_copy(update={"data": data})
        yield f"subset{number}" if subsets else "seeds", each, resolve_data(source, each)


def trained(recipe: Recipe, data: Dataset, out: Path) -> Distillation:
    """Return the teacher, all arms and the floors of one unit."""
    return distill(str(recipe.teacher.base), data, out=out, recipe=recipe, until="student", progress=tell)


def runs_of(made: Distillation) -> list[Run]:
    """Return the teacher and all arms."""
    teacher = [] if made.teacher is None else [made.teacher]
    return [*teacher, *(run for runs in made.arms.values() for run in runs)]


def table(runs: list[Run], subsets: int) -> dict[str, Any]:
    """Return the comparison over subsets or seeds, and the first run's means in words."""
    found = seeds_table(runs, unit="subset" if subsets else "seed")
    tell(found.render())
    return {"comparison": found.to_dict()}


def over_folds(runs: list[Run]) -> dict[str, Any]:
    """Return what the models of all folds reach together."""
    kinds = dict.fromkeys(run.kind for run in runs)
    found = together({kind: [run for run in runs if run.kind == kind] for kind in kinds})
    tell(found.render())
    return {"cross_validation": found.to_dict()}


if __name__ == "__main__":
    sys.exit(main())
