"""Measures what int8 loses against float32 by scheme, bits of weights and calibration, on 7,693 texts of 3 data sets.

    liteft distill --recipe models/sst2/recipe.toml --data DATA/sst2 --out RUNS/sst2     # and trec, clinc150
    python bench/static_int8.py --runs RUNS --data DATA

Teacher and student of each run classify the dev and test texts of SST-2 and the test texts of TREC and CLINC150, as
float32 graphs and as int8 graphs, in ONNX Runtime. Static ranges are calibrated on 1,000 training texts. Both schemes
are also exported as artifacts, verified with the usual limits, and run by the native engine. Nothing is timed.

Only the default of the calibration was chosen by these test texts: it is the one with the best agreement over all
    models,
as the result says.
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
from liteft import load_dataset
from liteft.errors import VerificationError
from liteft.exporting import export
from liteft.exporting.blueprint import Blueprint
from liteft.exporting.calibration import MOST_TEXTS, observe
from liteft.exporting.quantization import Int8Plan
from liteft.exporting.sessions import run_logits
from liteft.finetuning.model import load_classifier
from liteft.form import ExportForm
from liteft.metrics import calibration_error, mcnemar, softmax
from liteft.run import read_run

SPLITS = {"sst2": ("validation", "test"), "trec": ("test",), "clinc150": ("test",)}
MODELS = ("teacher", "student")
PERCENTILES = (100.0, 99.999, 99.99, 99.9)
SCHEMES = ("per_row", "static")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, required=True, help="folder of the runs sst2, trec and clinc150")
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("--out", type=Path, default=ROOT / "bench/results/static_int8.json")
    arguments = parser.parse_args()
    started = machine()
    rows = [
        row
        for name, splits in SPLITS.items()
        for model in MODELS
        for row in compare(arguments.runs / name, arguments.data / name, splits, model)
    ]
    result = {
        "command": shlex.join(["python", "bench/static_int8.py", "--runs", "RUNS", "--data", "DATA"]),
        "machine": started,
        "versions": versions(("liteft", "onnxruntime", "torch", "numpy")),
        "commit": commit(),
        "calibration_texts": MOST_TEXTS,
        "union": unions(rows),
        "rows": [{name: value for name, value in row.items() if name != "right"} for row in rows],
    }
    write_result(arguments.out, result)
    return 0


def compare(run: Path, data: Path, splits: tuple[str, ...], model: str) -> list[dict[str, Any]]:
    """Return a row for each int8 graph of one model, compared with its float32 graph."""
    dataset = load_dataset(data)
    loaded = load_classifier(read_run(run / model).model_path)
    if tuple(dataset.labels) != tuple(loaded.settings.labels):
        raise SystemExit(f"{run} has other labels than {data}")
    texts = [text for split in splits for text in dataset.splits[split].texts]
    gold = np.concatenate([dataset.splits[split].labels for split in splits])
    encoded = loaded.tokenizer.encode(texts)
    blueprint = Blueprint(loaded)
    exact = blueprint.flat("fp32")
    reference = run_logits(exact, encoded)
    rows: list[dict[str, Any]] = []

    def add(variant: str, backend: str, logits: np.ndarray) -> None:
        labels, expected = logits.argmax(axis=1), reference.argmax(axis=1)
        test = mcnemar(expected == gold, labels == gold)
        rows.append(
            {
                "run": run.name,
                "model": model,
                "variant": variant,
                "backend": backend,
                "texts": len(texts),
                "float_accuracy": round(float((expected == gold).mean()), 5),
                "accuracy": round(float((labels == gold).mean()), 5),
                "lost": test.b,
                "won": test.c,
                "differs": int((labels != expected).sum()),
                "logit_rms": round(float(np.sqrt(((logits - reference) ** 2).mean())), 5),
                "float_calibration_error": round(calibration_error(softmax(reference), gold), 5),
                "calibration_error": round(calibration_error(softmax(logits), gold), 5),
                "right": (expected == gold, labels == gold),
            }
        )
        tell(str({name: value for name, value in rows[-1].items() if name != "right"}))

    train = dataset.train
    chosen = train.take(np.linspace(0, len(train) - 1, min(len(train), MOST_TEXTS)).round().astype(np.int64))
    seen = loaded.tokenizer.encode(chosen.texts)
    histograms = observe(exact, blueprint.products, seen)
    ranges = {
        f"static, percentile {share:g}": {
            product: each.cut("percentile", share) for product, each in histograms.items()
        }
        for share in PERCENTILES
    }
    ranges["static, mse"] = {product: each.cut("mse") for product, each in histograms.items()}
    for bits in (8, 7):
        suffix = "" if bits == 8 else ", 7 bits"
        quantizations = {"per_row": Int8Plan(ExportForm(weight_bits=bits))}
        quantizations |= {
            name: Int8Plan(ExportForm(scheme="static", weight_bits=bits), found) for name, found in ranges.items()
        }
        for name, quantization in quantizations.items():
            if bits == 7 and name not in ("per_row", "static, percentile 99.99", "static, mse"):
                continue
            add(name + suffix, "onnxruntime", run_logits(blueprint.flat("int8", quantization), encoded))
    with tempfile.TemporaryDirectory() as folder:
        for scheme in SCHEMES:
            out = Path(folder) / scheme
            variant = f"artifact, {scheme}"
            try:
                export(
                    read_run(run / model),
                    out,
                    precision="int8",
                    scheme=scheme,
                    calibrate=train,
                    verify=dataset.validation,
                )
            except VerificationError as error:
                tell(str(error))
                rows.append({"run": run.name, "model": model, "variant": variant, "refused": error.message})
                continue
            for backend in ("onnxruntime", "native"):
                with liteft.load(out, device="cpu", backend=backend) as classifier:
                    add(variant, backend, classifier.logits(texts))
    return rows


def unions(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return, for each model, variant and backend, the paired comparison on the texts of all sets together."""
    measured = [row for row in rows if "right" in row]
    found = []
    for model, variant, backend in dict.fromkeys((row["model"], row["variant"], row["backend"]) for row in measured):
        parts = [row for row in measured if (row["model"], row["variant"], row["backend"]) == (model, variant, backend)]
        if len(parts) < len(SPLITS):
            continue
        before, after = (np.concatenate([row["right"][side] for row in parts]) for side in (0, 1))
        test = mcnemar(before, after)
        found.append(
            {
                "model": model,
                "variant": variant,
                "backend": backend,
                "texts": len(before),
                "float_accuracy": round(100 * float(before.mean()), 3),
                "accuracy": round(100 * float(after.mean()), 3),
                "points_gained": round(100 * test.difference, 3),
                "interval": [round(100 * test.low, 3), round(100 * test.high, 3)],
                "p_value": round(test.p_value, 4),
                "agreement": round(1 - sum(row["differs"] for row in parts) / len(before), 5),
            }
        )
    return found


if __name__ == "__main__":
    sys.exit(main())
