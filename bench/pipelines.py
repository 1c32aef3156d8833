"""Measures transformers' pipeline over LiteFT's engine beside the same pipeline over torch.

    python bench/pipelines.py --run RUNS/teacher --data DATA/sst2 --threads 1

Each finished run that labels texts is loaded by transformers in float32, as its users would load it, and exported in
fp32 and int8, which `LiteftModelForSequenceClassification` loads; the first also with matmuls in bf16, where the
processor has them. All go through `pipeline("text-classification")` in one process, with as many threads, in turns: a
round times each once, over the same texts in their order, and the next round begins with another. The engine is timed
alone as well, on the token ids of the same batches. A row has the median of texts a second, and the median over the
rounds of the ratio to torch, with the range of the middle half.

The labels of all texts of the test split are compared with torch's, and labels and scores of the artifacts with those
of `liteft.load(...).predict`, once for each batch size; torch's are those in batches of the last size.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from machine import ROOT, command_line, commit, machine, tell, versions, write_result
from transformers import AutoModelForSequenceClassification, pipeline
from transformers.utils import logging

import liteft
from liteft.integrations.optimum import LiteftModelForSequenceClassification
from liteft.integrations.transformers import rewrite_model

PACKAGES = ("torch", "transformers", "optimum", "tokenizers", "numpy")
TORCH = "torch fp32"
ENGINES = {"liteft fp32": ("fp32", None), "liteft bf16": ("fp32", "bf16"), "liteft int8": ("int8", None)}
Pipe = Callable[..., list[dict[str, Any]]]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, nargs="+", required=True, help="teachers or students that label texts")
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="the data of each: test is timed")
    parser.add_argument("--texts", type=int, default=256, help="of the test split, evenly spaced, in a round")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 32])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=ROOT / "bench/results/pipelines.json")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    logging.set_verbosity_error()
    if len(arguments.run) != len(arguments.data):
        parser.error("--run and --data need as many folders")
    result = {
        "command": command_line("bench/pipelines.py"),
        "machine": machine(),
        "versions": versions(PACKAGES),
        "commit": commit(),
        "threads": arguments.threads,
        "rounds": arguments.rounds,
        "models": [measured(*pair, arguments) for pair in zip(arguments.run, arguments.data, strict=True)],
    }
    write_result(arguments.out, result)
    return 0


def measured(source: Path, data: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    run, dataset = liteft.read_run(source), liteft.load_dataset(data)
    texts = list(dataset.test.texts)
    with tempfile.TemporaryDirectory() as folder:
        artifacts = {
            precision: liteft.export(run, Path(folder) / precision, precision=precision, verify=dataset.validation).path
            for precision in ("fp32", "int8")
        }
        engines = {name: (artifacts[form], asked) for name, (form, asked) in ENGINES.items()}
        pipes: dict[str, Pipe] = {TORCH: torch_pipe(run, Path(folder) / "model")}
        for name, (path, asked) in engines.items():
            model = LiteftModelForSequenceClassification.from_pretrained(
                path, threads=arguments.threads, backend="native", engine_precision=asked
            )
            pipes[name] = piped(model, path)
            pipes[f"{name}, engine alone"] = alone(model.model)
        chosen = texts[:: max(1, len(texts) // arguments.texts)][: arguments.texts]
        return {
            "kind": run.kind,
            "data": dataset.name,
            **{name: run.info[name] for name in ("parameters", "pooling")},
            "texts": len(chosen),
            "rows": [row for batch in arguments.batches for row in timed(pipes, chosen, batch, arguments.rounds)],
            "agreement": agreed(pipes, engines, texts, arguments.batches),
        }


def piped(model: Any, folder: Path) -> Pipe:
    made: Pipe = pipeline("text-classification", model=model, tokenizer=str(folder), device="cpu", truncation=True)
    return made


def alone(opened: Any) -> Pipe:
    """Return the engine without a pipeline: what it takes for the same batches, tokenized beforehand."""
    ready: dict[tuple[str, ...], Any] = {}

    def run(texts: list[str], batch_size: int) -> list[dict[str, Any]]:
        if tuple(texts) not in ready:
            ready[tuple(texts)] = opened.encode(texts)
        encoded = ready[tuple(texts)]
        for start in range(0, len(texts), batch_size):
            opened.run(encoded[start : start + batch_size], check=False)
        return []

    return run


def torch_pipe(run: liteft.Run, folder: Path) -> Pipe:
    """Return the pipeline of a run's own model, rewritten as this version saves it, in a folder."""
    rewrite_model(run.path, folder)
    trust = run.info["pooling"] == "mean"  # then its class is in the folder
    model = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32, trust_remote_code=trust)
    return piped(model.eval(), folder)


def timed(pipes: dict[str, Pipe], texts: list[str], batch: int, rounds: int) -> list[dict[str, Any]]:
    """Return a row for each engine."""
    taken: dict[str, list[float]] = {name: [] for name in pipes}
    names = list(pipes)
    for name, pipe in pipes.items():
        pipe(texts if "alone" in name else texts[:64], batch_size=batch)  # shapes and token ids are ready
    for number in range(rounds):
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            start = time.perf_counter()
            pipes[name](texts, batch_size=batch)
            taken[name].append(time.perf_counter() - start)
        tell(f"batches of {batch}, round {number}: { ({name: round(own[-1], 2) for name, own in taken.items()}) }")
    rows = []
    for name, own in taken.items():
        ratios = [slow / fast for slow, fast in zip(taken[names[0]], own, strict=True)]
        quarters = statistics.quantiles(ratios, n=4)
        rows.append(
            {
                "engine": name,
                "batch_size": batch,
                "texts_per_second": round(len(texts) / statistics.median(own), 1),
                "ratio_to_torch": round(statistics.median(ratios), 3),
                "middle_half": [round(quarters[0], 3), round(quarters[2], 3)],
            }
        )
    return rows


def agreed(
    pipes: dict[str, Pipe], engines: dict[str, tuple[Path, str | None]], texts: list[str], batches: list[int]
) -> list[dict[str, Any]]:
    """Return the share of equal labels beside torch, and what differs from ``predict``, over all texts."""
    wanted = [one["label"] for one in pipes[TORCH](texts, batch_size=batches[-1])]
    rows = []
    for name, (path, asked) in engines.items():
        with liteft.load(path, threads=1, backend="native", engine_precision=asked) as classifier:
            predicted = classifier.predict(texts)
        for batch in batches:
            own = pipes[name](texts, batch_size=batch)
            pairs = list(zip(own, predicted, strict=True))
            equal = [one["label"] == label for one, label in zip(own, wanted, strict=True)]
            rows.append(
                {
                    "engine": name,
                    "batch_size": batch,
                    "texts": len(texts),
                    "labels_as_torch": round(sum(equal) / len(texts), 5),
                    "labels_as_predict": sum(one["label"] == each.label for one, each in pairs) / len(texts),
                    "largest_difference_of_scores_to_predict": max(abs(a["score"] - b.score) for a, b in pairs),
                }
            )
    return rows


if __name__ == "__main__":
    sys.exit(main())
