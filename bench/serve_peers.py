"""Compares ``liteft serve`` with other servers of the same classifier: texts a second within a bound on the latency.

    python bench/serve_peers.py --infinity .peers/infinity/bin/python --kserve .peers/kserve/bin/python

All serve MiniLM-L6 with the same head, with one thread on core 0, one server at a time; the client has core 1. For each
mix of texts and number of texts of a request, the rate is sought at which requests still come within the bound at the
99th percentile: by halving, in an open loop, from what the server does in a closed loop. Servers of which a request is
refused or lost at a rate do not hold it. The label of each server's answers is compared with that of LiteFT's.

Infinity and KServe want older packages, so they have environments of their own: make one for each with
`python -m venv`, install `infinity-emb[server,torch]` and `kserve transformers torch`, and name its Python. The others
run in this environment. KServe's huggingfaceserver is not on PyPI; bench/serve_apps.py has its steps.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from load_arithmetic import summarize
from load_requests import DIALECTS, MODEL, draw_texts
from load_setup import LITEFT, PACKAGES, Place, add_cells, head, parser, prepared
from machine import tell, write_result
from peer_models import LABELS
from serve_load import DRAWN_TEXTS, Load
from serve_process import CLIENT_CORE, Server, ask, free_port, running, stay_on

OURS = "liteft serve, int8"
BOUNDS_MS = {1: 100.0, 32: 1000.0}  # of the 99th percentile, by texts of a request
ASKED_RATIO = 2.0
HALVINGS = 6
COMPARED_TEXTS = 32
_PEER_PACKAGES = ("fastapi", "infinity-emb", "kserve", "torch", "transformers", "onnxruntime", "uvicorn")


@dataclass(frozen=True)
class Contestant:
    """A server.

    Attributes:
        dialect: how it is asked.
        command: makes its command from the models, the port and the Python of its environment.
        environment: the flag that names its Python; None for this one.
    """

    dialect: str
    command: Callable[[Place, int, Path], list[str]]
    environment: str | None = None


def _app(name: str) -> Callable[[Place, int, Path], list[str]]:
    script = Path(__file__).with_name("serve_apps.py")
    return lambda own, port, python: [str(python), str(script), name, "--models", str(own.models), "--port", str(port)]


def _infinity(own: Place, port: int, python: Path) -> list[str]:
    flags = ["--model-id", str(_named_labels(own.models)), "--served-model-name", MODEL, "--port", str(port)]
    flags += ["--engine", "torch", "--device", "cpu", "--dtype", "float32", "--no-vector-disk-cache"]
    return [str(python.with_name("infinity_emb")), "v2", *flags, "--no-bettertransformer", "--no-compile"]


def _named_labels(models: Path) -> Path:
    """Return the checkpoint with its labels in config.json, without which infinity takes it for a reranker."""
    folder = models / "checkpoint-labels"
    if not folder.exists():
        part = models / "checkpoint-labels.part"
        shutil.copytree(models / "checkpoint", part, dirs_exist_ok=True)
        config = json.loads((part / "config.json").read_text(encoding="utf-8"))
        config["id2label"] = {str(label): f"LABEL_{label}" for label in range(LABELS)}
        (part / "config.json").write_text(json.dumps(config), encoding="utf-8")
        part.rename(folder)
    return folder


CONTESTANTS = {
    OURS: Contestant("tei", lambda own, port, _: own.serve(port)),
    "FastAPI + ONNX Runtime int8, plain": Contestant("plain", _app("plain")),
    "FastAPI + ONNX Runtime int8, batched": Contestant("plain", _app("batched")),
    "infinity, torch": Contestant("infinity", _infinity, "infinity"),
    "KServe + transformers": Contestant("kserve", _app("kserve"), "kserve"),
}


def main() -> int:
    found = parser(__doc__, "serve_peers.json")
    add_cells(found, ["medium", "mixed"])
    found.add_argument("--infinity", type=Path, help="Python of the environment with infinity-emb")
    found.add_argument("--kserve", type=Path, help="Python of the environment with kserve")
    found.add_argument("--only", nargs="+", choices=CONTESTANTS, default=list(CONTESTANTS), metavar="SERVER")
    found.add_argument("--seconds", type=float, default=10.0, help="of each rate that is tried")
    arguments = found.parse_args()
    result = head("serve_peers.py", (*PACKAGES, "fastapi", "onnxruntime"))
    stay_on(CLIENT_CORE)
    result |= {"bounds_ms": BOUNDS_MS, "asked_ratio": ASKED_RATIO, "peers": {}, "rows": []}
    with prepared(arguments, (LITEFT, "onnxruntime-int8")) as own:
        labels: dict[str, list[str]] = {}
        for name in arguments.only:
            result["peers"][name] = facts(arguments, own, name, labels)
        usable = [name for name in arguments.only if "why" not in result["peers"][name]]
        for mix in arguments.mixes:
            for size in arguments.sizes:
                rows = [measured(arguments, own, name, mix, size) for name in usable]
                result["rows"] += with_ratios(rows)
                write_result(arguments.out, result)
    return 0


@contextlib.contextmanager
def serving(arguments: argparse.Namespace, own: Place, name: str) -> Any:
    """Run a contestant's server, ready, and yield it."""
    entry, port = CONTESTANTS[name], free_port()
    python = Path(sys.executable) if entry.environment is None else getattr(arguments, entry.environment)
    if python is None:
        raise RuntimeError(f"--{entry.environment} does not name its Python")
    log = own.logs / f"{name.split(',')[0].replace(' ', '-')}-{port}.log"
    quiet = {"DO_NOT_TRACK": "1", "INFINITY_ANONYMOUS_USAGE_STATS": "0", "HF_HUB_OFFLINE": "1"}
    server = Server(entry.command(own, port, python.absolute()), port, DIALECTS[entry.dialect].ready, log, quiet)
    with running(server):
        yield server


