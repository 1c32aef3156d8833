"""What other processes take while models are timed, and that figures of a busy machine are marked."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from liteft.report.load import Load, watching
from liteft.report.result import Comparison

BURN = "import time; end = time.time() + 2\nwhile time.time() < end: pass"


@pytest.mark.serial
@pytest.mark.skipif(not Path("/proc/stat").is_file(), reason="processor time is read from /proc")
@pytest.mark.parametrize("own", [False, True])
def test_the_time_of_others_is_measured_and_that_of_ones_own_is_not(own: bool) -> None:
    with subprocess.Popen([sys.executable, "-c", BURN]) as burning:
        with watching([]) as every, watching([burning.pid] if own else []) as watch:
            time.sleep(0.6)
        burning.kill()
    assert watch.load is not None and every.load is not None
    assert watch.load.others is not None and every.load.others is not None
    assert every.load.others > 0.1
    if own:
        assert watch.load.others < every.load.others - 0.1


def test_a_system_that_tells_nothing_is_judged_by_its_queue(tmp_path: Path) -> None:
    with watching([], stat=tmp_path / "stat") as watch:
        pass
    assert watch.load is not None and watch.load.others is None
    assert Load(2, None, 4.0).busy and not Load(8, None, 0.5).busy


@pytest.mark.parametrize(("others", "busy"), [(0.05, False), (0.19, False), (1.4, True)])
def test_a_machine_is_busy_when_a_tenth_of_it_is_taken(others: float, busy: bool) -> None:
    assert Load(2, others, 9.0).busy is busy


TWO = (("teacher", 0.9, 12.5, 80.0), ("artifact", 0.89, 0.05, 20.0))


def test_speeds_of_a_busy_machine_are_marked_as_unreliable(invented: Callable[..., Comparison]) -> None:
    busy = invented(*TWO, load=Load(2, 1.4, 3.0))
    for text in (busy.render(), busy.to_markdown()):
        assert "~12.5" in text and "~0.05" in text and "~100" in text
        assert "other processes kept 1.4 of 2 cores busy during the timing. These speeds are unreliable" in text
    assert busy.to_dict()["load"] == {"cores": 2, "others": 1.4, "queue": 3.0, "busy": True}
    assert busy.to_dict()["speeds_in_doubt"] == busy.doubt


def test_speeds_of_a_quiet_machine_are_not(invented: Callable[..., Comparison]) -> None:
    quiet = invented(*TWO, load=Load(2, 0.02, 0.1))
    assert "~" not in quiet.render() and quiet.to_dict()["speeds_in_doubt"] is None


def test_rounds_that_lie_far_apart_are_marked_too(invented: Callable[..., Comparison]) -> None:
    steady = invented(*TWO, load=Load(2, 0.02, 0.1))
    speed = steady.models[1].speed
    assert speed is not None
    uneven = replace(speed, rounds=((0.05, 0.1, 100.0), (0.09, 0.2, 50.0)))
    models = (steady.models[0], replace(steady.models[1], speed=uneven))
    assert replace(steady, models=models).doubt == "the rounds of artifact differ by 80% of its p50"
