"""Files to data sets: the bundled requests again and again, each with a number so that none is a duplicate."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import pytest
from micro_texts import requests

import liteft

ROWS = 20_000


def rows() -> list[dict[str, str]]:
    """Return the rows of a file."""
    again = islice(cycle(requests()), ROWS)
    return [{"text": f"{row['text']} ({number})", "label": row["label"]} for number, row in enumerate(again)]


def write(file: Path) -> Path:
    """Write the rows in the format that the file's name says."""
    if file.suffix == ".csv":
        with file.open("w", encoding="utf-8", newline="") as out:
            writer = csv.DictWriter(out, ["text", "label"])
            writer.writeheader()
            writer.writerows(rows())
    elif file.suffix == ".jsonl":
        file.write_text("".join(json.dumps(row) + "\n" for row in rows()), encoding="utf-8")
    else:
        arrow = pytest.importorskip("pyarrow", reason="the extra 'parquet' installs pyarrow")
        parquet = pytest.importorskip("pyarrow.parquet")
        parquet.write_table(arrow.Table.from_pylist(rows()), file)
    return file


@pytest.mark.benchmark(group="data")
@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
def test_load_dataset(timed: Callable[..., Any], tmp_path: Path, form: str) -> None:
    file = write(tmp_path / f"reviews.{form}")
    dataset = timed(lambda: liteft.load_dataset(file), rows=ROWS)
    assert sum(len(split) for split in dataset.splits.values()) == ROWS
