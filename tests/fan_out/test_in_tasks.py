"""Calls as Ray tasks: what they get, what comes out of them, and how they end. They import no torch here."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from liteft.errors import ConfigError, DataError, DeviceError, MissingExtraError, RunError
from liteft.fan_out import Call, checked_engine, in_tasks
from liteft.privacy import hide_texts
from tests.fan_out import calls


def made(
    function: Callable[..., Any], shared: tuple[Any, ...], count: int, out: Path, progress: Any = None, threads: int = 1
) -> list[Any]:
    asked = [Call(f"call{number}", function, (number,)) for number in range(count)]
    return in_tasks(asked, shared, threads=threads, gpus=0, out=out, progress=progress or (lambda _line: None))


def test_values_and_errors_come_back_in_order_and_lines_say_whose_they_are(two_workers: None, tmp_path: Path) -> None:
    lines: list[str] = []
    found = made(calls.described, ("text ",), 4, tmp_path, lines.append)
    values = [each for each in found if not isinstance(each, Exception)]
    assert values == [{"value": f"text {n}", "threads": "1", "folder": str(Path.cwd())} for n in (0, 1, 3)]
    assert type(found[2]) is DataError and found[2].accepted == {"label": "red or blue"}
    assert lines[0] == "ray: 4 tasks of 1 threads; nodes: 1, CPUs: 2"
    assert sorted(lines[1:]) == [f"call{number}: number {number}" for number in range(4)]


def test_a_task_hides_texts_where_its_driver_does(two_workers: None, tmp_path: Path) -> None:
    with hide_texts():
        hidden = made(calls.hides, ("",), 1, tmp_path)
    assert "private" not in hidden[0]
    assert "private" in made(calls.hides, ("",), 1, tmp_path)[0]


def test_a_task_takes_as_many_cpus_as_it_has_threads(two_workers: None, tmp_path: Path) -> None:
    (found,) = made(calls.described, ("",), 1, tmp_path, threads=2)
    assert found["threads"] == "2"
    with pytest.raises(DeviceError, match="a task of 3 threads fits on no node") as caught:
        made(calls.described, ("",), 1, tmp_path, threads=3)
    assert caught.value.accepted == {"CPUs of its largest node": "2"} and str(caught.value.fix[0]) == "threads=2"


@pytest.mark.slow
def test_a_task_whose_worker_was_killed_is_started_again(two_workers: None, tmp_path: Path) -> None:
    assert made(calls.killed_once, (tmp_path,), 2, tmp_path) == ["xx", "xx"]


@pytest.mark.slow
def test_a_task_that_is_lost_again_and_again_is_an_error(two_workers: None, tmp_path: Path) -> None:
    (lost,) = in_tasks(
        [Call("call", calls.killed_always)], (), threads=1, gpus=0, out=tmp_path, progress=lambda _line: None
    )
    assert isinstance(lost, RunError) and "the task of call was lost 4 times" in str(lost) and len(lost.fix) == 2


def test_a_folder_that_a_node_does_not_see_is_an_error(two_workers: None, tmp_path: Path) -> None:
    (found,) = made(calls.described, ("",), 1, tmp_path / "elsewhere")
    assert isinstance(found, RunError) and "does not see" in str(found) and "same path" in str(found)


def test_an_interrupt_ends_all_tasks(two_workers: None, tmp_path: Path) -> None:
    seen: list[str] = []

    def interrupted(line: str) -> None:
        seen.append(line)
        if len([each for each in seen if each.endswith("waits")]) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        made(calls.waiting, (tmp_path,), 2, tmp_path, interrupted)
    assert {path.name for path in tmp_path.iterdir()} == {"cleaned-0", "cleaned-1"}


def test_engines_that_cannot_be_used_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert checked_engine("local", processes=2) == "local" and checked_engine("ray") == "ray"
    with pytest.raises(ConfigError, match="the engine 'dask' does not run trainings"):
        checked_engine("dask")
    with pytest.raises(ConfigError, match="a Ray task trains in one process, and processes=2 was requested"):
        checked_engine("ray", processes=2)
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match="the engine ray needs Ray") as caught:
        checked_engine("ray")
    assert "ray" in str(caught.value.fix[0])
