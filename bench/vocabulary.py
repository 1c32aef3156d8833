"""Measures what trimming a finished student's vocabulary costs: accuracy, coverage and size at several budgets.

    python bench/vocabulary.py RUN --data DATA --tokens 8000 12000 --out bench/results/vocabulary_SET.json

Nothing is trained: the run's model keeps the embeddings of the tokens that its training texts use, and is exported in
int8 and verified. Every split is scored in torch with the whole vocabulary and with the trimmed one.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

import liteft
from liteft.config import read_recipe
from liteft.data import Dataset
from liteft.distillation.teachers import Teacher, with_labels
from liteft.finetuning.logits import predict_logits
from liteft.finetuning.model import load_classifier
from liteft.metrics import mcnemar, wilson_interval
from liteft.run import read_run
from liteft.trimming import prove_trimming, trim_classifier

SPLITS = ("validation", "test")


def measure(run_path: Path, dataset: Dataset, budgets: list[int]) -> list[dict[str, Any]]:
    run = read_run(run_path)
    loaded = load_classifier(run.model_path)
    dataset = with_labels(dataset, Teacher(loaded, run, str(run.info["weights_sha256"])))
    whole = {name: _logits(loaded, dataset, name) for name in SPLITS}
    rows = []
    for most in budgets:
        trimmed, vocabulary = trim_classifier(loaded, [dataset.train], most=most)
        row: dict[str, Any] = {"most": most, "tokens": len(vocabulary.tokens), "of": vocabulary.of}
        for name in SPLITS:
            split = dataset.split(name)
            logits = _logits(trimmed, dataset, name)
            before, after = (
                dataset.task.correct(each, split.labels, unseen_label=split.unseen_label)
                for each in (whole[name], logits)
            )
            proof = prove_trimming(loaded, trimmed, vocabulary, split)
            row[name] = {
                **{key: value for key, value in proof.items() if key not in ("tokens", "of", "most", "split")},
                "whole_accuracy": float(before.mean()),
                "accuracy": float(after.mean()),
                "accuracy_interval": list(wilson_interval(int(after.sum()), len(after))),
                "paired": asdict(mcnemar(before, after)),
                "agreement": dataset.task.agreement(whole[name], logits),
            }
        with tempfile.TemporaryDirectory() as folder:
            artifact = liteft.export(
                run,
                Path(folder) / "artifact",
                precision="int8",
                vocabulary=most,
                texts=dataset.train,
                verify=dataset.validation,
            )
            row["int8"] = {
                "model_bytes": artifact.model_path.stat().st_size,
                "folder_bytes": artifact.size_bytes,
                "validation_accuracy": artifact.manifest.verification["accuracy"],
            }
            with liteft.load(artifact.path) as classifier:
                test = dataset.test
                right = dataset.task.correct(
                    classifier.logits(test.texts, test.pairs), test.labels, unseen_label=test.unseen_label
                )
                row["int8"]["test_accuracy"] = float(right.mean())
        rows.append(row)
        print(json.dumps(row), file=sys.stderr)
    return rows


def _logits(loaded: Any, dataset: Dataset, name: str) -> np.ndarray:
    split = dataset.split(name)
    return predict_logits(loaded, split)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--data", required=True)
    parser.add_argument("--tokens", type=int, nargs="+", default=[8000, 12000])
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    table = read_recipe(given.run / "recipe.toml").data.model_dump(exclude={"source"})
    dataset = liteft.load_dataset(given.data, **table)
    tokens = " ".join(map(str, given.tokens))
    document = {
        "command": f"python bench/vocabulary.py RUN --data {Path(given.data).name} --tokens {tokens}",
        "data": dataset.name,
        "size": read_run(given.run).info.get("size"),
        "versions": read_run(given.run).info["versions"],
        "budgets": measure(given.run, dataset, given.tokens),
    }
    text = json.dumps(document, indent=2) + "\n"
    if given.out is not None:
        given.out.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