def facts(arguments: argparse.Namespace, own: Place, name: str, labels: dict[str, list[str]]) -> dict[str, Any]:
    """Return versions, start and memory of a server, and how often it gives LiteFT's label; or why it does not run."""
    entry = CONTESTANTS[name]
    dialect = DIALECTS[entry.dialect]
    texts = draw_texts(arguments.data, "mixed", COMPARED_TEXTS, arguments.seed)
    try:
        with serving(arguments, own, name) as server:
            body = json.dumps(dialect.body(texts)).encode()
            code, answer = ask(server.port, "POST", dialect.path, body, {"Content-Type": "application/json"})
            if code != 200:
                raise RuntimeError(f"its answer was {code}: {answer[:300]!r}")
            found: dict[str, Any] = {"memory_mb": round(server.memory_mb(), 1)}
    except RuntimeError as error:
        tell(f"{name}: {error}")
        return {"why": str(error)}
    labels[name] = [dialect.label(each) for each in dialect.answers(json.loads(answer))]
    same = sum(mine == theirs for mine, theirs in zip(labels[name], labels.get(OURS, labels[name]), strict=True))
    found["same_label"] = round(same / len(texts), 4)
    if entry.environment is not None:
        python = getattr(arguments, entry.environment)
        listed = subprocess.run([python, "-m", "pip", "list", "--format", "json"], capture_output=True, check=True)
        every = {each["name"].replace("_", "-"): each["version"] for each in json.loads(listed.stdout)}
        found["versions"] = {package: every[package] for package in _PEER_PACKAGES if package in every}
    tell(f"{name}: {found}")
    return found


def measured(arguments: argparse.Namespace, own: Place, name: str, mix: str, size: int) -> dict[str, Any]:
    """Return the row of a server for a mix and a number of texts of a request."""
    dialect, bound = DIALECTS[CONTESTANTS[name].dialect], BOUNDS_MS.get(size, 1000.0)
    texts = draw_texts(arguments.data, mix, DRAWN_TEXTS, arguments.seed)
    with serving(arguments, own, name) as server:
        load = Load(server.port, texts, size, dialect)
        capacity = load.capacity(arguments.seconds, 64)
        trials: list[dict[str, Any]] = []
        low, high = 0.0, 1.1 * capacity
        for _ in range(HALVINGS):
            rate = (low + high) / 2 if trials else 0.8 * capacity
            trial = tried(load, rate, arguments)
            trials.append(trial)
            low, high = (rate, high) if holds(trial, bound) else (low, rate)
        memory = round(server.memory_mb(), 1)
    held = [trial for trial in trials if holds(trial, bound)]
    row = {
        "server": name,
        "mix": mix,
        "texts_per_request": size,
        "closed_loop_texts_per_second": round(capacity * size, 1),
        "bound_ms": bound,
        "texts_per_second": max((trial["goodput_texts_per_second"] for trial in held), default=0.0),
        "memory_mb": memory,
        "trials": trials,
    }
    tell(f"{mix}, {size} a request, {name}: {row['texts_per_second']} texts/s with p99 within {bound:g} ms, "
         f"{row['closed_loop_texts_per_second']} in a closed loop")  # fmt: skip
    return row


def tried(load: Load, rate: float, arguments: argparse.Namespace) -> dict[str, Any]:
    """Offer a rate, and return what came of it."""
    record = load.open_loop(rate, arguments.seconds, arguments.seed, connections=512, timeout=20.0)
    found = summarize(record, arguments.seconds)
    names = ("goodput_texts_per_second", "codes", "latency", "lateness", "void")
    return {"rate": round(rate, 2), **{name: found[name] for name in names}}


def holds(trial: dict[str, Any], bound_ms: float) -> bool:
    """Return whether all requests were answered, the 99th percentile is within the bound, and the run counts."""
    latency = trial["latency"]["p99_ms"]
    return set(trial["codes"]) == {"200"} and latency <= bound_ms and trial["void"] is None


def with_ratios(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Add to each row what LiteFT's rate is over it, within the bound and in a closed loop."""
    ours = next((row for row in rows if row["server"] == OURS), None)
    for row in rows:
        for name, ratio in (
            ("texts_per_second", "ours_over_it"),
            ("closed_loop_texts_per_second", "closed_loop_over_it"),
        ):
            if ours is not None and row[name]:
                row[ratio] = round(ours[name] / row[name], 2)
    return rows


if __name__ == "__main__":
    sys.exit(main())
