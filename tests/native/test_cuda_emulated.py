"""The CUDA library's own tests, in the emulator of a GPU, and on a GPU where there is one."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

NO_GPU = 77
PROGRAMS = (
    "emulator",
    "cuda_places",
    "cuda_rows",
    "cuda_attention",
    "cuda_fused",
    "cuda_int8",
    "cuda_fp8",
    "cuda_sm90",
    "cuda_short",
    "cuda_engine",
    "cuda_int8_engine",
    "cuda_running",
    "cuda_autotuning",
)


def test_the_plans_of_batches_pass(built: Path) -> None:
    run(built / "test_cuda_plan")


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_emulated_tests_pass(emulated: Path, name: str) -> None:
    run(emulated / f"test_{name}")


@pytest.mark.gpu
@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "test_gpu_rows",
        "test_gpu_attention",
        "test_gpu_fused",
        "test_gpu_int8",
        "test_gpu_fp8",
        "test_gpu_sm90",
        "test_cuda",
    ],
)
def test_the_tests_on_a_gpu_pass(built_for_gpu: Path, name: str) -> None:
    program = built_for_gpu / name
    if not program.is_file():
        pytest.skip("libliteft_cuda was not built: there is no nvcc that works")
    done = subprocess.run([program], capture_output=True, text=True, check=False, timeout=900)
    if done.returncode == NO_GPU:
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stdout[-3000:]


def run(program: Path) -> None:
    """Run a program of tests that must pass."""
    done = subprocess.run([program], capture_output=True, text=True, check=False, timeout=900)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
