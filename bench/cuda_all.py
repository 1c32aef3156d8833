"""Everything that a machine with a GPU is needed for, in one call: build, test, sanitize, time.

    python bench/cuda_all.py --out FOLDER [--minutes 9.5] [--steps STEP ...] [--wheels FOLDER] [--artifact FOLDER]

For a bare machine without a network: only Python's standard library is needed to start. Steps follow each other, each
with a limit of its own and none beyond --minutes; one that fails does not stop the others, and one that cannot run
says why. In the folder stand, written anew after each step: summary.json (what came of each step, GPU, driver,
versions, commit, targets), log.txt (all output), kernels.json (cpp_ext/tests/time_cuda.cpp) and engine.json
(bench/cuda_engines.py, which gets the time that is left, and four minutes of it where other steps follow).

Without a GPU all steps are skipped, and the exit status is 77; --anyway runs what can be run, which is the build and
what says for itself that there is no GPU.
"""

from __future__ import annotations

import argparse
import ctypes
import importlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cuda_build
from cuda_steps import (
    SANITIZERS,
    SKIPPED,
    Step,
    judge_initcheck,
    judge_pytest,
    judge_required_pytest,
    judge_sanitizer,
    mended,
    python,
    run_step,
)
from machine import ROOT, commit, tell, versions

PACKAGES = ("torch", "triton", "transformers", "onnx", "onnxruntime", "numpy", "tokenizers", "pydantic", "pytest")
# What is wanted most comes first: a call may be cut off.
NAMES = ("wheels", "build", "quick", "engine", "kernels", "tests", "pytest", *SANITIZERS)
ENGINE_MINUTES = 4.0  # at most, where other steps follow
PYTESTS = ("tests/runtime/test_native_cuda.py", "tests/native/test_operator_target.py")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of the results")
    parser.add_argument("--minutes", type=float, default=9.5, help="for everything")
    parser.add_argument("--steps", nargs="+", choices=NAMES, default=list(NAMES))
    parser.add_argument("--build", type=Path, default=ROOT / "build" / "gpu", help="what is built there is kept")
    parser.add_argument("--no-cmake", action="store_true", help="build by g++ and nvcc, as where CMake is missing")
    parser.add_argument("--architectures", default="90a-real", help="as CMake names them")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--wheels", type=Path, help="folder of wheels, of bench/cuda-requirements.txt")
    parser.add_argument("--artifact", type=Path, help="a folder of LiteFT's, timed from text to label")
    parser.add_argument("--commit", default=os.environ.get("LITEFT_COMMIT"), help="where git is not at hand")
    parser.add_argument("--anyway", action="store_true", help="do not stop where there is no GPU")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    for place in ("out", "build", "wheels", "artifact"):
        if getattr(arguments, place) is not None:
            setattr(arguments, place, getattr(arguments, place).absolute())
    arguments.commit = arguments.commit or commit()
    return run_all(arguments)


def run_all(arguments: argparse.Namespace) -> int:
    """Run the steps, and return the exit status."""
    end = time.monotonic() + 60 * arguments.minutes
    gpu, reason = find_gpu()
    summary: dict[str, Any] = {
        "command": ["python", "bench/cuda_all.py", *sys.argv[1:]],
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": arguments.commit,
        "gpu": gpu or None,
        "no_gpu": reason,
        "tools": {name: version_of(name) for name in ("nvcc", "g++", "cmake", "compute-sanitizer")},
        "steps": [],
    }
    log = arguments.out / "log.txt"
    log.write_text("", encoding="utf-8")
    site = arguments.build.parent / "site"
    use_wheels(site)
    names = names_of(arguments.steps, arguments.build)
    for place, name in enumerate(names):
        summary["steps"].append({"name": name, "status": "to come"})
        if reason and not arguments.anyway:
            said = {"name": name, "status": "skipped", "reason": f"no GPU: {reason}", "seconds": 0.0}
        else:
            tell(f"{name} ...")
            write(arguments.out, summary)
            step = step_of(name, arguments, site, bool(gpu), end, last=place + 1 == len(names))
            said = run_step(step, end - time.monotonic(), log)
            if name == "wheels":
                use_wheels(site)
        summary["steps"][-1] = said
        tell(f"{name}: {said['status']} {said['reason']} ({said['seconds']} s)")
        mend_kernels(arguments.out / "kernels.json")
        summary["versions"] = versions(PACKAGES)
        summary["targets"] = targets(arguments.out / "engine.json")
        write(arguments.out, summary)
    states = {step["status"] for step in summary["steps"]}
    print(json.dumps({step["name"]: step["status"] for step in summary["steps"]}))
    return SKIPPED if states == {"skipped"} else int(bool(states & {"failed", "timed out"}))


def names_of(asked: list[str], build: Path) -> list[str]:
    """Return the steps to do: those asked for, and the build before the comparison where there is no library."""
    names = list(asked)
    if "engine" in names and "build" not in names and not (build / "libliteft_cuda.so").exists():
        names.insert(names.index("engine"), "build")
    return names


def use_wheels(site: Path) -> None:
    """Let this process find, as those that it starts do, what the wheels hold."""
    if site.exists() and str(site) not in sys.path:
        sys.path.append(str(site))
    importlib.invalidate_caches()


