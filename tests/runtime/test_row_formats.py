"""Rows as csv, tsv, jsonl and parquet: written in parts, joined, and read back as they were."""

from __future__ import annotations

import datetime
import decimal
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from liteft.data import read_rows
from liteft.errors import ConfigError, DataError
from liteft.runtime.row_formats import RowFormat, row_format

ADDED = {"prediction": "text", "score": "number"}
ANSWER = {"prediction": "ham", "score": 0.25}
NASTY = ["", " ", 'say "no"', '"', "a,b", "a\tb", "a\nb", "a\rb", "a\r\nb", "\u2028", "naïve 包裹 🙂", "\\", "=1+1"]


def written(path: Path, parts: Sequence[Sequence[dict[str, Any]]], columns: Sequence[str], **schema: Any) -> Path:
    """Write rows in parts and join them; return the file."""
    format = row_format(path.suffix, columns=columns, schema=schema.get("schema"), added=ADDED)
    names = []
    for number, rows in enumerate(parts):
        names.append(path.with_name(f"part-{number}{path.suffix}"))
        format.write([row | ANSWER for row in rows], names[-1])
    format.join(names, path)
    return path


def read(path: Path) -> list[dict[str, Any]]:
    return [row for _, row in read_rows(path)]


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".parquet", ".pq", ".ndjson", ".CSV"])
@pytest.mark.parametrize("cut", [1, 3, 100])
def test_every_text_comes_back(tmp_path: Path, suffix: str, cut: int) -> None:
    rows = [{"id": str(number), "text": text, "last": text} for number, text in enumerate(NASTY)]
    parts = [rows[start : start + cut] for start in range(0, len(rows), cut)]
    path = written(tmp_path / f"out{suffix}", parts, ["id", "text", "last"])
    delimited = suffix.casefold() in (".csv", ".tsv")
    assert read(path) == [row | ANSWER | ({"score": "0.25"} if delimited else {}) for row in rows]
    assert list(read(path)[0]) == ["id", "text", "last", "prediction", "score"]


def test_only_cells_that_need_quotes_have_them(tmp_path: Path) -> None:
    rows = [{"text": "plain, no"}, {"text": "it's\ttabbed"}]
    assert written(tmp_path / "out.csv", [rows], ["text"]).read_text() == (
        'text,prediction,score\n"plain, no",ham,0.25\nit\'s\ttabbed,ham,0.25\n'
    )
    assert written(tmp_path / "out.tsv", [rows], ["text"]).read_text() == (
        'text\tprediction\tscore\nplain, no\tham\t0.25\n"it\'s\ttabbed"\tham\t0.25\n'
    )


def test_csv_says_what_is_no_text_as_json(tmp_path: Path) -> None:
    values = [None, True, 3, 0.5, [1, "é"], {"a": None}, b"\x01\xff", datetime.date(2026, 1, 2), float("nan"), "a\0b"]
    path = written(tmp_path / "out.csv", [[{"x": value} for value in values]], ["x"])
    assert [row["x"] for row in read(path)] == [
        "", "true", "3", "0.5", '[1, "é"]', '{"a": null}', "01ff", "2026-01-02", "", "a\\x00b",
    ]  # fmt: skip


def test_jsonl_keeps_json_values_and_writes_others_as_text(tmp_path: Path) -> None:
    plain: dict[str, Any] = {"a": None, "b": [1, {"c": True}], "d": 1.5, "e": 10**30, "f": "\u2028\0"}
    odd = {"a": decimal.Decimal("1.20"), "b": datetime.datetime(2026, 1, 2, 3, 4), "c": [float("inf")], "d": b"\xff"}
    path = written(tmp_path / "out.jsonl", [[plain, odd]], [])
    first, second = read(path)
    assert first == plain | ANSWER
    assert second == {"a": "1.20", "b": "2026-01-02T03:04:00", "c": [None], "d": "ff"} | ANSWER


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_half_a_character_becomes_its_escape(tmp_path: Path, suffix: str) -> None:
    rows: list[dict[str, Any]] = [{"text": "a\ud83d é", "deep": ["\ud800"]}]
    path = written(tmp_path / f"out{suffix}", [rows], ["text", "deep"])
    path.read_bytes() if suffix == ".parquet" else path.read_text(encoding="utf-8")
    (row,) = read(path)
    kept = suffix == ".jsonl"  # JSON itself can spell it
    assert row["text"] == ("a\ud83d é" if kept else "a\\ud83d é")
    assert ("\ud800" if kept else "\\ud800") in (row["deep"] if suffix == ".csv" else row["deep"][0])


