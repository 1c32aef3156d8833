"""Everything that a machine with a GPU is needed for: build, test, time, sanitize.

    python bench/cuda_all.py --out FOLDER [--steps STEP or GROUP ...] [--minutes 9.5] [--commit SHA]

For a bare machine without a network: only Python's standard library is needed to start, and numpy, torch and
transformers to time. Steps follow each other, each with a limit of its own and none beyond --minutes; one that fails
does not stop the others, and one that cannot run says why. Groups of steps:

    first    build, kernels against float64, a little of the tests, LiteFT's decisive rows, a profile     4 minutes
    ratios   LiteFT beside torch at its best on four mixes, what compiles too                            10 minutes
    checks   all fused kernels, compute-sanitizer's tools, all tests                                      8 minutes
    rest     kernel by kernel, everything else beside torch and ONNX Runtime                     what is left of 30

What is built, learnt and compiled stays in --build and beside it, for the next call on the same machine. All results
stand in --out, written anew after each step: summary.json (what came of each step, GPU and its state before and after,
driver, versions, commit, targets), log.txt (all output), decisive.json, ratios.json and rest.json (cuda_engines.py),
kernels.json (cpp_ext/tests/time_cuda.cpp), ncu.txt, and in learnt/ the algorithms and fusions that were chosen.
Steps of an earlier call with the same commit stay in the summary. The table of targets is printed last.

The exit status is 1 where a step failed, and where there is a GPU and a step that has to run could not, or measured
nothing of LiteFT's. Without a GPU all steps are skipped, and it is 77; --anyway runs what can be run. --rehearse goes
through all of it against the emulated GPU, with tiny models.
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
from cuda_stepping import GROUPS, NAMES, REQUIRED, Place, names_of, step_of
from cuda_steps import SKIPPED, mended, run_step
from cuda_targets import TARGETS, judge, table
from machine import ROOT, commit, tell, versions

PACKAGES = ("torch", "triton", "transformers", "onnx", "onnxruntime", "numpy", "tokenizers", "pydantic", "pytest")
WHEELS = ROOT / "build" / "gpu-wheels"  # which `make gpu-wheels` fills


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of the results, all of them")
    parser.add_argument("--minutes", type=float, default=9.5, help="for everything")
    parser.add_argument("--steps", nargs="+", choices=[*GROUPS, *NAMES], default=list(GROUPS), metavar="STEP")
    parser.add_argument("--build", type=Path, help="what is built there is kept; default: build/gpu")
    parser.add_argument("--no-cmake", action="store_true", help="build by g++ and nvcc, as where CMake is missing")
    parser.add_argument("--architectures", default="90a-real", help="as CMake names them")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--wheels", type=Path, help="of bench/cuda-requirements.txt; default: build/gpu-wheels")
    parser.add_argument("--artifact", type=Path, help="a folder of LiteFT's, timed from text to label")
    parser.add_argument("--commit", default=os.environ.get("LITEFT_COMMIT"), help="or LITEFT_COMMIT, where git is not")
    parser.add_argument("--anyway", action="store_true", help="do not stop where there is no GPU")
    parser.add_argument("--rehearse", action="store_true", help="on the emulated GPU")
    arguments = parser.parse_args()
    arguments.commit = arguments.commit or commit()
    if arguments.commit == "unknown":
        parser.error("there is no git here to ask: --commit SHA, or LITEFT_COMMIT=SHA in the environment")
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
    """Run the steps, and return the exit status."""
    end = time.monotonic() + 60 * arguments.minutes
    gpu, reason = ("the emulated one: a rehearsal", "") if arguments.rehearse else find_gpu()
    place = Place(arguments, gpu=bool(gpu))
    names = names_of(arguments.steps, place.libraries)
    summary = new_summary(arguments, gpu, reason, names)
    log = arguments.out / "log.txt"
    use_wheels(place.site)
    done: list[dict[str, Any]] = []
    for name in names:
        if reason and not arguments.anyway:
            said = {"name": name, "status": "skipped", "reason": f"no GPU: {reason}", "seconds": 0.0}
        else:
            tell(f"{name} ...")
            summary["steps"].append({"name": name, "status": "to come"})
            write(arguments.out, summary)
            summary["steps"].pop()
            before = cuda_gpu.state()
            said = run_step(step_of(name, place, end), end - time.monotonic(), log)
            said |= {"gpu_before": before, "gpu_after": cuda_gpu.state()}
            if gpu and name in REQUIRED and said["status"] == "skipped":
                said |= {"status": "failed", "reason": f"it has to run where there is a GPU: {said['reason']}"}
            if name == "wheels":
                use_wheels(place.site)
        done.append(said | {"command": summary["command"], "when": now()})
        summary["steps"].append(done[-1])
        tell(f"{name}: {said['status']} {said['reason']} ({said['seconds']} s)")
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
    """Return the summary before the first step: of an earlier call for the same commit, the other steps stay."""
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
    """Let this process find, as those that it starts do, what the wheels hold."""
    if site.exists() and str(site) not in sys.path:
        sys.path.append(str(site))
    importlib.invalidate_caches()


def version_of(program: str) -> str:
    """Return the line in which a program states its version, or "missing"."""
    if shutil.which(program) is None:
        return "missing"
    done = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    lines = [line.strip() for line in done.stdout.splitlines() if any(each.isdigit() for each in line)]
    named = [line for line in lines if "release" in line.lower() or "version" in line.lower()]
    return (named or lines or ["unknown"])[0]


def mend_kernels(path: Path) -> None:
    """Close the JSON of a program that was cut off."""
    if path.exists():
        found = mended(path.read_text(encoding="utf-8"))
        path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def keep_learnt(place: Place, out: Path) -> None:
    """Copy what LiteFT has measured and chosen on this GPU: algorithms of products, and fusions."""
    for file in place.cache.glob("*.txt"):
        (out / "learnt").mkdir(exist_ok=True)
        shutil.copyfile(file, out / "learnt" / file.name)


def targets(out: Path, commit: str) -> dict[str, dict[str, Any]]:
    """Return what the results of a commit say of each target: each is judged by the rows of one run, its part's."""
    rows: dict[str, list[dict[str, Any]]] = {}
    for part in ("decisive", "ratios"):
        path = out / f"{part}.json"
        found = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        rows[part] = found["rows"] if found.get("commit") == commit else []
    return {name: judge(rows[each.part], {name: each})[name] for name, each in TARGETS.items()}


def write(folder: Path, summary: dict[str, Any]) -> None:
    """Write the summary so far."""
    (folder / "summary.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
