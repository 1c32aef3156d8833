"""The plan of bench/cuda_all.py: its steps, their order, and the commands of each."""

from __future__ import annotations

import argparse
import os
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cuda_build
from cuda_steps import (
    SANITIZERS,
    Step,
    judge_initcheck,
    judge_ncu,
    judge_pytest,
    judge_required_pytest,
    judge_sanitizer,
    python,
)
from machine import ROOT, own_module

# The most important steps come first, since a call may be stopped.
GROUPS = {
    "first": ("wheels", "build", "exact", "hopper", "whole", "quick", "decisive", "ncu"),
    "ratios": ("ratios",),
    "checks": ("fused", *SANITIZERS, "tests", "pytest"),
    "rest": ("kernels", "rest"),
}
NAMES = tuple(name for group in GROUPS.values() for name in group)
NEW = ("hopper", "whole")  # kernels that wait within themselves: the other steps go without them if these do not pass
REQUIRED = ("build", "exact", "quick", "decisive", "ratios")  # if there is a GPU, these fail when they cannot run
PYTESTS = ("tests/runtime/test_native_cuda.py", "tests/native/test_operator_target.py")
RATIO_MINUTES = 9.5  # at most
_ENDING = 0.3  # minutes reserved for what follows a comparison


class Place:
    """The folders of a run of cuda_all.py, and the environment of the programs that it starts."""

    def __init__(self, arguments: argparse.Namespace, *, gpu: bool) -> None:
        self.arguments, self.gpu = arguments, gpu
        self.rehearses: bool = arguments.rehearse
        self.cautious = False  # whether a step of NEW has not passed
        build: Path = arguments.build
        self.libraries = build / "rehearsal" if self.rehearses else build
        self.site = build.parent / f"{build.name}-site"  # packages from the wheels
        self.kept = build.parent / f"{build.name}-kept"  # models, and the caches of compilers
        self.cache = self.kept / "cache" / "liteft"

    def environment(self) -> dict[str, str]:
        """Return the environment variables of all programs, which share one cache of autotuning choices."""
        there = str(self.libraries) if self.rehearses else cublas_path()
        told = {
            "PYTHONPATH": os.pathsep.join([str(ROOT), *([str(self.site)] if self.site.exists() else [])]),
            "PYTHONUNBUFFERED": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
            "LITEFT_LIBRARY": str(self.libraries / "libliteft.so"),
            "LITEFT_BUILD": str(self.libraries),
            "LITEFT_CUBLAS": there,
            "LITEFT_CUDA_CACHE": str(self.cache),
            "XDG_CACHE_HOME": str(self.kept / "cache"),
            "TORCHINDUCTOR_CACHE_DIR": str(self.kept / "inductor"),
            "TRITON_CACHE_DIR": str(self.kept / "triton"),
            "LITEFT_COMMIT": self.arguments.commit,
        }
        before = os.environ.get("PYTHONPATH")
        if before:
            told["PYTHONPATH"] = os.pathsep.join([before, told["PYTHONPATH"]])
        if self.rehearses:
            told |= {"LITEFT_REHEARSAL": "1", "LITEFT_CUDA_ROWS": "256", "OMP_NUM_THREADS": "1"}
        if self.cautious:
            told["LITEFT_CUDA_FUSE"] = "cautious"
        return told | ({"LITEFT_GPU": "required"} if self.gpu else {})


def names_of(asked: Sequence[str], libraries: Path) -> list[str]:
    """Return the names of the steps to run, in the plan's order.

    These are the ones asked for, plus "build" if a comparison needs a library that has not been built. "ratios" and
    "rest" are names of groups and of steps in them.
    """
    chosen = {name for each in asked for name in GROUPS.get(each, (each,))}
    if chosen & {"decisive", "ratios", "rest"} and not (libraries / "libliteft_cuda.so").exists():
        chosen.add("build")
    return [name for name in NAMES if name in chosen]


