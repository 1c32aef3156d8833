"""csv, tsv, jsonl, json and parquet: what is read, and what is wrong with what cannot be."""

from __future__ import annotations

import builtins
import csv
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from liteft.data import load_dataset, read_rows
from liteft.errors import ConfigError, DataError, LiteftError, MissingExtraError
from liteft.installation import install_hint

Write = Callable[..., Path]


def _rows(path: Path, **settings: Any) -> list[dict[str, Any]]:
    return [row for _, row in read_rows(path, **settings)]


def test_quoted_newlines_delimiters_and_quotes(write: Write) -> None:
    path = write("a.csv", 'text,label\r\n"one\ntwo, ""three""\r\nfour",pos\r\nfive,neg\r\n')
    assert _rows(path) == [
        {"text": 'one\ntwo, "three"\r\nfour', "label": "pos"},
        {"text": "five", "label": "neg"},
    ]


def test_rows_are_named_by_the_line_on_which_they_begin(write: Write) -> None:
    path = write("a.csv", 'text,label\n"one\ntwo",pos\n\nthree,neg\nfour\n')
    rows = read_rows(path)
    places = [rows.where for _ in zip(range(2), rows, strict=False)]
    assert [place.rpartition(" ")[2] for place in places] == ["2", "5"]
    with pytest.raises(DataError, match=r"a\.csv, line 6 has 1 field, the first line 2"):
        next(rows)


def test_a_row_with_too_many_fields_shows_how_to_quote(write: Write) -> None:
    path = write("a.csv", "text,label\nwell, I like it,pos\n")
    with pytest.raises(DataError) as error:
        _rows(path)
    assert "line 2 has 3 fields, the first line 2" in str(error.value)
    assert "double quotes" in error.value.command_text() and "--delimiter" in error.value.command_text()


def test_a_quote_that_is_never_closed_is_named_by_its_row(write: Write) -> None:
    path = write("a.csv", 'text,label\nfine,pos\n"open,neg\nmore,pos\n')
    with pytest.raises(DataError, match="the quote opened in the row at line 3 is never closed"):
        _rows(path)


def test_text_after_a_closing_quote_is_an_error(write: Write) -> None:
    path = write("a.csv", 'text,label\n"no" she said,pos\n')
    with pytest.raises(DataError, match="line 2: a closing quote is followed by more text"):
        _rows(path)


def test_fields_beyond_pythons_limit_are_read_and_endless_ones_refused(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write("a.csv", f"text,label\n{'x' * 200_000},pos\n")
    assert len(_rows(path)[0]["text"]) == 200_000
    before = csv.field_size_limit()
    monkeypatch.setattr("liteft.data.delimited.MAX_FIELD", 1000)
    csv.field_size_limit(500)
    try:
        with pytest.raises(DataError, match="row at line 2 is never closed"):
            _rows(path)
    finally:
        csv.field_size_limit(before)


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_first_line_shows_the_delimiter(write: Write, delimiter: str) -> None:
    path = write("a.csv", f"text{delimiter}label\nwell{delimiter}pos\n")
    assert _rows(path) == [{"text": "well", "label": "pos"}]


def test_a_delimiter_that_was_seen_and_not_named_is_noted(write: Write) -> None:
    path = write("a.csv", "text;label\n" + "".join(f"good {n};pos\nbad {n};neg\n" for n in range(9)))
    assert any("separated by ';'" in note for note in load_dataset(path).notes)
    assert not any("separated" in note for note in load_dataset(path, delimiter=";").notes)


@pytest.mark.parametrize("delimiter", ["", ",,", '"', "\n"])
def test_a_delimiter_is_one_character(write: Write, delimiter: str) -> None:
    with pytest.raises(ConfigError, match="the delimiter must be one character"):
        read_rows(write("a.csv", "a,b\n"), delimiter=delimiter)


@pytest.mark.parametrize("name", ["tab", "\\t", "\t"])
def test_the_tab_has_names(write: Write, name: str) -> None:
    assert read_rows(write("a.csv", "a,b\tc\n"), delimiter=name).columns == ("a,b", "c")


def test_tsv_with_plain_quotes(write: Write) -> None:
    path = write("a.tsv", 'label\ttext\n1\t"No," she said\n0\tshe said "no\n1\t"quoted"\n')
    rows = read_rows(path)
    assert [row["text"] for _, row in rows] == ['"No," she said', 'she said "no', '"quoted"']
    assert rows.file.remarks == ("double quotes are plain characters in it",)


def test_tsv_with_quoting(write: Write) -> None:
    path = write("a.tsv", 'label\ttext\n1\t"tab\there"\n0\t"two\nlines"\n1\t"say ""no"""\n')
    assert [row["text"] for row in _rows(path)] == ["tab\there", "two\nlines", 'say "no"']


def test_column_names_lose_white_space_around_them(write: Write) -> None:
    assert read_rows(write("a.csv", " text , label\nx,y\n")).columns == ("text", "label")


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.csv", "text,label,text\n"), ("a.tsv", "text\tlabel\ttext\n"), ("a.csv", "a,,\n1,2,3\n")],
)
def test_two_columns_of_one_name(write: Write, name: str, content: str) -> None:
    with pytest.raises(DataError, match=r"has 2 columns '(text|)'"):
        read_rows(write(name, content))


