"""Corrupts artifacts in many ways, loads each in a separate process, and counts the outcomes.

Every artifact is loaded and asked to classify a few odd texts. It may be refused with one of LiteFT's errors, or give
predictions. Anything else is a fault: another exception, a signal, more than 5 s of processor time, or more than 1 GB
of memory.

usage: python bench/fuzz_artifacts.py [--backends native onnxruntime] [--count 20000] [--seed 0] [--out FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import random
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fuzz_mutations import mutate_bytes, mutate_graph, mutate_json, mutate_message, mutate_weights
from fuzz_seeds import make_seeds, mended
from machine import command_line, commit, machine, versions, write_result

PACKAGES = ("liteft", "onnxruntime", "onnx", "tokenizers", "numpy")
GOOD = ("refused", "predicted", "inspected")
_PATIENCE = 120.0  # seconds to wait for an answer; a process that is blocked takes no processor time
_LIVES = 3000  # artifacts per process


class Worker:
    """A process of fuzz_worker.py, started again when it has died."""

    def __init__(self, backend: str, warm: Path) -> None:
        self._backend, self._warm = backend, warm
        self._process: subprocess.Popen[str] | None = None
        self._served = 0

    def ask(self, folder: Path) -> dict[str, Any]:
        """Load an artifact in the process, and return the outcome."""
        if self._process is None or self._served >= _LIVES:
            self.close()
            self._start()
        self._served += 1
        return self._answer(folder)

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _start(self) -> None:
        script = Path(__file__).with_name("fuzz_worker.py")
        self._process = subprocess.Popen(
            [sys.executable, str(script), self._backend],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "RAYON_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2"},
        )
        self._served = 0
        first = self._answer(self._warm)
        if first["outcome"] not in GOOD:
            raise SystemExit(f"{self._backend} does not load an artifact that was not corrupted: {first}")

    def _answer(self, folder: Path) -> dict[str, Any]:
        process = self._process
        assert process is not None and process.stdin is not None and process.stdout is not None
        process.stdin.write(json.dumps(str(folder)) + "\n")
        process.stdin.flush()
        with selectors.DefaultSelector() as waiting:
            waiting.register(process.stdout, selectors.EVENT_READ)
            line = process.stdout.readline() if waiting.select(_PATIENCE) else ""
        if line:
            return dict(json.loads(line))
        hangs = process.poll() is None and not _ended(process)
        self._process = None
        if hangs:
            process.kill()
            process.wait()
            return {"outcome": "hang", "detail": f"no answer in {_PATIENCE:.0f} s"}
        code = process.wait()
        if code == -signal.SIGPROF:
            return {"outcome": "hang", "detail": "5 s of processor time"}
        return {"outcome": "signal", "detail": str(signal.Signals(-code).name if code < 0 else code)}


def _ended(process: subprocess.Popen[str]) -> bool:
    try:
        process.wait(2)
    except subprocess.TimeoutExpired:
        return False
    return True


def spoil(seed: str, number: int, artifacts: dict[str, Path], folder: Path) -> dict[str, Any]:
    """Write a corrupted artifact into a new folder, and return how it was corrupted.

    The same seed and number always give the same artifact.
    """
    rng = random.Random(f"{seed}-{number}")
    name = rng.choice(list(artifacts))
    shutil.copytree(artifacts[name], folder, copy_function=os.link)
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    target = rng.choice(["manifest", *["tokenizer"] * 2, *["graph"] * 3, "message", "weights", "bytes"])
    if target == "manifest":
        _replace(folder / "manifest.json", mutate_json(rng, json.dumps(manifest)))
        return {"artifact": name, "spoiled": target}
    graph = next(name for name in manifest["files"] if name.endswith(".onnx"))
    file = "tokenizer.json" if target == "tokenizer" else graph
    if target == "bytes":
        file = rng.choice(["tokenizer.json", graph])
    content = (folder / file).read_bytes()
    if target == "tokenizer":
        content = mutate_json(rng, content.decode())
    else:
        ways = {"graph": mutate_graph, "message": mutate_message, "weights": mutate_weights, "bytes": mutate_bytes}
        content = ways[target](rng, content)
    _replace(folder / file, content)
    mended(folder, manifest)
    return {"artifact": name, "spoiled": target}


def _replace(path: Path, content: bytes) -> None:
    path.unlink()
    path.write_bytes(content)


def fuzz(
    backend: str, artifacts: dict[str, Path], *, seed: str, count: int, keep: Path | None = None, first: int = 0
) -> dict[str, Any]:
    """Corrupt and load ``count`` artifacts, and return the counts of the outcomes and every fault.

    Args:
        backend: "native", "onnxruntime" or "inspect".
        artifacts: the artifacts to start from, by name.
        seed: of the generator.
        count: how many artifacts.
        keep: folder in which artifacts that cause a fault are kept.
        first: number of the first one.
    """
    worker = Worker(backend, artifacts["fp32"])
    outcomes: Counter[str] = Counter()
    by_kind: Counter[str] = Counter()
    faults: list[dict[str, Any]] = []
    start = time.perf_counter()
    try:
        with tempfile.TemporaryDirectory(dir=artifacts["fp32"].parent) as place:
            for number in range(first, first + count):
                folder = Path(place) / "artifact"
                how = spoil(seed, number, artifacts, folder)
                answer = worker.ask(folder)
                outcomes[answer["outcome"]] += 1
                by_kind[f"{how['spoiled']}: {answer['outcome']}"] += 1
                if answer["outcome"] not in GOOD:
                    faults.append({"number": number, **how, **answer})
                    if keep is not None:
                        shutil.copytree(folder, keep / f"{backend}-{seed}-{number}", dirs_exist_ok=True)
                shutil.rmtree(folder)
    finally:
        worker.close()
    return {
        "backend": backend,
        "seed": seed,
        "count": count,
        "seconds": round(time.perf_counter() - start, 1),
        "outcomes": dict(outcomes),
        "by_kind": dict(sorted(by_kind.items())),
        "faults": faults,
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Fuzz as the command line says, print a summary, and return 1 if there was a fault."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backends", nargs="+", default=["native", "onnxruntime"])
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--seed", default="0")
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seeds", type=Path, help="folder in which the artifacts to start from are kept")
    parser.add_argument("--keep", type=Path, help="folder for artifacts that cause a fault")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as place:
        artifacts = make_seeds(given.seeds or Path(place) / "seeds")
        found = [
            fuzz(backend, artifacts, seed=given.seed, count=given.count, keep=given.keep, first=given.first)
            for backend in given.backends
        ]
    for each in found:
        faults = len(each["faults"])
        print(f"{each['backend']}: {each['count']:,} in {each['seconds']:,} s, {each['outcomes']}, {faults} faults")
    if given.out:
        command = command_line("bench/fuzz_artifacts.py", arguments)
        made = {"command": command, "machine": machine(), "versions": versions(PACKAGES), "commit": commit()}
        write_result(given.out, made | {"rows": found})
    return 1 if any(each["faults"] for each in found) else 0


if __name__ == "__main__":
    raise SystemExit(main())
