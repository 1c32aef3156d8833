"""bench/score_tables.py: the same texts each time, digests that notice a byte, and processes that are found."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import islice
from pathlib import Path
from types import ModuleType

import pyarrow.parquet as pq
import pytest

from tests.bench.conftest import load_script


@pytest.fixture(scope="module")
def tables() -> ModuleType:
    return load_script("score_tables")


def test_tables_hold_the_same_rows_each_time(tables: ModuleType, tmp_path: Path) -> None:
    texts = ["one", "two", "three"]
    for name in ("a", "b"):
        tables.write_table(tmp_path / name, texts, 205, 8)
    found = pq.read_table(tmp_path / "a")
    assert sorted(found.column("id").to_pylist()) == list(range(205))
    assert found.equals(pq.read_table(tmp_path / "b"))
    assert set(" ".join(found.column("text").to_pylist()).split()) == set(texts)
    assert list(islice(tables.drawn(texts, 1), 9)) != list(islice(tables.drawn(texts, 2), 9))


def test_a_digest_notices_names_and_bytes(tables: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(b"one")
    first = tables.digest(tmp_path)
    (tmp_path / "a.parquet").write_bytes(b"two")
    second = tables.digest(tmp_path)
    (tmp_path / "a.parquet").rename(tmp_path / "b.parquet")
    assert len({first, second, tables.digest(tmp_path)}) == 3


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are found in Linux's /proc")
def test_processes_below_this_one_are_found_until_they_end() -> None:
    processes = load_script("score_processes")
    with subprocess.Popen([sys.executable, "-c", "input()  # a child"], stdin=subprocess.PIPE) as child:
        assert [each.pid for each in processes.below(os.getpid()) if "# a child" in each.command] == [child.pid]
        assert processes.is_running(child.pid) and processes.resident_mb(child.pid) is not None
        child.kill()
    assert not processes.is_running(child.pid) and processes.resident_mb(child.pid) is None
