"""Runs the steps of bench/cuda_all.py, and judges their exit status and output."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from machine import ROOT

SKIPPED = 77
SANITIZERS = ("memcheck", "racecheck", "initcheck", "synccheck")
_TAIL = 1500


@dataclass
class Step:
    """Commands to run, and how to judge them.

    Attributes:
        name: of the step.
        commands: run one after the other. In a list of stages, the commands of a stage run in parallel.
        seconds: time limit for all commands together.
        needs: programs that must be installed, Python packages as "python:NAME", and files as "file:PATH".
            "wheels:OPTION" and "rehearsal:PROGRAM" are always missing.
        environment: variables added to those of this process.
        output: a file for the standard output, which otherwise goes to the log.
        judge: returns the status, such as "passed", and the reason, from the exit status and the output.
    """

    name: str
    commands: Sequence[list[str]] | Sequence[list[list[str]]]
    seconds: float
    needs: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    output: Path | None = None
    judge: Callable[[int, str], tuple[str, str]] | None = None

    def missing(self) -> str:
        """Return, in words, the first need that is missing, or ""."""
        for need in self.needs:
            kind, _, name = need.rpartition(":")
            if kind == "python" and importlib.util.find_spec(name) is None:
                return f"the Python package {name} is not installed"
            if kind == "file" and not Path(name).exists():
                return f"{name} does not exist"
            if kind == "rehearsal":
                return f"{name} needs a GPU, which a rehearsal does not have"
            if kind == "wheels":
                return f"no wheels: give {name} a folder that has some"
            if not kind and shutil.which(name) is None:
                return f"{name} is not installed"
        return ""


def run_step(step: Step, seconds: float, log: Path) -> dict[str, Any]:
    """Run a step, append its output to the log, and return its outcome.

    Args:
        step: what to run.
        seconds: how much time is left; with less than 5 seconds the step is skipped.
        log: file for the output of all steps.

    Returns:
        name, status ("passed", "failed", "skipped" or "timed out"), reason, seconds, and, unless it passed, the tail of
        the output.
    """
    outcome: dict[str, Any] = {"name": step.name, "status": "skipped", "reason": step.missing(), "seconds": 0.0}
    if not outcome["reason"] and seconds < 5:
        outcome["reason"] = "time is up"
    if outcome["reason"]:
        return outcome
    begin = time.monotonic()
    allowed = min(step.seconds, seconds)
    texts: list[str] = []
    status = 0
    for stage in step.commands:
        group: list[list[str]] = [stage] if isinstance(stage[0], str) else stage  # type: ignore[list-item]
        for status, text in _run_group(group, step, begin + allowed):
            texts.append(text)
            if status:
                break
        if status:
            break
    outcome["seconds"] = round(time.monotonic() - begin, 1)
    text = "\n".join(texts)
    with log.open("a", encoding="utf-8") as file:
        file.write(f"\n==== {step.name}\n{text}\n")
    if status == TIMED_OUT:
        outcome |= {"status": "timed out", "reason": f"after {allowed:.0f} seconds"}
    elif status == SKIPPED:
        outcome |= {"status": "skipped", "reason": last_line(text, "skipped")}
    elif status:
        outcome |= {"status": "failed", "reason": f"exit status {status}"}
    else:
        outcome |= {"status": "passed", "reason": ""}
    if step.judge is not None and outcome["status"] in ("passed", "failed"):
        outcome["status"], outcome["reason"] = step.judge(status, text)
    if outcome["status"] != "passed":
        outcome["tail"] = text[-_TAIL:]
    return outcome


TIMED_OUT = -1000


def _run_group(commands: list[list[str]], step: Step, end: float) -> list[tuple[int, str]]:
    """Run commands in parallel, as many at once as there are cores, and return the status and output of each."""
    waiting = list(commands)
    found: list[tuple[int, str]] = []
    running: list[tuple[list[str], subprocess.Popen[str], Path]] = []
    while waiting or running:
        while waiting and len(running) < (os.cpu_count() or 1):
            running.append(_start(waiting.pop(0), step, len(found) + len(running)))
        command, process, captured = running.pop(0)
        try:
            status = process.wait(max(0.1, end - time.monotonic()))
        except subprocess.TimeoutExpired:
            status = TIMED_OUT
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        text = captured.read_text(encoding="utf-8", errors="replace")
        captured.unlink()
        found.append((status, f"$ {' '.join(command)}\n{text}"))
        if status:
            for _, each, captured in running:
                os.killpg(each.pid, signal.SIGKILL)
                each.wait()
                captured.unlink()
            return found
    return found


def _start(command: list[str], step: Step, number: int) -> tuple[list[str], subprocess.Popen[str], Path]:
    captured = Path(os.environ.get("TMPDIR", "/tmp")) / f"liteft-step-{os.getpid()}-{number}"
    environment = os.environ | dict(step.environment)
    with captured.open("w", encoding="utf-8") as log:
        out = log if step.output is None else step.output.open("w", encoding="utf-8")
        process = subprocess.Popen(
            command, stdout=out, stderr=log, text=True, cwd=ROOT, env=environment, start_new_session=True
        )
        if out is not log:
            out.close()
    return command, process, captured


def last_line(text: str, word: str) -> str:
    """Return the last line that contains a word, without a leading "word: "; or the last line of all."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    named = [line for line in lines if word in line.lower()]
    return (named or lines or [word])[-1].removeprefix(f"{word}: ")