def step_of(name: str, place: Place, end: float) -> Step:
    """Return the step of a name; ``end`` is the end of the run, in seconds of time.monotonic()."""
    environment = place.environment()
    if name == "wheels":
        return _wheels(place)
    if name == "build":
        return _build(place)
    if name in ("decisive", "ratios", "rest"):
        return _comparison(name, place, end, environment)
    if name == "ncu":
        return _ncu(place, environment)
    if name == "pytest":
        return _pytest(place, environment)
    if name == "kernels":
        program = str(place.libraries / "time_cuda")
        command = [program, *(["--quick"] if place.rehearses else [])]
        idle = {"LITEFT_EMULATOR_IDLE": "1"} if place.rehearses else {}
        output = place.arguments.out / "kernels.json"
        return Step(name, [command], 120, (f"file:{program}",), environment | idle, output=output)
    if name in SANITIZERS:
        return _sanitizer(name, place, environment)
    return _tests(name, place, environment)


def _wheels(place: Place) -> Step:
    wheels = place.arguments.wheels
    files = sorted(map(str, wheels.glob("*.whl"))) if wheels else []
    options = ["--quiet", "--no-index", "--no-deps", "--no-compile", "--upgrade", "--target", str(place.site)]
    needs: tuple[str, ...] = () if files else ("wheels:--wheels",)
    return Step("wheels", [python("-m", "pip", "install", *options, *files)], 60, needs)


def _build(place: Place) -> Step:
    asked = place.arguments
    if place.rehearses:
        return Step("build", cuda_build.of_rehearsal(asked.build, asked.jobs), 600, ("cmake", "g++"))
    if shutil.which("cmake") and not asked.no_cmake:
        commands: Any = cuda_build.with_cmake(asked.build, asked.architectures, asked.jobs)
    else:
        asked.build.mkdir(parents=True, exist_ok=True)
        commands = cuda_build.without_cmake(asked.build, asked.architectures)
    return Step("build", commands, 300, ("nvcc", "g++"))


def few_rows(place: Place) -> dict[str, str]:
    """Return environment variables of tests: memory starts as NaN, and only a few sizes are autotuned."""
    return {"LITEFT_CUDA_POISON": "ones", "LITEFT_CUDA_ROWS": "256" if place.rehearses else "1024"}


def _tests(name: str, place: Place, environment: dict[str, str]) -> Step:
    """Return the step of a test program.

    The step "exact" compares every kernel with float64, whether the engine would choose it or not. "quick" runs a few
    tests of the engine, and "fused", "hopper" and "whole" run the same ones with every kernel of that kind that fits.
    "tests" runs them all.
    """
    told = environment | few_rows(place)
    if name == "exact":
        programs = [str(place.libraries / program) for program in cuda_build.KERNEL_TESTS]
        return Step(name, [[program] for program in programs], 60, [f"file:{program}" for program in programs], told)
    program = str(place.libraries / "test_cuda")
    command = [program, *(["--quick"] if name != "tests" or place.rehearses else [])]
    if place.rehearses:  # a single test, since in the emulator the others take minutes
        command.append("weights_may_be_int8" if name != "tests" else "rectangles_are_packed")
    commands, needs = [command], [f"file:{program}"]
    if name == "hopper":
        kernels = str(place.libraries / cuda_build.HOPPER_TEST)
        commands, needs = [[kernels], command], [*needs, f"file:{kernels}"]
    if name in ("fused", *NEW):
        told["LITEFT_CUDA_FUSE"] = "always" if name == "fused" else name
    return Step(name, commands, 170 if name == "tests" else 60, needs, told)


