"""Fixtures of the tests of scored tables: a tiny artifact, its classifier, and tables of every format."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from liteft.artifact import Artifact
from liteft.runtime import Classifier, load
from tests.modules import module_of

TEXTS = ["great service", "the parcel is late", "", "please refund\nthe second payment", 'app, "4.2"', "naïve café 包"]


def table_rows(count: int) -> list[dict[str, Any]]:
    """Rows of an id and a text; half of the texts occur several times."""
    return [{"id": n, "text": TEXTS[n % len(TEXTS)] + (f" {n}" if n % 2 else "")} for n in range(count)]


def write_table(path: Path, rows: Sequence[dict[str, Any]], *, group: int = 10) -> Path:
    """Write rows as the file's ending says."""
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(list(rows)), path, row_group_size=group)
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    elif path.suffix == ".txt":
        path.write_text("".join(row["text"].replace("\n", " ") + "\n" for row in rows), encoding="utf-8")
    else:
        with open(path, "w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, delimiter="\t" if path.suffix == ".tsv" else ",", quoting=csv.QUOTE_ALL)
            writer.writerow(rows[0])
            writer.writerows(row.values() for row in rows)
    return path


def parts_of(folder: Path) -> dict[str, bytes]:
    """The parts in a folder: name -> bytes."""
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.parquet"))}


def scored_rows(folder: Path) -> list[dict[str, Any]]:
    """The rows of all parts, in the order of their names."""
    return [row for path in sorted(folder.glob("*.parquet")) for row in pq.read_table(path).to_pylist()]


@pytest.fixture(scope="session")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """A single-label artifact of four labels. Not to be changed."""
    return module_of("runtime", "tiny.py").write_artifact(tmp_path_factory.mktemp("artifacts") / "single")


@pytest.fixture(scope="session")
def classifier(artifact: Artifact) -> Iterator[Classifier]:
    """A classifier over ``artifact``, shared by all tests of the session."""
    with load(artifact.path, threads=1) as loaded:
        yield loaded
