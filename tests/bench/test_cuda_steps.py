"""bench/cuda_all.py: its steps, their limits and what comes of them, and that without a GPU all is skipped."""

from __future__ import annotations

import json
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.bench.conftest import ROOT, load_script


@pytest.fixture(scope="module")
def cuda_steps() -> ModuleType:
    return load_script("cuda_steps")


@pytest.fixture(scope="module")
def cuda_build() -> ModuleType:
    return load_script("cuda_build")


@pytest.fixture
def do(cuda_steps: ModuleType, tmp_path: Path) -> Any:
    """Run a shell command, or several at a time, as a step."""

    def run(*scripts: str, seconds: float = 30, left: float = 30, **keywords: Any) -> dict[str, Any]:
        commands = [[["sh", "-c", script] for script in scripts]]
        step = cuda_steps.Step("it", commands, seconds, **keywords)
        found: dict[str, Any] = cuda_steps.run_step(step, left, tmp_path / "log.txt")
        return found

    return run


def test_a_step_that_ends_well_has_passed_and_its_output_is_kept(do: Any, tmp_path: Path) -> None:
    found = do("echo one; echo two >&2", environment={"X": "y"})
    assert (found["status"], found["reason"]) == ("passed", "")
    assert "one\ntwo\n" in (tmp_path / "log.txt").read_text()


def test_a_step_that_fails_says_how_and_shows_its_end(do: Any) -> None:
    found = do("echo the end; exit 3")
    assert (found["status"], found["reason"]) == ("failed", "exit status 3")
    assert found["tail"].endswith("the end\n")


def test_a_step_may_skip_itself_with_a_reason(do: Any) -> None:
    found = do("echo 'skipped: no GPU here' >&2; exit 77")
    assert (found["status"], found["reason"]) == ("skipped", "no GPU here")


def test_a_step_that_takes_too_long_is_ended_with_all_its_processes(do: Any, tmp_path: Path) -> None:
    begin = time.monotonic()
    found = do(f"(sleep 3; touch {tmp_path}/late) & sleep 60", seconds=1)
    assert (found["status"], time.monotonic() - begin < 20) == ("timed out", True)
    time.sleep(3)
    assert not (tmp_path / "late").exists()


def test_a_step_gets_no_more_than_the_time_that_is_left(do: Any) -> None:
    assert do("sleep 60", left=6)["reason"] == "after 6 seconds"
    late = do("true", left=2)
    assert (late["status"], late["reason"]) == ("skipped", "time is up")


@pytest.mark.parametrize(
    ("need", "reason"),
    [
        ("no_such_program", "no_such_program is not installed"),
        ("python:no_such_package", "the Python package no_such_package is not installed"),
        ("file:/no/such/file", "/no/such/file does not exist"),
        ("wheels:--wheels", "no wheels: give --wheels a folder that has some"),
    ],
)
def test_what_is_missing_is_named(do: Any, need: str, reason: str) -> None:
    found = do("true", needs=("sh", "python:json", need))
    assert (found["status"], found["reason"]) == ("skipped", reason)


def test_commands_of_a_stage_run_side_by_side_and_one_failure_counts(do: Any, tmp_path: Path) -> None:
    assert do(*(f"echo {number}" for number in range(9)))["status"] == "passed"
    assert all(f"\n{number}\n" in (tmp_path / "log.txt").read_text() for number in range(9))
    assert do("true", "exit 4", "true")["reason"] == "exit status 4"


def test_standard_output_may_go_to_a_file(do: Any, tmp_path: Path) -> None:
    found = do("echo '{}'; echo words >&2", output=tmp_path / "out.json")
    assert found["status"] == "passed"
    assert (tmp_path / "out.json").read_text() == "{}\n"
    assert "words" in (tmp_path / "log.txt").read_text()


def test_json_that_was_cut_off_keeps_its_whole_rows(cuda_steps: ModuleType) -> None:
    whole = '{\n"gpu": "x", "rows": [\n {"a": 1},\n {"a": 2}\n ],\n "more": {"b": 3}\n}'
    assert cuda_steps.mended(whole) == json.loads(whole)
    assert cuda_steps.mended('{"gpu": "x", "rows": [\n {"a": 1},\n {"a": 2},\n {"a"')["rows"] == [{"a": 1}, {"a": 2}]
    assert cuda_steps.mended('{"gpu": "x", "rows": [') == {"gpu": "x", "rows": []}
    assert cuda_steps.mended("") is None and cuda_steps.mended("Segmentation fault") is None