def _comparison(name: str, place: Place, end: float, environment: dict[str, str]) -> Step:
    """Return the step of a part of bench/cuda_engines.py, limited to the time left or needed."""
    out = place.arguments.out
    left = max(0.5, (end - time.monotonic()) / 60 - _ENDING)
    most = {"decisive": 3.0, "ratios": RATIO_MINUTES}.get(name, left)
    minutes = f"{min(left, most):.2f}"
    command = python("bench/cuda_engines.py", "--part", name, "--out", str(out / f"{name}.json"), "--minutes", minutes)
    command += ["--work", str(place.kept / "models"), "--commit", place.arguments.commit]
    if place.arguments.artifact and name == "rest":
        command += ["--artifact", str(place.arguments.artifact)]
    if place.rehearses:
        command += ["--device", "cpu"]
    needs = ("python:numpy", "python:torch", "python:transformers", f"file:{place.libraries / 'libliteft_cuda.so'}")
    return Step(name, [command], 60 * float(minutes) + 30, needs, environment)


def _ncu(place: Place, environment: dict[str, str]) -> Step:
    """Return the step that profiles one forward: each kernel's time, rates and occupancy, without fixing the clocks."""
    work = place.kept / "models"
    forward = python("bench/cuda_forward.py", "--work", str(work))
    needs = [f"file:{work / 'MiniLM-L6' / 'weights.npz'}"]
    if place.rehearses:
        return Step("ncu", [forward], 60, needs, environment, output=place.arguments.out / "ncu.txt")
    options = ["--profile-from-start", "off", "--clock-control", "none", "--set", "basic", "-c", "60"]
    log = place.arguments.out / "ncu.txt"
    options += ["--target-processes", "all", "--log-file", str(log)]

    def judge(status: int, text: str) -> tuple[str, str]:
        return judge_ncu(status, text + (log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""))

    return Step("ncu", [["ncu", *options, *forward]], 60, ("ncu", *needs), environment, judge=judge)


def _pytest(place: Place, environment: dict[str, str]) -> Step:
    built = f"file:{place.libraries / 'libliteft_cuda.so'}"
    packages = ("pytest", "torch", "onnxruntime", "tokenizers", "pydantic", "onnx")
    needs = (*(f"python:{each}" for each in packages), built)
    command = python("-m", "pytest", *PYTESTS, "-m", "gpu", "-rs", "-p", "no:cacheprovider")
    if place.rehearses:  # the tests need cublasLt from wheels, so they are only collected
        return Step("pytest", [[*command, "--collect-only", "-q"]], 150, needs, environment)
    judge = judge_required_pytest if place.gpu else judge_pytest
    return Step("pytest", [command], 150, needs, environment | few_rows(place), judge=judge)


def _sanitizer(tool: str, place: Place, environment: dict[str, str]) -> Step:
    """Return the step of a tool of compute-sanitizer: every fused kernel through the engine, then the plain kernels.

    The tools check only LiteFT's kernels, which saves most of the time. initcheck has to see all kernels, since
    LiteFT's read what cublasLt's write; for it, memory is not filled on allocation, which would count as initializing.
    """
    told = environment | few_rows(place) | {"LITEFT_CUDA_FUSE": "always"}
    options = ["--tool", tool, "--error-exitcode", "9"]
    if tool == "initcheck":
        options += ["--print-limit", "2000"]
        told["LITEFT_CUDA_POISON"] = "unfilled"
    else:
        options += ["--print-limit", "20", "--kernel-regex", "kns=liteft"]
    quick, rows = str(place.libraries / "test_cuda"), str(place.libraries / "test_gpu_rows")
    commands = [["compute-sanitizer", *options, quick, "--quick"], ["compute-sanitizer", *options, rows]]
    judge = judge_initcheck if tool == "initcheck" else judge_sanitizer
    needs = ("compute-sanitizer", f"file:{quick}", f"file:{rows}")
    if place.rehearses:
        needs = ("rehearsal:compute-sanitizer",)
    return Step(tool, commands, 90, needs, told, judge=judge)


def cublas_path() -> str:
    """Return the folders to search for libcublasLt: LITEFT_CUBLAS, or those of installed wheels."""
    return os.environ.get("LITEFT_CUBLAS") or str(own_module("runtime/cuda_places.py").cublas_path())
