"""Round trips: whatever text can be written, is read back as it was."""

from __future__ import annotations

import csv
import json
import tempfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from liteft.data import load_dataset, read_rows
from liteft.errors import LiteftError

# Everything that UTF-8 can hold but NUL, with the characters that formats trip over more often than chance.
_ANY = st.characters(exclude_categories=("Cs",), exclude_characters="\0")
_NASTY = st.sampled_from("\",;|\t\r\n\\'\u2028\u2029\u0085\x0b\x0c\x1c\ufeff \u200b{}[]é饮🙂")
_texts = st.text(st.one_of(_ANY, _NASTY), max_size=20)
_labels = st.text(st.one_of(_ANY, _NASTY).filter(lambda character: character != "\t"), min_size=1, max_size=6).filter(
    lambda label: label.strip() == label
)
_contents = st.binary(max_size=200) | st.text(max_size=100).map(lambda text: text.encode("utf-8", "replace"))
Rows = list[tuple[str, str]]
_tables = st.lists(st.tuples(_texts, _texts), min_size=1, max_size=6)


def _write(path: Path, rows: Rows) -> None:
    if path.suffix in (".csv", ".tsv"):
        with open(path, "w", encoding="utf-8", newline="") as file:
            # With a line end of "\\n" alone, Python's writer would leave a "\\r" in a text unquoted.
            writer = csv.writer(file, delimiter="," if path.suffix == ".csv" else "\t")
            writer.writerows([("text", "other"), *rows])
    elif path.suffix == ".jsonl":
        objects = [json.dumps({"text": text, "other": other}, ensure_ascii=False) for text, other in rows]
        path.write_text("\n".join(objects), encoding="utf-8")
    else:
        pq.write_table(pa.table({"text": [row[0] for row in rows], "other": [row[1] for row in rows]}), path)


@pytest.fixture(scope="module")
def folder() -> Any:
    """One folder for all examples of a property."""
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl", "parquet"])
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=_tables, start=st.integers(0, 3))
@example(rows=[("", "")], start=0)
@example(rows=[('"', "'")], start=0)
@example(rows=[('"a"', '""')], start=0)
@example(rows=[('a "b', '"c\td"'), ("x", "y")], start=0)
@example(rows=[("\r", "\n"), ("\r\n", " ")], start=1)
def test_rows_survive_a_round_trip(folder: Path, suffix: str, rows: Rows, start: int) -> None:
    path = folder / f"table.{suffix}"
    if suffix == "tsv":  # a quoted text with a tab on each of its lines looks like rows of an unquoted file
        rows = [(text.replace("\t", " "), other.replace("\t", " ")) for text, other in rows]
    _write(path, rows)
    read = [(number, row["text"], row["other"]) for number, row in read_rows(path, start=start)]
    assert read == [(number, *row) for number, row in enumerate(rows)][start:]


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=_tables)
def test_encodings_survive_a_round_trip(folder: Path, suffix: str, encoding: str, rows: Rows) -> None:
    path = folder / f"table.{suffix}"
    _write(path, rows)
    if suffix != "parquet":
        path.write_bytes(path.read_bytes().decode("utf-8").encode(encoding))
    assert [(row["text"], row["other"]) for _, row in read_rows(path)] == rows


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl", "parquet"])
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_labelled_texts_survive_loading(folder: Path, suffix: str, data: st.DataObject) -> None:
    names = data.draw(st.lists(_labels, min_size=2, max_size=4, unique=True))
    visible = st.text(_ANY, max_size=12).map(lambda text: f"x{text}")
    rows = data.draw(st.lists(st.tuples(visible, st.sampled_from(names)), min_size=3, max_size=9))
    rows += [(f"row {name}", name) for name in names]
    if suffix == "tsv":
        rows = [(text.replace("\t", " "), name) for text, name in rows]
    path = folder / f"labelled.{suffix}"
    _write(path, rows)
    settings = {"task": "single_label", "validation_fraction": 0, "test_fraction": 0}
    dataset = load_dataset(path, text="text", label="other", **settings)
    assert dataset.train.texts == [text for text, _ in rows]
    assert dataset.train.labels is not None
    assert [dataset.labels[label] for label in dataset.train.labels] == [label for _, label in rows]
    assert len(dataset.labels) == len(names)


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl", "json", "parquet", "txt"])
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=_contents)
@example(content=b'text,label\n"a')
@example(content=b"\xff\xfe")
@example(content=b"\xef\xbb\xbf")
@example(content=b"\xff\xfe\x00\x00")
@example(content=b"\xff\xfea")
@example(content=b'{"text": "a"}\n\xff')
def test_any_bytes_give_rows_or_an_error_of_ours(folder: Path, suffix: str, content: bytes) -> None:
    path = folder / f"bytes.{suffix}"
    path.write_bytes(content)
    for read in (lambda: list(read_rows(path)), lambda: load_dataset(path)):
        try:
            read()
        except LiteftError as error:
            assert str(path) in str(error)
