"""Compares the speed of two checkouts of LiteFT, to measure what a change to the code costs or gains.

    git worktree add ../before COMMIT
    python bench/checkouts.py --before ../before --before-library FILE --out bench/results/checkouts.json

Each checkout exports the same MiniLM-L6 classifier with its own code, and runs it in a process of its own that stays up
for all rounds. In each round both are timed, and which one is first alternates, so that a moment in which the machine
is slow affects both. A row has the median over the rounds of the ratio, after over before, and the range of the middle
half of the ratios: a difference within that range does not count. The logits of both are compared too, to show whether
a change of speed is also a change of results.

A checkout is a folder that contains liteft/. Its native library is the one named by --before-library or
--after-library, and otherwise the one that the checkout finds by itself.
"""

from __future__ import annotations

import argparse
import inspect
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from machine import ROOT, command_line, commit, machine, tell, versions, write_result
from peer_contestants import rectangle
from peer_models import base_folder, export_liteft, write_checkpoint
from peer_texts import SETS, open_tokenizer, read_texts

PACKAGES = ("torch", "transformers", "onnxruntime", "onnx", "tokenizers", "numpy")
ENGINES = {  # artifact, backend, precision of the matmuls
    "native fp32": ("fp32", "native", None),
    "native bf16": ("fp32", "native", "bf16"),
    "native int8": ("int8", "native", None),
    "onnxruntime fp32": ("fp32", "onnxruntime", None),
    "onnxruntime int8": ("int8", "onnxruntime", None),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", type=Path, help="checkout of the earlier commit")
    parser.add_argument("--after", type=Path, default=ROOT, help="checkout of the later commit; default: this one")
    parser.add_argument("--before-library", type=Path, help="libliteft of the earlier commit")
    parser.add_argument("--after-library", type=Path, help="libliteft of the later commit")
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("LITEFT_DATA", ROOT.parent / "shared/data")))
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 32])
    parser.add_argument("--engines", nargs="+", choices=ENGINES, default=list(ENGINES))
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=ROOT / "bench/results/checkouts.json")
    parser.add_argument("--serve", nargs=2, type=Path, metavar=("CHECKOUT", "MODELS"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        return serve(*arguments.serve)
    if arguments.before is None:
        parser.error("--before FOLDER is needed: the checkout to compare with")
    write_result(arguments.out, compared(arguments))
    return 0


def compared(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the result, with one row for each engine, set of texts and batch size."""
    result: dict[str, Any] = {
        "command": command_line("bench/checkouts.py"),
        "machine": machine(),
        "versions": versions(PACKAGES),
        "commit": commit(),
        "rows": [],
    }
    texts = {name: read_texts(arguments.data, name) for name in arguments.sets}
    calibration = [text for own in texts.values() for text in own[:50]]
    tokenizer = open_tokenizer(base_folder() / "tokenizer.json")
    feeds = [rectangle([each.ids]) for each in tokenizer.encode_batch(calibration)]
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = Path(folder) / "checkpoint"
        write_checkpoint(checkpoint, feeds)
        precisions = sorted({ENGINES[each][0] for each in arguments.engines})
        sides = {
            "before": Side(arguments.before, arguments.before_library, Path(folder) / "before"),
            "after": Side(arguments.after, arguments.after_library, Path(folder) / "after"),
        }
        try:
            for side in sides.values():
                side.ask("prepare", checkpoint=str(checkpoint), texts=calibration, precisions=precisions)
            result["commits"] = {name: side.ask("commit") for name, side in sides.items()}
            for engine in arguments.engines:
                for side in sides.values():
                    side.ask("load", engine=engine, threads=arguments.threads)
                for name in arguments.sets:
                    for batch in arguments.batches:
                        row = timed(sides, texts[name], batch, arguments.rounds)
                        result["rows"].append({"engine": engine, "texts": name, "batch": batch, **row})
                        tell(f"{engine}, {name}, {batch}: {row}")
        finally:
            for side in sides.values():
                side.close()
    return result


def timed(sides: dict[str, Side], texts: Sequence[str], batch: int, rounds: int) -> dict[str, Any]:
    """Return a row: the rates of both checkouts, the median ratio over the rounds, and the largest logit difference."""
    logits = {name: np.array(side.ask("logits", texts=texts[:48])) for name, side in sides.items()}
    taken: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(1 + rounds):
        for name in sorted(sides, reverse=bool(number % 2)):
            seconds = sides[name].ask("seconds", texts=texts, batch=batch)
            if number:  # in the first pass, engines prepare for new shapes
                taken[name].append(seconds)
    ratios = [before / after for before, after in zip(taken["before"], taken["after"], strict=True)]
    quarter = statistics.quantiles(ratios, n=4) if rounds > 1 else [ratios[0]] * 3
    return {
        **{f"{name}_texts_per_second": round(len(texts) / statistics.median(own), 1) for name, own in taken.items()},
        "after_over_before": round(statistics.median(ratios), 4),
        "middle_half": [round(quarter[0], 4), round(quarter[2], 4)],
        "rounds": rounds,
        "logit_difference": float(np.abs(logits["before"] - logits["after"]).max()),
    }


class Side:
    """The process of a checkout; calls raise RuntimeError if the process has ended."""

    def __init__(self, checkout: Path, library: Path | None, models: Path) -> None:
        environment = os.environ | {"PYTHONPATH": str(checkout.resolve())}
        if library is not None:
            environment["LITEFT_LIBRARY"] = str(library.resolve())
        self._process = subprocess.Popen(
            [sys.executable, __file__, "--serve", str(checkout.resolve()), str(models)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )

    def ask(self, call: str, **arguments: Any) -> Any:
        """Call a method of `Server` in the process, and return its answer."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps([call, arguments]) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError(f"the process ended during {call!r}")
        return json.loads(answer)

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()


def serve(checkout: Path, models: Path) -> int:
    """Answer each line of JSON on stdin with one on stdout, until stdin ends."""
    # the finder of an editable install comes before PYTHONPATH, and would find the same checkout for both
    sys.meta_path[:] = [each for each in sys.meta_path if "editable" not in type(each).__module__]
    answers, sys.stdout = sys.stdout, sys.stderr  # anything else that is printed must not look like an answer
    server = Server(checkout, models)
    for line in sys.stdin:
        call, arguments = json.loads(line)
        answers.write(json.dumps(getattr(server, call)(**arguments)) + "\n")
        answers.flush()
    return 0


class Server:
    """The calls that a checkout's process answers."""

    def __init__(self, checkout: Path, models: Path) -> None:
        import liteft

        if Path(liteft.__file__).resolve().parents[1] != checkout:
            raise RuntimeError(f"{liteft.__file__} was imported instead of {checkout}")
        self._checkout, self._models, self._classifier = checkout, models, None

    def prepare(self, checkpoint: str, texts: list[str], precisions: list[Literal["fp32", "int8"]]) -> None:
        """Export the classifier with this checkout's code."""
        for precision in precisions:
            export_liteft(Path(checkpoint), self._models / precision, precision, texts)

    def commit(self) -> str:
        """Return the checkout's commit."""
        found = subprocess.run(["git", "rev-parse", "HEAD"], cwd=self._checkout, capture_output=True, text=True)
        return found.stdout.strip() or "unknown"

    def load(self, engine: str, threads: int) -> None:
        """Load an engine, replacing the one before."""
        import liteft

        artifact, backend, precision = ENGINES[engine]
        folder = self._models / artifact
        # the keyword has another name in older checkouts
        keyword = "engine_precision" if "engine_precision" in inspect.signature(liteft.load).parameters else "precision"
        self._classifier = liteft.load(folder, device="cpu", backend=backend, threads=threads, **{keyword: precision})

    def logits(self, texts: list[str]) -> list[list[float]]:
        """Return the logits of texts, (texts, labels)."""
        return self._classifier.logits(texts).astype(float).tolist()

    def seconds(self, texts: list[str], batch: int) -> float:
        """Return the seconds of one pass over the texts in batches, tokenization included."""
        begin = time.perf_counter()
        for start in range(0, len(texts), batch):
            self._classifier.logits(texts[start : start + batch])
        return time.perf_counter() - begin


if __name__ == "__main__":
    sys.exit(main())
