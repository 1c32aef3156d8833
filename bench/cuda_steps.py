"""The steps of bench/cuda_all.py: what each runs, what it needs, and what its output means."""

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
    """One thing to do.

    Attributes:
        name: of the step.
        commands: one after the other; in a list of lists, those of a stage at a time.
        seconds: at most, for all of them.
        needs: programs that must be found, Python packages as "python:NAME", files as "file:PATH"; "wheels:OPTION" and
            "rehearsal:PROGRAM" are never there.
        environment: beside the process's own.
        output: a file that gets the standard output, apart from the log.
        judge: says from the exit status and the output what came of it: "passed", or why not.
    """

    name: str
    commands: Sequence[list[str]] | Sequence[list[list[str]]]
    seconds: float
    needs: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    output: Path | None = None
    judge: Callable[[int, str], tuple[str, str]] | None = None

    def missing(self) -> str:
        """Return what is not there of what the step needs, or ""."""
        for need in self.needs:
            kind, _, name = need.rpartition(":")
            if kind == "python" and importlib.util.find_spec(name) is None:
                return f"the Python package {name} is not installed"
            if kind == "file" and not Path(name).exists():
                return f"there is no {name}"
            if kind == "rehearsal":
                return f"a rehearsal has no GPU for {name} to watch"
            if kind == "wheels":
                return f"no wheels: {name} names no folder that has some"
            if not kind and shutil.which(name) is None:
                return f"{name} is not installed"
        return ""


def run_step(step: Step, seconds: float, log: Path) -> dict[str, Any]:
    """Run a step and return what came of it; its output is added to the log.

    Args:
        step: what to run.
        seconds: that are left for everything. None are: the step is skipped.
        log: of all steps.
    """
    said: dict[str, Any] = {"name": step.name, "status": "skipped", "reason": step.missing(), "seconds": 0.0}
    if not said["reason"] and seconds < 5:
        said["reason"] = "time is up"
    if said["reason"]:
        return said
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
    said["seconds"] = round(time.monotonic() - begin, 1)
    text = "\n".join(texts)
    with log.open("a", encoding="utf-8") as file:
        file.write(f"\n==== {step.name}\n{text}\n")
    if status == TIMED_OUT:
        said |= {"status": "timed out", "reason": f"after {allowed:.0f} seconds"}
    elif status == SKIPPED:
        said |= {"status": "skipped", "reason": last_line(text, "skipped")}
    elif status:
        said |= {"status": "failed", "reason": f"exit status {status}"}
    else:
        said |= {"status": "passed", "reason": ""}
    if step.judge is not None and said["status"] in ("passed", "failed"):
        said["status"], said["reason"] = step.judge(status, text)
    if said["status"] != "passed":
        said["tail"] = text[-_TAIL:]
    return said


TIMED_OUT = -1000


def _run_group(commands: list[list[str]], step: Step, end: float) -> list[tuple[int, str]]:
    """Run commands side by side, as many as there are cores, and return status and output of each."""
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
    """Return the last line that has a word, without what stands before its colon; or the last line."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    named = [line for line in lines if word in line.lower()]
    return (named or lines or [word])[-1].removeprefix(f"{word}: ")


def judge_pytest(status: int, text: str) -> tuple[str, str]:
    """Tests that were all skipped have not passed."""
    counts = {word: int(number) for number, word in re.findall(r"(\d+) (passed|failed|error|skipped|deselected)", text)}
    summary = ", ".join(f"{number} {word}" for word, number in counts.items())
    if status not in (0, 5):
        return "failed", summary or f"exit status {status}"
    if not counts.get("passed"):
        return "skipped", summary or "no test ran"
    return "passed", summary


def judge_required_pytest(status: int, text: str) -> tuple[str, str]:
    """Where there is a GPU, tests that do not find it have failed."""
    found, reason = judge_pytest(status, text)
    return ("failed" if found == "skipped" else found), reason


def judge_sanitizer(status: int, text: str) -> tuple[str, str]:
    """A sanitizer that does not know the GPU has said nothing of the program."""
    if "device not supported" in text.lower():
        return "skipped", last_line(text, "device not supported")
    return ("failed", f"exit status {status}") if status else ("passed", "")


def judge_initcheck(status: int, text: str) -> tuple[str, str]:
    """Reads by LiteFT's own kernels count.

    cublasLt multiplies all rows of a bucket, those too that no text has; what comes of them is never looked at.
    """
    found, reason = judge_sanitizer(status, text)
    readers = re.findall(r"Uninitialized .*\n=+\s+at (.*)", text)
    if found != "failed" or status != 9 or not readers:
        return found, reason
    own = [reader for reader in readers if "liteft" in reader]
    if own or re.search(r"\b[1-9]\d* failures\b", text) or "print limit" in text.lower():
        return "failed", f"{len(own)} reads by kernels of LiteFT's, of {len(readers)} that are shown"
    return "passed", f"{len(readers)} reads, all by cublasLt, of rows that no text has"


def judge_ncu(status: int, text: str) -> tuple[str, str]:
    """A profiler that the driver does not let at its counters has nothing to say."""
    if "ERR_NVGPUCTRPERM" in text:
        return "skipped", "the driver lets only administrators at the performance counters"
    if "No kernels were profiled" in text:
        return "failed", "no kernels were profiled"
    return ("failed", f"exit status {status}") if status else ("passed", "")


def mended(text: str) -> Any:
    """Return JSON whose end may be missing: rows that are whole are kept. None where nothing can be read."""
    for ending in ("", "]}", "\n]\n}"):
        try:
            return json.loads(text + ending)
        except json.JSONDecodeError:
            continue
    whole = text.rfind("}")
    return mended(text[: whole + 1] + "]}") if whole > 0 and not text.endswith("}]}") else None


def python(*arguments: str) -> list[str]:
    """Return a command of this Python."""
    return [sys.executable, *arguments]
