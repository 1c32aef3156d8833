"""bench/checkouts.py: what a row says of two checkouts, and that each process imports its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.bench.conftest import load_script

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def checkouts() -> ModuleType:
    return load_script("checkouts")


class Told:
    """A side whose passes take what it was told."""

    def __init__(self, seconds: list[float], logit: float, calls: list[str], name: str) -> None:
        self._seconds, self._logit, self._calls, self._name = iter(seconds), logit, calls, name

    def ask(self, what: str, **_given: Any) -> Any:
        if what == "logits":
            return [[self._logit, 0.0]]
        self._calls.append(self._name)
        return next(self._seconds)


def test_a_row_holds_the_median_of_the_rounds_ratios_and_how_far_results_lie_apart(checkouts: ModuleType) -> None:
    calls: list[str] = []
    sides = {
        "before": Told([9.0, 1.0, 2.0, 4.0], 0.5, calls, "before"),
        "after": Told([9.0, 2.0, 2.0, 2.0], 0.75, calls, "after"),
    }
    row = checkouts.timed(sides, ["a"] * 10, 32, 3)
    assert row["after_over_before"] == 1.0  # of 0.5, 1 and 2: the pass before them is not timed
    assert row["middle_half"] == [0.5, 2.0]
    assert (row["before_texts_per_second"], row["after_texts_per_second"]) == (5.0, 5.0)
    assert row["logit_difference"] == 0.25


def test_who_is_first_changes_from_round_to_round(checkouts: ModuleType) -> None:
    calls: list[str] = []
    sides = {name: Told([1.0] * 3, 0.0, calls, name) for name in ("before", "after")}
    checkouts.timed(sides, ["a"], 1, 2)
    assert calls == ["after", "before", "before", "after", "after", "before"]


def test_a_process_that_would_import_another_checkout_ends_with_both_paths(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "bench/checkouts.py"), "--serve", str(tmp_path), str(tmp_path / "models")],
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
        input="",
    )
    assert done.returncode
    assert f"instead of {tmp_path}" in done.stderr
