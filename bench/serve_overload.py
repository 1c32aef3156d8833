"""Offers ``liteft serve`` ten times what it can do, for minutes, and measures what becomes of its goodput.

    python bench/serve_overload.py --minutes 10

For requests of 32 texts and of one: the capacity is measured in the same run, before and after, by a closed loop that
always has texts waiting and is never refused. Then requests come in an open loop at ten times that rate. Refusals cost
HTTP work on the same core as the engine: the result has the processor time of both, the event loop's for each request.

Asked: a goodput of 95% of the capacity; a 99th percentile of accepted requests of at most --max-queue-ms and two
batches; no answer of 5xx; memory that stays.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from typing import Any

from load_arithmetic import Record
from load_requests import DIALECTS, draw_texts
from load_setup import add_cells, head, parser, prepared
from machine import tell, write_result
from serve_load import DRAWN_TEXTS, Load, described, started, told
from serve_process import CLIENT_CORE, Server, Watch, stay_on

ASKED_SHARE = 0.95
MOST_GROWTH_MB = 4.0  # of resident memory, from the second to the last quarter of the run


def main() -> int:
    found = parser(__doc__, "serve_overload.json")
    add_cells(found, ["short"])
    found.set_defaults(sizes=[32, 1])
    found.add_argument("--minutes", type=float, default=10.0, help="of each number of texts")
    found.add_argument("--times", type=float, default=10.0, help="of the capacity")
    found.add_argument("--max-queue-ms", type=int, default=500)
    found.add_argument("--connections", type=int, default=2000)
    found.add_argument("--settle", type=float, default=5.0, help="seconds at the start that are not counted")
    arguments = found.parse_args()
    result = head("serve_overload.py")
    stay_on(CLIENT_CORE)
    with prepared(arguments) as own:
        result |= {"minutes": arguments.minutes, "max_queue_ms": arguments.max_queue_ms, "rows": []}
        for mix in arguments.mixes:
            for size in arguments.sizes:
                with started(own, "--max-queue-ms", str(arguments.max_queue_ms)) as server:
                    result["rows"].append(overloaded(arguments, server, mix, size))
                write_result(arguments.out, result)
    return 1 if any(row["void"] for row in result["rows"]) else 0


def overloaded(arguments: argparse.Namespace, server: Server, mix: str, size: int) -> dict[str, Any]:
    """Measure the capacity, offer more, measure the capacity again, and return the row."""
    load = Load(server.port, draw_texts(arguments.data, mix, DRAWN_TEXTS, arguments.seed), size, DIALECTS["tei"])
    before = load.capacity(10.0)
    watch, seconds = Watch(server), 60 * arguments.minutes
    used = server.cpu_seconds()
    record = load.open_loop(
        arguments.times * before, seconds, arguments.seed, connections=arguments.connections, watch=watch, timeout=60.0
    )
    loop, engine = (later - earlier for later, earlier in zip(server.cpu_seconds(), used, strict=True))
    after = load.capacity(10.0)
    row = {"mix": mix, "texts_per_request": size, "rate": round(arguments.times * before, 2)}
    settle = min(arguments.settle, seconds / 4)
    row |= described(record, seconds, settle=settle, max_queue_ms=arguments.max_queue_ms)
    row["memory"] = watch.summary()
    answered = sum(code > 0 for code in record.code)
    row["share_of_the_core"] = {"event_loop": round(loop / seconds, 3), "engine": round(engine / seconds, 3)}
    row["event_loop_us_per_request"] = round(1e6 * loop / answered, 1)
    row["capacity_texts_per_second"] = {"before": round(before * size, 1), "after": round(after * size, 1)}
    row |= judged(row, (before + after) / 2 * size, arguments.max_queue_ms, record)
    tell(told(row))
    tell(f"  {row['met']}, goodput {row['goodput_share']:.1%} of {row['capacity_texts_per_second']}")
    return row


def judged(row: dict[str, Any], capacity: float, max_queue_ms: float, record: Record) -> dict[str, Any]:
    """Return what was found beside what was asked.

    A batch takes as long as the 99th percentile of the inference that answers report.
    """
    timing = row["server_timing"] or {}
    batch = timing.get("inference", {}).get("p99_ms")
    bound = None if batch is None else round(max_queue_ms + 2 * batch, 1)
    errors = sum(count for code, count in row["codes"].items() if code not in ("200", "429"))
    latency, growth = row["latency"]["p99_ms"], row["memory"]["growth_mb"]
    share = round(row["goodput_texts_per_second"] / capacity, 4)
    met: dict[str, bool | None] = {
        "goodput": share >= ASKED_SHARE,
        "no_errors": errors == 0,
        "p99": None,
        "memory": None,
    }
    with contextlib.suppress(TypeError):  # a figure that could not be had stays None
        met["p99"] = latency <= bound
        met["memory"] = growth <= MOST_GROWTH_MB
    return {
        "goodput_share": share,
        "p99_bound_ms": bound,
        "neither_200_nor_429": errors,
        "requests_in_all": len(record.due),
        "met": met,
    }


if __name__ == "__main__":
    sys.exit(main())
