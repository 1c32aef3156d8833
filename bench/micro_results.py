"""Runs the benchmarks of bench/micro several times, and stores their medians and how far the runs lie apart.

    python bench/micro_results.py --runs 5

Each run is a process of its own, as `make bench` starts it. A row has the medians of all runs and, for "median" and
"min", how much the slowest run is above the fastest one: the noise of this machine, which the limit of `make bench`
(COMPARE_FAIL in the Makefile) has to exceed. Take results on a quiet machine only.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from machine import ROOT, command_line, tell, write_result

STATISTICS = ("min", "median")
_SHARES = (0.5, 0.9, 0.95, 1.0)  # of the benchmarks


def main() -> int:
    """Run, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--only", metavar="WORDS", help="as pytest's -k: some of the benchmarks")
    parser.add_argument("--out", type=Path, default=ROOT / "bench/results/micro.json")
    given = parser.parse_args()
    if given.runs < 2:
        parser.error(f"--runs must be 2 or more, so that runs can be compared, got {given.runs}")
    found = []
    for number in range(given.runs):
        found.append(one_run(given.only))
        tell(f"run {number + 1} of {given.runs}: {len(found[-1]['benchmarks'])} benchmarks")
    command = command_line("bench/micro_results.py")
    write_result(given.out, {"command": command, **summary(found)})
    return 0


def one_run(only: str | None) -> dict[str, Any]:
    """Return the JSON of pytest-benchmark of one run."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "run.json"
        command = [sys.executable, "-m", "pytest", "bench/micro", f"--benchmark-json={file}"]
        subprocess.run([*command, *(["-k", only] if only else [])], cwd=ROOT, stdout=sys.stderr, check=True)
        found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        return found


def summary(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what is stored of several runs: the machine, the noise, and a row for each benchmark."""
    named = [{each["fullname"]: each for each in run["benchmarks"]} for run in runs]
    rows = [row([run[name] for run in named if name in run]) for name in named[0]]
    first = runs[0]
    return {
        "machine": first["machine_info"],
        "loads": [run["load"] for run in runs],
        "versions": first["versions"],
        "commit": first["commit"],
        "runs": len(runs),
        "noise": {name: noise([each["apart"][name] for each in rows]) for name in STATISTICS},
        "benchmarks": rows,
    }


def row(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Return one benchmark's row, from what each run says of it."""
    first = runs[0]
    medians = [each["stats"]["median"] for each in runs]
    median = statistics.median(medians)
    counted = {name: count for name, count in first["extra_info"].items() if not name.endswith("_per_second")}
    return {
        "name": first["name"].removeprefix("test_"),
        "group": first["group"],
        "median_ms": round(1e3 * median, 4),
        **counted,
        **{f"{name}_per_second": round(count / median, 1) for name, count in counted.items()},
        "rounds": sum(each["stats"]["rounds"] for each in runs),
        "apart": {name: _apart([each["stats"][name] for each in runs]) for name in STATISTICS},
    }


def noise(apart: list[float]) -> dict[str, float]:
    """Return how far runs lie apart at most in a half, 90%, 95% and all of the benchmarks."""
    ordered = sorted(apart)
    return {f"{share:.0%}": ordered[max(0, -int(-share * len(ordered) // 1) - 1)] for share in _SHARES}


def _apart(values: list[float]) -> float:
    """Return how much the largest value is above the smallest, as a share of it."""
    return round(max(values) / min(values) - 1, 4)


if __name__ == "__main__":
    raise SystemExit(main())
