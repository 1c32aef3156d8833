"""Measures size and accuracy of very small students: trimmed vocabulary, 4-bit word embeddings and int8.

    liteft distill --recipe models/sst2/recipe.toml --data DATA/sst2 --out RUNS/sst2
    python bench/small_models.py --runs RUNS --data DATA sst2:12000 trec:12000 clinc150:12000 sst2-2x384:8000

A model is given as FOLDER:TOKENS: a folder of RUNS whose name begins with that of its data set, and how many tokens its
vocabulary may keep. Its students, one per seed, are exported and verified on validation. Teacher and artifacts are then
scored on the test split, the artifacts with ``liteft.load`` in the native engine. Nothing is trained here.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from machine import ROOT, commit, machine, tell, versions, write_result

import liteft
from liteft.data import Dataset, Split
from liteft.distillation.teachers import Teacher, with_labels
from liteft.finetuning.logits import predict_logits
from liteft.finetuning.model import load_classifier
from liteft.metrics import mcnemar, wilson_interval
from liteft.run import Run, read_run

PACKAGES = ("liteft", "torch", "transformers", "onnx", "onnxruntime", "tokenizers", "numpy")
SHARE = 0.98


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", metavar="FOLDER:PIECES")
    parser.add_argument("--runs", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=ROOT / "bench/results/small_models.json")
    arguments = parser.parse_args()
    found = [measure(arguments.runs, arguments.data, *each.rsplit(":", 1)) for each in arguments.models]
    write_result(
        arguments.out,
        {
            "command": "python bench/small_models.py --runs RUNS --data DATA " + " ".join(arguments.models),
            "machine": machine(),
            "versions": versions(PACKAGES),
            "commit": commit(),
            "models": found,
        },
    )
    return 0


def measure(runs: Path, data: Path, name: str, tokens: str) -> dict[str, Any]:
    """Export the students of one model, and return their sizes and accuracies beside the teacher's."""
    folder = runs / name
    teacher = read_run(folder / "teacher")
    loaded = load_classifier(teacher.model_path)
    dataset = liteft.load_dataset(data / name.split("-")[0])
    dataset = with_labels(dataset, Teacher(loaded, teacher, str(teacher.info["weights_sha256"])))
    test = dataset.split("test")
    right = judged(predict_logits(loaded, test), test, dataset)
    students = [read_run(path) for path in sorted(folder.glob("student*")) if not path.name.endswith("-control")]
    rows = [exported(student, dataset, int(tokens), right) for student in students]
    shares = [row["accuracy"] / float(right.mean()) for row in rows]
    told = ", ".join(f"{row['mb']:.2f} MB at {100 * share:.2f}%" for row, share in zip(rows, shares, strict=True))
    tell(f"{name}: {told} of the teacher's accuracy")
    return {
        "name": name,
        "tokens_at_most": int(tokens),
        "test_texts": len(test),
        "teacher_accuracy": float(right.mean()),
        "teacher_mb": sum(file.stat().st_size for file in teacher.model_path.rglob("*") if file.is_file()) / 1e6,
        "largest_mb": max(row["mb"] for row in rows),
        "mean_accuracy": statistics.mean(row["accuracy"] for row in rows),
        "deviation_over_seeds": statistics.stdev(row["accuracy"] for row in rows) if len(rows) > 1 else None,
        "mean_share_of_teacher": statistics.mean(shares),
        "least_share_of_teacher": min(shares),
        "at_98_percent": min(shares) >= SHARE,
        "students": rows,
    }


def exported(student: Run, dataset: Dataset, tokens: int, teacher_right: np.ndarray) -> dict[str, Any]:
    """Export one student, and return its size, and its accuracy on the test split beside the teacher's."""
    with tempfile.TemporaryDirectory() as spare:
        artifact = liteft.export(
            student,
            Path(spare) / "artifact",
            precision="int8",
            embedding_bits=4,
            vocabulary=tokens,
            texts=dataset.train,
            verify=dataset.validation,
            progress=tell,
        )
        test = dataset.split("test")
        with liteft.load(artifact.path, backend="native") as classifier:
            right = judged(classifier.logits(test.texts, test.pairs), test, dataset)
        vocabulary, checked = artifact.manifest.vocabulary or {}, artifact.manifest.verification
        return {
            "student": student.path.name,
            "seed": student.info["seed"],
            "size": student.info["size"],
            "mb": artifact.size_bytes / 1e6,
            "model_mb": artifact.model_path.stat().st_size / 1e6,
            "tokens": vocabulary.get("tokens"),
            "float_accuracy": student.metrics["test"]["accuracy"],
            "accuracy": float(right.mean()),
            "interval": list(wilson_interval(int(right.sum()), len(right))),
            "beside_the_teacher": asdict(mcnemar(teacher_right, right)),
            "validation_agreement_with_float": checked["agreement"],
        }


def judged(logits: np.ndarray, split: Split, dataset: Dataset) -> np.ndarray:
    """Return which texts get the right label, bool, shape (texts,)."""
    return dataset.task.correct(logits, split.labels, unseen_label=split.unseen_label)


if __name__ == "__main__":
    raise SystemExit(main())
