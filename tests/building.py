"""The native library and its tests, built from the checkout into build/tests: what is up to date costs a moment.

Two processes that ask at once share the folder, and the second waits for the first.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.locks import locked

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "build" / "tests"
LOCKS = ROOT / "build" / "locks"
LIBRARY = ("liteft", "test_engine", "test_lane", "test_cores", "test_cuda_plan", "time_engine")
_KERNELS = ("rows", "attention", "fused", "int8", "fp8", "sm90", "short")
_PROGRAMS = ("places", *_KERNELS, "engine", "int8_engine", "running", "autotuning")
EMULATED = tuple(f"test_cuda_{name}" for name in _PROGRAMS)


def build(*targets: str) -> Path:
    """Build these targets, or everything where none is named; return the folder, which LITEFT_BUILD may name instead.

    Targets of the emulator are left out on machines that have none.
    Without CMake or a compiler the test that asks is skipped.
    """
    if os.environ.get("LITEFT_BUILD"):
        return Path(os.environ["LITEFT_BUILD"])
    missing = [name for name in ("cmake", "c++") if shutil.which(name) is None]
    if missing:
        pytest.skip(f"the native library needs {' and '.join(missing)} to be built")
    with locked(LOCKS / "build"):
        if not any((FOLDER / name).is_file() for name in ("build.ninja", "Makefile")):
            generator = ["-G", "Ninja"] if shutil.which("ninja") else []
            _run("-S", str(ROOT / "cpp_ext"), "-B", str(FOLDER), "-DCMAKE_BUILD_TYPE=Release", *generator)
        absent = set() if "rehearsal" in _listed() else {"test_emulator", "rehearsal", *EMULATED}
        wanted = [target for target in targets if target not in absent]
        if wanted or not targets:
            named = ["--target", *wanted] if wanted else []
            _run("--build", str(FOLDER), "--parallel", str(os.cpu_count() or 1), *named)
    return FOLDER


def _listed() -> set[str]:
    """What the build lists as its targets: "rehearsal: phony" of Ninja, "... rehearsal" of make."""
    return {word.rstrip(":") for word in _run("--build", str(FOLDER), "--target", "help").split()}


def _run(*arguments: str) -> str:
    done = subprocess.run(["cmake", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout
