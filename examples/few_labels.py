"""Distil with a hundred labels and a pool of texts without any, and see what the pool and the teacher are worth.

    python examples/few_labels.py requests.csv --labels 100 --out runs/few

Labels are expensive and texts are not. Of the labelled table this keeps so many labels to train on and forgets those of
the other training texts, which become the pool: so the result can be judged as if they had never been labelled. A
teacher learns the labels; a student learns what the teacher says to all texts. With --unlabeled, the pool is a file of
your own, and all rows of the table are kept, or as many as --labels says.

Beside the student stand a control, which learns the labels alone for as many steps, and simple models of words. What
decides is the difference between student and control, with its interval. At the end are the texts to label next.
"""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path

import liteft


def tell(line: str) -> None:
    """Print a line of progress beside what is printed as a result."""
    print(line, file=sys.stderr, flush=True)


def read(given: argparse.Namespace) -> liteft.Dataset:
    """Return the data with about as many training labels as asked for, the same number of each class."""
    whole = liteft.load_dataset(given.table, text=given.text, label=given.label)
    if given.labels is None:
        return whole
    each = max(1, math.ceil(given.labels / len(whole.labels)))
    return liteft.load_dataset(whole, labels_per_class=each, subset_seed=given.seed)


def settings_of(given: argparse.Namespace, data: liteft.Dataset) -> liteft.Recipe:
    """Return the recipe: the student learns the pool, and a control (arm c1) has the same steps without it."""
    recipe = liteft.read_recipe(given.recipe) if given.recipe else liteft.Recipe()
    student = {"size": given.size, "arms": ["c1"], "unlabeled": given.unlabeled}
    read = {"labels_per_class": data.subset[0], "subset_seed": data.subset[1]} if data.subset else {}
    return recipe.model_copy(
        update={"student": recipe.student.model_copy(update=student), "data": recipe.data.model_copy(update=read)}
    )


def table(made: liteft.Distillation) -> str:
    """Return the accuracy of every model on the test texts, the best first."""
    runs = {"teacher": made.teacher, "student": made.student, "control, labels alone": made.control}
    found = {name: run.metrics["test"] for name, run in runs.items() if run is not None}
    rows = [(name, each["accuracy"], each["accuracy_interval"]) for name, each in found.items()]
    for floor in made.floors.to_dict()["floors"] if made.floors is not None else ():
        if "test" in floor["metrics"]:
            rows.append((floor["name"], floor["metrics"]["test"]["accuracy"], floor["intervals"]["test"]["accuracy"]))
    rows.sort(key=lambda row: -row[1])
    return "\n".join(f"  {name:44} {share:6.1%}   [{low:.1%}, {high:.1%}]" for name, share, (low, high) in rows)


def main() -> None:
    """Read, distil, judge, and say what to label next."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", help="labelled rows: csv, tsv, jsonl or parquet, or a folder of splits")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--labels", type=int, help="training labels to keep; all others are forgotten")
    parser.add_argument("--unlabeled", help="file of texts without labels")
    parser.add_argument("--text", help="column of the text")
    parser.add_argument("--label", help="column of the label")
    parser.add_argument("--teacher", default="minilm")
    parser.add_argument("--size", default="3", help="layers of the student, or layers x width")
    parser.add_argument("--seed", type=int, default=0, help="which labels are kept")
    parser.add_argument("--recipe", help="a TOML file of more settings")
    given = parser.parse_args()
    if given.labels is None and given.unlabeled is None:
        parser.error("give --labels, to forget all others, or --unlabeled, a file of texts; or both")

    data = read(given)
    pool = 0 if data.pool is None else len(data.pool)
    print(f"{len(data.train):,} labelled texts to train on, {pool:,} of which the label is forgotten")
    print(
        f"{len(data.validation):,} more labels choose among checkpoints, {len(data.splits['test']):,} judge the result"
    )

    made = liteft.distill(given.teacher, data, out=given.out, recipe=settings_of(given, data), progress=tell)
    print("\naccuracy on test, with 95% intervals:")
    print(table(made))
    print(f"\n{made.seeds}")  # differences on the same texts, with intervals
    print(f"\n{made.to_label}")  # texts on which the student is in doubt: a label is worth most there
    print(f"\nall of them: {given.out / 'to_label.jsonl'}; the model: {given.out / 'artifact'}")


if __name__ == "__main__":
    try:
        main()
    except liteft.LiteftError as error:
        sys.exit(f"{type(error).__name__}: {error}")
