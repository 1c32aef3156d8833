"""Measures `liteft score`: kill -9 of Ray workers and of the driver, memory over a long run, and what a row costs.

    python bench/score_tables.py ARTIFACT --data DATA --out bench/results/score_tables.json

Texts are drawn from those of CLINC150, SST-2 and SNIPS: a text, or two that are joined, so that most are different.

- ``kills``: a table is scored by two Ray workers once without interruption, and once while workers or the driver are
  killed with SIGKILL at random moments; a killed driver is started again. ``equal`` says that all parts have the same
  names and bytes.
- ``memory``: resident memory of the driver and of each local worker once a second. ``growth`` is the most of the second
  half of a worker's life over the most of the first.
- ``cost``: rows scored by `score` in this process against a bare loop of `predict` over lists of the same texts, all
  different, in turns. ``wall`` and ``processor`` are medians over the rounds of time over time of the same round.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shlex
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from machine import ROOT, commit, machine, tell, versions, write_result
from score_processes import below, is_running, resident_mb

import liteft

PACKAGES = ("liteft", "onnxruntime", "tokenizers", "numpy", "pyarrow", "ray")
SETS = ("clinc150/train.jsonl", "sst2/train.jsonl", "snips/train.jsonl")
FILES = 10
CHUNK = 8192
DRIVER = """
import json, sys
from liteft.bulk import results, score
results._SECONDS = 0.2
settings = json.loads(sys.argv[4])
done = score(*sys.argv[1:4], **settings, progress=lambda seen: print(seen.units, flush=True))
print("done", json.dumps(done.to_dict()), flush=True)
"""


def real_texts(data: Path) -> list[str]:
    """Return the different texts of the sets, in order."""
    lines = (line for name in SETS for line in (data / name).read_text(encoding="utf-8").rstrip("\n").split("\n"))
    return list(dict.fromkeys(json.loads(line)["text"] for line in lines))


def drawn(texts: list[str], seed: int) -> Iterator[str]:
    """Yield texts without end: one of ``texts``, or two that are joined."""
    draw = random.Random(seed)
    while True:
        text = draw.choice(texts)
        yield f"{text} {draw.choice(texts)}" if draw.random() < 0.8 else text


def write_table(folder: Path, texts: list[str], rows: int, group: int) -> None:
    """Write a table of so many rows in ten files, in row groups of ``group`` rows."""
    folder.mkdir(parents=True)
    source = drawn(texts, 0)
    each = -(-rows // FILES)
    for number in range(FILES):
        with pq.ParquetWriter(
            folder / f"{number}.parquet", pa.schema([("id", pa.int64()), ("text", pa.string())])
        ) as to:
            for first in range(number * each, min(rows, (number + 1) * each), group):
                ids = range(first, min(first + group, rows, (number + 1) * each))
                to.write_table(pa.table({"id": list(ids), "text": [next(source) for _ in ids]}))


def start(arguments: argparse.Namespace, table: Path, out: Path, **settings: Any) -> subprocess.Popen[str]:
    """Start a driver, which prints the number of finished units, and its result at the end."""
    words = [str(arguments.artifact), str(table), str(out), json.dumps(settings)]
    return subprocess.Popen(
        [sys.executable, "-c", DRIVER, *words],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)])},
    )


def result_of(driver: subprocess.Popen[str]) -> dict[str, Any] | None:
    """Return the result of a driver once it has ended; None if it was killed."""
    assert driver.stdout is not None
    last = [line for line in driver.stdout if line.startswith("done ")]
    driver.wait()
    return json.loads(last[0].removeprefix("done ")) if last else None


def digest(folder: Path) -> tuple[int, str]:
    """Return the number of parts in a folder, and a SHA-256 over their names and bytes."""
    parts = sorted(folder.glob("*.parquet"))
    whole = hashlib.sha256()
    for part in parts:
        whole.update(f"{part.name} {hashlib.sha256(part.read_bytes()).hexdigest()}\n".encode())
    return len(parts), whole.hexdigest()


def under_kills(arguments: argparse.Namespace, work: Path, texts: list[str]) -> dict[str, Any]:
    """Score a table with Ray, without and with kills."""
    table, settings = work / "table", {"engine": "ray", "workers": 2, "threads": 1, "unit_rows": arguments.unit_rows}
    write_table(table, texts, arguments.ray_rows, -(-arguments.unit_rows // 5))
    tell(f"{arguments.ray_rows:,} rows by Ray, uninterrupted")
    began = time.perf_counter()
    whole = result_of(start(arguments, table, work / "whole", **settings))
    assert whole is not None and not whole["failed"], whole
    seconds = time.perf_counter() - began
    tell(f"{seconds:,.0f} s; now with {arguments.kills} kills")
    draw = random.Random(arguments.seed)
    moments = sorted(draw.uniform(0.02, 0.95) * seconds for _ in range(arguments.kills))
    killed: list[dict[str, Any]] = []
    began, left_running = time.perf_counter(), 0
    driver = start(arguments, table, work / "killed", **settings)
    for moment in moments:
        time.sleep(max(0.0, began + moment - time.perf_counter()))
        workers = [each for each in below(driver.pid) if "ray::score_remotely" in each.command]
        of_driver = draw.random() < 0.4 or not workers
        if driver.poll() is not None:
            break
        finished = len(list((work / "killed").glob("*.parquet")))
        killed.append({"second": round(moment, 1), "process": "driver" if of_driver else "worker", "parts": finished})
        if not of_driver:
            os.kill(draw.choice(workers).pid, 9)
            continue
        driver.kill()
        driver.wait()
        ended = time.monotonic() + 60
        while any(is_running(each.pid) for each in workers) and time.monotonic() < ended:
            time.sleep(0.1)
        left_running += sum(is_running(each.pid) for each in workers)
        driver = start(arguments, table, work / "killed", **settings)
    done = result_of(driver)
    again = time.perf_counter() - began
    assert done is not None, "the last driver was killed"
    parts, expected = digest(work / "whole")
    return {
        "rows": arguments.ray_rows,
        "units": whole["units"],
        "parts": parts,
        "repeated": whole["repeated"],
        "seconds": round(seconds, 1),
        "rows_per_second": round(whole["rows"] / whole["seconds"]),
        "kills": killed,
        "seconds_with_kills": round(again, 1),
        "workers_left_by_killed_drivers": left_running,
        "failed": done["failed"],
        "sha256": expected,
        "equal": (parts, expected) == digest(work / "killed"),
    }


def memory(arguments: argparse.Namespace, work: Path, texts: list[str]) -> dict[str, Any]:
    """Score a table by local processes, and record the memory of each."""
    tell(f"{arguments.local_rows:,} rows by local processes")
    write_table(work / "long", texts, arguments.local_rows, -(-arguments.unit_rows // 5))
    began = time.perf_counter()
    driver = start(arguments, work / "long", work / "long-out", workers=2, unit_rows=arguments.unit_rows)
    seen: dict[int, list[tuple[float, float]]] = {}
    while driver.poll() is None:
        now = time.perf_counter() - began
        own = [each.pid for each in below(driver.pid) if "liteft.bulk.worker" in each.command]
        for process in (driver.pid, *own):
            if (size := resident_mb(process)) is not None:
                seen.setdefault(process, []).append((round(now, 1), size))
        time.sleep(arguments.every)
    done = result_of(driver)
    assert done is not None and not done["failed"], done
    processes = []
    for process, sizes in seen.items():
        half = (sizes[0][0] + sizes[-1][0]) / 2
        first, second = ([mb for at, mb in sizes if (at < half) is early] for early in (True, False))
        processes.append(
            {
                "process": "driver" if process == driver.pid else "worker",
                "most_mb_first_half": max(first, default=0.0),
                "most_mb_second_half": max(second, default=0.0),
                "growth": round(max(second, default=0.0) / max(first, default=1.0), 3),
                "mb": sizes[:: max(1, len(sizes) // 60)],
            }
        )
    return {"rows": done["rows"], "seconds": round(done["seconds"], 1), "processes": processes}


def cost(arguments: argparse.Namespace, work: Path, texts: list[str]) -> dict[str, Any]:
    """Compare `score` in this process with a bare loop of `predict`."""
    some = list(dict.fromkeys(text for text, _ in zip(drawn(texts, 1), range(2 * arguments.cost_rows), strict=False)))
    some = some[: arguments.cost_rows]
    pq.write_table(pa.table({"id": range(len(some)), "text": some}), work / "cost.parquet")
    rounds = []
    with liteft.load(arguments.artifact, threads=1) as classifier:

        def bare() -> None:
            for first in range(0, len(some), CHUNK):
                classifier.predict(some[first : first + CHUNK])

        def scored() -> None:
            shutil.rmtree(work / "cost-out", ignore_errors=True)
            liteft.score(classifier, work / "cost.parquet", work / "cost-out")

        for number in range(arguments.rounds + 1):
            measured = {}
            for run in (bare, scored) if number % 2 else (scored, bare):
                wall, processor = time.perf_counter(), time.process_time()
                run()
                measured[run.__name__] = (time.perf_counter() - wall, time.process_time() - processor)
            if number:  # the first round warms up
                rounds.append({name: [round(value, 3) for value in values] for name, values in measured.items()})
            tell(f"round {number}: {measured}")
    ratios = [[each["scored"][kind] / each["bare"][kind] for each in rounds] for kind in (0, 1)]
    middle = [round(statistics.median(values), 4) for values in ratios]
    return {"rows": len(some), "threads": 1, "rounds": rounds, "wall": middle[0], "processor": middle[1]}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("artifact", type=Path)
    parser.add_argument("--data", type=Path, required=True, help="folder of the real sets")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "score_tables.json")
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "score_tables", help="replaced")
    parser.add_argument("--parts", default="kills,memory,cost", help="what to measure")
    parser.add_argument("--ray-rows", type=int, default=5_000_000)
    parser.add_argument("--local-rows", type=int, default=1_000_000)
    parser.add_argument("--cost-rows", type=int, default=20_000)
    parser.add_argument("--unit-rows", type=int, default=100_000)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--every", type=float, default=1.0, help="seconds between two looks at the memory")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    here = machine()
    shutil.rmtree(arguments.work, ignore_errors=True)
    arguments.work.mkdir(parents=True)
    texts = real_texts(arguments.data)
    measures = {"kills": under_kills, "memory": memory, "cost": cost}
    measured = {name: measures[name](arguments, arguments.work, texts) for name in arguments.parts.split(",")}
    shutil.rmtree(arguments.work, ignore_errors=True)
    # where they lie here says nothing
    own = {str(arguments.artifact): "ARTIFACT", str(arguments.data): "DATA", str(arguments.work): "WORK"}
    result = {
        "command": shlex.join(["python", "bench/score_tables.py", *(own.get(word, word) for word in sys.argv[1:])]),
        "machine": here,
        "versions": versions(PACKAGES),
        "commit": commit(),
        "artifact_mb": round(sum(path.stat().st_size for path in arguments.artifact.iterdir()) / 1e6, 1),
        "different_real_texts": len(texts),
        **measured,
    }
    write_result(arguments.out, result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
