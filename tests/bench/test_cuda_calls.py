"""A call of bench/cuda_all.py: its plan, its summary, and that without a GPU all is skipped."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from argparse import Namespace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.bench.conftest import ROOT, load_script


@pytest.fixture(scope="module")
def cuda_steps() -> ModuleType:
    return load_script("cuda_steps")


@pytest.fixture
def place(tmp_path: Path) -> Any:
    """Where a call with a GPU finds and leaves things."""
    (tmp_path / "out").mkdir()
    arguments = Namespace(
        build=tmp_path / "build", out=tmp_path / "out", wheels=None, artifact=tmp_path, commit="abc", no_cmake=False,
        jobs=1, architectures="90a-real", rehearse=False,
    )  # fmt: skip
    return load_script("cuda_stepping").Place(arguments, gpu=True)


def step_of(name: str, place: Any, minutes: float = 10) -> Any:
    return load_script("cuda_stepping").step_of(name, place, time.monotonic() + 60 * minutes)


def minutes_of(step: Any) -> float:
    (command,) = step.commands
    return float(command[command.index("--minutes") + 1])


def test_litefts_decisive_rows_come_before_torch_and_torch_before_the_rest() -> None:
    stepping = load_script("cuda_stepping")
    first = ("wheels", "build", "exact", "hopper", "whole", "quick", "decisive", "ncu")
    checks = ("fused", "memcheck", "racecheck", "initcheck", "synccheck", "tests", "pytest")
    assert (*first, "ratios", *checks, "kernels", "rest") == stepping.NAMES
    names_of = stepping.names_of
    assert tuple(names_of(["first"], Path("/nowhere"))) == first
    assert tuple(names_of(list(stepping.GROUPS), Path("/nowhere"))) == stepping.NAMES
    assert names_of(["ncu", "quick"], Path("/nowhere")) == ["quick", "ncu"]


def test_a_comparison_builds_first_where_there_is_no_library(tmp_path: Path) -> None:
    names_of = load_script("cuda_stepping").names_of
    assert names_of(["ratios", "wheels"], tmp_path) == ["wheels", "build", "ratios"]
    assert names_of(["quick"], tmp_path) == ["quick"]
    (tmp_path / "libliteft_cuda.so").touch()
    assert names_of(["ratios"], tmp_path) == ["ratios"]


def test_a_comparison_takes_what_time_is_left_and_no_more_than_its_share(place: Any) -> None:
    assert minutes_of(step_of("decisive", place, 4)) == 3.0
    assert minutes_of(step_of("decisive", place, 2)) == pytest.approx(1.7, abs=0.02)
    assert minutes_of(step_of("ratios", place, 30)) == 9.5
    assert minutes_of(step_of("ratios", place, 9.5)) == pytest.approx(9.2, abs=0.02)
    assert minutes_of(step_of("rest", place, 30)) == pytest.approx(29.7, abs=0.02)


def test_the_first_two_parts_need_no_package_but_numpy_torch_and_transformers(place: Any) -> None:
    for name in ("decisive", "ratios", "rest"):
        step = step_of(name, place)
        packages = [need for need in step.needs if need.startswith("python:")]
        assert packages == ["python:numpy", "python:torch", "python:transformers"]
        assert ("--artifact" in step.commands[0]) == (name == "rest")
        assert step.commands[0][step.commands[0].index("--out") + 1] == str(place.arguments.out / f"{name}.json")


def test_all_programs_find_what_one_of_them_learnt_and_compiled(place: Any) -> None:
    steps = [step_of(name, place) for name in ("exact", "quick", "decisive", "ncu", "ratios", "tests", "pytest")]
    for key in ("LITEFT_CUDA_CACHE", "XDG_CACHE_HOME", "TORCHINDUCTOR_CACHE_DIR"):
        assert len({step.environment[key] for step in steps}) == 1
    told = steps[0].environment
    assert told["LITEFT_CUDA_CACHE"] == f"{told['XDG_CACHE_HOME']}/liteft"  # where liteft.load looks
    assert not Path(told["TORCHINDUCTOR_CACHE_DIR"]).is_relative_to(place.arguments.out)  # stays for the next call


def test_tests_learn_few_sizes_and_start_from_memory_that_is_no_number(place: Any) -> None:
    for name in ("exact", "quick", "fused", "tests", "pytest", "memcheck"):
        told = step_of(name, place).environment
        assert (told["LITEFT_CUDA_ROWS"], told["LITEFT_CUDA_POISON"]) == ("1024", "ones")
    for name in ("decisive", "ratios", "kernels"):
        told = step_of(name, place).environment
        assert "LITEFT_CUDA_ROWS" not in told and "LITEFT_CUDA_POISON" not in told
    assert step_of("fused", place).environment["LITEFT_CUDA_FUSE"] == "always"
    assert "LITEFT_CUDA_FUSE" not in step_of("tests", place).environment


def test_kernels_are_held_to_float64_on_the_gpu(place: Any) -> None:
    programs = [Path(command[0]).name for command in step_of("exact", place).commands]
    assert programs == ["test_gpu_rows", "test_gpu_attention", "test_gpu_fused", "test_gpu_int8", "test_gpu_fp8"]


def test_sanitizers_look_at_own_kernels_but_for_what_was_never_written(place: Any) -> None:
    for name in load_script("cuda_steps").SANITIZERS:
        step = step_of(name, place)
        assert all(("kns=liteft" in command) == (name != "initcheck") for command in step.commands)
        assert step.environment["LITEFT_CUDA_POISON"] == ("unfilled" if name == "initcheck" else "ones")
        assert step.environment["LITEFT_CUDA_FUSE"] == "always"  # those that lose the race, too


def test_a_profile_is_of_one_forward_at_the_clocks_as_they_are(place: Any, cuda_steps: ModuleType) -> None:
    step = step_of("ncu", place)
    command = " ".join(step.commands[0])
    assert "--profile-from-start off --clock-control none --set basic" in command and "cuda_forward.py" in command
    (place.arguments.out / "ncu.txt").write_text("==ERROR== ERR_NVGPUCTRPERM - no permission")
    assert step.judge(1, "")[0] == "skipped"
    assert cuda_steps.judge_ncu(0, "==WARNING== No kernels were profiled.")[0] == "failed"
    assert cuda_steps.judge_ncu(1, "")[0] == "failed" and cuda_steps.judge_ncu(0, "")[0] == "passed"


def test_what_wheels_bring_is_found_by_this_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    steps = load_script("cuda_steps")
    needing = steps.Step("it", [["true"]], 5, ("python:brought_by_a_wheel",))
    assert needing.missing()
    (tmp_path / "brought_by_a_wheel.py").touch()
    load_script("cuda_all").use_wheels(tmp_path)
    assert not needing.missing()


def test_where_there_is_a_gpu_a_step_that_has_to_run_and_cannot_has_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cuda_all = load_script("cuda_all")
    monkeypatch.setattr(cuda_all, "find_gpu", lambda: ("a GPU", ""))
    folders = ["--out", str(tmp_path), "--build", str(tmp_path / "none"), "--wheels", str(tmp_path / "none")]
    steps = ["--steps", "quick", "wheels", "kernels"]
    monkeypatch.setattr(sys, "argv", ["cuda_all.py", *folders, "--commit", "abc", *steps])
    assert cuda_all.main() == 1
    steps = {step["name"]: step for step in json.loads((tmp_path / "summary.json").read_text())["steps"]}
    assert steps["quick"]["status"] == "failed" and "required if there is a GPU" in steps["quick"]["reason"]
    assert steps["wheels"]["status"] == steps["kernels"]["status"] == "skipped"
    said = capsys.readouterr().out.splitlines()
    assert json.loads(said[0]) == {"wheels": "skipped", "quick": "failed", "kernels": "skipped"}
    assert said[1].startswith("target") and all("not measured" in line for line in said[2:])  # the table, last


def test_a_later_call_for_the_same_commit_keeps_what_others_have_found(tmp_path: Path) -> None:
    cuda_all = load_script("cuda_all")
    earlier = {"commit": "abc", "gpu": None, "steps": [{"name": "quick"}, {"name": "tests"}]}
    (tmp_path / "summary.json").write_text(json.dumps(earlier))
    (tmp_path / "log.txt").write_text("earlier")
    arguments = Namespace(out=tmp_path, commit="abc", rehearse=False)
    assert cuda_all.new_summary(arguments, "", "none", ["tests"])["steps"] == [{"name": "quick"}]
    assert (tmp_path / "log.txt").read_text() == "earlier"
    arguments.commit = "def"
    assert cuda_all.new_summary(arguments, "", "none", ["tests"])["steps"] == []
    assert (tmp_path / "log.txt").read_text() == ""


def test_each_target_is_judged_by_the_rows_of_one_run(tmp_path: Path) -> None:
    cuda_all = load_script("cuda_all")
    place = {"model": "MiniLM-L6", "order": "sorted", "texts": "sst2", "batch": 256, "tokens": 1000, "calls": 1}
    row = {"contestant": "LiteFT bf16", "device_seconds": 1.0, "host_seconds": 1.0} | place
    (tmp_path / "decisive.json").write_text(json.dumps({"commit": "abc", "rows": [row]}))
    torch = row | {"contestant": "torch graphs fp16", "device_seconds": 3.0}
    (tmp_path / "ratios.json").write_text(json.dumps({"commit": "abc", "rows": [row | {"device_seconds": 2.0}, torch]}))
    name = "sst2, sorted, batch 256, against torch at its best"
    assert cuda_all.targets(tmp_path, "abc")[name]["measured"] == 1.5
    assert cuda_all.targets(tmp_path, "abc")["MiniLM-L6, dense 128, bf16"]["measured"] is None
    assert cuda_all.targets(tmp_path, "def")[name]["measured"] is None  # those rows are another commit's


def test_where_git_is_not_the_commit_has_to_be_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cuda_all = load_script("cuda_all")
    monkeypatch.setattr(cuda_all, "commit", lambda: "unknown")
    monkeypatch.delenv("LITEFT_COMMIT", raising=False)
    monkeypatch.setattr(sys, "argv", ["cuda_all.py", "--out", str(tmp_path)])
    with pytest.raises(SystemExit):
        cuda_all.main()
    assert "LITEFT_COMMIT=SHA" in capsys.readouterr().err


def test_what_holds_the_clocks_down_is_said_in_words() -> None:
    reasons_of = load_script("cuda_gpu").reasons_of
    assert reasons_of(0) == [] and reasons_of(0x1) == ["idle"]
    assert reasons_of(0x4 | 0x40) == ["power cap", "heat, by hardware"]
    assert reasons_of(0x4 | 0x4000) == ["power cap", "unknown 0x4000"]


def test_the_state_of_a_gpu_is_read_from_what_nvidia_smi_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "nvidia-smi"
    script = """#!/bin/sh
