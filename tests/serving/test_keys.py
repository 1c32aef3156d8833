"""API keys: a file of them, read again when it changes, and never told."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from liteft.errors import ConfigError
from liteft.serving.keys import Keys
from liteft.serving.refusals import Refused

FIRST, SECOND = "first-key-0123456789", "second-key-0123456789"


def accepts(keys: Keys, **headers: str) -> bool:
    try:
        keys.check({name.replace("_", "-").encode(): value.encode() for name, value in headers.items()})
    except Refused as refused:
        assert refused.status == 401
        assert not any(value and value in refused.text for value in headers.values())
        return False
    return True


def test_any_key_of_the_file_is_accepted_in_either_header(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text(f"# of the web shop\n{FIRST}\n\n  {SECOND}  \n")
    keys = Keys(path)
    assert accepts(keys, authorization=f"Bearer {FIRST}")
    assert accepts(keys, authorization=f"bearer  {SECOND}")
    assert accepts(keys, x_api_key=SECOND)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": "Bearer"},
        {"authorization": f"Basic {FIRST}"},
        {"authorization": f"Bearer {FIRST}x"},
        {"x_api_key": FIRST[:-1]},
        {"x_api_key": "# of the web shop"},
        {"x_api_key": ""},
    ],
)
def test_nothing_else_is(tmp_path: Path, headers: dict[str, str]) -> None:
    path = tmp_path / "keys"
    path.write_text(f"# of the web shop\n{FIRST}\n")
    assert not accepts(Keys(path), **headers)


def test_a_changed_file_is_read_again_and_one_that_cannot_be_used_lets_nobody_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("liteft.serving.keys._LOOK_AFTER", 0.0)
    path = tmp_path / "keys"
    path.write_text(f"{FIRST}\n")
    keys = Keys(path)
    path.write_text(f"{SECOND}\n")
    os.utime(path, ns=(1, 1))
    assert accepts(keys, x_api_key=SECOND)
    assert not accepts(keys, x_api_key=FIRST)
    for _ in range(2):
        path.write_text("short\n")
        assert not accepts(keys, x_api_key=SECOND)
        path.write_text(f"{SECOND}\n")
        assert accepts(keys, x_api_key=SECOND)
        path.unlink()
        assert not accepts(keys, x_api_key=SECOND)
        path.write_text(f"{SECOND}\n")
        assert accepts(keys, x_api_key=SECOND)
    assert caplog.text.count("nobody is let in until this is mended") == 4
    assert SECOND not in caplog.text


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", "holds not a single key"),
        ("# none\n", "holds not a single key"),
        ("short\n", "holds a key that is too short"),
    ],
)
def test_a_file_without_usable_keys_is_an_error(tmp_path: Path, content: str, told: str) -> None:
    path = tmp_path / "keys"
    path.write_text(content)
    with pytest.raises(ConfigError, match=told):
        Keys(path)


def test_a_file_that_is_missing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        Keys(tmp_path / "keys")
