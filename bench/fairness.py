"""Measures how long a short text waits while other threads send batches, and how much that slows the batches down.

    liteft demo --out demo-run
    python bench/fairness.py demo-run/artifact --out bench/results/fairness.json

Each backend runs in a process of its own, so that its memory can be measured. A round measures four things: the short
text alone; batches of one thread; batches of all threads; and these again while the short text is sent every 50 ms. The
order of the last two alternates. A ratio compares figures of the same round, since the machine may be busier in the
next; rows have medians over the rounds.

- ``promise_kept``: the 99th percentile of the short text's time beside the batches is at most that of the short text
  alone, plus the time of one batch.
- ``throughput_kept``: tokens per second of batches and short texts together, over those of the batches without short
  texts.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shlex
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from machine import ROOT, commit, machine, tell, versions, write_result

PACKAGES = ("liteft", "onnxruntime", "tokenizers", "numpy")
BACKENDS = ("native", "onnxruntime")
WORDS = ("the", "order", "came", "late", "and", "broken", "so", "please", "refund", "my", "card", "send", "a", "new")
SHORT_WORDS = 9
LEAST_BATCHES = 5


@dataclass
class Round:
    """The measurements of one round: seconds of each call, and tokens per second."""

    short_alone: list[float] = field(default_factory=list)
    batch_alone: list[float] = field(default_factory=list)
    short_beside: list[float] = field(default_factory=list)
    rate_alone: float = 0.0
    rate_beside: float = 0.0


def summarize(rounds: Sequence[Round]) -> dict[str, Any]:
    """Return medians over the rounds; ratios and waits are computed within each round."""

    def milliseconds(pick: Callable[[Round], list[float]], share: float) -> float:
        return round(1e3 * statistics.median(float(np.quantile(pick(each), share)) for each in rounds), 2)

    def wait(each: Round) -> float:
        beside, alone = np.quantile(each.short_beside, 0.99), np.quantile(each.short_alone, 0.99)
        return float(beside - alone) / statistics.median(each.batch_alone)

    waits = [wait(each) for each in rounds]
    return {
        "short_alone_p50_ms": milliseconds(lambda each: each.short_alone, 0.5),
        "short_alone_p99_ms": milliseconds(lambda each: each.short_alone, 0.99),
        "batch_alone_p50_ms": milliseconds(lambda each: each.batch_alone, 0.5),
        "short_beside_p50_ms": milliseconds(lambda each: each.short_beside, 0.5),
        "short_beside_p99_ms": milliseconds(lambda each: each.short_beside, 0.99),
        "wait_in_batches": round(statistics.median(waits), 3),
        "promise_kept": statistics.median(waits) <= 1,
        "tokens_per_second": round(statistics.median(each.rate_alone for each in rounds)),
        "throughput_kept": round(statistics.median(each.rate_beside / each.rate_alone for each in rounds), 3),
    }


class Bench:
    """Measures a classifier with a short text and a batch of texts."""

    def __init__(self, classifier: Any, *, threads: int, texts: int, words: int, seconds: float, every: float) -> None:
        generator = random.Random(0)
        self.classifier, self.threads, self.seconds, self.every = classifier, threads, seconds, every
        self.short = " ".join(generator.choices(WORDS, k=SHORT_WORDS))
        self.batch = [" ".join(generator.choices(WORDS, k=words)) for _ in range(texts)]
        for _ in range(2):
            classifier.predict(self.short)
            classifier.predict(self.batch)

    def round(self, number: int) -> Round:
        """Measure one round; even and odd numbers differ in whether the batches run alone first."""
        found = Round()
        found.short_alone = self._seconds(self.short, until=self.seconds / 4)
        found.batch_alone = self._seconds(self.batch, until=self.seconds / 4, least=LEAST_BATCHES)
        for beside in (False, True) if number % 2 == 0 else (True, False):
            if beside:
                found.rate_beside = self._beside(lambda until: found.short_beside.extend(self._spaced(until)))
            else:
                found.rate_alone = self._beside(lambda until: time.sleep(until - time.perf_counter()))
        return found

    def _seconds(self, inputs: Any, *, until: float, least: int = 100) -> list[float]:
        found: list[float] = []
        while len(found) < least or sum(found) < until:
            found.append(self._once(inputs))
        return found

    def _once(self, inputs: Any) -> float:
        began = time.perf_counter()
        self.classifier.predict(inputs)
        return time.perf_counter() - began

    def _spaced(self, until: float) -> list[float]:
        found = []
        while time.perf_counter() < until:
            found.append(self._once(self.short))
            time.sleep(max(0.0, self.every - found[-1]))
        return found

    def _beside(self, meanwhile: Callable[[float], None]) -> float:
        """Run ``meanwhile`` while all threads send batches, and return the tokens per second of all calls together."""
        stop = threading.Event()

        def send() -> None:
            while not stop.is_set():
                self.classifier.predict(self.batch)

        senders = [threading.Thread(target=send) for _ in range(self.threads)]
        for sender in senders:
            sender.start()
        tokens, began = self.classifier.stats.tokens, time.perf_counter()
        meanwhile(began + self.seconds)
        stop.set()
        for sender in senders:  # batches that have begun are finished and counted, with their time
            sender.join()
        return float(self.classifier.stats.tokens - tokens) / (time.perf_counter() - began)


def measure(artifact: Path, backend: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure one backend in this process, and return its row."""
    import liteft

    with liteft.load(artifact, device="cpu", backend=backend) as classifier:
        bench = Bench(
            classifier,
            threads=arguments.threads,
            texts=arguments.texts,
            words=arguments.words,
            seconds=arguments.seconds,
            every=0.05,
        )
        before = _peak_mb()
        rounds = []
        for number in range(arguments.rounds):
            rounds.append(bench.round(number))
            tell(f"{backend}, round {number + 1}: {summarize(rounds[-1:])}")
        grown = _peak_mb() - before
        return {
            "backend": backend,
            "precision": classifier.precision,
            "threads_of_a_run": classifier.threads,
            "callers": arguments.threads,
            "batch": f"{arguments.texts} texts of {arguments.words} words",
            "load": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
            **summarize(rounds),
            "peak_memory_grew_mb": round(grown),
        }


def _peak_mb() -> float:
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("artifact", type=Path)
    parser.add_argument("--backends", nargs="+", choices=BACKENDS, default=list(BACKENDS))
    parser.add_argument("--threads", type=int, default=8, help="threads that send batches")
    parser.add_argument("--texts", type=int, default=100, help="texts per batch")
    parser.add_argument("--words", type=int, default=12, help="words per text of a batch")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=8.0, help="duration of each half of a round")
    parser.add_argument("--out", type=Path, default=ROOT / "bench/results/fairness.json")
    parser.add_argument("--measure", choices=BACKENDS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        print(json.dumps(measure(arguments.artifact, arguments.measure, arguments)))
        return 0
    here, rows = machine(), []  # read before the benchmark adds to the load
    for backend in arguments.backends:
        command = [sys.executable, *sys.argv, "--measure", backend]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        rows.append(json.loads(done.stdout))
    given = [word for word in sys.argv[1:] if word != str(arguments.artifact)]
    result = {
        "command": shlex.join(["python", "bench/fairness.py", "ARTIFACT", *given]),
        "machine": here,
        "versions": versions(PACKAGES),
        "commit": commit(),
        "rows": rows,
    }
    write_result(arguments.out, result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