case "$*" in
  *clocks_event_reasons*) echo 'Field "clocks_event_reasons.active" is not a valid field to query.'; exit 2;;
  *clocks_throttle_reasons*) echo 0x0000000000000004;;
  *name*) echo 'A GPU, 580.1, 143771 MiB';;
  *) echo '1980, 3201, 1980, 312.50, 700.00, [N/A]';;
esac
"""
    program.write_text(script)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    cuda_gpu = load_script("cuda_gpu")
    found = cuda_gpu.state()
    assert (found["clocks.sm"], found["power.draw"], found["temperature.gpu"]) == (1980.0, 312.5, "[N/A]")
    assert found["held_down_by"] == ["power cap"]
    assert cuda_gpu.find_gpu() == ("A GPU, 580.1, 143771 MiB", "")


def without_gpu(*arguments: str) -> subprocess.CompletedProcess[str]:
    gpu, _ = load_script("cuda_all").find_gpu()
    if gpu:
        pytest.skip(f"there is a GPU: {gpu}")
    command = [sys.executable, *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)


def test_without_a_gpu_every_step_is_skipped_with_the_reason(tmp_path: Path) -> None:
    done = without_gpu("bench/cuda_all.py", "--out", str(tmp_path), "--commit", "abc")
    assert done.returncode == 77, done.stderr
    summary = json.loads((tmp_path / "summary.json").read_text())
    names = load_script("cuda_stepping").NAMES
    assert [step["name"] for step in summary["steps"]] == list(names)
    assert all(step["status"] == "skipped" and step["reason"].startswith("no GPU: ") for step in summary["steps"])
    assert summary["commit"] == "abc" and summary["gpu"] is None and set(summary["tools"]) >= {"nvcc", "g++"}
    assert json.loads(done.stdout.splitlines()[0]) == dict.fromkeys(names, "skipped")


def test_asked_to_go_on_each_step_says_itself_what_it_lacks(tmp_path: Path) -> None:
    steps = ("wheels", "quick", "memcheck", "tests", "kernels")
    build = str(tmp_path / "none")
    folders = ("--out", str(tmp_path), "--build", build, "--wheels", build)
    done = without_gpu("bench/cuda_all.py", *folders, "--anyway", "--steps", *steps)
    assert done.returncode == 77, done.stderr
    reasons = [step["reason"] for step in json.loads((tmp_path / "summary.json").read_text())["steps"]]
    assert reasons[0].startswith("no wheels")
    assert all(build in reasons[place] for place in (1, 3, 4))
    assert "compute-sanitizer" in reasons[2] or build in reasons[2]


def test_without_a_gpu_the_comparison_says_why_and_is_no_success(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="the reason is torch's, too")
    done = without_gpu("bench/cuda_engines.py", "--out", str(tmp_path / "engine.json"))
    assert done.returncode == 77, done.stderr
    found = json.loads((tmp_path / "engine.json").read_text())
    assert found["skipped"].startswith("no GPU: ") and found["rows"] == []
    assert all(target["measured"] is None for target in found["targets"].values())
