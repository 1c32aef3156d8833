"""Counts failed requests while ``liteft serve`` is rolled out, reloaded and killed behind a small proxy.

    python bench/serve_rollouts.py --requests 100000

A steady open loop of requests goes through bench/serve_proxy.py, which never sends a request again that has reached a
server. Meanwhile, again and again: a new server is started, and when it is ready the old one gets SIGTERM and must end
by itself with status 0; then the new one is told to reload its artifact. No request may fail, and each answer must be
the same bytes as the first one to the same text. After that two servers run, and one of them is killed with SIGKILL
several times: what fails must be the requests that it held, and nothing else.

Servers have core 0; proxy and client share core 1, so latencies are only a note here.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from load_arithmetic import percentile
from load_setup import Place, head, parser, prepared
from machine import ROOT, tell, write_result
from serve_process import CLIENT_CORE, Server, ask, free_port, pinned, stay_on
from serve_proxy import Proxy

_GLANCE_SECONDS = 0.02
_MARGIN = 1.01  # a Poisson process has so many more requests, so that it is not below the number asked for


def main() -> int:
    found = parser(__doc__, "serve_rollouts.json")
    found.add_argument("--requests", type=int, default=100_000, help="during rollouts and reloads")
    found.add_argument("--rate", type=float, default=400.0, help="requests a second")
    found.add_argument("--rollouts", type=int, default=20)
    found.add_argument("--kills", type=int, default=5)
    found.add_argument("--max-queue-ms", type=int, default=5000, help="of servers, which start on a core with others")
    found.add_argument("--drain-delay", type=float, default=5.0, help="of the servers")
    arguments = found.parse_args()
    flags = ["--max-queue-ms", str(arguments.max_queue_ms), "--drain-delay", f"{arguments.drain_delay:g}"]
    result = head("serve_rollouts.py")
    stay_on(CLIENT_CORE)
    with prepared(arguments) as own, Fleet(own, flags) as fleet:
        result |= {"flags": flags, "rate": arguments.rate}
        result["rollouts"] = rolled_out(arguments, own, fleet)
        result["kills"] = killed(arguments, own, fleet)
    write_result(arguments.out, result)
    return 0 if result["rollouts"]["met"] and result["kills"]["met"] else 1


class Fleet:
    """Servers behind a proxy."""

    def __init__(self, own: Place, flags: list[str]) -> None:
        self._place, self._flags = own, flags
        self._keys = own.logs / "admin-keys"
        self.key = secrets.token_hex(16)
        self._keys.write_text(self.key + "\n", encoding="utf-8")
        self.port = free_port()
        self.proxy = Proxy(self.port)
        self.servers: dict[int, Server] = {}

    def __enter__(self) -> Fleet:
        return self

    def __exit__(self, *_: object) -> None:
        self.proxy.close()
        for server in self.servers.values():
            with contextlib.suppress(ProcessLookupError):
                server.stop()

    def start(self) -> tuple[int, float]:
        """Start a server, and return its port and the seconds until the proxy gives it requests."""
        port = free_port()
        command = self._place.serve(port, "--admin-keys", str(self._keys), *self._flags)
        server = Server(command, port, "/readyz", self._place.logs / f"rollout-{port}.log")
        self.servers[port] = server
        server.wait(glance=_GLANCE_SECONDS)
        self.proxy.add(port)
        while not self.proxy.backend(port).ready:
            time.sleep(_GLANCE_SECONDS)
        return port, time.perf_counter() - server.started

    def terminate(self, port: int) -> dict[str, Any]:
        """Send SIGTERM to a server, wait for its end, and return its status, the seconds, and what it was given."""
        server, begin = self.servers.pop(port), time.perf_counter()
        server.signal(signal.SIGTERM)
        code = server.end()
        backend = self.proxy.remove(port)
        if code:
            tell(f"a server ended with status {code}:\n{server.tail()}")
        seconds = round(time.perf_counter() - begin, 3)
        return {"status": code, "end_s": seconds, "answered": backend.answered, "lost": backend.lost}

    def reload(self, port: int) -> dict[str, Any]:
        """Tell a server to read its artifact again, and return the status of its answer and the seconds."""
        begin = time.perf_counter()
        code, body = ask(port, "POST", "/admin/reload", b"{}", {"Authorization": f"Bearer {self.key}"})
        if code != 200:
            tell(f"a reload was answered {code}: {body[:300]!r}")
        return {"reload_status": code, "reload_s": round(time.perf_counter() - begin, 3)}

    def kill(self, port: int) -> dict[str, int]:
        """Send SIGKILL to a server, and return how many requests it held then, and how many were lost with it."""
        server, backend = self.servers.pop(port), self.proxy.backend(port)
        server.signal(signal.SIGKILL)
        held = backend.held + backend.lost
        server.stop()
        time.sleep(10 * _GLANCE_SECONDS)
        return {"held": held, "lost": self.proxy.remove(port).lost}


@contextlib.contextmanager
def loaded(arguments: argparse.Namespace, own: Place, port: int, seconds: float) -> Iterator[dict[str, Any]]:
    """Send requests through the proxy for some seconds; the dictionary has the client's figures afterwards."""
    out = own.logs / f"load-{time.monotonic_ns()}.json"
    script = Path(__file__).with_name("serve_load.py")
    flags = ["--port", port, "--rates", arguments.rate, "--seconds", seconds, "--out", out, "--mixes", "short"]
    flags += ["--sizes", 1, "--seed", arguments.seed, "--data", arguments.data, "--patient", "--compare"]
    command = [*pinned(CLIENT_CORE), sys.executable, script, *flags]
    process = subprocess.Popen([str(word) for word in command], cwd=ROOT, stdout=subprocess.DEVNULL)
    figures: dict[str, Any] = {}
    try:
        time.sleep(2.0)  # until the first requests
        yield figures
        figures["outlasted"] = process.poll() is None  # whether requests came until the end of what was done
        process.wait(seconds + 60)
        figures |= json.loads(out.read_text(encoding="utf-8"))["rows"][0]
    finally:
        process.kill()


