"""What the stored results say of how they were made: the command, without the paths of the machine."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.bench.conftest import ROOT, load_script

RESULTS = sorted((ROOT / "bench" / "results").rglob("*.json"))
OWN_PATH = re.compile(r"[\s\"'=](?:/(?:work|root|home|Users|tmp|mnt|opt)/[^\s\"']*)")


def test_there_are_results_to_look_at() -> None:
    assert len(RESULTS) > 20


@pytest.mark.parametrize("path", RESULTS, ids=[path.stem for path in RESULTS])
def test_no_result_names_a_folder_of_the_machine(path: Path) -> None:
    assert OWN_PATH.findall(path.read_text(encoding="utf-8")) == []


def test_a_command_keeps_the_last_two_names_of_a_path() -> None:
    line = load_script("machine").command_line(
        "bench/peers.py", ["--data", "/some/where/data/sst2", "--model=/some/runs/teacher", "--sets", "sst2", "a/b/c"]
    )
    assert line == "python bench/peers.py --data data/sst2 --model=runs/teacher --sets sst2 a/b/c"
