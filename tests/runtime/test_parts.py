"""Files written in parts: what counts as finished, what may go on, and what is never left behind."""

from __future__ import annotations

import errno
import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from liteft.errors import RunError
from liteft.runtime import parts as parts_module
from liteft.runtime.parts import Parts, open_parts

STATE = {"input": {"bytes": 10}, "settings": {"text": "body"}}
opened = partial(open_parts, state=STATE, overwrite=False, restart=False)


def put(parts: Parts, content: str, rows: int = 1) -> None:
    parts.add(lambda path: _write(path, content), rows=rows, refused=0, truncated=0, empty=0)


def _write(path: Path, content: str) -> None:
    path.write_text(content)


def join(paths: Sequence[Path], whole: Path) -> None:
    whole.write_text("".join(path.read_text() for path in paths))


def begin(output: Path, *contents: str) -> None:
    """Leave the folder of a run that stopped after some parts."""
    with pytest.raises(KeyboardInterrupt), opened(output) as parts:
        for content in contents:
            put(parts, content)
        raise KeyboardInterrupt


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def test_parts_are_joined_in_order_and_their_folder_goes(tmp_path: Path) -> None:
    output = tmp_path / "new" / "out.csv"
    with opened(output) as parts:
        put(parts, "a", rows=2)
        put(parts, "b", rows=3)
        assert not output.exists()
        assert parts.rows == 5
        parts.join(join)
    assert output.read_text() == "ab"
    assert names(output.parent) == ["out.csv"]


def test_finished_parts_are_there_again(tmp_path: Path) -> None:
    output = tmp_path / "out.csv"
    begin(output, "a", "b")
    with opened(output) as parts:
        assert [part.bytes for part in parts.done] == [1, 1]
        assert [path.read_text() for path in parts.paths] == ["a", "b"]
        put(parts, "c")
        parts.join(join)
    assert output.read_text() == "abc"


@pytest.mark.parametrize("torn", [b'{"bytes": 1, "rows"', b"\xff\n", b"[]\n", b'{"bytes": 1}\n', b"\0\0\0\0"])
def test_a_torn_line_of_the_log_does_not_count(tmp_path: Path, torn: bytes) -> None:
    output = tmp_path / "out.csv"
    begin(output, "a", "b")
    log = tmp_path / "out.csv.parts" / "done.jsonl"
    whole = log.read_bytes()
    log.write_bytes(whole + torn)
    with pytest.raises(KeyboardInterrupt), opened(output) as parts:
        assert parts.rows == 2
        assert log.read_bytes() == whole
        raise KeyboardInterrupt
    log.write_bytes(whole.removesuffix(b"\n"))  # all but the end of the second line
    with opened(output) as parts:
        assert parts.rows == 1


@pytest.mark.parametrize("damage", ["gone", "short"])
def test_a_part_that_is_not_whole_and_all_after_it_do_not_count(tmp_path: Path, damage: str) -> None:
    output = tmp_path / "out.csv"
    begin(output, "a", "b", "c")
    path = tmp_path / "out.csv.parts" / "part-000001.csv"
    path.unlink() if damage == "gone" else path.write_text("")
    with opened(output) as parts:
        assert parts.rows == 1
        put(parts, "B")
        put(parts, "C")
        parts.join(join)
    assert output.read_text() == "aBC"


def test_an_output_that_exists_is_not_touched(tmp_path: Path) -> None:
    output = tmp_path / "out.csv"
    output.write_text("old")
    with pytest.raises(RunError, match="exists") as caught, opened(output):
        pass
    assert "try: overwrite=True" in str(caught.value) and "try: --overwrite" in caught.value.command_text()
    assert names(tmp_path) == ["out.csv"]
    with open_parts(output, STATE, overwrite=True, restart=False) as parts:
        put(parts, "new")
        assert output.read_text() == "old"
        parts.join(join)
    assert output.read_text() == "new"


def test_an_output_that_came_meanwhile_is_not_replaced_by_going_on(tmp_path: Path) -> None:
    output = tmp_path / "out.csv"
    begin(output, "a")
    output.write_text("someone else's")
    with pytest.raises(RunError, match="exists"), opened(output):
        pass
    assert output.read_text() == "someone else's"
    assert (tmp_path / "out.csv.parts" / "part-000000.csv").exists()


def test_another_state_is_refused_by_its_differences_alone(tmp_path: Path) -> None:
    output = tmp_path / "out.csv"
    begin(output, "a")
    other: dict[str, Any] = {"input": {"bytes": 10}, "settings": {"text": "title", "top_k": 3}}
    with pytest.raises(RunError) as caught, open_parts(output, other, overwrite=False, restart=False):
        pass
    assert caught.value.accepted == {
        "settings text": "was 'body', is 'title'",
        "settings top_k": "was None, is 3",
    }
    assert any("--restart" in hint for hint in caught.value.command_hints())
    with open_parts(output, other, overwrite=False, restart=True) as parts:
        assert parts.rows == 0
        put(parts, "x")
        parts.join(join)
    assert output.read_text() == "x"


def test_tuples_in_a_state_equal_the_lists_they_become(tmp_path: Path) -> None:
    state = {"settings": {"threshold": (0.1, 0.2)}}
    output = tmp_path / "out.csv"
    with pytest.raises(KeyError), open_parts(output, state, overwrite=False, restart=False) as parts:
        put(parts, "a")
        raise KeyError
    with open_parts(output, state, overwrite=False, restart=False) as parts:
        assert parts.rows == 1


