"""Ranks of one call: what they get, what their failures become, and how they end. They import no torch here."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="training needs the extra 'train'")

import torch

from liteft.errors import ConfigError, DataError, RunError
from liteft.ranks import checked_processes, launch, local_share
from tests.ranks import calls

WAITING = """
import sys
from liteft.ranks import launch
from tests.ranks import calls
launch(calls.waiting, sys.argv[1], processes=2, threads=1, progress=None)
"""


def called(function: Callable[..., None], *arguments: Any, threads: int | None = 2, progress: Any = None) -> None:
    launch(function, *arguments, processes=2, threads=threads, progress=progress)


def test_each_rank_gets_an_equal_share_of_the_threads_and_the_first_tells(tmp_path: Path) -> None:
    lines: list[str] = []
    called(calls.told, str(tmp_path), threads=6, progress=lines.append)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"rank-0": "2 3 3", "rank-1": "2 3 3"}
    assert lines == ["first", "second"]


def test_what_progress_raises_is_raised_once_the_ranks_have_ended(tmp_path: Path) -> None:
    def closed(_line: str) -> None:
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        called(calls.told, str(tmp_path), progress=closed)
    assert len(list(tmp_path.iterdir())) == 2


def test_an_error_of_any_rank_is_raised_as_it_is_and_ends_the_others() -> None:
    started = time.monotonic()
    with pytest.raises(DataError, match="a row has no label") as caught:
        called(calls.refused)
    assert caught.value.accepted == {"label": "red or blue"} and caught.value.fix == ("give it one",)
    assert time.monotonic() - started < 30


def test_an_unexpected_error_keeps_its_class_and_the_traceback_of_its_rank() -> None:
    with pytest.raises(ZeroDivisionError, match="in rank") as caught:
        called(calls.broken)
    assert "tests/ranks/calls.py" in str(caught.value.__cause__)


def test_a_killed_rank_is_the_cause_and_not_what_the_others_fail_with() -> None:
    with pytest.raises(RunError, match=r"process 2 of 2 was killed by SIGKILL; the others were ended") as caught:
        called(calls.killed)
    assert "memory" in caught.value.accepted["often"]
    assert [str(hint) for hint in caught.value.fix][1] == "processes=1"


def test_a_rank_that_ends_without_an_error_says_its_last_line() -> None:
    with pytest.raises(RunError, match="process 2 of 2 ended with status 7") as caught:
        called(calls.left)
    assert caught.value.accepted == {"its last line": "undefined symbol"}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_rank_outlives_a_signal_to_the_process_that_started_it(tmp_path: Path, number: signal.Signals) -> None:
    process = subprocess.Popen([sys.executable, "-c", WAITING, str(tmp_path)], stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while len(list(tmp_path.glob("pid-*"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.2)  # the second may not wait yet
    ranks = [int(path.read_text()) for path in tmp_path.glob("pid-*")]
    assert len(ranks) == 2
    process.send_signal(number)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == -number
    assert ("KeyboardInterrupt" in said) == (number == signal.SIGINT)
    while any(Path(f"/proc/{rank}").exists() for rank in ranks) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(Path(f"/proc/{rank}").exists() for rank in ranks)
    assert len(list(tmp_path.glob("cleaned-*"))) == 2


def test_a_callback_of_the_script_itself_is_refused_before_anything_is_started() -> None:
    kind = type("Mine", (), {"__module__": "__main__"})
    with pytest.raises(ConfigError, match="Mine cannot be sent to other processes: it is defined in the script itself"):
        launch(calls.told, processes=2, threads=1, progress=None, callbacks=[kind()])
    with pytest.raises(ConfigError, match="the arguments cannot be sent to other processes"):
        launch(calls.told, (text for text in "ab"), processes=2, threads=1, progress=None)


def test_processes_are_refused_where_they_cannot_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    assert checked_processes(1) == 1 and checked_processes(3) == 3
    with pytest.raises(ConfigError, match="processes must be a positive integer, got 0"):
        checked_processes(0)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert checked_processes(2) == 2
    with pytest.raises(ConfigError, match="3 processes need a GPU each, and this machine has 2"):
        checked_processes(3)
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert checked_processes(1) == 1
    with pytest.raises(ConfigError, match="in a process that torchrun"):
        checked_processes(2)


def test_a_rank_takes_its_share_of_the_threads_and_one_at_least(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (local_share(8), local_share(None)) == (8, None)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "3")
    assert (local_share(8), local_share(2), local_share(None)) == (2, 1, None)


def test_signals_are_handled_as_before_once_the_ranks_have_ended(tmp_path: Path) -> None:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    called(calls.told, str(tmp_path))
    assert {number: signal.getsignal(number) for number in before} == before
    assert not {"RANK", "WORLD_SIZE"} & set(os.environ)


@pytest.mark.parametrize("given", ["loss", "metrics"])
def test_a_function_of_the_script_itself_is_refused_before_anything_is_started(given: str) -> None:
    def focal() -> None: ...

    focal.__module__, focal.__qualname__ = "__main__", "focal"
    value = focal if given == "loss" else {"mine": focal}
    with pytest.raises(
        ConfigError, match="focal cannot be sent to other processes: it is defined in the script"
    ) as caught:
        launch(print, processes=2, threads=None, progress=None, **{given: value})  # type: ignore[arg-type]
    assert "callbacks, metrics, loss" in caught.value.accepted