TYPES: dict[str, pa.Array] = {
    "dictionary": pa.array(["a", "b", None]).dictionary_encode(),
    "int8": pa.array([1, None, -1], pa.int8()),
    "uint64": pa.array([2**64 - 1, None, 0], pa.uint64()),
    "float16": pa.array([1.5, None, 2.0], pa.float16()),
    "float32": pa.array([0.1, None, 3.0], pa.float32()),
    "bool": pa.array([True, None, False]),
    "timestamp": pa.array([1, 2, None], pa.timestamp("us", "Europe/Berlin")),
    "milliseconds": pa.array([1, 2, None], pa.timestamp("ms")),
    "nanoseconds": pa.array([1, 2_000_000_001, None], pa.timestamp("ns")),
    "duration": pa.array([1000, 2, None], pa.duration("us")),
    "time": pa.array([1, 2, None], pa.time64("us")),
    "date": pa.array([1, 2, None], pa.date32()),
    "decimal": pa.array([decimal.Decimal("1.20"), None, None], pa.decimal128(9, 2)),
    "map": pa.array([[("a", 1)], None, []], pa.map_(pa.string(), pa.int32())),
    "struct": pa.array([{"a": 1, "b": ["x"]}, None, {"a": None, "b": []}]).cast(
        pa.struct([("a", pa.int8()), ("b", pa.list_(pa.string()))])
    ),
    "large_string": pa.array(["a", None, "c"], pa.large_string()),
    "binary": pa.array([b"\xff", None, b""], pa.binary()),
    "vector": pa.array([[1, 2], None, [3, 4]], pa.list_(pa.float32(), 2)),
    "null": pa.nulls(3),
}


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("cut", [1, 2, 3])
def test_parquet_columns_keep_their_types_and_values(tmp_path: Path, kind: str, cut: int) -> None:
    source = tmp_path / "in.parquet"
    pq.write_table(pa.table({kind: TYPES[kind]}), source)
    rows = read_rows(source)
    values = [row for _, row in rows]
    parts = [values[start : start + cut] for start in range(0, 3, cut)]
    path = written(tmp_path / "out.parquet", parts, rows.columns, schema=rows.file.schema)
    before, after = pq.read_table(source), pq.read_table(path)
    assert after.schema.field(kind).equals(before.schema.field(kind))
    assert after[kind].to_pylist() == before[kind].to_pylist()
    assert after["score"].to_pylist() == [0.25] * 3


def test_a_required_parquet_column_stays_required(tmp_path: Path) -> None:
    schema = pa.schema([pa.field("id", pa.int32(), nullable=False, metadata={b"unit": b"row"})])
    path = written(tmp_path / "out.parquet", [[{"id": 1}], [{"id": 2}]], ["id"], schema=schema)
    field = pq.read_schema(path).field("id")
    assert not field.nullable and field.type == pa.int32() and field.metadata[b"unit"] == b"row"


def test_a_frame_written_by_pandas_keeps_its_index(tmp_path: Path) -> None:
    frame = pd.DataFrame({"text": ["a", "b"]}, index=pd.Index([10, 20], name="ticket"))
    frame.to_parquet(tmp_path / "in.parquet")
    rows = read_rows(tmp_path / "in.parquet")
    parts = [[row] for _, row in rows]
    path = written(tmp_path / "out.parquet", parts, rows.columns, schema=rows.file.schema)
    after = pd.read_parquet(path)
    assert list(after.index) == [10, 20] and after.index.name == "ticket"
    assert list(after.columns) == ["text", "prediction", "score"]


def test_metadata_that_would_deny_the_added_columns_is_left_out(tmp_path: Path) -> None:
    schema = pa.schema([("text", pa.string())], metadata={b"huggingface": b'{"info": {"features": {}}}'})
    path = written(tmp_path / "out.parquet", [[{"text": "a"}]], ["text"], schema=schema)
    assert not pq.read_schema(path).metadata


def test_a_folder_name_that_looks_like_a_partition_adds_no_column(tmp_path: Path) -> None:
    folder = tmp_path / "year=2026"
    folder.mkdir()
    path = written(folder / "out.parquet", [[{"text": "a"}], [{"text": "b"}]], ["text"])
    assert pq.ParquetFile(path).schema_arrow.names == ["text", "prediction", "score"]


def test_columns_of_json_get_the_type_that_fits_all_parts(tmp_path: Path) -> None:
    parts: list[list[dict[str, Any]]] = [
        [{"n": 1, "gone": None, "deep": {"a": 1}}],
        [{"n": 1.5, "gone": "x", "deep": {"b": "y"}, "late": [True]}],
        [{}],
    ]
    path = written(tmp_path / "out.parquet", parts, ["n", "gone", "deep"])
    assert pq.read_schema(path).names == ["n", "gone", "deep", "late", "prediction", "score"]
    rows = pq.read_table(path).to_pylist()
    assert [row["n"] for row in rows] == [1.0, 1.5, None]
    assert [row["gone"] for row in rows] == [None, "x", None]
    assert [row["deep"] for row in rows] == [{"a": 1, "b": None}, {"a": None, "b": "y"}, None]
    assert [row["late"] for row in rows] == [None, [True], None]


