"""The plan: which units a table is cut into, the same on every machine."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from liteft.bulk.parts import Identity, is_part
from liteft.bulk.plan import Unit, units_of
from liteft.bulk.preparing import listed
from liteft.bulk.sources import open_source
from liteft.bulk.storage import stored_at
from liteft.errors import ConfigError, DataError
from tests.modules import module_of

write_table, table_rows = (getattr(module_of("bulk"), name) for name in ("write_table", "table_rows"))


def planned(path: Path, **cutting: int) -> list[Unit]:
    return units_of(open_source(stored_at(str(path))[0]), **cutting)


def test_row_groups_are_kept_whole_and_joined_up_to_the_most_rows(tmp_path: Path) -> None:
    units = planned(write_table(tmp_path / "a.parquet", table_rows(95)), unit_rows=35)
    assert [(unit.start, unit.stop, unit.rows) for unit in units] == [(0, 3, 30), (3, 6, 30), (6, 10, 35)]


def test_row_groups_are_joined_up_to_the_most_bytes(tmp_path: Path) -> None:
    path = write_table(tmp_path / "a.parquet", table_rows(40))
    about = pq.read_metadata(path)
    two = about.row_group(0).total_byte_size + about.row_group(1).total_byte_size
    assert planned(path, unit_bytes=two)[0].rows == 20
    assert [unit.rows for unit in planned(path, unit_bytes=1)] == [10, 10, 10, 10]


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".txt"])
def test_text_is_cut_into_equal_ranges_that_cover_the_file(tmp_path: Path, suffix: str) -> None:
    path = write_table(tmp_path / f"a{suffix}", table_rows(200))
    units = planned(path, unit_bytes=1000)
    assert len(units) > 3
    assert [unit.start for unit in units] == [0, *(unit.stop for unit in units[:-1])]
    assert units[-1].stop == path.stat().st_size
    assert max(unit.size for unit in units) <= 1000


def test_short_rows_are_cut_by_their_number(tmp_path: Path) -> None:
    path = write_table(tmp_path / "a.txt", [{"text": "abc"}] * 1000)
    assert len(planned(path, unit_rows=100)) == 10


def test_a_plan_depends_on_the_file_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_table(tmp_path / "a.csv", table_rows(300))
    first = planned(path, unit_bytes=700)
    monkeypatch.chdir(tmp_path)
    assert units_of(open_source(stored_at(str(path))[0]), unit_bytes=700) == first
    assert [Unit.of(unit.to_dict()) for unit in first] == first


def test_names_tell_units_versions_artifacts_and_settings_apart(tmp_path: Path) -> None:
    path = write_table(tmp_path / "a b.csv", table_rows(300))
    units = planned(path, unit_bytes=1000)
    names = {Identity("f" * 64, {"top_k": None}).name(unit) for unit in units}
    names |= {Identity("0" * 64, {"top_k": None}).name(unit) for unit in units}
    names |= {Identity("f" * 64, {"top_k": 2}).name(unit) for unit in units}
    os.utime(path, ns=(1, 1))
    names |= {Identity("f" * 64, {"top_k": None}).name(unit) for unit in planned(path, unit_bytes=1000)}
    assert len(names) == 4 * len(units)
    assert all(is_part(name) and name.startswith("a_b-0") for name in names)


def test_names_sort_as_the_rows_of_a_file(tmp_path: Path) -> None:
    units = planned(write_table(tmp_path / "a.csv", table_rows(300)), unit_bytes=100)
    names = [Identity("f" * 64, {}).name(unit) for unit in units]
    assert len(names) > 11 and names == sorted(names)


def test_compressed_text_and_other_formats_are_one_unit(tmp_path: Path) -> None:
    plain = write_table(tmp_path / "a.csv", table_rows(100)).read_bytes()
    (tmp_path / "b.csv.gz").write_bytes(gzip.compress(plain))
    (tmp_path / "c.json").write_text('[{"text": "a"}, {"text": "b"}]')
    (tmp_path / "d.csv").write_text("text\nä\n" * 50, encoding="utf-16")
    for name in ("b.csv.gz", "c.json", "d.csv"):
        units = planned(tmp_path / name, unit_bytes=10)
        assert [unit.kind for unit in units] == ["whole"]
    assert planned(tmp_path / "c.json")[0].rows == 2


@pytest.mark.parametrize("rows", [0, 1])
def test_a_table_without_rows_is_one_unit(tmp_path: Path, rows: int) -> None:
    pq.write_table(pa.table({"text": ["a"] * rows}), tmp_path / "a.parquet")
    assert len(planned(tmp_path / "a.parquet")) == 1
    (tmp_path / "a.csv").write_text("text\n" + "a\n" * rows)
    assert len(planned(tmp_path / "a.csv")) == 1


# Listings


def test_folders_patterns_and_lists_are_sorted_and_told_once(tmp_path: Path) -> None:
    for name in ("b.csv", "a.parquet", "deep/c.jsonl", "_failed.json", ".hidden.csv", "notes.md", "d.csv.gz"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    names = ["a.parquet", "b.csv", "d.csv.gz", "deep/c.jsonl"]
    assert [each.path for each in listed(tmp_path, "/out")] == [str(tmp_path / name) for name in names]
    pattern = [str(tmp_path / "*.csv"), tmp_path / "b.csv", f"file://{tmp_path}/a.parquet"]
    assert [each.path for each in listed(pattern, "/out")] == [str(tmp_path / name) for name in names[:2]]


def test_inputs_that_are_not_there_are_refused(tmp_path: Path) -> None:
    (tmp_path / "reviews.csv").write_text("text\na\n")
    with pytest.raises(DataError, match=r"there are no tables at .*reviws.csv") as caught:
        listed(tmp_path / "reviws.csv", "/out")
    assert "reviews.csv" in caught.value.fix[0]
    with pytest.raises(DataError, match="there are no tables"):
        listed(str(tmp_path / "*.parquet"), "/out")
    with pytest.raises(ConfigError, match="inputs is a value of type int"):
        listed(3, "/out")


def test_an_output_within_the_inputs_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.csv").write_text("text\na\n")
    with pytest.raises(ConfigError, match="holds the input"):
        listed(tmp_path, str(tmp_path / "out"))
