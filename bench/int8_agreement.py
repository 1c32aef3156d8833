"""Measures how often int8 gives the same label as float32, on each backend, for the classifiers of finished runs.

    liteft distill --recipe models/sst2/recipe.toml --data ../shared/data/sst2 --out runs/sst2      # and trec
    python bench/int8_agreement.py --runs runs --data ../shared/data

Teacher and student of each run are exported in fp32 and int8, without calibration data, and classify SST-2's dev and
test texts and TREC's test questions. Labels are compared with those of the float32 artifact in ONNX Runtime.
"""

from __future__ import annotations

import argparse
import shlex
import sys
import tempfile
from pathlib import Path
from typing import Any

from machine import ROOT, commit, machine, tell, versions, write_result

import liteft
from liteft import load_dataset
from liteft.artifact import read_artifact
from liteft.exporting import export
from liteft.run import read_run

SPLITS = {"sst2": ("validation", "test"), "trec": ("test",)}
MODELS = ("teacher", "student")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, required=True, help="folder of the runs sst2 and trec")
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("--out", type=Path, default=ROOT / "bench/results/int8_agreement.json")
    arguments = parser.parse_args()
    rows = [
        row for name, splits in SPLITS.items() for row in compare(arguments.runs / name, arguments.data / name, splits)
    ]
    totals = {
        f"{model}, {key}": round(1 - sum(row[key] for row in of_model) / sum(row["texts"] for row in of_model), 5)
        for model in MODELS
        if (of_model := [row for row in rows if row["model"] == model])
        for key in ("native_differs", "onnxruntime_differs")
    }
    result = {
        "command": shlex.join(["python", "bench/int8_agreement.py", "--runs", "RUNS", "--data", "DATA"]),
        "machine": machine(),
        "versions": versions(("liteft", "onnxruntime", "torch", "numpy")),
        "commit": commit(),
        "agreement_with_fp32": totals,
        "rows": rows,
    }
    write_result(arguments.out, result)
    return 0


def compare(runs: Path, data: Path, splits: tuple[str, ...]) -> list[dict[str, Any]]:
    """Return rows that say, for teacher and student, on how many texts int8 and float32 give different labels."""
    dataset = load_dataset(data)
    texts = [text for split in splits for text in dataset.splits[split].texts]
    found = []
    for model in MODELS:
        with tempfile.TemporaryDirectory() as folder:
            out = {precision: Path(folder) / precision for precision in ("fp32", "int8")}
            for precision, path in out.items():
                tell(f"{runs.name} {model}: {precision}")
                export(read_run(runs / model), path, precision=precision, verify=dataset.validation)
            wanted = labels(out["fp32"], "onnxruntime", texts)
            found.append(
                {
                    "run": runs.name,
                    "model": model,
                    "texts": len(texts),
                    "native_differs": int((labels(out["int8"], "native", texts) != wanted).sum()),
                    "onnxruntime_differs": int((labels(out["int8"], "onnxruntime", texts) != wanted).sum()),
                    "native_fp32_differs": int((labels(out["fp32"], "native", texts) != wanted).sum()),
                    "verification": read_artifact(out["int8"]).manifest.verification.get("backends"),
                }
            )
            tell(str(found[-1]))
    return found


def labels(artifact: Path, backend: str, texts: list[str]) -> Any:
    """Return the index of the predicted label of each text."""
    with liteft.load(artifact, device="cpu", backend=backend) as classifier:
        return classifier.logits(texts).argmax(axis=1)


if __name__ == "__main__":
    sys.exit(main())
