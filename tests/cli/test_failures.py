"""Exit statuses and messages: what a mistake, a refusal, an interrupt and a closed pipe look like."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

import liteft
from liteft import files
from liteft.artifact import Artifact
from liteft.errors import ConfigError, DataError, VerificationError
from liteft.installation import install_hint

LITEFT = [sys.executable, "-m", "liteft.cli"]


def raising(error: BaseException) -> Any:
    def verb(*_words: Any, **_settings: Any) -> None:
        raise error

    return verb


def test_without_a_verb_the_help_goes_to_stderr_with_status_2(call: Any) -> None:
    called = call()
    assert called.status == 2
    assert called.out == ""
    assert "finetune" in called.err


def test_help_and_version_end_with_status_0(call: Any) -> None:
    assert call("--help").status == 0
    called = call("--version")
    assert (called.status, called.out) == (0, f"liteft {liteft.__version__}\n")


@pytest.mark.parametrize("verb", ["finetune", "distill", "export", "predict", "compare", "inspect", "doctor", "demo"])
def test_every_verb_has_help_json_and_quiet(call: Any, verb: str) -> None:
    called = call(verb, "--help")
    assert called.status == 0
    assert "--json" in called.out
    assert "--quiet" in called.out


def test_check_without_data_says_how_to_name_them(call: Any) -> None:
    assert "try: liteft check reviews.csv" in call("check").err


def test_an_unknown_recipe_key_ends_with_status_2_and_the_closest_key(call: Any, reviews: Path) -> None:
    called = call("finetune", "--out", "x", "--data", reviews, "--set", "teacher.warm_up=0.1")
    assert called.status == 2
    assert called.err.startswith("ConfigError: the command line: unknown key 'teacher.warm_up'")
    assert "warmup" in called.err.splitlines()[-1]


def test_a_missing_file_ends_with_status_1_and_the_closest_name(call: Any, reviews: Path, trained: list[Any]) -> None:
    called = call("finetune", "--out", "x", "--base", "minilm", "--data", reviews.with_name("review.csv"))
    assert called.status == 1
    assert called.err.startswith("DataError: there is no file or folder")
    assert "reviews.csv" in called.err
    assert trained == []


def test_a_misspelt_column_is_found_before_anything_is_trained(call: Any, reviews: Path, trained: list[Any]) -> None:
    words = ["--out", "x", "--base", "minilm", "--data", reviews, "--text", "body", "--label", "star"]
    called = call("finetune", *words)
    assert called.status == 1
    assert "no column 'star'" in called.err
    assert "columns: body, stars" in called.err
    assert "try: --label stars" in called.err
    assert trained == []


def test_an_export_of_no_classifier_ends_with_status_1(call: Any, tmp_path: Path) -> None:
    called = call("export", tmp_path, "--out", tmp_path / "out")
    assert called.status == 1
    assert called.err.startswith("ModelError: ")
    assert not (tmp_path / "out").exists()


def test_a_library_that_ends_the_process_is_not_taken_for_a_reader_that_left(
    call: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("liteft.doctor.diagnose", raising(SystemExit("it gave up")))
    with pytest.raises(SystemExit, match="it gave up"):
        call("doctor")


@pytest.mark.parametrize(
    ("error", "status"), [(ConfigError("a."), 2), (DataError("a."), 1), (VerificationError("a."), 1)]
)
def test_a_refusal_is_printed_with_its_class_and_ends_with_its_status(
    call: Any, reviews: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, status: int
) -> None:
    monkeypatch.setitem(vars(liteft), "finetune", raising(error))
    called = call("finetune", "--out", "x", "--data", reviews, "--base", "minilm")
    assert called.status == status
    assert called.out == ""
    assert f"{type(error).__name__}: a.\n" in called.err


def test_an_interrupted_training_says_that_the_same_command_resumes(
    call: Any, reviews: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(vars(liteft), "finetune", raising(KeyboardInterrupt()))
    words = ["finetune", "--out", "a folder", "--data", str(reviews), "--base", "minilm"]
    called = call(*words)
    assert called.status == 130
    assert "the same command resumes" in called.err
    assert "try: liteft finetune --out 'a folder'" in called.err


@pytest.mark.parametrize("error", [ModuleNotFoundError("no", name="liteft.nothing"), BrokenPipeError(32, "no")])
def test_an_error_of_our_own_making_is_short_and_its_traceback_lies_in_a_file(
    call: Any, reviews: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setitem(vars(liteft), "finetune", raising(error))
    words = ["finetune", "--out", "x", "--data", reviews, "--base", "minilm"]
    called = call(*words)
    assert called.status == 1
    assert f"probably a bug in LiteFT: {type(error).__name__}: " in called.err
    assert "Traceback" not in called.err
    (kept,) = tmp_path.glob("liteft-traceback-*.txt")
    assert f"traceback: {kept}" in called.err
    assert kept.read_text().startswith("liteft finetune --out x")
    assert "Traceback" in kept.read_text()
    monkeypatch.setenv("LITEFT_TRACEBACK", "1")
    with pytest.raises(type(error)):
        call(*words)


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_signal_that_ends_a_verb_ends_it_as_an_interrupt_does(
    call: Any, reviews: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    number = getattr(signal, name)
    before = signal.signal(number, signal.SIG_DFL)  # nohup has it ignored

    def writing(*_words: Any, **_settings: Any) -> None:
        with files.writing_folder(tmp_path / "run"):
            signal.raise_signal(number)
            raise AssertionError("it goes on")

    monkeypatch.setitem(vars(liteft), "finetune", writing)
    try:
        called = call("finetune", "--out", "run", "--data", reviews, "--base", "minilm")
        left = signal.getsignal(number)
    finally:
        signal.signal(number, before)
    assert called.status == 128 + number
    assert f"ended by {name}; the same command resumes where it stopped." in called.err
    assert "try: liteft finetune --out run" in called.err
    assert [path.name for path in tmp_path.iterdir()] == ["reviews.csv"]
    assert left is signal.SIG_DFL


def test_an_interrupted_pretraining_resumes(call: Any, reviews: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(vars(liteft), "pretrain", raising(KeyboardInterrupt()))
    called = call("pretrain", "--texts", reviews, "--text", "text", "--size", "1x32", "--out", "base")
    assert "interrupted; the same command resumes where it stopped." in called.err


def test_what_cannot_be_resumed_says_that_it_begins_anew(
    call: Any, artifact: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("liteft.inspection.inspect", raising(KeyboardInterrupt()))
    called = call("inspect", artifact.path)
    assert called.status == 130
    assert "interrupted; nothing half done stays; the same command starts over." in called.err


def test_a_signal_that_is_ignored_stays_ignored(call: Any, reviews: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def hung_up(*_words: Any, **_settings: Any) -> None:
        signal.raise_signal(signal.SIGHUP)
        raise DataError("it went on.")

    monkeypatch.setitem(vars(liteft), "finetune", hung_up)
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        called = call("finetune", "--out", "x", "--data", reviews, "--base", "minilm")
    finally:
        signal.signal(signal.SIGHUP, before)
    assert called.status == 1


def test_nobody_else_sends_signals_a_handler() -> None:
    script = "import signal, liteft, liteft.runtime, liteft.report; print(signal.getsignal(signal.SIGTERM).name)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.stdout == "SIG_DFL\n", done.stderr


@pytest.mark.parametrize("verb", ["finetune", "distill", "export"])
def test_without_torch_a_training_verb_names_the_extra(verb: str, reviews: Path, tmp_path: Path) -> None:
    # a run's headers are all that export reads before it needs torch
    words = {
        "finetune": ["finetune", "--base", "minilm"],
        "distill": ["distill", "--teacher", "minilm", "--size", "3"],
        "export": ["export", str(model_folder(tmp_path / "model"))],
    }[verb]
    words += ["--out", str(tmp_path / "out"), "--data", str(reviews), "--text", "body", "--label", "stars"]
    code = f"import sys; sys.modules['torch'] = None; from liteft.cli import main; sys.exit(main({words!r}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert "MissingExtraError: " in done.stderr
    assert install_hint("train") in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


def test_ctrl_c_in_a_process_ends_with_status_130(artifact: Artifact) -> None:
    process = subprocess.Popen(
        [*LITEFT, "predict", str(artifact.path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None and process.stdout is not None and process.stderr is not None
    for _ in range(1024):  # a whole window, so that an answer shows that the process listens
        process.stdin.write("great service\n")
    process.stdin.flush()
    assert process.stdout.readline()
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=30) == 130
    assert "Traceback" not in process.stderr.read()
    for pipe in (process.stdin, process.stdout, process.stderr):
        pipe.close()


def test_a_reader_that_leaves_early_gets_no_traceback(artifact: Artifact) -> None:
    process = subprocess.Popen(
        [*LITEFT, "predict", str(artifact.path), *["great service"] * 20_000],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None and process.stderr is not None
    assert process.stdout.readline()
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait(timeout=30) == 141
    process.stderr.close()


def model_folder(path: Path) -> Path:
    """Write the headers of a classifier's folder: enough to say what it is, not enough to load it."""
    import json

    import numpy as np
    from safetensors.numpy import save_file

    path.mkdir()
    architectures = ["BertForSequenceClassification"]
    config = {"model_type": "bert", "architectures": architectures, "id2label": {"0": "0", "1": "1"}}
    (path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    save_file({"classifier.weight": np.zeros((2, 4), dtype=np.float32)}, path / "model.safetensors")
    return path
