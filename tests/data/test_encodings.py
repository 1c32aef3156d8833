"""Text files: encodings, byte-order marks, and what is no text."""

from __future__ import annotations

import gzip
import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from liteft.data import load_dataset, load_unlabeled, read_rows
from liteft.data.text_files import text_encoding, text_lines
from liteft.errors import DataError

Write = Callable[..., Path]
CSV = "text,label\ncafé ☕ 饮,pos\ntrès mauvais,neg\n" + "".join(f"text {n},pos\nText {n}b,neg\n" for n in range(9))


def _texts(path: Path, **settings: str) -> list[str]:
    return [row["text"] for _, row in read_rows(path, **settings)]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_utf8_and_byte_order_marks_are_read(write: Write, encoding: str, newline: str) -> None:
    path = write("a.csv", CSV.replace("\n", newline), encoding)
    assert _texts(path)[:2] == ["café ☕ 饮", "très mauvais"]
    assert sorted(read_rows(path).columns) == ["label", "text"]


def test_big_endian_utf16_with_a_mark_is_read(write: Write) -> None:
    path = write("a.jsonl", b"\xfe\xff" + '{"text": "né"}\n'.encode("utf-16-be"))
    assert _texts(path) == ["né"]


@pytest.mark.parametrize("encoding", ["utf-8", "UTF8", "utf-16", "utf-16-le", "utf-8-sig"])
def test_a_named_encoding_does_not_leave_the_mark_in_the_first_column(write: Write, encoding: str) -> None:
    written = {"utf-16-le": "utf-16", "UTF8": "utf-8-sig", "utf-8": "utf-8-sig"}.get(encoding, encoding)
    assert read_rows(write("a.csv", CSV, written), encoding=encoding).columns == ("text", "label")


def test_wrong_encoding_names_byte_line_and_flag(write: Write) -> None:
    path = write("latin.csv", "text,label\nplain,pos\ncafé,neg\n", "latin-1")
    with pytest.raises(DataError) as error:
        load_dataset(path)
    offset = path.read_bytes().index(b"\xe9")
    assert f"latin.csv is not UTF-8: byte 0xe9 at offset {offset}, line 3." in str(error.value)
    assert "try: --encoding cp1252" in error.value.command_text()
    assert _texts(path, encoding="cp1252") == ["plain", "café"]


def test_wrong_encoding_far_into_a_file_is_located(write: Write) -> None:
    head = "".join(f'{{"text": "ligne {number} é"}}\n' for number in range(20_000)).encode()
    path = write("long.jsonl", head + b'{"text": "\xff"}\n')
    with pytest.raises(DataError, match=f"byte 0xff at offset {len(head) + 10:,}, line 20001"):
        _texts(path)


def test_a_character_cut_at_the_end_of_the_file_is_located(write: Write) -> None:
    path = write("cut.txt", "ok\nü".encode()[:-1])
    with pytest.raises(DataError, match="byte 0xc3 at offset 3, line 2"):
        _texts(path)


def test_chinese_in_gb18030_gets_a_chinese_hint(write: Write) -> None:
    path = write("zh.csv", "text,label\n" + "这间酒店环境和服务态度亦算不错,1\n" * 30, "gb18030")
    with pytest.raises(DataError, match='try: encoding="gb18030"'):
        load_dataset(path)
    assert _texts(path, encoding="gb18030")[0] == "这间酒店环境和服务态度亦算不错"


def test_utf16_without_a_mark_is_told(write: Write) -> None:
    path = write("a.csv", CSV, "utf-16-le")
    with pytest.raises(DataError, match="UTF-16 without a byte-order mark") as error:
        _texts(path)
    assert "try: --encoding utf-16-le" in error.value.command_text()
    assert _texts(path, encoding="utf-16-le")[0] == "café ☕ 饮"


@pytest.mark.parametrize("name", ["uft-8", "hex", "rot13", "", "a\0b"])
def test_an_encoding_that_does_not_exist(write: Write, name: str) -> None:
    with pytest.raises(DataError, match="there is no encoding"):
        read_rows(write("a.csv", CSV), encoding=name)


def test_a_misspelt_encoding_gets_the_closest(write: Write) -> None:
    with pytest.raises(DataError, match='encoding="utf-8"'):
        read_rows(write("a.csv", CSV), encoding="uft-8")


def test_a_nul_in_text_is_named_by_line(write: Write) -> None:
    path = write("a.csv", "text,label\nfine,pos\nbro\0ken,neg\n")
    with pytest.raises(DataError, match=r"a\.csv, line 3 contains a NUL byte"):
        load_dataset(path)


def test_an_escaped_nul_in_json_is_named_by_line(write: Write) -> None:
    path = write("a.jsonl", '{"text": "a", "label": 1}\n{"text": "b\\u0000", "label": 0}\n')
    with pytest.raises(DataError, match=r"a\.jsonl, line 2: the text holds a NUL at position 1"):
        load_dataset(path)


def test_half_a_surrogate_pair_is_named_by_line(write: Write) -> None:
    path = write("a.jsonl", '{"text": "a", "label": 1}\n{"text": "b\\ud83d", "label": 0}\n')
    with pytest.raises(DataError, match=r"a\.jsonl, line 2: the text holds half a character \(U\+D83D\)"):
        load_dataset(path)


def _zip() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("sheet.xml", "x")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (_zip(), "a zip archive or an Excel workbook"),
        (gzip.compress(b"text,label", mtime=0), "a gzip archive"),
        (b"PAR1\x00\x00", "a parquet file"),
        (b"%PDF-1.7", "a PDF"),
        (b"\x89PNG\r\n\x1a\n\0\0", "a picture"),
        (bytes(range(256)) * 4, "is not a text file: byte 0x00 at offset 0"),
    ],
)
@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.txt", "a.json"])
def test_binary_files_are_no_text(write: Write, content: bytes, message: str, name: str) -> None:
    with pytest.raises(DataError, match=message):
        list(read_rows(write(name, content)))


def test_a_file_that_may_not_be_read(write: Write, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"missing\.csv cannot be read: No such file or directory"):
        text_encoding(tmp_path / "missing.csv")


def test_a_line_without_end_is_refused(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("liteft.data.text_files.MAX_LINE", 100)
    path = write("a.txt", "x" * 99 + "\n" + "y" * 101)
    with pytest.raises(DataError, match=r"a\.txt, line 2 has over 100 characters"):
        list(text_lines(path, encoding="utf-8", newline="\n"))


def test_a_program_is_not_taken_for_utf_16(write: Write) -> None:
    head = b"\x7fELF\x02\x01\x01" + b"\0" * 9 + b"\x03\0\x3e\0\x01\0\0\0\xd0\x6b" + b"\0" * 40
    with pytest.raises(DataError, match="is not a text file"):
        load_unlabeled(write("pool.txt", head + b"\xff\xfe\0\0" * 64))
