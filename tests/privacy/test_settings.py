"""What is shown of texts, and to whom files belong: the settings of a process."""

from __future__ import annotations

import csv
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import liteft
from liteft import files
from liteft.cli import main
from liteft.errors import ConfigError
from liteft.privacy import HIDDEN, policy, quoted, shown, shown_parts, shown_value
from tests.modules import module_of


@pytest.fixture(autouse=True)
def _plain(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("LITEFT_NO_TEXTS", "LITEFT_REDACT", "LITEFT_PRIVATE"):
        monkeypatch.delenv(name, raising=False)
    umask = os.umask(0o022)
    yield
    os.umask(umask)


def upper(text: str) -> str:
    return text.upper() if "name" in text else text


def test_all_is_shown_unless_something_else_is_asked_for() -> None:
    assert (policy(), shown("a text"), quoted("a text")) == ("shown", "a text", "'a text'")
    assert quoted("x" * 50) == "'" + "x" * 36 + "..." and quoted(3.5) == "3.5"


def test_hidden_texts_are_shown_again_afterwards_and_numbers_all_the_time() -> None:
    with liteft.hide_texts():
        assert policy() == "hidden" and shown("a text") == HIDDEN and "a text" not in quoted(["a text"])
        assert quoted(3.5) == "3.5" and quoted(None) == "None"
        assert os.environ["LITEFT_NO_TEXTS"] == "1"  # of processes that are started now
    assert policy() == "shown" and "LITEFT_NO_TEXTS" not in os.environ


def test_a_function_judges_whole_texts_and_of_one_that_it_changes_no_part_is_shown() -> None:
    with liteft.hide_texts(redact=upper):
        assert policy() == "redacted" and shown("my name is x") == "MY NAME IS X"
        assert shown_parts(["my", "x"], "my name is x") == [HIDDEN, HIDDEN]
        assert shown_parts(["a", "b"], "a b") == ["a", "b"]
        assert shown_value({"id": 3, "text": "name", "words": ["a", "name"]}) == {
            "id": 3,
            "text": "NAME",
            "words": ["a", "NAME"],
        }


def test_a_function_that_fails_or_gives_no_string_hides() -> None:
    for wrong in (lambda _: 1 / 0, lambda _: None):
        with liteft.hide_texts(redact=wrong):  # type: ignore[arg-type]
            assert shown("a text") == HIDDEN
    with pytest.raises(ConfigError, match="redact must be a function"), liteft.hide_texts(redact="x"):  # type: ignore[arg-type]
        pass


def test_a_function_shows_nothing_where_all_texts_are_hidden_already(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LITEFT_NO_TEXTS", "yes")
    with liteft.hide_texts(redact=upper):
        assert shown("a text") == HIDDEN
    monkeypatch.setenv("LITEFT_NO_TEXTS", "perhaps")
    with pytest.raises(ConfigError, match="LITEFT_NO_TEXTS is 'perhaps'"):
        shown("a text")


def test_a_function_is_named_in_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "redacting_here.py").write_text("def loud(text):\n    return text.upper()\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("LITEFT_REDACT", "redacting_here:loud")
    assert shown("a text") == "A TEXT"
    for wrong in ("redacting_here:quiet", "no_such_module:loud", "redacting_here"):
        monkeypatch.setenv("LITEFT_REDACT", wrong)
        with pytest.raises(ConfigError, match="cannot be imported"):
            shown("a text")
    sys.modules.pop("redacting_here", None)


def test_a_file_of_predictions_has_what_is_shown_and_resumes_only_as_it_began(tmp_path: Path) -> None:
    artifact = module_of("runtime", "tiny.py").write_artifact(tmp_path / "artifact").path
    source = tmp_path / "in.csv"
    source.write_text("id,text,author\n7,a name,x name\n8,plain,y\n", encoding="utf-8")

    def rows(name: str) -> list[dict[str, str]]:
        with open(liteft.predict_file(artifact, source, tmp_path / name).path, encoding="utf-8") as file:
            return list(csv.DictReader(file))

    whole = rows("whole.csv")
    with liteft.hide_texts(redact=upper):
        part = rows("part.csv")
    with liteft.hide_texts():
        none = rows("none.csv")
    assert [(row["text"], row["author"]) for row in part] == [("A NAME", "X NAME"), ("plain", "y")]
    assert [list(row) for row in none] == [["row", "prediction", "score"]] * 2 and none[1]["row"] == "2"
    for name in ("prediction", "score"):
        assert [row[name] for row in whole] == [row[name] for row in part] == [row[name] for row in none]


def test_columns_of_texts_are_not_kept_in_parts_where_texts_are_hidden(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    artifact = module_of("runtime", "tiny.py").write_artifact(tmp_path / "artifact").path
    source = tmp_path / "in.csv"
    source.write_text("id,text\n7,a name\n8,plain\n", encoding="utf-8")
    with liteft.hide_texts():
        liteft.score(artifact, source, tmp_path / "parts", workers=1, keep=["id"])
        with pytest.raises(ConfigError, match="keep names 'text'"):
            liteft.score(artifact, source, tmp_path / "others", workers=1, keep=["text"])
    (part,) = (tmp_path / "parts").glob("*.parquet")
    assert parquet.read_table(part).column_names == ["id", "prediction", "score"]


def test_files_and_folders_are_their_owners_alone_whatever_the_umask(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "old").mkdir(mode=0o755)
    monkeypatch.setenv("LITEFT_PRIVATE", "1")
    os.umask(0)
    files.write_text(tmp_path / "file.txt", "text")
    with files.writing_folder(tmp_path / "folder") as folder:
        (folder / "inside").mkdir()
        (folder / "inside" / "file").write_text("text", encoding="utf-8")
    files.own(tmp_path / "old")
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.rglob("*")}
    assert (modes["file.txt"], modes["file"]) == (0o600, 0o600)
    assert (modes["folder"], modes["inside"], modes["old"]) == (0o700, 0o700, 0o700)


def test_a_command_leaves_umask_and_environment_as_they_were(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "data.csv").write_text("text,label\n" + "".join(f"t{row},{row % 2}\n" for row in range(40)), "utf-8")
    assert main(["check", str(tmp_path / "data.csv"), "--no-texts", "--private"]) == 0
    assert os.umask(0o022) == 0o022
    assert "LITEFT_PRIVATE" not in os.environ and "LITEFT_NO_TEXTS" not in os.environ


def test_without_texts_a_bug_leaves_no_message_in_the_traceback(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise KeyError(" ".join(("a", "private", "text")))

    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setattr("liteft.data.check_dataset", broken)
    (tmp_path / "data.csv").write_text("text,label\n" + "".join(f"t{row},{row % 2}\n" for row in range(40)), "utf-8")
    for flag, holds in (("--quiet", True), ("--no-texts", False)):
        assert main(["check", str(tmp_path / "data.csv"), flag]) == 1
        said = capsys.readouterr().err
        (traceback,) = tmp_path.glob("liteft-traceback-*.txt")
        assert ("a private text" in said, "a private text" in traceback.read_text("utf-8")) == (holds, holds)
        assert "KeyError" in said
        traceback.unlink()
