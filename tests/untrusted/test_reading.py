"""Files that hold a reader up, and JSON that brings one down, are refused at once."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import time
from pathlib import Path
from typing import Any

import pytest

from liteft.untrusted import parse_json, plain_text, read_bytes, sha256_of


@pytest.mark.serial
def test_a_pipe_is_refused_without_waiting_for_a_writer(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    start = time.monotonic()
    with pytest.raises(ValueError, match="it is a pipe, not a file"):
        read_bytes(tmp_path / "pipe")
    assert time.monotonic() - start < 1


def test_sockets_devices_and_folders_are_no_files(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "s"))
        with pytest.raises(ValueError, match="a socket"):
            read_bytes(tmp_path / "s")
    with pytest.raises(ValueError, match="a device"):
        read_bytes(Path("/dev/zero"))
    with pytest.raises(ValueError, match="a folder"):
        read_bytes(tmp_path)


def test_a_file_that_is_larger_than_what_is_read_is_refused_before_it_is_read(tmp_path: Path) -> None:
    with open(tmp_path / "sparse", "wb") as file:
        file.truncate(5 << 30)
    with pytest.raises(ValueError, match="5,368,709,120 bytes"):
        read_bytes(tmp_path / "sparse")
    assert sha256_of(tmp_path / "sparse", 7) is None


def test_a_hash_is_that_of_the_whole_file(tmp_path: Path) -> None:
    content = os.urandom((1 << 20) + 17)
    (tmp_path / "f").write_bytes(content)
    assert sha256_of(tmp_path / "f", len(content)) == hashlib.sha256(content).hexdigest()
    (tmp_path / "empty").write_bytes(b"")
    assert sha256_of(tmp_path / "empty", 0) == hashlib.sha256(b"").hexdigest()


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (b"[" * 100_000, "nested too deeply"),
        (b'{"a":' * 50_000, "nested too deeply"),
        (b"[" * 4_000_000, "more lists and values"),
        (b"[" + b"1," * 9_000_000 + b"1]", "more lists and values"),
        (b'{"a": NaN}', "contains NaN"),
        (b'{"a": -Infinity}', "contains -Infinity"),
        (b'{"a": 1, "a": 2}', "a key occurs twice"),
        (b"1" * 10_000, "digits"),
        (b"\xff", "utf-8"),
    ],
)
def test_json_that_nobody_writes_is_a_value_error(content: bytes, part: str) -> None:
    with pytest.raises(ValueError, match=part):
        parse_json(content, unique=True)


@pytest.mark.parametrize(
    ("value", "part"),
    [
        ([1 << 63], "beyond 64 bits"),
        ({"a": [-(1 << 63) - 1]}, "beyond 64 bits"),
        (json.loads("1e999"), "beyond float64"),
        ({"\ud800": 1}, "half a surrogate pair"),
        (json.loads("[" * 40 + "]" * 40), "nested too deeply"),
    ],
)
def test_values_that_other_programs_cannot_hold_are_refused(value: Any, part: str) -> None:
    with pytest.raises(ValueError, match=part):
        plain_text(value)


def test_plain_values_are_taken() -> None:
    plain_text({"a": [1, -(1 << 63), 1.5, None, True, "é"], "b": {"c": [[]]}})
