"""liteft score: parts, resuming, units that were set aside, and the plan."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pyarrow", reason="parts are Parquet files")

import pyarrow.parquet as pq

from liteft.artifact import Artifact


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    """A folder of two csv files of 40 rows."""
    (tmp_path / "lake").mkdir()
    for name in ("a", "b"):
        rows = [f"{name}{n},text number {n}\n" for n in range(40)]
        (tmp_path / "lake" / f"{name}.csv").write_text("id,text\n" + "".join(rows))
    return tmp_path / "lake"


def test_tables_become_parts_and_the_same_command_resumes(
    call: Any, artifact: Artifact, lake: Path, tmp_path: Path
) -> None:
    words = ["score", artifact.path, lake, "--out", tmp_path / "out", "--keep", "id", "--unit-bytes", "400"]
    called = call(*words, "--json")
    assert called.status == 0, called.err
    assert (called.document["rows"], called.document["failed"]) == (80, [])
    assert "reads the column 'text' of 2 files" in called.err and " units, " in called.err
    table = pq.read_table(tmp_path / "out")
    assert table.column_names == ["id", "prediction", "score"] and len(table) == 80
    again = call(*words)
    assert again.status == 0 and "80 rows, 80 from an earlier run" in again.out


def test_units_that_are_set_aside_end_in_status_3(call: Any, artifact: Artifact, lake: Path, tmp_path: Path) -> None:
    with open(lake / "b.csv", "a") as file:
        file.write("b40,one,too many\n")
    called = call("score", artifact.path, lake, "--out", tmp_path / "out", "-q")
    assert called.status == 3
    assert "1 of 2 parts, 40 rows" in called.out and "b.csv, line 42 has 3 fields" in called.out
    assert "try: --delimiter tab" in called.out


def test_a_plan_scores_nothing(call: Any, artifact: Artifact, lake: Path, tmp_path: Path) -> None:
    called = call("score", artifact.path, lake / "*.csv", "--out", tmp_path / "out", "--plan", "--unit-rows", "10")
    assert called.status == 0, called.err
    assert "units of 2 files" in called.out and " hours: " in called.out
    assert not (tmp_path / "out").exists()


def test_mistakes_name_flags(call: Any, artifact: Artifact, lake: Path, tmp_path: Path) -> None:
    called = call("score", artifact.path, lake, "--out", tmp_path / "out", "--engine", "rey")
    assert called.status == 2 and "try: --engine ray" in called.err
    called = call("score", artifact.path, lake, "--out", tmp_path / "out", "--keep", "nr")
    assert called.status == 1 and "has no column 'nr'" in called.err
    called = call("score", artifact.path, lake, "--out", tmp_path / "out", "--on-error", "skip")
    assert called.status == 2 and "--on-error must be raise or null" in called.err
    assert call("score", artifact.path, lake, "--out", tmp_path / "out").status == 0
    called = call("score", artifact.path, lake, "--out", tmp_path / "out", "--top-k", "2")
    assert called.status == 1 and "--overwrite, to remove these parts" in called.err
