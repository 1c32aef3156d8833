"""What a newcomer gets wrong: paths, empty files, columns, values and places. Each is told what to do instead."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from liteft.artifact import Artifact

DATA_COMMANDS = {
    "check": ["check"],
    "finetune": ["finetune", "--base", "minilm", "--out", "o", "--data"],
    "distill": ["distill", "--teacher", "minilm", "--size", "1", "--out", "o", "--data"],
    "search": ["search", "--teacher", "minilm", "--max-mb", "9", "--out", "o", "--data"],
}


def refused(call: Any, *words: object, status: int = 1) -> str:
    """Run a command that must fail; return what it says, which ends with something to try."""
    called = call(*words)
    assert (called.status, called.out) == (status, ""), called
    assert called.err.splitlines()[-1].startswith("  try: ")
    return str(called.err)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("words", DATA_COMMANDS.values(), ids=DATA_COMMANDS)
def test_data_that_cannot_be_read_are_named_before_anything_is_made(call: Any, words: list[str], reviews: Path) -> None:
    assert "there is no file or folder nothing.csv" in refused(call, *words, "nothing.csv")
    Path("empty.csv").write_text("")
    assert "empty.csv is empty" in refused(call, *words, "empty.csv")
    said = refused(call, *words, reviews, "--text", "body", "--label", "zzz")
    assert "has no column 'zzz'" in said and "columns: body, stars" in said and "try: --label COLUMN" in said
    assert not Path("o").exists()


@pytest.mark.parametrize(
    ("flags", "said", "tried"),
    [
        (
            ["--validation-fraction", "2"],
            "data.validation_fraction must be a number above 0 and below 1, got 2.0",
            "0.1",
        ),
        (["--max-chars", "0"], "data.max_chars must be a whole number above 0, got 0", "leave out data.max_chars"),
        (
            ["--task", "both"],
            "data.task must be one of single_label, multi_label, tokens, scores, answers, got 'both'",
            "data.task",
        ),
        (["--recipe", "nothing.toml"], "nothing.toml cannot be read", "--recipe FILE.toml"),
        (["--set", "data.seed"], "--set data.seed does not set anything", "--set data.seed=VALUE"),
        (["--set", "seed=3"], "--set seed=3 does not set anything", "--set data.seed=3"),
    ],
)
def test_a_value_that_does_not_fit_is_told_what_does(
    call: Any, reviews: Path, flags: list[str], said: str, tried: str
) -> None:
    told = refused(call, "check", reviews, *flags, status=2)
    assert said in told
    assert any(tried in line for line in told.splitlines() if "try: " in line)


@pytest.mark.parametrize(
    ("flags", "said", "tried"),
    [
        (["--size", "3by384"], "size '3by384' is not understood", "--size 3x384"),
        (["--until", "studnt"], "there is no stage 'studnt'", "--until student"),
        (["--precision", "fp8"], "export.precision must be one of", "fp32"),
        (["--arms", "c9"], "student.arms must be a list of c0, c1, c2, got 'c9'", "did you mean 'c2'?"),
        (["--threads", "0"], "threads must be a whole number above 0, got 0", "leave out"),
    ],
)
def test_a_setting_of_distill_that_does_not_fit_is_told_what_does(
    call: Any, reviews: Path, flags: list[str], said: str, tried: str
) -> None:
    size = [] if "--size" in flags else ["--size", "1"]
    told = refused(call, "distill", "--data", reviews, "--teacher", "minilm", "--out", "o", *size, *flags, status=2)
    assert said in told and tried in told.splitlines()[-1]


@pytest.mark.parametrize("command", ["distill", "search"])
def test_a_folder_of_something_else_is_no_place_for_runs(
    call: Any, artifact: Artifact, reviews: Path, command: str
) -> None:
    words = [*DATA_COMMANDS[command], reviews, "--text", "body", "--label", "stars"]
    words[words.index("o")] = artifact.path
    said = refused(call, *words)
    assert "is an artifact, but runs and artifacts are to be made in it" in said
    assert "try: --out NEW_FOLDER" in said


@pytest.mark.parametrize("command", ["predict", "inspect"])
def test_what_is_not_an_artifact_is_told_what_one_is(call: Any, command: str) -> None:
    words = ["a text"] if command == "predict" else []
    said = refused(call, command, "nowhere", *words)
    assert "nowhere is not a folder" in said and "an artifact: a folder with manifest.json" in said


def test_an_output_that_exists_is_not_replaced_unasked(call: Any, artifact: Artifact, reviews: Path) -> None:
    Path("out.csv").write_text("mine")
    words = ["predict", artifact.path, "--input", reviews, "--output", "out.csv", "--text", "body"]
    assert "try: --overwrite" in refused(call, *words)
    assert Path("out.csv").read_text() == "mine"
    words[words.index("out.csv")] = reviews
    assert "is the input; it would be overwritten" in refused(call, *words, status=2)