@pytest.mark.parametrize("content", ["", "[]", '{"input": 3}', "no json"])
def test_a_damaged_state_is_another_state(tmp_path: Path, content: str) -> None:
    output = tmp_path / "out.csv"
    begin(output, "a")
    (tmp_path / "out.csv.parts" / "state.json").write_text(content)
    with pytest.raises(RunError, match="begun with other settings"), opened(output):
        pass


def test_an_error_before_the_first_part_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyError), opened(tmp_path / "out.csv") as parts:
        parts.add(lambda path: {}["x"], rows=1, refused=0, truncated=0, empty=0)
    assert names(tmp_path) == []


def test_an_unfinished_run_without_a_part_may_go_on_as_another(tmp_path: Path) -> None:
    folder = tmp_path / "out.csv.parts"
    folder.mkdir()
    (folder / "state.json").write_text("{}")
    (folder / "part-000000.csv").write_text("half")
    with opened(tmp_path / "out.csv") as parts:
        assert parts.rows == 0
        assert names(folder) == ["lock", "state.json"]


def test_a_folder_that_holds_other_things_is_left_alone(tmp_path: Path) -> None:
    folder = tmp_path / "out.csv.parts"
    folder.mkdir()
    (folder / "thesis.tex").write_text("")
    with pytest.raises(RunError, match=r"thesis\.tex"), opened(tmp_path / "out.csv"):
        pass
    assert names(folder) == ["thesis.tex"]


def test_two_writers_of_one_file_exclude_each_other(tmp_path: Path) -> None:
    output = tmp_path / "out.csv"
    with opened(output) as parts:
        put(parts, "a")
        with pytest.raises(RunError, match="another process is writing"), opened(output):
            pass
        parts.join(join)
    assert output.read_text() == "a"


def test_the_lock_of_another_process_ends_with_it(tmp_path: Path) -> None:
    output = tmp_path / "out.csv"
    code = (
        "import sys; from pathlib import Path; from liteft.runtime.parts import open_parts\n"
        "with open_parts(Path(sys.argv[1]), {}, overwrite=False, restart=False) as parts:\n"
        "    print('locked', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, str(output)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None and other.stdout.readline() == b"locked\n"
        with pytest.raises(RunError, match="another process is writing"), opened(output):
            pass
        other.kill()
    with opened(output) as parts:
        put(parts, "a")
        parts.join(join)
    assert output.read_text() == "a"


def test_a_folder_that_is_gone_once_its_lock_is_held_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fcntl = pytest.importorskip("fcntl")
    lock, calls = fcntl.flock, 0

    def lock_late(file: Any, how: int) -> None:
        """The writer before us removes its folder between our opening the lock and our holding it."""
        nonlocal calls
        calls += 1
        if calls == 1:
            shutil.rmtree(tmp_path / "out.csv.parts")
        lock(file, how)

    monkeypatch.setattr(fcntl, "flock", lock_late)
    with opened(tmp_path / "out.csv") as parts:
        assert calls == 2
        put(parts, "a")
        parts.join(join)


@pytest.mark.parametrize("moment", ["part", "joining"])
def test_a_full_disk_is_an_error_that_keeps_what_is_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    output = tmp_path / "out.csv"
    output.write_text("old")

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    def write_and_fill(path: Path) -> None:
        path.write_text("half")
        full()

    with (
        pytest.raises(RunError, match="No space left") as caught,
        open_parts(output, STATE, overwrite=True, restart=False) as parts,
    ):
        put(parts, "a", rows=1200)
        if moment == "part":
            parts.add(write_and_fill, rows=1, refused=0, truncated=0, empty=0)
        monkeypatch.setattr(parts_module, "_sync", full)
        parts.join(join)
    assert caught.value.accepted == {"rows that are saved": "1,200"}
    assert "free some space" in str(caught.value) and "continue" in str(caught.value)
    assert output.read_text() == "old"
    assert names(tmp_path / "out.csv.parts") == ["done.jsonl", "lock", "part-000000.csv", "state.json"]
    monkeypatch.undo()
    with open_parts(output, STATE, overwrite=True, restart=False) as parts:
        assert parts.rows == 1200


def test_where_nothing_can_be_written_the_reason_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(RunError, match=r"could not be written: (Not a directory|File exists)"),
        opened(tmp_path / "file" / "out.csv"),
    ):
        pass
    with pytest.raises(RunError, match="File name too long"), opened(tmp_path / ("x" * 300 + ".csv")):
        pass
    with pytest.raises(RunError, match="is a folder"), opened(tmp_path):
        pass


def test_a_run_killed_after_its_output_was_in_place_has_only_to_be_cleaned_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "out.csv"

    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    def stop_in_place(folder: Path) -> None:
        if folder == tmp_path:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), opened(output) as parts:
        put(parts, "a", rows=7)
        monkeypatch.setattr(parts_module.files, "sync_folder", stop_in_place)
        parts.join(join)
    monkeypatch.undo()
    # the parts may be gone already, too
    next((tmp_path / "out.csv.parts").glob("part-*"), tmp_path).unlink()
    with opened(output) as parts:
        assert parts.moved and parts.rows == 7
        parts.join(stop)
    assert output.read_text() == "a"
    assert names(tmp_path) == ["out.csv"]


def test_the_log_holds_a_line_for_each_part(tmp_path: Path) -> None:
    begin(tmp_path / "out.csv", "a", "bc")
    lines = (tmp_path / "out.csv.parts" / "done.jsonl").read_text().splitlines()
    assert [json.loads(line)["bytes"] for line in lines] == [1, 2]
