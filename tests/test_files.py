"""Files and folders that are replaced: the old content or the new, at every moment."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from liteft import files
from liteft.errors import ArtifactError, RunError

NAMES = ("a.txt", "b.txt", "inner/c.txt")


def write_generation(folder: Path, generation: str) -> None:
    for name in NAMES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(generation)


def content(folder: Path) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()}


def whole(generation: str) -> dict[str, str]:
    return dict.fromkeys(NAMES, generation)


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def full(*_: Any) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_file_is_replaced_when_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.txt"
    for text in ("old", "new"):
        with files.writing_file(path) as temporary:
            temporary.write_text(text)
            assert not path.exists() or path.read_text() == "old"
        assert path.read_text() == text
    assert names(path.parent) == ["a.txt"]


@pytest.mark.parametrize("error", [ValueError("a bug"), KeyboardInterrupt()])
def test_an_error_inside_the_block_leaves_the_old_file(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(type(error)), files.writing_file(path) as temporary:
        temporary.write_text("ha")
        raise error
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("error", [ValueError("a bug"), KeyboardInterrupt()])
def test_an_error_inside_the_block_leaves_the_old_folder(tmp_path: Path, error: BaseException) -> None:
    target = tmp_path / "folder"
    write_generation(target, "old")
    with pytest.raises(type(error)), files.writing_folder(target) as temporary:
        (temporary / "a.txt").write_text("ha")
        raise error
    assert content(target) == whole("old")
    assert names(tmp_path) == ["folder"]


def test_nothing_of_the_old_folder_stays_in_the_new_one(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "folder"
    write_generation(target, "old")
    (target / "left over").write_text("old")
    with files.writing_folder(target) as temporary:
        write_generation(temporary, "new")
        assert content(target)["a.txt"] == "old"
    assert content(target) == whole("new")
    assert names(target.parent) == ["folder"]


def test_a_new_folder_is_readable_by_others(tmp_path: Path) -> None:
    with files.writing_folder(tmp_path / "folder") as temporary:
        write_generation(temporary, "new")
    assert (tmp_path / "folder").stat().st_mode & 0o777 == 0o755  # mkdtemp's own are for the owner alone


def test_a_system_without_exchange_replaces_by_two_renames(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_exchange", lambda new, target: False)
    target = tmp_path / "folder"
    for generation in ("old", "new"):
        with files.writing_folder(target) as temporary:
            write_generation(temporary, generation)
    assert content(target) == whole("new")
    assert names(tmp_path) == ["folder"]


KILLED_AT_EVERY_LINE = """
import json, os, signal, sys
from pathlib import Path
from liteft import files

root, names = Path(sys.argv[1]), json.loads(sys.argv[2])

def replace_folder(generation):
    with files.writing_folder(root / "target") as folder:
        for name in names:
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text(generation)

def replace_file(generation):
    with files.writing_file(root / "target") as path:
        path.write_text(generation)

def found():
    target = root / "target"
    if target.is_file():
        return target.read_text()
    return {name: (target / name).read_text() for name in names if (target / name).is_file()}

def kill_at(line):
    def trace(frame, event, _):
        nonlocal line
        if frame.f_code.co_filename != files.__file__:
            return None
        if event == "line":
            line -= 1
            if line == 0:
                os.kill(os.getpid(), signal.SIGKILL)
        return trace
    sys.settrace(trace)

