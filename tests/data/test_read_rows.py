"""Streaming rows: every format, in order, from any row on, in bounded memory."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from liteft.data import load_texts, load_unlabeled, read_rows
from liteft.errors import DataError

Write = Callable[..., Path]
ROWS: list[dict[str, Any]] = [{"id": str(number), "text": f'text "{number}"\nwith a line'} for number in range(25)]


def _file(tmp_path: Path, kind: str) -> Path:
    path = tmp_path / f"a.{kind}"
    if kind == "parquet":
        pq.write_table(pa.Table.from_pylist(ROWS), path, row_group_size=7)
    elif kind == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n\n" for row in ROWS))
    elif kind == "json":
        path.write_text(json.dumps(ROWS))
    else:
        mark = "," if kind == "csv" else "\t"
        lines = ['"{}"{}"{}"'.format(row["id"], mark, row["text"].replace('"', '""')) for row in ROWS]
        path.write_text(f"id{mark}text\n" + "\n".join(lines))
    return path


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl", "json", "parquet"])
@pytest.mark.parametrize("start", [0, 1, 6, 7, 13, 14, 24, 25, 99])
def test_rows_come_in_order_from_any_row_on(tmp_path: Path, kind: str, start: int) -> None:
    rows = read_rows(_file(tmp_path, kind), start=start)
    assert list(rows) == list(enumerate(ROWS))[start:]
    assert rows.columns == ("id", "text")
    assert rows.total == (25 if kind in ("json", "parquet") else None)


@pytest.mark.parametrize(
    ("kind", "place"), [("csv", "line 6"), ("tsv", "line 6"), ("jsonl", "line 5"), ("parquet", "row 3")]
)
def test_the_place_of_the_last_row_is_known(tmp_path: Path, kind: str, place: str) -> None:
    path = _file(tmp_path, kind)
    rows = read_rows(path, start=2)
    next(rows)
    assert rows.where == f"{path}, {place}"


def test_plain_text_has_one_text_a_line(write: Write) -> None:
    path = write("a.txt", "one\r\n\n two\u2028three \nlast")
    assert [row["text"] for _, row in read_rows(path)] == ["one", "", " two\u2028three ", "last"]
    assert list(read_rows(path, start=3)) == [(3, {"text": "last"})]
    assert read_rows(path).file.format == "txt"


def test_original_columns_are_kept(write: Write) -> None:
    path = write("a.jsonl", [{"text": "a", "meta": {"x": [1, None]}, "score": 0.5}])
    assert list(read_rows(path)) == [(0, {"text": "a", "meta": {"x": [1, None]}, "score": 0.5})]


@pytest.mark.parametrize("kind", ["csv", "jsonl", "txt", "parquet"])
def test_memory_stays_bounded(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"big.{kind}"
    text = "x" * 200
    if kind == "parquet":
        pq.write_table(pa.table({"text": [text] * 60_000}), path, row_group_size=5000)
    else:
        line = {"csv": text, "jsonl": json.dumps({"text": text}), "txt": text}[kind]
        path.write_text(("text\n" if kind == "csv" else "") + f"{line}\n" * 60_000)
    count = sum(1 for _ in read_rows(path, start=100))  # imports and first buffers
    tracemalloc.start()
    count = sum(1 for _ in read_rows(path))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 60_000 and peak < 4_000_000


def test_texts_without_labels_from_any_file(write: Write, tmp_path: Path) -> None:
    assert load_texts(write("a.txt", "one\n\n  \ntwo\n")) == ["one", "two"]
    assert load_texts(write("a.csv", "id,text\n1,one\n2,\n3,two\n")) == ["one", "two"]
    assert load_texts(write("b.csv", "whatever\none\ntwo\n")) == ["one", "two"]
    assert load_texts(write("a.jsonl", [{"body": "one", "x": 1}, {"body": None}]), text="body") == ["one"]
    assert load_texts(_file(tmp_path, "parquet"), text="id") == [row["id"] for row in ROWS]
    assert load_texts(["one", "", "two"]) == ["one", "two"]
    assert load_texts({"text": ["one", "two"]}) == ["one", "two"]


def test_a_folder_gives_all_files_but_those_that_are_scored(write: Write) -> None:
    for name in ("train", "dev", "test", "pool"):
        write(f"d/{name}.jsonl", [{"text": name, "label": 1}])
    folder = write("d/more.txt", "plain\n").parent
    assert load_texts(folder) == ["plain", "pool", "train"]
    for name in ("train.jsonl", "pool.jsonl", "more.txt"):
        (folder / name).unlink()
    assert load_texts(folder) == ["dev", "test"]


def test_unlabelled_pairs_keep_their_places(write: Write) -> None:
    write("d/a.jsonl", [{"text": "one", "text_b": "two"}, {"text": "", "text_b": None}])
    folder = write("d/b.jsonl", [{"text": "three", "text_b": "four"}]).parent
    split = load_unlabeled(folder)
    assert (split.texts, split.pairs, split.labels) == (["one", "three"], ["two", "four"], None)
    assert split.where(1).endswith("b.jsonl, line 1")
    assert load_unlabeled(folder, pair="").pairs is None
    assert load_texts(folder) == ["one", "three"]


def test_pairs_in_some_files_only(write: Write) -> None:
    write("d/a.jsonl", [{"text": "one", "text_b": "two"}])
    with pytest.raises(DataError, match="some files contain text pairs"):
        load_unlabeled(write("d/b.txt", "three\n").parent)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "a,b,c\n1,2,3\n", "the column names do not say which one holds the text"),
        ("a.txt", "x" * 100_001, r"a\.txt, line 1: a text of 100,001 characters"),
        ("a.txt", "", "holds no rows"),
        ("a.txt", "\n\n", "no row is left"),
        ("a.txt", b"caf\xe9\n", "is not UTF-8"),
    ],
)
def test_unlabelled_texts_that_cannot_be_used(write: Write, name: str, content: str | bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        load_texts(write(name, content))


def test_an_endless_unlabelled_text_can_be_left_out(write: Write) -> None:
    assert load_texts(write("a.txt", "one\n" + "x" * 100_001), drop_long=True) == ["one"]


def test_a_folder_without_texts(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no data file"):
        load_texts(tmp_path)
