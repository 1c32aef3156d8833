"""Measures what HTTP costs: texts a second and latency of ``liteft serve`` beside ``predict`` in a process of its own.

    python bench/serve_tax.py --rounds 7

Both have core 0 and one thread; this process, with the client, has core 1. In each round both answer the same texts for
some seconds, in turns, first one and then the other first, so that a moment in which the machine is slow affects both.
A ratio is the median over rounds of the ratio within a round. At saturation the server has enough requests to never
wait (a closed loop), and ``predict`` is called again and again with as many texts as a request has. Unloaded, one
request follows another, and the latency is that of a single call.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import sys
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
from load_arithmetic import drained_rate, latencies
from load_requests import DIALECTS, draw_texts
from load_setup import LITEFT, add_cells, head, parser, prepared
from machine import tell, write_result
from serve_load import DRAWN_TEXTS, Load, only_answered, started
from serve_process import CLIENT_CORE, SERVER_CORE, stay_on

ASKED = {1: 0.25, 32: 0.10}  # greatest share of the rate that HTTP may cost, by texts of a request
_MOST_WAITING = 256  # texts that wait at a time, at saturation


def main() -> int:
    found = parser(__doc__, "serve_tax.json")
    add_cells(found, ["short", "medium", "mixed"])
    found.add_argument("--rounds", type=int, default=7)
    found.add_argument("--seconds", type=float, default=4.0, help="of each side, in each round")
    arguments = found.parse_args()
    result = head("serve_tax.py")
    stay_on(CLIENT_CORE)
    with prepared(arguments) as own, started(own, "--max-queue-ms", "5000") as server:
        worker = Worker(own.models / LITEFT)
        try:
            result |= {"rounds": arguments.rounds, "seconds": arguments.seconds}
            result["rows"] = [
                measured(arguments, server.port, worker, mix, size)
                for mix in arguments.mixes
                for size in arguments.sizes
            ]
        finally:
            worker.close()
    write_result(arguments.out, result)
    return 0


def measured(arguments: argparse.Namespace, port: int, worker: Worker, mix: str, size: int) -> dict[str, Any]:
    """Return the row of a mix and a number of texts of a request."""
    texts = draw_texts(arguments.data, mix, DRAWN_TEXTS, arguments.seed)
    load = Load(port, texts, size, DIALECTS["tei"])
    worker.take(texts, size)
    sides = {"http": lambda: _http(load, arguments.seconds), "predict": lambda: _predict(worker, arguments.seconds)}
    rounds: list[dict[str, Any]] = []
    for number in range(1 + arguments.rounds):
        names = ["http", "predict"] if number % 2 else ["predict", "http"]
        found = {name: sides[name]() for name in names}
        if number:  # the first round warms up
            rounds.append(found)
    row = {"mix": mix, "texts_per_request": size, **compared(rounds), "asked_tax": ASKED.get(size)}
    tell(
        f"{mix}, {size} a request: HTTP {row['http']['texts_per_second']} texts/s, "
        f"predict {row['predict']['texts_per_second']}, tax {row['tax']:.1%}, asked {row['asked_tax']}; "
        f"unloaded p50 {row['http']['p50_ms']} and {row['predict']['p50_ms']} ms"
    )
    return row


def compared(rounds: list[dict[str, Any]]) -> dict[str, Any]:
    """Return medians over rounds, and what HTTP costs: one less the ratio of the rates, and the added latency."""
    found: dict[str, Any] = {}
    for side in ("http", "predict"):
        names = rounds[0][side]
        found[side] = {name: round(statistics.median(each[side][name] for each in rounds), 3) for name in names}
    taxes = [1 - each["http"]["texts_per_second"] / each["predict"]["texts_per_second"] for each in rounds]
    added = [each["http"]["p50_ms"] - each["predict"]["p50_ms"] for each in rounds]
    found["tax"] = round(statistics.median(taxes), 4)
    found["tax_least_and_most"] = [round(min(taxes), 4), round(max(taxes), 4)]
    found["added_p50_ms"] = round(statistics.median(added), 3)
    return found


def _http(load: Load, seconds: float) -> dict[str, float | None]:
    """Return the rate at saturation and the latency of one request after another."""
    full = only_answered(load.closed_loop(0.75 * seconds, max(_MOST_WAITING // load.size, 4)))
    alone = only_answered(load.closed_loop(0.25 * seconds, 1))
    latency = latencies(np.array(alone.done) - np.array(alone.due))
    return {
        "texts_per_second": round(drained_rate(full), 2),
        "p50_ms": latency["p50_ms"],
        "p99_ms": latency["p99_ms"],
    }


def _predict(worker: Worker, seconds: float) -> dict[str, float | None]:
    """Return the rate and the latency of calls of ``predict``."""
    times = worker.times(seconds)
    latency = latencies(times)
    return {
        "texts_per_second": round(len(times) * worker.size / float(times.sum()), 2),
        "p50_ms": latency["p50_ms"],
        "p99_ms": latency["p99_ms"],
    }


class Worker:
    """A process on the server's core that calls ``predict`` when it is asked to."""

    def __init__(self, artifact: Path) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, other = context.Pipe()
        self._process = context.Process(target=_serve, args=(other, artifact), daemon=True)
        self._process.start()
        other.close()
        self.size = 1
        self._pipe.recv()

    def take(self, texts: list[str], size: int) -> None:
        """Set the texts, and how many of them a call has."""
        self.size = size
        self._pipe.send((texts, size))
        self._pipe.recv()

    def times(self, seconds: float) -> np.ndarray:
        """Return the seconds of each call within some seconds."""
        self._pipe.send(seconds)
        found: np.ndarray = self._pipe.recv()
        return found

    def close(self) -> None:
        """End the process."""
        self._pipe.close()
        self._process.join(10)
        self._process.kill()


def _serve(pipe: Connection, artifact: Path) -> None:
    stay_on(SERVER_CORE)
    import liteft

    classifier = liteft.load(artifact, device="cpu", threads=1)
    pipe.send(None)
    calls: list[Any] = []
    while True:
        try:
            asked = pipe.recv()
        except EOFError:
            return
        if isinstance(asked, tuple):
            texts, size = asked
            groups = [texts[first : first + size] for first in range(0, len(texts) - size + 1, size)]
            calls = [group[0] for group in groups] if size == 1 else groups
            pipe.send(None)
            continue
        times: list[float] = []
        end = time.perf_counter() + asked
        while (begin := time.perf_counter()) < end:
            classifier.predict(calls[len(times) % len(calls)])
            times.append(time.perf_counter() - begin)
        pipe.send(np.array(times))


if __name__ == "__main__":
    sys.exit(main())