@pytest.mark.parametrize(
    ("status", "text", "found", "required"),
    [
        (0, "12 passed, 8 skipped, 3 deselected in 9s", "passed", "passed"),
        (0, "20 skipped, 12 deselected in 9s", "skipped", "failed"),
        (5, "32 deselected in 9s", "skipped", "failed"),
        (1, "2 failed, 12 passed in 9s", "failed", "failed"),
        (4, "ERROR: file or directory not found", "failed", "failed"),
    ],
)
def test_tests_that_were_all_skipped_have_not_passed(
    cuda_steps: ModuleType, status: int, text: str, found: str, required: str
) -> None:
    assert cuda_steps.judge_pytest(status, text)[0] == found
    assert cuda_steps.judge_required_pytest(status, text)[0] == required


REPORT = """========= COMPUTE-SANITIZER
========= Uninitialized __global__ memory read of size 4 bytes
=========     at {}+0x80
=========     by thread (0,0,0) in block (0,0,0)
{} failures
========= ERROR SUMMARY: 1 error
"""


def test_a_sanitizer_that_does_not_know_the_gpu_is_skipped(cuda_steps: ModuleType) -> None:
    text = "========= COMPUTE-SANITIZER\n========= Error: Device not supported\n"
    for judge in (cuda_steps.judge_sanitizer, cuda_steps.judge_initcheck):
        assert judge(1, text) == ("skipped", "========= Error: Device not supported")
        assert judge(9, "========= Invalid read")[0] == "failed"
        assert judge(0, "0 failures")[0] == "passed"


@pytest.mark.parametrize(
    ("reader", "failures", "status", "found"),
    [
        ("void cutlass::Kernel2<cutlass_80_tensorop>(Params)", 0, 9, "passed"),
        ("void liteft::cuda::<unnamed>::embed_kernel<__half>(Embedding)", 0, 9, "failed"),
        ("void cutlass::Kernel2<cutlass_80_tensorop>(Params)", 3, 9, "failed"),
        ("void cutlass::Kernel2<cutlass_80_tensorop>(Params)", 0, 139, "failed"),
    ],
)
def test_of_reads_of_what_was_never_written_own_kernels_count(
    cuda_steps: ModuleType, reader: str, failures: int, status: int, found: str
) -> None:
    assert cuda_steps.judge_initcheck(status, REPORT.format(reader, failures))[0] == found
    assert cuda_steps.judge_sanitizer(status, REPORT.format(reader, failures))[0] == "failed"


def test_only_what_runs_on_a_gpu_is_built_there(cuda_build: ModuleType, tmp_path: Path) -> None:
    built = cuda_build.with_cmake(tmp_path, "90a-real", 3)[-1]
    targets = built[built.index("--target") + 1 :]
    assert targets[:4] == ["liteft", "liteft_cuda", "test_cuda", "time_cuda"]
    assert targets[4:] == [
        "test_gpu_rows",
        "test_gpu_attention",
        "test_gpu_fused",
        "test_gpu_int8",
        "test_gpu_fp8",
        "test_gpu_sm90",
    ]


def test_a_build_without_cmake_compiles_what_cmake_lists(cuda_build: ModuleType, tmp_path: Path) -> None:
    compiled, shared, linked = cuda_build.without_cmake(tmp_path, "90a-real")
    sources = {command[command.index("-c") + 1] for command in compiled}
    folder = ROOT / "cpp_ext"
    patterns = ("engine/*.cpp", "ort/*.cpp", "cuda/*.cpp", "cuda/*.cu")
    listed = {str(path) for pattern in patterns for path in folder.glob(pattern)}
    kernels = {str(folder / "cpu" / f"kernels_{name}.cpp") for name in ("portable", "avx2", "avx512", "avx512vnni")}
    assert listed | kernels <= sources
    assert not any("neon" in source for source in sources)
    (vnni,) = (command for command in compiled if "cpu/kernels_avx512.cpp" in " ".join(command))
    assert {"-mavx512bf16", "-ffp-contract=off"} <= set(vnni)
    (engine,) = (command for command in compiled if "cuda/engine.cpp" in " ".join(command))
    assert [command for command in compiled if "-DLITEFT_SM90_BUILT=true" in command] == [
        command for command in compiled if command[-3].endswith("sm90_activation.cu")
    ]
    assert f'-DLITEFT_CUDA_KERNELS="{cuda_build.kernels_name()}"' in engine
    assert '-DLITEFT_CUDA_BUILT_FOR="90a-real"' in engine
    assert all("arch=compute_90a,code=sm_90a" in " ".join(each) for each in compiled if each[0] == "nvcc")
    assert [Path(command[-1]).name for command in shared] == ["libliteft.so", "libliteft_cuda.so"]
    assert [Path(command[-1]).name for command in linked] == list(cuda_build.GPU_PROGRAMS)
    with_kernels = [Path(command[-1]).name for command in linked if "cuda_rows.cu" in " ".join(command)]
    # test_cuda goes through libliteft alone.
    assert with_kernels == [name for name in cuda_build.GPU_PROGRAMS if name != "test_cuda"]
