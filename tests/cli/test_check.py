"""liteft check: the data check alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from liteft.cli import main
from tests.cli.test_light_imports import run_in_a_process


@pytest.fixture
def comments(tmp_path: Path) -> Path:
    """A csv with a column for each label, and a second text."""
    path = tmp_path / "comments.csv"
    lines = [f"a comment {n},its answer has words {n},{n % 2},{n % 3 // 2}\n" for n in range(40)]
    path.write_text("text,answer,toxic,insult\n" + "".join(lines), encoding="utf-8")
    return path


def test_the_check_is_printed_in_the_words_of_the_command_line(
    comments: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", str(comments), "--label", "toxic,insult"]) == 0
    told = capsys.readouterr()
    assert told.out.startswith("data: comments (multi-label, 2 labels)\n")
    assert "note: the column 'answer' looks like a second text and is not read; --pair answer reads it" in told.out
    assert f"next: liteft finetune --data {comments} --label toxic,insult" in told.err


def test_flags_of_labels_may_be_repeated(comments: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(comments), "--label", "toxic", "--label", "insult", "--pair", "answer"]) == 0
    assert "(multi-label, 2 labels)" in capsys.readouterr().out


def test_scores_are_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "similar.csv"
    lines = [f"a text {n},another text {n},{n % 11 / 2}\n" for n in range(60)]
    path.write_text("sentence1,sentence2,score\n" + "".join(lines), encoding="utf-8")
    assert main(["check", str(path), "--label", "score"]) == 1
    assert "--task scores, if the numbers are scores to predict" in capsys.readouterr().err
    assert main(["check", str(path), "--task", "scores"]) == 0
    told = capsys.readouterr()
    assert told.out.startswith("data: similar (scores, 1 label)\n") and "scores in train: 0 to 5, median" in told.out
    assert f"next: liteft finetune --data {path} --task scores" in told.err


def test_names_of_labels_are_given_with_commas(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps({"text": f"t {n}", "label": n % 2}) + "\n" for n in range(30)), encoding="utf-8")
    assert main(["check", str(path), "--label-names", "ham,spam"]) == 0
    assert "labels in train: ham 12 (50.0%), spam 12 (50.0%)" in capsys.readouterr().out


def test_the_check_as_json(comments: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(comments), "--label", "toxic", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["task"] == "single_label" and document["splits"][0]["rows"] == 32
    assert any("--label toxic,insult makes each a label" in note for note in document["notes"])


def test_what_cannot_be_read_has_status_1_and_a_flag_to_try(comments: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(comments)]) == 1
    assert "try: --label toxic,insult" in capsys.readouterr().err


def test_no_data_at_all_is_a_mistake_in_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check"]) == 2
    assert "no data was given" in capsys.readouterr().err


def test_the_check_imports_no_torch(comments: Path) -> None:
    done = run_in_a_process(["check", str(comments), "--label", "toxic"])
    assert done.returncode == 0, done.stderr
