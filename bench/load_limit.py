"""Measures how many requests a second the client of bench/serve_load.py can send when they are due.

    python bench/load_limit.py

The server does next to nothing: it writes the same answer for whatever it reads, on core 0. The client, on core 1,
sends requests of one short text in an open loop. The limit is the highest rate of those tried at which the client was
at most a millisecond late at its 99th percentile. A closed loop shows how fast it is with no pauses at all.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

from load_arithmetic import drained_rate, summarize
from load_requests import DIALECTS, draw_texts
from load_setup import head, parser
from machine import tell, write_result
from serve_load import DRAWN_TEXTS, Load
from serve_process import CLIENT_CORE, Server, free_port, running, stay_on

_BODY = b'[{"label":"LABEL_0","score":0.7310585975646973},{"label":"LABEL_1","score":0.2689414322376251}]'
_ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(_BODY), _BODY)


def main() -> int:
    found = parser(__doc__, "load_limit.json")
    found.add_argument("--rates", nargs="+", type=float, default=[5000, 10000, 15000, 20000, 25000, 30000, 35000])
    found.add_argument("--seconds", type=float, default=10.0, help="of each rate")
    found.add_argument("--connections", type=int, default=2000)
    found.add_argument("--answer-on", type=int, help="be the server, on this port")
    arguments = found.parse_args()
    if arguments.answer_on:
        import uvloop

        uvloop.run(answer(arguments.answer_on))
        return 0
    result = head("load_limit.py", ("numpy", "uvloop"))
    stay_on(CLIENT_CORE)
    port = free_port()
    command = [sys.executable, __file__, "--answer-on", str(port)]
    log = Path(arguments.out).with_suffix(".log")
    try:
        with running(Server(command, port, "/", log)):
            load = Load(port, draw_texts(arguments.data, "short", DRAWN_TEXTS, arguments.seed), 1, DIALECTS["tei"])
            result["rows"] = [sent(load, rate, arguments) for rate in arguments.rates]
            closed = load.closed_loop(arguments.seconds, 64)
    finally:
        log.unlink(missing_ok=True)
    result["closed_loop_requests_per_second"] = round(drained_rate(closed))
    kept = [row["rate"] for row in result["rows"] if row["void"] is None]
    result["highest_rate_in_time"] = max(kept, default=None)
    write_result(arguments.out, result)
    return 0


def sent(load: Load, rate: float, arguments: Any) -> dict[str, Any]:
    """Offer a rate, and return how late the client was."""
    record = load.open_loop(rate, arguments.seconds, arguments.seed, connections=arguments.connections)
    found = summarize(record, arguments.seconds)
    row = {"rate": rate, **{name: found[name] for name in ("codes", "latency", "lateness", "void")}}
    tell(f"{rate:g}/s: late {found['lateness']['p99_ms']} ms, latency p99 {found['latency']['p99_ms']} ms")
    return row


async def answer(port: int) -> None:
    """Answer everything on a port with the same bytes, until the process is ended."""

    class Same(asyncio.Protocol):
        def connection_made(self, transport: Any) -> None:
            self._transport = transport

        def data_received(self, _: bytes) -> None:
            self._transport.write(_ANSWER)

    server = await asyncio.get_running_loop().create_server(Same, "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    sys.exit(main())
