"""Loads a server with real texts in an open loop, and reports latencies, refusals, goodput and its own lateness.

    python bench/serve_load.py --rates 200 800 --seconds 20
    python bench/serve_load.py --port 8080 --dialect tei --rates 500 --out load.json

Requests are due by a Poisson process that is fixed by its seed, and a latency counts from the time at which its request
was due, whatever the server did to those before. ``liteft serve`` is started with one thread on core 0; with ``--port``
a server is asked that runs already. This process stays on core 1. A row is void if the generator itself was more than
a millisecond late at its 99th percentile.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
from load_arithmetic import Record, drained_rate, latencies, percentile, poisson, summarize, true_waits
from load_client import Client
from load_requests import DIALECTS, Dialect, draw_texts, requests_of, wrong_answers
from load_setup import Place, add_cells, head, parser, prepared
from machine import tell, write_result
from serve_process import CLIENT_CORE, Server, Watch, free_port, running, stay_on

DRAWN_TEXTS = 4096
_MOST_WAITING = 256  # texts, where a server is to be busy all the time


def main() -> int:
    found = parser(__doc__, "serve_load.json")
    add_cells(found, ["short", "medium", "long", "mixed"])
    found.add_argument("--port", type=int, help="of a server that runs; default: start liteft serve")
    found.add_argument("--dialect", choices=DIALECTS, default="tei")
    found.add_argument("--rates", nargs="+", type=float, help="requests a second; default: shares of the capacity")
    found.add_argument("--shares", nargs="+", type=float, default=[0.5, 0.8, 1.2], help="of the capacity, if no rates")
    found.add_argument("--seconds", type=float, default=20.0, help="of each row")
    found.add_argument("--connections", type=int, default=512)
    found.add_argument("--patient", action="store_true", help="sleep between sends, for a core that others use too")
    found.add_argument("--compare", action="store_true", help="compare each answer with the first to the same request")
    found.add_argument("--max-queue-ms", type=int, default=500, help="of the server that is started")
    arguments = found.parse_args()
    result = head("serve_load.py")
    stay_on(CLIENT_CORE)
    if arguments.port:
        result["rows"] = rows(arguments, arguments.port, None)
    else:
        with prepared(arguments) as own, started(own, "--max-queue-ms", str(arguments.max_queue_ms)) as server:
            result["rows"] = rows(arguments, server.port, server)
    write_result(arguments.out, result)
    return 1 if any(row["void"] for row in result["rows"]) else 0


def started(own: Place, *flags: str) -> Any:
    """Return a context in which ``liteft serve`` runs on its core, ready."""
    port = free_port()
    return running(Server(own.serve(port, *flags), port, "/readyz", own.logs / f"liteft-{port}.log"))


def rows(arguments: argparse.Namespace, port: int, server: Server | None) -> list[dict[str, Any]]:
    """Measure each mix and number of texts at each rate, and return a row for each."""
    found = []
    dialect = DIALECTS[arguments.dialect]
    for mix in arguments.mixes:
        for size in arguments.sizes:
            load = Load(port, draw_texts(arguments.data, mix, DRAWN_TEXTS, arguments.seed), size, dialect)
            rates = arguments.rates
            if not rates:
                capacity = load.capacity(min(arguments.seconds, 5.0))
                rates = [round(capacity * share, 2) for share in arguments.shares]
            for rate in rates:
                watch = Watch(server) if server else None
                record = load.open_loop(
                    rate,
                    arguments.seconds,
                    arguments.seed,
                    connections=arguments.connections,
                    patient=arguments.patient,
                    compare=arguments.compare,
                    watch=watch,
                )
                limit = arguments.max_queue_ms if server else None
                row = {"mix": mix, "texts_per_request": size, "rate": rate}
                row |= described(record, arguments.seconds, max_queue_ms=limit)
                row |= {"memory": watch.summary() if watch else None}
                tell(told(row))
                found.append(row)
    return found


class Load:
    """Requests to a server, all with the same number of texts."""

    def __init__(self, port: int, texts: Sequence[str], size: int, dialect: Dialect) -> None:
        self.port, self.size, self._dialect = port, size, dialect
        self._requests = requests_of(texts, size, dialect)

    def open_loop(self, rate: float, seconds: float, seed: int, **settings: Any) -> Record:
        """Send requests at a rate for some seconds, and return their record; ``settings`` are those of the client."""
        client = Client(self.port, self._requests, [self.size], **settings)
        try:
            return self._checked(client.open_loop(poisson(rate, seconds, seed)))
        finally:
            client.close()

    def closed_loop(self, seconds: float, connections: int, **settings: Any) -> Record:
        """Keep a request on each connection for some seconds, and return the record."""
        client = Client(self.port, self._requests, [self.size], connections=connections, **settings)
        try:
            return self._checked(client.closed_loop(seconds, int(seconds * 50_000)))
        finally:
            client.close()

    def capacity(self, seconds: float, waiting: int = _MOST_WAITING) -> float:
        """Return the requests a second that a server answers if texts always wait, and none are refused.

        Args:
            seconds: of the measurement.
            waiting: texts that wait at a time; half as many are tried where a request is refused.
        """
        connections = max(waiting // self.size, 4)
        while True:
            self.closed_loop(min(seconds, 2.0), connections)
            record = self.closed_loop(seconds, connections)
            if 429 not in record.code or connections == 1:
                return drained_rate(only_answered(record)) / self.size
            connections //= 2

    def _checked(self, record: Record) -> Record:
        if wrong := wrong_answers(record.samples, record.texts, self._dialect):
            raise RuntimeError(f"request {wrong[0]} did not get one answer for each of its texts")
        return record


def only_answered(record: Record) -> Record:
    """Return the record of a run of which nothing may be refused or lost."""
    if codes := {*record.code} - {200}:
        raise RuntimeError(f"a server that was not to be overloaded answered {sorted(codes)}")
    return record


def described(
    record: Record, seconds: float, *, settle: float = 0.0, max_queue_ms: float | None = None
) -> dict[str, Any]:
    """Return the figures of a run, with what the server says of its times and of its queue, if that has a limit."""
    found = summarize(record, seconds, settle=settle)
    found["retry_after"] = retry_after(record, max_queue_ms)
    found["server_timing"] = server_timing(record)
    return found


def retry_after(record: Record, max_queue_ms: float | None) -> dict[str, Any] | None:
    """Compare what refusals foretell with what came, in the refusals that were kept; None if there are none.

    ``retry_after_ms`` of ``liteft serve`` is the wait that it projects, until all that waits is computed, and is
    compared with the true one. Other servers, without ``max_queue_ms``, say what they mean by it, if anything.
    """
    refused = [place for place, (top, _) in record.samples.items() if top[9:12] == b"429"]
    if not refused:
        return None
    heads = [_headers(record.samples[place][0]) for place in refused]
    bodies = [json.loads(record.samples[place][1]) for place in refused]
    told = np.array([float(body.get("retry_after_ms", np.nan)) / 1000 for body in bodies])
    whole = [int(own["retry-after"]) for own in heads if own.get("retry-after", "").isdigit()]
    found: dict[str, Any] = {
        "refusals_read": len(refused),
        "without_header": len(refused) - len(whole),
        "header_s": {"least": min(whole, default=None), "most": max(whole, default=None)},
        "told_ms": latencies(told[~np.isnan(told)]),
    }
    if max_queue_ms is not None:
        true = np.array(true_waits(record, refused))
        off = told - true
        shares = (("p1", 0.01), ("p50", 0.5), ("p99", 0.99))
        found["true_wait_ms"] = latencies(true)
        found["projected_less_true_ms"] = {name: round(1000 * percentile(off, share), 1) for name, share in shares}
    return found


def server_timing(record: Record) -> dict[str, dict[str, float | None]] | None:
    """Return percentiles of the parts of Server-Timing in the accepted answers that were kept; None if it is absent."""
    parts: dict[str, list[float]] = {}
    for top, _ in record.samples.values():
        if top[9:12] != b"200":
            continue
        for part in filter(None, _headers(top).get("server-timing", "").split(",")):
            name, _, rest = part.strip().partition(";dur=")
            parts.setdefault(name, []).append(float(rest) / 1000)
    return {name: latencies(np.array(values)) for name, values in parts.items()} or None


def _headers(top: bytes) -> dict[str, str]:
    lines = top.decode("latin-1").split("\r\n")[1:]
    return {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)}


def told(row: dict[str, Any]) -> str:
    """Return a row as a line."""
    latency = row["latency"]
    memory = (row.get("memory") or {}).get("most_mb")
    return (
        f"{row['mix']}, {row['texts_per_request']} a request, {row['rate']:g}/s: "
        f"{row['goodput_texts_per_second']:.0f} texts/s, p50 {latency['p50_ms']} ms, p99 {latency['p99_ms']} ms, "
        f"{row['codes']}, {memory or '?'} MB, late {row['lateness']['p99_ms']} ms{', VOID' if row['void'] else ''}"
    )


if __name__ == "__main__":
    sys.exit(main())
