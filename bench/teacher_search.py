"""Searches for good settings of a teacher, judged on the validation split alone.

Each --try gives settings, separated by commas, that replace those in the recipe's [teacher] table:

    python bench/teacher_search.py --recipe models/sst2/recipe.toml --data ../shared/data/sst2 \\
        --runs RUNS/search-sst2 --try learning_rate=5e-5,batch_size=32 --try pooling=cls

Each becomes an ordinary run folder in RUNS/search-sst2, which is resumed or reused by the next call, so a search can be
stopped and extended. Since settings are chosen here, only the validation split is compared; each run scores its test
split at its end, as any run does, but nothing here reads that. The last line printed is a JSON document, as in
bench/results/teacher_search_NAME.json.
"""

from __future__ import annotations

import argparse
import re
import shlex
import sys
from pathlib import Path
from typing import Any

from machine import ROOT, commit, machine, tell, versions, write_result

from liteft.config import read_recipe, resolve_recipe, toml_value
from liteft.data import load_dataset
from liteft.errors import ConfigError, LiteftError
from liteft.finetuning import finetune
from liteft.recipes import Recipe
from liteft.run import Run

PACKAGES = ("liteft", "torch", "transformers")


def main() -> int:
    """Train every candidate, compare, write, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--runs", type=Path, required=True, help="folder for the runs of the candidates")
    parser.add_argument("--try", dest="tried", action="append", required=True, metavar="KEY=VALUE[,KEY=VALUE...]")
    given = parser.parse_args()
    try:
        recipe = read_recipe(given.recipe)
        tried = {name: candidate(recipe, name) for name in given.tried}
        data = load_dataset(given.data, **recipe.data.model_dump(exclude={"source"}))
        rows = []
        for name, settings in tried.items():
            run = finetune(None, data, out=given.runs / folder_name(name), recipe=settings, progress=tell)
            rows.append(row(name, settings, run))
    except LiteftError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    metric = data.task.primary_metric
    place = f"models/{given.recipe.resolve().parent.name}/recipe.toml"
    words = [f"--recipe {place}", f"--data DATA/{data.name}", "--runs RUNS"]
    words += [f"--try {shlex.quote(name)}" for name in tried]
    result = {
        "command": " ".join(["python bench/teacher_search.py", *words]),
        "data": {"name": data.name, "split": "validation", "texts": len(data.validation)},
        "metric": metric,
        "candidates": sorted(rows, key=lambda found: -found["validation"]),
        "machine": machine(),
        "versions": versions(PACKAGES),
        "commit": commit(),
    }
    write_result(ROOT / "bench" / "results" / f"teacher_search_{data.name}.json", result)
    return 0


def candidate(recipe: Recipe, name: str) -> Recipe:
    """Return the recipe with the settings of one --try in its [teacher] table.

    Raises:
        ConfigError: an entry is not KEY=VALUE, or the recipe refuses it.
    """
    settings: dict[str, Any] = {}
    for entry in name.split(","):
        key, equals, value = entry.partition("=")
        if not equals:
            raise ConfigError(f"--try {entry} is not a setting.", accepted={"--try": "KEY=VALUE[,KEY=VALUE...]"})
        settings[key.strip()] = toml_value(value)
    return resolve_recipe(recipe, "teacher", settings)


def folder_name(name: str) -> str:
    """Return a candidate's name in a form that can name a folder."""
    return re.sub(r"[^\w.=,+-]", "_", name)[:200].lstrip(".") or "_"


def row(name: str, recipe: Recipe, run: Run) -> dict[str, Any]:
    """Return the row of a candidate: the metric of its best checkpoint on validation, and the step of that."""
    metric = run.task.primary_metric
    scores = run.metrics["validation"]
    found = {"settings": name, "validation": scores[metric], "interval": scores[f"{metric}_interval"]}
    kept = ("steps", "best_step", "precision", "training_seconds", "weights_sha256")
    return found | {key: run.info[key] for key in kept} | {"teacher": recipe.teacher.model_dump(exclude_none=True)}


if __name__ == "__main__":
    sys.exit(main())
