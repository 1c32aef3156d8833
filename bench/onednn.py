"""Times the native library's matmuls beside oneDNN's, on one core, in the sizes of MiniLM-L6.

    python -m venv .onednn && .onednn/bin/pip install onednn-devel-cpu-gomp==2023.2.0
    python bench/onednn.py --onednn .onednn

Builds cpp_ext/tests/time_matmul.cpp with oneDNN. The two take turns in each round. A time is the median over the
rounds, and a ratio is the median of the rounds' ratios (above 1, LiteFT is faster). Use a oneDNN with OpenMP or without
threads: newer wheels are built for SYCL, whose queue adds some microseconds to each matmul.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
from math import prod
from pathlib import Path
from typing import Any

from machine import ROOT, commit, machine, tell, write_result


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--onednn", type=Path, required=True, help="folder with include/dnnl.hpp and lib/libdnnl.so")
    parser.add_argument("--out", type=Path, default=ROOT / "bench/results/onednn.json")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = timed(arguments.onednn.resolve(), Path(folder))
    ratios = {
        precision: round(prod(of_precision) ** (1 / len(of_precision)), 3)
        for precision in ("int8", "bf16", "fp32")
        if (of_precision := [row["ratio"] for row in found["rows"] if row["precision"] == precision])
    }
    write_result(
        arguments.out,
        {
            "command": "python bench/onednn.py --onednn ONEDNN",
            "machine": machine(),
            "commit": commit(),
            "geometric_mean_of_ratios": ratios,
            "lowest_ratio": min(row["ratio"] for row in found["rows"]),
            **found,
        },
    )
    return 0


def timed(onednn: Path, build: Path) -> dict[str, Any]:
    """Build the program, run it on one core, and return the JSON that it printed."""
    tell("building")
    configure = ["cmake", "-S", str(ROOT / "cpp_ext"), "-B", str(build), f"-DLITEFT_ONEDNN={onednn}"]
    for command in (configure, ["cmake", "--build", str(build), "--parallel", "2", "--target", "time_matmul"]):
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    tell("timing")
    core = min(os.sched_getaffinity(0))
    printed = subprocess.run(
        [str(build / "time_matmul")],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"LD_LIBRARY_PATH": str(onednn / "lib"), "OMP_NUM_THREADS": "1"},
        preexec_fn=lambda: os.sched_setaffinity(0, {core}),
    )
    return dict(json.loads(printed.stdout))


if __name__ == "__main__":
    raise SystemExit(main())