def test_a_key_that_stands_twice_in_an_object(write: Write) -> None:
    with pytest.raises(DataError, match="line 1 is not valid JSON: the key 'text' occurs twice"):
        read_rows(write("a.jsonl", '{"text": 1, "text": 2}\n'))


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.jsonl", "a.json"])
@pytest.mark.parametrize("content", ["", "\n\n", "\ufeff"])
def test_an_empty_file(write: Write, name: str, content: str) -> None:
    path = write(name, content)
    with pytest.raises(DataError, match="is empty"):
        load_dataset(path)


def test_a_header_without_rows(write: Write) -> None:
    with pytest.raises(DataError, match="holds no rows") as caught:
        load_dataset(write("a.csv", "text,label\n"))
    assert caught.value.accepted and caught.value.fix


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{'text': 1}", "line 3 is not valid JSON: Expecting property name"),
        ('["a", 1]', "line 3 is a JSON list, not an object"),
        ('"text"', "line 3 is a JSON string, not an object"),
        ('{"text": "a"} {}', "line 3 is not valid JSON: Extra data at column 15"),
        ("[" * 100_000, "line 3 is not valid JSON"),
        ('{"a": ' + "9" * 5000 + "}", "line 3 is not valid JSON: Exceeds the limit"),
    ],
)
def test_a_bad_line_of_jsonl_is_named(write: Write, line: str, message: str) -> None:
    path = write("a.jsonl", f'{{"text": "a"}}\n\n{line}\n')
    with pytest.raises(DataError, match=message) as error:
        _rows(path)
    assert len(str(error.value)) < 600


def test_line_separators_inside_json_strings_end_no_line(write: Write) -> None:
    text = "one\u2028two\u0085three\x0bfour"
    path = write("a.jsonl", [{"text": text, "label": 1}])
    assert _rows(path)[0]["text"] == text


def test_keys_that_first_appear_later_are_columns(write: Write) -> None:
    assert read_rows(write("a.jsonl", [{"id": 1}, {"text": "a", "label": 0}])).columns == (
        "id",
        "text",
        "label",
    )


@pytest.mark.parametrize(
    "content",
    [
        '[{"text": "a", "label": 1}, {"text": "b", "label": 0}]',
        '{"text": ["a", "b"], "label": [1, 0]}',
        '{"text": "a", "label": 1}\n{"text": "b", "label": 0}\n',
    ],
)
def test_json_as_rows_columns_or_lines(write: Write, content: str) -> None:
    assert _rows(write("a.json", content)) == [{"text": "a", "label": 1}, {"text": "b", "label": 0}]


@pytest.mark.parametrize("content", ["3", '{"a": 1}', "[1, 2]", "[]", "{}", '{"a": [1], "b": [1, 2]}'])
def test_json_that_holds_no_rows(write: Write, content: str) -> None:
    with pytest.raises(DataError, match="holds no rows"):
        read_rows(write("a.json", content))


def test_broken_json_is_named_by_line(write: Write) -> None:
    with pytest.raises(DataError, match=r"a\.json, line 2 is not valid JSON: Expecting property name"):
        read_rows(write("a.json", "[\n{]"))


def test_parquet_values_keep_their_types(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    table = pa.table({"text": ["a", None], "labels": [[1, 2], []], "a.b": [0.5, 1.5]})
    pq.write_table(table, path)
    rows = read_rows(path)
    assert (rows.total, rows.columns) == (2, ("text", "labels", "a.b"))
    assert [row for _, row in rows] == table.to_pylist()
    assert rows.file.schema.field("a.b").type == pa.float64()
    assert [row["a.b"] for _, row in read_rows(path, columns=["a.b"])] == [0.5, 1.5]


def test_parquet_with_two_columns_of_one_name(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["x", "x"]), path)
    with pytest.raises(DataError, match="has 2 columns 'x'"):
        read_rows(path)


@pytest.mark.parametrize("content", [b"", b"text,label\n", b"PAR1" + b"\0" * 50])
def test_no_parquet(write: Write, content: bytes) -> None:
    with pytest.raises(DataError, match=r"a\.parquet (is not a parquet file|cannot be read as parquet)"):
        read_rows(write("a.parquet", content))


def test_a_parquet_file_damaged_in_the_middle(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": [f"text {number}" for number in range(5000)]}), path, compression="snappy")
    content = bytearray(path.read_bytes())
    content[100:2000] = b"\xff" * 1900
    path.write_bytes(content)
    with pytest.raises(DataError, match="cannot be read as parquet"):
        list(read_rows(path))


def test_parquet_without_pyarrow_names_the_extra(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.startswith("pyarrow"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtraError, match=re.escape(install_hint("parquet"))):
        read_rows(write("a.parquet", b"PAR1"))


@pytest.mark.parametrize("name", ["a.docx", "data", "a.docx.gz"])
def test_an_unknown_format_lists_the_known(write: Write, name: str) -> None:
    with pytest.raises(LiteftError, match=r"formats: \.csv, \.tsv"):
        load_dataset(write(name, "text,label\n"))


def test_a_missing_file_gets_the_closest_name(write: Write) -> None:
    path = write("reviews.csv", "text,label\n")
    with pytest.raises(DataError, match=r"there is no file .*reviws\.csv") as error:
        read_rows(path.with_name("reviws.csv"))
    assert "did you mean" in str(error.value) and "reviews.csv?" in str(error.value)
