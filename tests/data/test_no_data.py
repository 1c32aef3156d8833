"""Files that hold no data: it is said what they are, and what to do."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from liteft.data import load_dataset, load_texts
from liteft.errors import DataError

Write = Callable[..., Path]
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"
PAGE = "\n<!DOCTYPE html>\n<html><head><title>404</title></head><body>Not found, sorry</body></html>\n"


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.jsonl", "a.json", "a.parquet", "a.arrow", "a.txt"])
def test_a_git_lfs_pointer(write: Write, name: str) -> None:
    path = write(name, POINTER)
    with pytest.raises(DataError, match="is a git-lfs pointer: the file itself is not here") as error:
        load_texts(path) if name == "a.txt" else load_dataset(path)
    assert "try: git lfs pull" in str(error.value)


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.jsonl", "a.json", "a.parquet"])
@pytest.mark.parametrize("page", [PAGE, "\ufeff<html lang='en'>", "<?xml version='1.0'?><Error/>"])
def test_a_page_of_a_web_site(write: Write, name: str, page: str) -> None:
    with pytest.raises(DataError, match=r"is an (HTML page|XML document), not data") as error:
        load_dataset(write(name, page))
    assert "try: download the file itself" in str(error.value)


def test_a_page_is_a_text_in_a_text_file(write: Write) -> None:
    assert load_texts(write("a.txt", "<html>\n")) == ["<html>"]


def test_the_answer_of_a_server(write: Write) -> None:
    with pytest.raises(DataError, match="it is a server's answer") as error:
        load_dataset(write("a.json", '{"error": "Repository not found"}'))
    assert "answer: Repository not found" in str(error.value)


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.json"])
@pytest.mark.parametrize("nul", [True, False])
def test_random_bytes_get_no_hint_to_an_encoding(write: Write, name: str, nul: bool) -> None:
    content = bytes(byte for byte in random.Random(1).randbytes(3000) if nul or byte)
    with pytest.raises(DataError, match=r"is not a text file: byte 0x\w\w at offset \d+ is not UTF-8") as error:
        load_dataset(write(name, content))
    assert "encoding=" not in str(error.value) and "try: check where the file comes from" in str(error.value)


@pytest.mark.parametrize(
    ("line", "hint"),
    [('["a", "x"]', "write each line as an object"), ('[{"text": "a", "label": "x"}]', "rename it to end in .json")],
)
def test_lines_of_lists(write: Write, line: str, hint: str) -> None:
    with pytest.raises(DataError, match="line 1 is a JSON list, not an object") as error:
        load_dataset(write("a.jsonl", f"{line}\n" * 3))
    assert f"try: {hint}" in str(error.value)


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.jsonl", "a.json", "a.parquet", "a.arrow"])
def test_an_empty_file(write: Write, name: str) -> None:
    with pytest.raises(DataError, match="is empty") as error:
        load_dataset(write(name, ""))
    assert "try: write or download the file again" in str(error.value)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("a.xlsx", "save the sheet as csv"),
        ("a.xls", "save the sheet as csv"),
        ("a.pkl", "save it as parquet, csv or jsonl: to read a pickle is to run it"),
        ("a.tar.gz", "unpack it first"),
        ("a.md", r"rename it to end in \.txt"),
        ("a.npy", "save it as parquet, csv or jsonl"),
        ("a.data", "give it the ending of its format"),
    ],
)
def test_files_of_other_kinds_have_one_hint(write: Write, name: str, hint: str) -> None:
    with pytest.raises(DataError, match=f"try: {hint}") as error:
        load_dataset(write(name, b"PK\x03\x04"))
    assert len(error.value.fix) == 1