def step_of(name: str, arguments: argparse.Namespace, site: Path, gpu: bool, end: float, *, last: bool = True) -> Step:
    """Return a step by name; ``last``: none follows it."""
    build, out = arguments.build, arguments.out
    environment = {
        "PYTHONPATH": os.pathsep.join([str(ROOT), *([str(site)] if site.exists() else [])]),
        "PYTHONUNBUFFERED": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "LITEFT_LIBRARY": str(build / "libliteft.so"),
        "LITEFT_BUILD": str(build),
        "LITEFT_CUBLAS": cublas_path(),
        "LITEFT_CUDA_CACHE": str(build / "algorithms"),
        "XDG_CACHE_HOME": str(build / "cache"),
        "LITEFT_COMMIT": arguments.commit,
    } | ({"LITEFT_GPU": "required"} if gpu else {})
    built = f"file:{build / 'libliteft_cuda.so'}"
    quick = [str(build / "test_cuda"), "--quick"]
    poisoned = environment | {"LITEFT_CUDA_POISON": "ones"}
    few = {"LITEFT_CUDA_ROWS": "1024"}  # fewer sizes to learn, and to find learnt
    if name in SANITIZERS:
        return sanitizer(name, quick, (environment if name == "initcheck" else poisoned) | few)
    if name == "wheels":
        files = sorted(map(str, arguments.wheels.glob("*.whl"))) if arguments.wheels else []
        options = ["--quiet", "--no-index", "--no-deps", "--no-compile", "--upgrade", "--target", str(site)]
        needs: tuple[str, ...] = () if files else ("wheels:--wheels",)
        return Step(name, [python("-m", "pip", "install", *options, *files)], 60, needs)
    if name == "build":
        if shutil.which("cmake") and not arguments.no_cmake:
            commands: Any = cuda_build.with_cmake(build, arguments.architectures, arguments.jobs)
        else:
            build.mkdir(parents=True, exist_ok=True)
            commands = cuda_build.without_cmake(build, arguments.architectures)
        return Step(name, commands, 300, ("nvcc", "g++"))
    if name == "quick":  # learns the fastest algorithms, besides, so that runs under the sanitizer find them
        return Step(name, [quick], 120, (f"file:{quick[0]}",), poisoned | few)
    if name == "tests":
        return Step(name, [quick[:1]], 170, (f"file:{quick[0]}",), poisoned)
    if name == "pytest":
        needs = (*(f"python:{each}" for each in ("pytest", "torch", "onnxruntime", "tokenizers")), built)
        options = ["-m", "gpu", "-rs", "-p", "no:cacheprovider"]
        judge = judge_required_pytest if gpu else judge_pytest
        return Step(name, [python("-m", "pytest", *PYTESTS, *options)], 150, needs, poisoned, judge=judge)
    if name == "kernels":
        program = str(build / "time_cuda")
        return Step(name, [[program]], 120, (f"file:{program}",), environment, output=out / "kernels.json")
    left = max(0.5, (end - time.monotonic()) / 60 - 0.5)
    if not last:
        left = min(left, ENGINE_MINUTES)
    command = python("bench/cuda_engines.py", "--out", str(out / "engine.json"), "--minutes", f"{left:.2f}")
    command += ["--commit", arguments.commit, *(["--artifact", str(arguments.artifact)] if arguments.artifact else [])]
    return Step(name, [command], 60 * left + 60, ("python:numpy", built), environment)


def sanitizer(tool: str, command: list[str], environment: dict[str, str]) -> Step:
    """Return the step of a tool of compute-sanitizer.

    Only LiteFT's kernels are looked at, which saves most of the time; but initcheck has to see what cublasLt's write.
    Its memory is not filled, and nothing is left for it to miss.
    """
    options = ["--tool", tool, "--error-exitcode", "9"]
    if tool == "initcheck":
        options += ["--print-limit", "2000"]
        environment = environment | {"LITEFT_CUDA_POISON": "unfilled"}
    else:
        options += ["--print-limit", "20", "--kernel-regex", "kns=liteft"]
    judge = judge_initcheck if tool == "initcheck" else judge_sanitizer
    needs = ("compute-sanitizer", f"file:{command[0]}")
    return Step(tool, [["compute-sanitizer", *options, *command]], 90, needs, environment, judge=judge)


def find_gpu() -> tuple[str, str]:
    """Return the first GPU and its driver, and ""; or "" and why there is none."""
    if shutil.which("nvidia-smi"):
        asked = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
        done = subprocess.run(asked, capture_output=True, text=True, check=False)
        if done.returncode == 0 and done.stdout.strip():
            return done.stdout.strip().splitlines()[0], ""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return "", "there is no NVIDIA driver"
    count = ctypes.c_int()
    if driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count)) or not count.value:
        return "", "the NVIDIA driver finds no GPU"
    return "a GPU whose name nvidia-smi does not say", ""


def cublas_path() -> str:
    """Return the folders of installed wheels with libcublasLt; asked of LiteFT's own file, which imports nothing."""
    file = ROOT / "liteft" / "runtime" / "cuda_places.py"
    spec = importlib.util.spec_from_file_location("cuda_places", file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return str(module.cublas_path())


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


def targets(path: Path) -> Any:
    """Return what bench/cuda_engines.py says of the targets."""
    return json.loads(path.read_text(encoding="utf-8")).get("targets") if path.exists() else None


def write(folder: Path, summary: dict[str, Any]) -> None:
    """Write the summary so far."""
    (folder / "summary.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
