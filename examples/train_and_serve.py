"""From a table of labelled texts to a service: read, check, train, distil, compare, predict, serve.

    python examples/train_and_serve.py reviews.csv --out runs/reviews

The table has a column `text` and a column `label` (--text and --label name others). A teacher is fine-tuned, a student
of three layers learns from it, and the student becomes an artifact in OUT/artifact, which is compared with both on
texts that none of them has seen. Then it is served until Ctrl-C:

    curl http://127.0.0.1:8080/predict -d '{"inputs": "great film"}'

A second call finds all of this finished in OUT, compares again and serves; one that was interrupted goes on where it
stopped.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import liteft


def tell(line: str) -> None:
    """Print a line of progress beside what is printed as a result."""
    print(line, file=sys.stderr, flush=True)


def train(data: liteft.Dataset, given: argparse.Namespace) -> liteft.Distillation:
    """Return teacher, student and artifact, of which those that are finished are only read."""
    recipe = liteft.read_recipe(given.recipe) if given.recipe else None
    return liteft.distill(given.teacher, data, size=given.size, out=given.out, recipe=recipe, progress=tell)


def show(made: liteft.Distillation) -> None:
    """Print how good and how fast each model is, and what the artifact says to a few texts."""
    assert made.artifact is not None and made.student is not None and made.teacher is not None
    # On the test split, with texts timed one by one and together.
    print(liteft.compare(made.teacher, made.student, made.artifact, on=made.dataset, rounds=1))

    print("\nsome texts of test:")
    texts = [str(text) for text in made.dataset.splits["test"].texts[:5]]
    with liteft.load(made.artifact.path) as classifier:
        for text, found in zip(texts, classifier.predict(texts), strict=True):
            print(f"  {found.label:>16}  {found.score:4.0%}  {text[:70]}")


def main() -> None:
    """Train, show, serve."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", help="csv, tsv, jsonl or parquet; or a folder of train, dev and test files")
    parser.add_argument("--out", type=Path, required=True, help="folder for everything that is made")
    parser.add_argument("--text", help="column of the text")
    parser.add_argument("--label", help="column of the label")
    parser.add_argument("--teacher", default="minilm", help="a base, by folder or hub name")
    parser.add_argument("--size", default="3", help="the student: layers, or layers x width as 3x384")
    parser.add_argument("--recipe", help="a TOML file of more settings")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8080)
    given = parser.parse_args()

    # Missing validation and test splits are taken from the rows, with equal texts on one side.
    data = liteft.load_dataset(given.table, text=given.text, label=given.label)
    print(liteft.check_dataset(data))  # lengths, labels, duplicates, contradictions: read this before anything else

    made = train(data, given)
    show(made)

    assert made.artifact is not None
    settings = liteft.ServeSettings(host=given.host, port=given.port, drain_delay=0)
    liteft.serve([f"model={made.artifact.path}"], settings=settings, tell=tell)


if __name__ == "__main__":
    try:
        main()
    except liteft.LiteftError as error:  # what was seen, what is accepted, what to try
        sys.exit(f"{type(error).__name__}: {error}")
