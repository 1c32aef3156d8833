"""Measures how often an artifact gives the answer that torch gives, on real questions with their contexts.

    python bench/answers_parity.py --model RUN --data DATA/policyqa/test.json --questions 1000

The model is exported in fp32, and answers the questions by both backends; torch runs transformers' own class on the
same rows of tokens. Compared are begin and end of the decided answers, which are exact numbers, and all logits.
"""

from __future__ import annotations

import argparse
import shlex
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from machine import ROOT, commit, machine, tell, versions, write_result

import liteft
from liteft.data import Split
from liteft.exporting import export
from liteft.finetuning.logits import predict_logits
from liteft.finetuning.model import load_classifier
from liteft.ragged import Ragged, row_differences
from liteft.runtime.splits import split_logits
from liteft.tasks import ANSWERS


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="a run or a folder of a model of questions")
    parser.add_argument("--data", type=Path, required=True, help="a document in SQuAD's form")
    parser.add_argument("--questions", type=int, default=1000, help="number of questions, evenly spaced")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=ROOT / "bench/results/answers_parity.json")
    arguments = parser.parse_args()
    dataset = liteft.load_dataset(arguments.data, task="answers", validation_fraction=0, test_fraction=0)
    questions = spaced(dataset.train, arguments.questions)
    folder = arguments.model / "model" if (arguments.model / "model").is_dir() else arguments.model
    loaded = load_classifier(folder)
    tell(f"torch answers {len(questions):,} questions")
    wanted = predict_logits(loaded, questions)
    rows = []
    with tempfile.TemporaryDirectory() as spare:
        export(folder, Path(spare) / "artifact", precision="fp32", verify=spaced(questions, 60), progress=tell)
        for backend in ("native", "onnxruntime"):
            with liteft.load(
                Path(spare) / "artifact", device="cpu", backend=backend, threads=arguments.threads
            ) as classifier:
                tell(f"{backend} answers them")
                rows.append(compared(backend, wanted, split_logits(classifier, questions)))
                tell(str(rows[-1]))
    command = ["python", "bench/answers_parity.py", "--model", "RUN", "--data", "DATA/policyqa/test.json"]
    result = {
        "command": shlex.join([*command, "--questions", str(arguments.questions)]),
        "machine": machine(),
        "versions": versions(("liteft", "onnxruntime", "torch", "transformers", "numpy")),
        "commit": commit(),
        "questions": len(questions),
        "windows": int((wanted.values[:, 2] < 0).sum()),
        "scores_in_torch": ANSWERS.score(wanted, questions.labels),
        "rows": rows,
    }
    write_result(arguments.out, result)
    return 0


def spaced(split: Split, count: int) -> Split:
    """Return at most ``count`` questions, evenly spaced."""
    return split.take(np.linspace(0, len(split) - 1, min(count, len(split))).round().astype(np.int64))


def compared(backend: str, wanted: Ragged, found: Ragged) -> dict[str, Any]:
    """Return how many decided answers differ, and by how much logits do."""
    same = ANSWERS.same(ANSWERS.decide(wanted), ANSWERS.decide(found))
    return {
        "backend": backend,
        "precision": "fp32",
        "other_answers": int((~same).sum()),
        "logit_difference": float(row_differences(wanted, found).max()),
    }


if __name__ == "__main__":
    sys.exit(main())
