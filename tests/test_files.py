"""Files and folders that are replaced: the old content or the new, at every moment."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
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


@pytest.mark.parametrize(("umask", "file", "folder"), [(0o022, 0o644, 0o755), (0o077, 0o600, 0o700)])
def test_all_that_is_written_follows_the_umask(tmp_path: Path, umask: int, file: int, folder: int) -> None:
    before = os.umask(umask)
    try:
        for writing, name in ((files.writing_folder, "folder"), (files.writing_file, "file")):
            with writing(tmp_path / name) as temporary:
                write_generation(temporary, "new") if name == "folder" else temporary.write_text("new")
                for path in temporary.rglob("*") if name == "folder" else [temporary]:
                    path.chmod(0o700)  # a library with a rule of its own
    finally:
        os.umask(before)
    found = {path: path.stat().st_mode & 0o777 for path in tmp_path.rglob("*")}
    assert {mode for path, mode in found.items() if path.is_file()} == {file}
    assert {mode for path, mode in found.items() if path.is_dir()} == {folder}


LEFT_BEHIND = """
import os, sys
from pathlib import Path
from liteft import files
with files.{writing} as inside:
    (inside / "half").write_text("half") if inside.is_dir() else inside.write_text("half")
    print(inside, flush=True)
    os.kill(os.getpid(), 9)
"""


def left_behind(writing: str, folder: Path) -> Path:
    """Have a process killed while it writes; return what it wrote, an hour ago."""
    script = LEFT_BEHIND.format(writing=writing)
    environment = {**os.environ, "TMPDIR": str(folder)}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    half = folder / done.stdout.strip()
    assert half.exists(), done.stderr
    for path in [half, *half.parent.glob("lock")]:
        os.utime(path, (path.stat().st_mtime - 3600,) * 2)
    return half


def test_the_next_writer_of_a_folder_removes_what_a_killed_one_left(tmp_path: Path) -> None:
    half = left_behind('writing_folder(Path("a"))', tmp_path)
    with files.writing_folder(tmp_path / "a") as temporary:
        assert list(temporary.iterdir()) == []
        (temporary / "whole").write_text("whole")
    assert not half.exists()
    assert names(tmp_path) == ["a"]


def test_temporary_folders_of_killed_processes_go_and_those_of_others_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    half = left_behind("temporary_folder()", tmp_path)
    (tmp_path / "liteft-notes.tmp").mkdir()
    with files.temporary_folder() as first:
        os.utime(first.parent / "lock", (0, 0))
        with files.temporary_folder() as second:
            assert not half.parent.exists()
            assert first.is_dir()
            assert second.is_dir()
    assert names(tmp_path) == ["liteft-notes.tmp"]


def test_a_second_writer_of_a_folder_is_refused_by_the_firsts_name(tmp_path: Path) -> None:
    with files.writing_folder(tmp_path / "a") as temporary:
        write_generation(temporary, "first")
        with (
            pytest.raises(RunError, match="another process is writing") as caught,
            files.writing_folder(tmp_path / "a"),
        ):
            pass
    assert caught.value.accepted == {"its process": f"pid {os.getpid()} on {socket.gethostname()}"}
    assert content(tmp_path / "a") == whole("first")
    assert names(tmp_path) == ["a"]


FORKING = """
import os, time
from pathlib import Path
from liteft import files
with files.writing_folder(Path("a")):
    if not os.fork():
        print(os.getpid(), flush=True)
    time.sleep(60)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_child_of_a_killed_writer_holds_nobody_up(tmp_path: Path) -> None:
    command = [sys.executable, "-c", FORKING]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        child = int(writer.stdout.readline())
        writer.kill()
        try:
            writer.wait()
            with files.writing_folder(tmp_path / "a") as temporary:
                write_generation(temporary, "new")
        finally:
            os.kill(child, signal.SIGKILL)
    assert content(tmp_path / "a") == whole("new")


RACING = """
import sys, time
from pathlib import Path
from liteft import files
from liteft.errors import RunError

end, written = time.monotonic() + 1, 0
while time.monotonic() < end or not written:
    try:
        with files.writing_folder(Path(sys.argv[1])) as folder:
            for name in "abc":
                (folder / name).write_text(sys.argv[2])
        written += 1
    except RunError as error:
        assert "another process is writing" in error.message or "keep writing" in error.message, error
print(written)
"""


def test_writers_that_race_write_one_after_another_or_are_refused(tmp_path: Path) -> None:
    commands = [[sys.executable, "-c", RACING, str(tmp_path / "a"), str(number)] for number in range(3)]
    writers = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for command in commands]
    for writer in writers:
        out, err = writer.communicate(timeout=60)
        assert writer.returncode == 0, err.decode()
        assert int(out) > 0
    assert len(set(content(tmp_path / "a").values())) == 1
    assert names(tmp_path) == ["a"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such locks")
def test_a_system_without_locks_writes_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import fcntl

    def unsupported(*_: Any) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", unsupported)
    with files.writing_folder(tmp_path / "a") as first, files.writing_folder(tmp_path / "a") as second:
        write_generation(second, "second")
        write_generation(first, "first")
    assert content(tmp_path / "a") == whole("first")  # it ended last
    assert names(tmp_path) == ["a"]


def test_a_system_without_exchange_replaces_by_two_renames(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_exchange", lambda new, target: False)
    target = tmp_path / "folder"
    for generation in ("old", "new"):
        with files.writing_folder(target) as temporary:
            write_generation(temporary, generation)
    assert content(target) == whole("new")
    assert names(tmp_path) == ["folder"]


INTERRUPTED = """
import os, sys
from pathlib import Path
from liteft import files

def rename(source, target, rename=os.rename):
    if Path(source).name == "new":
        os.kill(os.getpid(), int(sys.argv[1]))
    rename(source, target)

files._exchange, os.rename = lambda new, target: False, rename
with files.writing_folder(Path("folder")) as temporary:
    (temporary / "a.txt").write_text("new")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_what_ends_between_two_renames_leaves_the_old_folder_to_the_next_writer(tmp_path: Path, number: int) -> None:
    target = tmp_path / "folder"
    write_generation(target, "old")
    command = [sys.executable, "-c", INTERRUPTED, str(int(number))]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False)
    assert done.returncode == -number
    with pytest.raises(ValueError, match="a bug"), files.writing_folder(target):
        raise ValueError("a bug")
    assert content(target) == whole("old")
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
def test_a_read_only_place_is_an_error_with_the_systems_words(target: str, writing: Callable[[Path], Any]) -> None:
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