replace = {"folder": replace_folder, "file": replace_file}[sys.argv[3]]
replace("0")
for step in range(1, 1000):
    child = os.fork()
    if child == 0:
        kill_at(step)
        replace(str(step))
        os._exit(0)
    ended = os.waitpid(child, 0)[1]
    print(json.dumps([step, found()]), flush=True)
    if ended == 0:
        break
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux exchanges two folders in one step")
@pytest.mark.parametrize("kind", ["folder", "file"])
def test_a_kill_at_any_line_leaves_one_whole_generation(tmp_path: Path, kind: str) -> None:
    """A child writes a new generation and is killed with signal 9 before one line of files.py, then before the next."""
    command = [sys.executable, "-c", KILLED_AT_EVERY_LINE, str(tmp_path), json.dumps(NAMES), kind]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    steps = [json.loads(line) for line in done.stdout.splitlines()]
    before = "0"
    for step, found in steps:
        generation = found if kind == "file" else found.get("a.txt", "nothing")
        assert found == (generation if kind == "file" else whole(generation)), f"torn at line {step}"
        assert generation in (before, str(step))
        before = generation
    assert len(steps) > 8  # lines at which it was killed
    assert before == str(steps[-1][0])  # the last child was not killed, whatever the dead left behind
    changed = [step for step, found in steps[:-1] if str(step) in json.dumps(found)]
    assert 0 < len(changed) < len(steps) - 1  # kills on both sides of the exchange


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_a_full_disk_is_an_error_that_leaves_the_old_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    target = tmp_path / "target"
    with pytest.raises(RunError, match="target could not be written: No space left on device") as caught:
        if kind == "folder":
            write_generation(target, "old")
            with files.writing_folder(target) as temporary:
                write_generation(temporary, "new")
                monkeypatch.setattr(os, "fsync", full)
        else:
            target.write_text("old")
            with files.writing_file(target) as temporary:
                temporary.write_text("new")
                monkeypatch.setattr(os, "fsync", full)
    assert caught.value.fix == ("free some space, or choose another folder",)
    assert (content(target) == whole("old")) if kind == "folder" else (target.read_text() == "old")
    assert names(tmp_path) == ["target"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_disk_that_fills_up_while_the_block_writes_is_the_same_error(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="No space left"), files.writing_folder(tmp_path / "target") as temporary:
        (temporary / "a.txt").symlink_to("/dev/full")
        (temporary / "a.txt").write_text("more than fits")
    assert names(tmp_path) == []


def unwritable() -> list[str]:
    """Paths that not even root may write to."""
    return [path for path in ("/proc/liteft/target", "/sys/liteft/target") if Path(path).parents[1].is_dir()]


@pytest.mark.parametrize("target", unwritable())
@pytest.mark.parametrize("writing", [files.writing_file, files.writing_folder])
def test_a_read_only_place_is_an_error_with_the_systems_words(
    target: str, writing: Callable[[Path], Any]
) -> None:
    with (
        pytest.raises(RunError, match=rf"{target} could not be written: \w+") as caught,
        writing(Path(target)),
    ):
        pass
    assert caught.value.fix[0].startswith("choose ")


@pytest.mark.parametrize("writing", [files.writing_file, files.writing_folder])
def test_a_parent_that_is_a_file_is_an_error(tmp_path: Path, writing: Callable[[Path], Any]) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(RunError) as caught, writing(tmp_path / "file" / "target"):
        pass
    assert caught.value.fix == ("choose a path whose parent is a folder",)
    assert (tmp_path / "file").read_text() == "mine"


def test_the_caller_chooses_the_class_of_a_folders_error(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError), files.writing_folder(tmp_path / "a", kind=ArtifactError):
        full()


def test_a_file_does_not_take_the_place_of_a_folder(tmp_path: Path) -> None:
    write_generation(tmp_path / "folder", "old")
    with pytest.raises(RunError), files.writing_file(tmp_path / "folder") as temporary:
        temporary.write_text("new")
    assert content(tmp_path / "folder") == whole("old")
    assert names(tmp_path) == ["folder"]


@pytest.mark.parametrize("there", [True, False], ids=["a folder", "nothing yet"])
def test_a_link_to_a_folder_stays_a_link(tmp_path: Path, there: bool) -> None:
    if there:
        write_generation(tmp_path / "elsewhere" / "folder", "old")
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere" / "folder")
    with files.writing_folder(tmp_path / "link") as temporary:
        write_generation(temporary, "new")
    assert (tmp_path / "link").is_symlink()
    assert content(tmp_path / "elsewhere" / "folder") == whole("new")
    assert (names(tmp_path), names(tmp_path / "elsewhere")) == (["elsewhere", "link"], ["folder"])


def test_json_is_utf8_without_escapes_and_without_nan(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    files.write_json(path, {"label": "größer 中"})
    assert path.read_text(encoding="utf-8") == '{\n  "label": "größer 中"\n}\n'
    assert files.read_json(path) == {"label": "größer 中"}
    with pytest.raises(ValueError):
        files.write_json(path, {"loss": float("nan")})
    assert files.read_json(path) == {"label": "größer 中"}


@pytest.mark.parametrize("stored", [b"{", b"\xff\xfe", b""])
def test_a_file_that_is_no_json_is_a_value_error(tmp_path: Path, stored: bytes) -> None:
    (tmp_path / "a.json").write_bytes(stored)
    with pytest.raises(ValueError):
        files.read_json(tmp_path / "a.json")


def test_a_hash_is_that_of_the_bytes(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"liteft" * 100_000)
    assert files.sha256_file(tmp_path / "a") == hashlib.sha256(b"liteft" * 100_000).hexdigest()
