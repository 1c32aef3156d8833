"""Compares LiteFT with other engines: texts per second with the same weights, on the same texts, in one run.

    make bench-setup
    .bench/bin/python bench/peers.py

Every engine runs the same classifier (MiniLM-L6, two labels), converted with its own tools, in a process of its own on
the same cores. They take turns in every round of every cell, so that a moment in which the machine is busy affects all.
The time of a cell is the median over its rounds, after a pass that is not timed. Texts are in arrival order or sorted
by length, in batches of 1, 8, 32 and 128, with or without tokenization; on two threads, on one, and as two calls at a
time with one thread each. An engine that does not agree with torch is not timed, and the result says so.

The result has the ratio of LiteFT to the best peer at its best order, batch and threads, and the share that LiteFT's
engine reaches of the machine's rate of int8 operations, measured at the same time. To keep within --minutes there may
be fewer rounds, but at least three; converting and starting take additional time. --quick is for a first look, not for
numbers.

    .bench/bin/python bench/peers.py --model RUN/model --cores 2 --minutes 6

does the same with a trained model of words or of answers, such as liteft finetune writes: every engine is given words,
or questions with their contexts, reads long texts in the same windows, and returns the logits of the first token of
each word, or of the tokens at which an answer may begin and end. Calls of one text and of 32 are timed, in arrival
order, tokenization included.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from machine import ROOT, command_line, commit, machine, tell, versions
from peer_contestants import CONTESTANTS, Cores, Torch, rectangle
from peer_kinds import OF_A_TEXT, kind_of, most_tokens
from peer_models import base_folder, convert
from peer_picture import draw
from peer_plan import BATCHES, allowance, plan
from peer_ratios import COMPARISONS, TABLE_BATCH, WORD_COMPARISONS, ratios, shares, table
from peer_texts import QUESTION_SETS, SETS, WORD_SETS, describe
from peer_timing import Checks, check, measure, started

PACKAGES = ("liteft", "torch", "transformers", "onnxruntime", "onnx", "openvino", "nncf", "ctranslate2")
PACKAGES += ("tokenizers", "numpy")
CHECKED_TEXTS = 48  # of each set
CALIBRATION_TEXTS = 75  # of each set
LEAST_ROUNDS = 3
QUICK = {"batches": [1, 32], "cores": [Cores(1, 2)], "rounds": 1, "texts": 64}
OF_TEXTS = {
    "sets": list(SETS),
    "batches": list(BATCHES),
    "cores": [Cores(1, 2), Cores(1, 1), Cores(2, 1)],
    "only": list(CONTESTANTS),
    "out": ROOT / "bench" / "results" / "peers.json",
}
OF_WORDS = {
    "batches": [1, TABLE_BATCH],
    "cores": [Cores(1, 2)],
    "only": [name for name in CONTESTANTS if name not in ("torch compile fp32", "CTranslate2 fp32")],
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = Path(os.environ.get("LITEFT_DATA", ROOT.parent / "shared" / "data"))
    parser.add_argument("--data", type=Path, default=default, help="folder of the data sets")
    parser.add_argument(
        "--model", type=Path, help="folder of a trained model of words or answers; default: an untrained one of texts"
    )
    parser.add_argument("--sets", nargs="+", choices=sorted({*SETS, *WORD_SETS, *QUESTION_SETS}))
    parser.add_argument("--texts", type=int, help="largest number of texts of a set")
    parser.add_argument("--batches", nargs="+", type=int, choices=BATCHES)
    parser.add_argument("--cores", nargs="+", type=Cores.parse, metavar="N",
                        help="2: one call at a time on two threads; 2x1: two calls, one thread each")  # fmt: skip
    parser.add_argument("--rounds", type=int, default=9, help="largest number of rounds per cell")
    parser.add_argument("--minutes", type=float, default=75.0, help="time for all rounds together")
    parser.add_argument("--only", nargs="+", choices=CONTESTANTS, metavar="CONTESTANT")
    parser.add_argument("--quick", action="store_true", help="a few cells, one round")
    parser.add_argument("--models", type=Path, help="folder in which converted models are kept for the next run")
    parser.add_argument(
        "--out", type=Path, help="default: bench/results/peers.json; peers_tokens.json or peers_answers.json"
    )
    parser.add_argument("--table", action="store_true", help="print the table of --out; measure nothing")
    arguments = parser.parse_args()
    kind = OF_A_TEXT if arguments.model is None else kind_of(arguments.model)
    out = ROOT / "bench" / "results" / f"peers_{'tokens' if kind.classes else 'answers'}.json"
    settings = OF_TEXTS if kind.pooled else OF_WORDS | {"sets": list(kind.sets), "out": out}
    for name, value in settings.items():
        if getattr(arguments, name) is None:
            setattr(arguments, name, value)
    if arguments.table:
        found = json.loads(arguments.out.read_text(encoding="utf-8"))
        print(table(found["rows"], found["cores"][0]))
        return 0
    if arguments.quick:
        vars(arguments).update(QUICK | ({"sets": ["clinc150", "news"]} if arguments.model is None else {}))
    result = measured(arguments)
    draw_result(arguments.out.with_suffix(".png"), result)
    tell(table(result["rows"], result["cores"][0]))
    print(json.dumps(result | {"rows": len(result["rows"])}))
    return 0


def measured(arguments: argparse.Namespace) -> dict[str, Any]:
    """Convert, check and time everything, and return the result, which is also written after each set of cores."""
    result: dict[str, Any] = {
        "command": command_line("bench/peers.py"),
        "machine": machine(),
        "versions": versions(PACKAGES),
        "native_instructions": native_instructions(),
        "commit": commit(),
        "model": described(arguments.model),
    }
    folder, kind = arguments.model or base_folder(), OF_A_TEXT if arguments.model is None else kind_of(arguments.model)
    read, words = kind.reader(folder), not kind.pooled
    texts = {name: kind.sample(arguments.data, name, arguments.texts) for name in arguments.sets}
    lengths = {name: [sum(map(len, read([text]).ids)) for text in own] for name, own in texts.items()}
    checked = tuple(text for own in texts.values() for text in own[:CHECKED_TEXTS])
    calibration = [text for name in arguments.sets for text in kind.sample(arguments.data, name, CALIBRATION_TEXTS)]
    rows = read(calibration)
    feeds = [rectangle([ids], rows.types and [rows.types[row]]) for row, ids in enumerate(rows.ids)]
    cut = {"windows_of" if words else "cut_to": most_tokens(folder)}
    result["texts"] = {name: {"file": kind.sets[name][0], **cut} | describe(lengths[name]) for name in texts}
    result["cores"] = [str(cores) for cores in arguments.cores]
    tasks = plan(arguments.cores, lengths, arguments.batches, words=words)
    comparisons = WORD_COMPARISONS if words else COMPARISONS
    bounds = (min(LEAST_ROUNDS, arguments.rounds), arguments.rounds)
    timed: list[dict[str, Any]] = []
    checks: dict[str, Checks] = {}
    seconds = 60 * arguments.minutes
    with contextlib.ExitStack() as stack:
        models = arguments.models or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        wanted = [CONTESTANTS[name].model for name in arguments.only]
        result["conversions"] = convert(models, wanted, calibration, feeds, arguments.model)
        checkpoint = models / "checkpoint"
        reference = Torch(checkpoint, checkpoint, Cores(1, 1), compiled=False).classify(checked)
        for cores in arguments.cores:
            with started(models, arguments.only, cores) as (workers, found):
                checks[str(cores)] = found
                check(workers, found, checked, reference, classes=kind.classes)
                for done, task in enumerate(tasks):
                    if task.cores == cores and workers:
                        begin = time.perf_counter()
                        allowed = allowance(tasks, done, seconds)
                        own = texts[task.texts], lengths[task.texts]
                        timed += measure(workers, found, task, *own, bounds, allowed, pooled=kind.pooled)
                        seconds -= time.perf_counter() - begin
            first = str(arguments.cores[0])
            compared = {"ratios": ratios(timed, first, comparisons), "shares": shares(timed, first)}
            result |= {"checks": checks, **compared, "rows": timed}
            write(arguments.out, result)
    return result


def described(model: Path | None) -> str:
    """Return in words which weights the engines run."""
    if model is None:
        return "sentence-transformers/all-MiniLM-L6-v2, [CLS] pooler, untrained classifier of 2 labels"
    config = json.loads((model / "config.json").read_text(encoding="utf-8"))
    size = f"{config['num_hidden_layers']} layers of {config['hidden_size']}"
    return f"{config['architectures'][0]}, {size}, {len(config['id2label'])} labels, trained"


def native_instructions() -> str:
    """Return the instruction set that the native library uses on this machine, or why it cannot run."""
    from liteft.errors import DeviceError
    from liteft.runtime.native_library import open_library

    try:
        return open_library().instructions
    except DeviceError as error:
        return error.message


def write(path: Path, result: dict[str, Any]) -> None:
    """Write a result as indented JSON, with each row on a line of its own."""
    path.parent.mkdir(parents=True, exist_ok=True)
    head = json.dumps(result | {"rows": []}, indent=2).removesuffix("[]\n}")
    rows = ",\n".join(f"    {json.dumps(row)}" for row in result["rows"])
    path.write_text(f"{head}[\n{rows}\n  ]\n}}\n", encoding="utf-8")


def draw_result(path: Path, result: dict[str, Any]) -> None:
    """Draw the picture of a result beside it."""
    first = result["cores"][0]
    tokens = {name: described["mean_tokens"] for name, described in result["texts"].items()}
    draw(result["rows"], first, tokens, f"{result['machine']['processor']}, {first} threads", path)


if __name__ == "__main__":
    sys.exit(main())
