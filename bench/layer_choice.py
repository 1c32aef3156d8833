"""Measures which of the teacher's layers a student should start from; ``layers = "auto"`` follows from it.

For each way of choosing layers (first, spread, ends), students are distilled from one teacher with several seeds, with
everything else equal, and compared on the validation split. Since a setting is chosen here, the test split is not read.

    python bench/layer_choice.py --teacher RUNS/trec/teacher --data ../shared/data/trec --runs RUNS/layers

Runs are ordinary run folders in RUNS/layers, and are resumed or reused by the next call. The last line printed is a
JSON document, as in bench/results/layer_choice_NAME.json.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from pathlib import Path
from typing import Any

from machine import ROOT, commit, machine, tell, versions, write_result

from liteft.data import load_dataset
from liteft.distillation.layers import choose_layers
from liteft.metrics import paired_interval_over_seeds
from liteft.pipeline import distill
from liteft.run import Run, read_run

CHOICES = ("first", "spread", "ends")
PACKAGES = ("liteft", "torch", "transformers")


def main() -> int:
    """Distil the students, compare them and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--teacher", type=Path, required=True, help="a finished run")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--runs", type=Path, required=True)
    parser.add_argument("--layers", type=int, default=3, help="layers of the student")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=float, default=4)
    parser.add_argument("--learning-rate", type=float, default=1e-4)
    given = parser.parse_args()
    data, teacher = load_dataset(given.data), read_run(given.teacher)
    settings: dict[str, Any] = {"size": str(given.layers), "epochs": given.epochs}
    settings |= {"learning_rate": given.learning_rate, "seeds": given.seeds}
    runs: dict[str, list[Run]] = {}
    for choice in CHOICES:
        out = given.runs / f"{data.name}-{choice}"
        made = distill(teacher, data, out=out, until="student", layers=choice, progress=tell, **settings)
        runs[choice] = list(made.students)
    layers = int(json.loads((teacher.model_path / "config.json").read_text("utf-8"))["num_hidden_layers"])
    result = {
        "command": f"python bench/layer_choice.py --data {data.name} --layers {given.layers} --seeds {given.seeds} "
        f"--epochs {given.epochs:g} --learning-rate {given.learning_rate:g}",
        "machine": machine(),
        "versions": versions(PACKAGES),
        "commit": commit(),
        "data": {"name": data.name, "split": "validation", "texts": len(data.validation)},
        "teacher": {"layers": layers, "accuracy": teacher.metrics["validation"]["accuracy"]},
        "students": {choice: row(choice, runs, layers, given.layers) for choice in CHOICES},
    }
    write_result(ROOT / "bench" / "results" / f"layer_choice_{data.name}.json", result)
    return 0


def row(choice: str, runs: dict[str, list[Run]], teacher: int, student: int) -> dict[str, Any]:
    """Return the row of one choice: layers, accuracies, and the mean difference to "first" with a paired interval."""
    values = [run.metrics["validation"]["accuracy"] for run in runs[choice]]
    found: dict[str, Any] = {
        "layers": choose_layers(choice, teacher=teacher, student=student),
        "accuracies": values,
        "mean": statistics.fmean(values),
    }
    if choice != "first":
        estimate = paired_interval_over_seeds(hits(runs["first"]), hits(runs[choice]))
        found["against_first"] = [estimate.value, estimate.low, estimate.high]
    return found


def hits(runs: list[Run]) -> list[Any]:
    """Return which validation texts each run gets right: for each run a bool array, shape (texts,)."""
    found = []
    for run in runs:
        logits, labels = run.predictions("validation")
        found.append(run.task.correct(logits, labels))
    return found


if __name__ == "__main__":
    sys.exit(main())
