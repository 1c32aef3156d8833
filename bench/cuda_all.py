"""Does everything that needs a machine with a GPU: builds, tests, times and sanitizes the CUDA library.

    python bench/cuda_all.py --out FOLDER [--steps STEP or GROUP ...] [--minutes 9.5] [--commit SHA]

The machine needs no network. Python's standard library is enough to start, and numpy, torch and transformers are needed
for timing. The steps run one after the other, each within its own time limit and all within --minutes. A step that
fails does not stop the others, and a step that cannot run says why. The steps come in groups:

    first    build, kernels against float64, the newest kernels by themselves, a few tests, LiteFT's
             decisive timings, a profile                                                                  5 minutes
    ratios   LiteFT beside torch at its best on four mixes of texts, torch.compile included              10 minutes
    checks   all fused kernels, compute-sanitizer's tools, all tests                                      8 minutes
    rest     kernel by kernel, all other timings beside torch and ONNX Runtime                   what is left of 30

Builds, autotuning choices and compiled models stay in --build and beside it, for the next call on the same machine. All
results are in --out and are rewritten after each step: summary.json (the outcome of each step, the GPU and its state
before and after, driver, versions, commit, targets), log.txt (all output), decisive.json, ratios.json and rest.json
(from cuda_engines.py), kernels.json (from cpp_ext/tests/time_cuda.cpp), ncu.txt, and learnt/, which has the algorithms
and fusions that autotuning chose. Steps of an earlier call for the same commit stay in the summary. The table of
targets is printed last.

If the newest kernels ("hopper", "whole") do not pass, the steps after them go without them (LITEFT_CUDA_FUSE=cautious).

The exit status is 1 if a step failed, or if there is a GPU and a required step could not run or timed nothing of
LiteFT. Without a GPU all steps are skipped and the exit status is 77; --anyway runs what can be run. --rehearse runs
everything on the emulated GPU, with tiny models.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import shutil
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cuda_gpu
from cuda_gpu import find_gpu
from cuda_stepping import GROUPS, NAMES, NEW, REQUIRED, Place, names_of, step_of
from cuda_steps import SKIPPED, mended, run_step
from cuda_targets import TARGETS, judge, table
from machine import ROOT, commit, tell, versions

PACKAGES = ("torch", "triton", "transformers", "onnx", "onnxruntime", "numpy", "tokenizers", "pydantic", "pytest")
WHEELS = ROOT / "build" / "gpu-wheels"  # which `make gpu-wheels` fills


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for all results")
    parser.add_argument("--minutes", type=float, default=9.5, help="time for all steps together")
    parser.add_argument("--steps", nargs="+", choices=[*GROUPS, *NAMES], default=list(GROUPS), metavar="STEP")
    parser.add_argument("--build", type=Path, help="folder of the build, which is kept; default: build/gpu")
    parser.add_argument("--no-cmake", action="store_true", help="build with g++ and nvcc, as if CMake were missing")
    parser.add_argument("--architectures", default="90a-real", help="GPU architectures, in CMake's notation")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument(
        "--wheels", type=Path, help="folder with wheels of bench/cuda-requirements.txt; default: build/gpu-wheels"
    )
    parser.add_argument("--artifact", type=Path, help="an artifact to time from text to label")
    parser.add_argument(
        "--commit", default=os.environ.get("LITEFT_COMMIT"), help="the commit (or LITEFT_COMMIT), if git is missing"
    )
    parser.add_argument("--anyway", action="store_true", help="run what can be run without a GPU")
    parser.add_argument("--rehearse", action="store_true", help="run everything on the emulated GPU")
    arguments = parser.parse_args()
    arguments.commit = arguments.commit or commit()
    if arguments.commit == "unknown":
        parser.error("git cannot tell the commit: give --commit SHA, or set LITEFT_COMMIT=SHA")
    if arguments.wheels is None and WHEELS.is_dir():
        arguments.wheels = WHEELS
    if arguments.build is None:
        arguments.build = ROOT / "build" / ("rehearsal" if arguments.rehearse else "gpu")
    arguments.out.mkdir(parents=True, exist_ok=True)
    for place in ("out", "build", "wheels", "artifact"):
        if getattr(arguments, place) is not None:
            setattr(arguments, place, getattr(arguments, place).absolute())
    return run_all(arguments)


def run_all(arguments: argparse.Namespace) -> int:
    """Run the steps and return the exit status."""
    end = time.monotonic() + 60 * arguments.minutes
    gpu, reason = ("emulated, for a rehearsal", "") if arguments.rehearse else find_gpu()
    place = Place(arguments, gpu=bool(gpu))
    names = names_of(arguments.steps, place.libraries)
    summary = new_summary(arguments, gpu, reason, names)
    log = arguments.out / "log.txt"
    use_wheels(place.site)
    done: list[dict[str, Any]] = []
    for name in names:
        if reason and not arguments.anyway:
            outcome = {"name": name, "status": "skipped", "reason": f"no GPU: {reason}", "seconds": 0.0}
        else:
            tell(f"{name} ...")
            summary["steps"].append({"name": name, "status": "to come"})
            write(arguments.out, summary)
            summary["steps"].pop()
            before = cuda_gpu.state()
            outcome = run_step(step_of(name, place, end), end - time.monotonic(), log)
            outcome |= {"gpu_before": before, "gpu_after": cuda_gpu.state()}
            if gpu and name in REQUIRED and outcome["status"] == "skipped":
                outcome |= {
                    "status": "failed",
                    "reason": f"required if there is a GPU, but skipped: {outcome['reason']}",
                }
            if name == "wheels":
                use_wheels(place.site)
            if name in NEW and outcome["status"] in ("failed", "timed out"):
                place.cautious = True
        done.append(outcome | {"command": summary["command"], "when": now()})
        summary["steps"].append(done[-1])
        tell(f"{name}: {outcome['status']} {outcome['reason']} ({outcome['seconds']} s)")
        mend_kernels(arguments.out / "kernels.json")
        keep_learnt(place, arguments.out)
        summary["versions"] = versions(PACKAGES)
        summary["targets"] = targets(arguments.out, arguments.commit)
        write(arguments.out, summary)
    print(json.dumps({step["name"]: step["status"] for step in done}))
    print(table(summary["targets"]))
    states = {step["status"] for step in done}
    return SKIPPED if states == {"skipped"} else int(bool(states & {"failed", "timed out"}))


def new_summary(arguments: argparse.Namespace, gpu: str, reason: str, names: list[str]) -> dict[str, Any]:
    """Return the summary before the first step, with the other steps of an earlier call for the same commit."""
    path = arguments.out / "summary.json"
    earlier = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    same = earlier.get("commit") == arguments.commit and earlier.get("gpu") == (gpu or None)
    if not same:
        (arguments.out / "log.txt").write_text("", encoding="utf-8")
    return {
        "command": ["python", "bench/cuda_all.py", *sys.argv[1:]],
        "when": now(),
        "commit": arguments.commit,
        "gpu": gpu or None,
        "no_gpu": reason,
        **({"rehearsal": "on an emulated GPU: no number here means anything"} if arguments.rehearse else {}),
        "l2_bytes": cuda_gpu.l2_bytes(),
        "tools": {name: version_of(name) for name in ("nvcc", "g++", "cmake", "compute-sanitizer", "ncu")},
        "steps": [step for step in earlier.get("steps", []) if same and step["name"] not in names],
        "targets": targets(arguments.out, arguments.commit),
    }


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def use_wheels(site: Path) -> None:
    """Let this process import the packages of the wheels, as the programs that it starts can."""
    if site.exists() and str(site) not in sys.path:
        sys.path.append(str(site))
    importlib.invalidate_caches()


def version_of(program: str) -> str:
    """Return the line of a program's output that states its version, or "missing"."""
    if shutil.which(program) is None:
        return "missing"
    done = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    lines = [line.strip() for line in done.stdout.splitlines() if any(each.isdigit() for each in line)]
    named = [line for line in lines if "release" in line.lower() or "version" in line.lower()]
    return (named or lines or ["unknown"])[0]


def mend_kernels(path: Path) -> None:
    """Complete the JSON that a program left unfinished when it was stopped."""
    if path.exists():
        found = mended(path.read_text(encoding="utf-8"))
        path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def keep_learnt(place: Place, out: Path) -> None:
    """Copy LiteFT's autotuning choices for this GPU: the algorithms of matmuls, and which kernels are fused."""
    for file in place.cache.glob("*.txt"):
        (out / "learnt").mkdir(exist_ok=True)
        shutil.copyfile(file, out / "learnt" / file.name)


def targets(out: Path, commit: str) -> dict[str, dict[str, Any]]:
    """Return how a commit does on each target; a target is judged by the rows of its own part, from one run."""
    rows: dict[str, list[dict[str, Any]]] = {}
    for part in ("decisive", "ratios"):
        path = out / f"{part}.json"
        found = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        rows[part] = found["rows"] if found.get("commit") == commit else []
    return {name: judge(rows[each.part], {name: each})[name] for name, each in TARGETS.items()}


def write(folder: Path, summary: dict[str, Any]) -> None:
    """Write the summary as it is so far."""
    (folder / "summary.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