@pytest.mark.parametrize(
    ("one", "other"), [(1, "a"), (True, 2), ([1], ["a"]), ({"a": 1}, [1]), (0, 2**70), ({"a": 1}, {"a": "x"})]
)
@pytest.mark.parametrize("together", [True, False])
def test_a_column_of_two_types_is_refused_by_its_name_when_it_comes(
    tmp_path: Path, one: Any, other: Any, together: bool
) -> None:
    format = row_format(".parquet", columns=["x"], schema=None, added=ADDED)
    rows = [{"x": one} | ANSWER, {"x": other} | ANSWER]
    with pytest.raises(DataError, match=r"\bx\b") as caught:
        if not together:
            format.write(rows[:1], tmp_path / "a")
        format.write(rows if together else rows[1:], tmp_path / "b")
    assert ".jsonl" in str(caught.value)
    assert not (tmp_path / "b").exists()


def test_types_of_the_parts_of_an_earlier_run_count(tmp_path: Path) -> None:
    first, second = (row_format(".parquet", columns=["x"], schema=None, added=ADDED) for _ in range(2))
    first.write([{"x": 1} | ANSWER], tmp_path / "a")
    second.begin([tmp_path / "a"])
    with pytest.raises(DataError, match="changes its type"):
        second.write([{"x": "b"} | ANSWER], tmp_path / "b")


def test_an_empty_object_which_parquet_cannot_hold_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be written as parquet"):
        written(tmp_path / "out.parquet", [[{"meta": {}}]], ["meta"])


def test_an_integer_that_a_later_fraction_would_round_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="9007199254740993"):
        written(tmp_path / "out.parquet", [[{"id": 2**53 + 1}], [{"id": 0.5}]], ["id"])


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".parquet"])
def test_a_file_without_rows_has_its_columns_all_the_same(tmp_path: Path, suffix: str) -> None:
    path = written(tmp_path / f"out{suffix}", [], ["id", "text"])
    if suffix == ".jsonl":
        assert path.read_bytes() == b""
    else:
        assert read_rows(path).columns == ("id", "text", "prediction", "score")
        assert read(path) == []


def test_parquet_parts_are_gathered_into_larger_row_groups(tmp_path: Path) -> None:
    path = written(tmp_path / "out.parquet", [[{"text": str(part)}] * 50 for part in range(20)], ["text"])
    assert pq.ParquetFile(path).metadata.num_row_groups == 1
    assert pq.ParquetFile(path).metadata.num_rows == 1000


@pytest.mark.parametrize("suffix", [".csv", ".tsv"])
def test_a_key_that_only_later_rows_have_is_refused_with_its_place(suffix: str) -> None:
    format = row_format(suffix, columns=["text"], schema=None, added=ADDED)
    format.check({"text": "a"}, "a.jsonl, line 1")
    format.check({}, "a.jsonl, line 2")
    with pytest.raises(DataError) as caught:
        format.check({"text": "a", "late": 1}, "a.jsonl, line 3")
    assert "a.jsonl, line 3 has 'late'" in str(caught.value)
    assert ".jsonl" in str(caught.value)


@pytest.mark.parametrize(
    ("suffix", "hint"),
    [(".json", "NAME.jsonl"), (".parq", "NAME.parquet"), (".txt", "NAME.jsonl"), ("", None), (".gz", None)],
)
def test_other_endings_are_refused_and_the_closest_is_named(suffix: str, hint: str | None) -> None:
    with pytest.raises(ConfigError) as caught:
        row_format(suffix, columns=[], schema=None, added={})
    assert ".parquet" in caught.value.accepted["output"]
    if hint:
        assert hint in str(caught.value)


def test_parts_of_text_are_joined_byte_for_byte(tmp_path: Path) -> None:
    format: RowFormat = row_format(".jsonl", columns=[], schema=None, added=ADDED)
    for number in range(3):
        format.write([{"n": number, "text": "é\n"}], tmp_path / str(number))
    format.join([tmp_path / str(number) for number in range(3)], tmp_path / "all")
    assert (tmp_path / "all").read_bytes() == b"".join((tmp_path / str(n)).read_bytes() for n in range(3))
    assert [json.loads(line)["n"] for line in (tmp_path / "all").read_text().splitlines()] == [0, 1, 2]
