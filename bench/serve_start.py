"""Measures how long ``liteft serve`` takes from its start until it is ready, and until it has answered a first text.

    python bench/serve_start.py --starts 10

The server has core 0 and one thread. This process asks for /readyz every two milliseconds from core 1. The files have
been read before, so they come from the system's cache, as they do where a server is started again. The time of a Python
process that only imports LiteFT, and of one that loads the artifact and classifies a text, stand beside it.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from load_requests import DIALECTS
from load_setup import LITEFT, Place, head, parser, prepared
from machine import tell, write_result
from serve_process import CLIENT_CORE, SERVER_CORE, Server, ask, free_port, pinned, stay_on

ASKED_SECONDS = 1.0
_IMPORT = "import liteft"
_PREDICT = "import sys, liteft; liteft.load(sys.argv[1], device='cpu', threads=1).predict('a text')"


def main() -> int:
    found = parser(__doc__, "serve_start.json")
    found.add_argument("--starts", type=int, default=10)
    arguments = found.parse_args()
    result = head("serve_start.py")
    stay_on(CLIENT_CORE)
    with prepared(arguments) as own:
        rows = [started_once(own) for _ in range(1 + arguments.starts)][1:]  # the first start reads files
    result |= {name: spread([row[name] for row in rows]) for name in rows[0]}
    median = result["ready_s"]["median"]
    result |= {"starts": arguments.starts, "asked_s": ASKED_SECONDS, "met": median < ASKED_SECONDS}
    tell(f"ready after {median} s (median of {arguments.starts}), asked {ASKED_SECONDS} s")
    write_result(arguments.out, result)
    return 0


def started_once(own: Place) -> dict[str, float]:
    """Start the server and the two processes beside it once, and return the seconds of each."""
    port = free_port()
    server = Server(own.serve(port), port, "/readyz", own.logs / f"start-{port}.log")
    try:
        ready = server.wait()
        processor = sum(server.cpu_seconds())
        tei = DIALECTS["tei"]
        code, body = ask(port, "POST", tei.path, b'{"inputs": "a text"}', {"Content-Type": "application/json"})
        if code != 200:
            raise RuntimeError(f"the first request was answered {code}: {body[:200]!r}")
        answered = time.perf_counter() - server.started
        memory = server.memory_mb()
    finally:
        server.stop()
    return {
        "ready_s": ready,
        "ready_processor_s": processor,
        "first_answer_s": answered,
        "memory_mb": memory,
        "python_import_s": _seconds(_IMPORT),
        "python_predict_s": _seconds(_PREDICT, own.models / LITEFT),
    }


def spread(values: list[float]) -> dict[str, Any]:
    """Return the median, the least and the greatest of values."""
    named = {"median": statistics.median(values), "least": min(values), "most": max(values)}
    return {name: round(value, 3) for name, value in named.items()}


def _seconds(code: str, *arguments: Path) -> float:
    begin = time.perf_counter()
    subprocess.run([*pinned(SERVER_CORE), sys.executable, "-c", code, *map(str, arguments)], check=True)
    return time.perf_counter() - begin


if __name__ == "__main__":
    sys.exit(main())