def judge_pytest(status: int, text: str) -> tuple[str, str]:
    """Judge a run of pytest; if all tests were skipped, it is "skipped" and not "passed"."""
    counts = {word: int(number) for number, word in re.findall(r"(\d+) (passed|failed|error|skipped|deselected)", text)}
    summary = ", ".join(f"{number} {word}" for word, number in counts.items())
    if status not in (0, 5):
        return "failed", summary or f"exit status {status}"
    if not counts.get("passed"):
        return "skipped", summary or "no test ran"
    return "passed", summary


def judge_required_pytest(status: int, text: str) -> tuple[str, str]:
    """Judge a run of pytest on a machine with a GPU, where skipped tests count as failed."""
    found, reason = judge_pytest(status, text)
    return ("failed" if found == "skipped" else found), reason


def judge_sanitizer(status: int, text: str) -> tuple[str, str]:
    """Judge a run of compute-sanitizer; it is "skipped" if the tool does not support the GPU."""
    if "device not supported" in text.lower():
        return "skipped", last_line(text, "device not supported")
    return ("failed", f"exit status {status}") if status else ("passed", "")


def judge_initcheck(status: int, text: str) -> tuple[str, str]:
    """Judge a run of initcheck, in which only reads by LiteFT's own kernels count.

    cublasLt multiplies all rows of a bucket, including unused ones, whose results are never read.
    """
    found, reason = judge_sanitizer(status, text)
    readers = re.findall(r"Uninitialized .*\n=+\s+at (.*)", text)
    if found != "failed" or status != 9 or not readers:
        return found, reason
    own = [reader for reader in readers if "liteft" in reader]
    if own or re.search(r"\b[1-9]\d* failures\b", text) or "print limit" in text.lower():
        return "failed", f"{len(own)} reads by LiteFT's kernels, of {len(readers)} that are shown"
    return "passed", f"{len(readers)} reads, all by cublasLt, of rows without a token"


def judge_ncu(status: int, text: str) -> tuple[str, str]:
    """Judge a run of ncu; it is "skipped" if the driver denies access to the performance counters."""
    if "ERR_NVGPUCTRPERM" in text:
        return "skipped", "the driver lets only administrators read the performance counters"
    if "No kernels were profiled" in text:
        return "failed", "no kernels were profiled"
    return ("failed", f"exit status {status}") if status else ("passed", "")


def mended(text: str) -> Any:
    """Parse JSON whose end may be missing, keeping the complete rows; None if nothing can be read."""
    for ending in ("", "]}", "\n]\n}"):
        try:
            return json.loads(text + ending)
        except json.JSONDecodeError:
            continue
    whole = text.rfind("}")
    return mended(text[: whole + 1] + "]}") if whole > 0 and not text.endswith("}]}") else None


def python(*arguments: str) -> list[str]:
    """Return a command that runs this Python."""
    return [sys.executable, *arguments]
