"""Tables and parts behind URLs, by fsspec: the same rows as on a disk."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from liteft.bulk import score
from liteft.errors import DataError, MissingExtraError, RunError
from liteft.runtime import Classifier
from tests.modules import module_of

fsspec = pytest.importorskip("fsspec", reason="URLs need the extra 'score'")
conftest = module_of("bulk")
write_table, table_rows, scored_rows = conftest.write_table, conftest.table_rows, conftest.scored_rows


@pytest.fixture
def memory() -> Iterator[Any]:
    """The file system of memory://, empty."""
    system = fsspec.filesystem("memory")
    system.store.clear()
    yield system
    system.store.clear()


def rows_in(memory: Any, folder: str) -> list[dict[str, Any]]:
    names = sorted(name for name in memory.ls(folder, detail=False) if name.endswith(".parquet"))
    return [row for name in names for row in pq.read_table(io.BytesIO(memory.cat(name))).to_pylist()]


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".jsonl", ".json.gz"])
def test_tables_behind_urls_give_the_rows_of_tables_on_the_disk(
    tmp_path: Path, classifier: Classifier, memory: Any, suffix: str
) -> None:
    if suffix == ".json.gz":
        import gzip
        import json

        here = tmp_path / f"in{suffix}"
        here.write_bytes(gzip.compress(json.dumps(table_rows(60)).encode()))
    else:
        here = write_table(tmp_path / f"in{suffix}", table_rows(60))
    memory.pipe(f"/lake/in{suffix}", here.read_bytes())
    score(classifier, here, tmp_path / "out", unit_bytes=700)
    done = score(classifier, "memory://lake/", "memory://scored/out/", unit_bytes=700)
    assert done.rows == 60
    assert rows_in(memory, "/scored/out") == scored_rows(tmp_path / "out")
    assert score(classifier, "memory://lake/*", "memory://scored/out", unit_bytes=700).resumed == 60
    memory.pipe(memory.ls("/scored/out", detail=False)[0], b"torn")
    again = score(classifier, "memory://lake", "memory://scored/out", unit_bytes=700)
    assert again.rows == 60 and again.resumed < 60
    assert rows_in(memory, "/scored/out") == scored_rows(tmp_path / "out")


def test_parts_of_something_else_behind_a_url_are_refused(classifier: Classifier, memory: Any) -> None:
    memory.pipe("/lake/a.csv", b"text\na\n")
    score(classifier, "memory://lake/a.csv", "memory://scored")
    with pytest.raises(RunError, match="has 1 part of something else"):
        score(classifier, "memory://lake/a.csv", "memory://scored", top_k=1)
    assert score(classifier, "memory://lake/a.csv", "memory://scored", top_k=1, overwrite=True).rows == 1
    assert len(rows_in(memory, "/scored")) == 1


def test_long_first_lines_are_read_whole(classifier: Classifier, memory: Any) -> None:
    memory.pipe("/lake/a.jsonl", b'{"text": "' + b"word " * 300_000 + b'"}\n{"text": "b"}\n')
    assert score(classifier, "memory://lake/a.jsonl", "memory://scored").rows == 2


def test_file_urls_are_paths(tmp_path: Path, classifier: Classifier) -> None:
    write_table(tmp_path / "a.csv", table_rows(5))
    done = score(classifier, f"file://{tmp_path}/a.csv", f"file://{tmp_path}/out")
    assert done.out == str(tmp_path / "out") and len(scored_rows(tmp_path / "out")) == 5


def test_what_is_missing_is_said(
    tmp_path: Path, classifier: Classifier, memory: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DataError, match=r"memory://lake/none\.csv cannot be listed"):
        score(classifier, "memory://lake/none.csv", tmp_path / "out")
    with pytest.raises(DataError, match=r"nowhere://lake/a\.csv cannot be opened"):
        score(classifier, "nowhere://lake/a.csv", tmp_path / "out")
    monkeypatch.setitem(sys.modules, "fsspec.core", None)
    with pytest.raises(MissingExtraError, match="needs fsspec"):
        score(classifier, "s3://lake/a.csv", tmp_path / "out")