def rolled_out(arguments: argparse.Namespace, own: Place, fleet: Fleet) -> dict[str, Any]:
    """Roll out and reload while requests come, and return what failed."""
    seconds = _MARGIN * arguments.requests / arguments.rate
    port, _ = fleet.start()
    steps: list[dict[str, Any]] = []
    with loaded(arguments, own, fleet.port, seconds) as figures:
        begin = time.perf_counter()
        for number in range(arguments.rollouts):
            later, started = fleet.start()
            step = {"ready_s": round(started, 3), **fleet.terminate(port), **fleet.reload(later)}
            port = later
            steps.append(step)
            tell(f"rollout {number + 1}: {step}")
            next_begin = begin + (number + 1) * 0.95 * (seconds - 4) / arguments.rollouts
            time.sleep(max(next_begin - time.perf_counter(), 0))
    failed = figures["requests"] - figures["codes"].get("200", 0)
    tell(f"{failed} of {figures['requests']} failed: {figures['codes']}")
    return {
        "requests": figures["requests"],
        "failed": failed,
        "changed_answers": figures["changed_answers"],
        "codes": figures["codes"],
        "no_server_was_ready": fleet.proxy.refused,
        "outlasted": figures["outlasted"],
        "latency": figures["latency"],
        "lateness": figures["lateness"],
        "statuses": sorted({step["status"] for step in steps}),
        "reload_statuses": sorted({step["reload_status"] for step in steps}),
        **{name: _spread([step[name] for step in steps]) for name in ("ready_s", "end_s", "reload_s")},
        "met": bool(
            failed == 0
            and figures["changed_answers"] == 0
            and figures["outlasted"]
            and figures["requests"] >= arguments.requests
            and all(step["status"] == 0 and step["reload_status"] == 200 for step in steps)
        ),
    }


def killed(arguments: argparse.Namespace, own: Place, fleet: Fleet) -> dict[str, Any]:
    """Kill one of two servers several times while requests come, and return what failed and what was held."""
    if len(fleet.servers) < 2:
        fleet.start()
    kills = []
    refused = fleet.proxy.refused
    with loaded(arguments, own, fleet.port, 6.0 * arguments.kills + 10) as figures:
        for _ in range(arguments.kills):
            kills.append(fleet.kill(next(iter(fleet.servers))))
            fleet.start()
            time.sleep(1.0)
    failed = figures["requests"] - figures["codes"].get("200", 0)
    lost = sum(each["lost"] for each in kills)
    tell(f"{len(kills)} kills: {failed} of {figures['requests']} failed, {lost} were held: {figures['codes']}")
    return {
        "requests": figures["requests"],
        "failed": failed,
        "lost_with_a_server": lost,
        "no_server_was_ready": fleet.proxy.refused - refused,
        "codes": figures["codes"],
        "changed_answers": figures["changed_answers"],
        "outlasted": figures["outlasted"],
        "kills": kills,
        "met": bool(failed == lost and figures["changed_answers"] == 0 and figures["outlasted"]),
    }


def _spread(values: list[float]) -> dict[str, float]:
    own = np.array(values)
    return {"median": round(percentile(own, 0.5), 3), "least": float(own.min()), "most": float(own.max())}


if __name__ == "__main__":
    sys.exit(main())
