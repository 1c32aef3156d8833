"""Reading a finished run: what is none, what is unfinished, and what is torn."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from liteft import files
from liteft.errors import RunError
from liteft.run import RUN_FORMAT, Run, check_weights, read_run

INFO: dict[str, Any] = {
    "format": RUN_FORMAT,
    "kind": "student",
    "task": "single_label",
    "labels": ["no", "yes"],
    "metrics": {"test": {"accuracy": 0.5}},
    "weights_sha256": "1" * 64,
}
LOGITS = np.array([[0.5, -0.5], [1.0, 2.0]], dtype=np.float32)
GOLD = np.array([0, -1])


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A finished run with predictions of its test split."""
    (tmp_path / "run.json").write_text(json.dumps(INFO))
    (tmp_path / "predictions").mkdir()
    np.savez(tmp_path / "predictions" / "test.npz", logits=LOGITS, labels=GOLD, unseen_label=GOLD < 0)
    return read_run(tmp_path)


def refused(path: Path) -> RunError:
    with pytest.raises(RunError) as caught:
        read_run(path)
    return caught.value


def test_a_run_says_what_it_is(run: Run, tmp_path: Path) -> None:
    assert (run.kind, run.task, run.labels) == ("student", "single_label", ("no", "yes"))
    assert run.metrics == {"test": {"accuracy": 0.5}}
    assert run.model_path == tmp_path / "model"


def test_predictions_come_back_as_they_were_written(run: Run) -> None:
    logits, gold = run.predictions("test")
    np.testing.assert_array_equal(logits, LOGITS)
    np.testing.assert_array_equal(gold, GOLD)
    assert logits.dtype == np.float32
    unseen_label = run.unseen_label("test")
    assert unseen_label is not None and unseen_label.tolist() == [False, True]


def test_predictions_without_unseen_labels_have_no_mask_of_them(run: Run) -> None:
    np.savez(run.path / "predictions" / "dev.npz", logits=LOGITS, labels=GOLD)
    assert run.unseen_label("dev") is None


def test_a_path_without_a_folder_says_so(tmp_path: Path) -> None:
    error = refused(tmp_path / "nowhere")
    assert error.message == f"there is no folder {tmp_path / 'nowhere'}."
    assert "liteft.finetune" in error.accepted["a run"]
    assert error.fix[0].startswith("check the spelling")
    (tmp_path / "file").write_text("")
    assert refused(tmp_path / "file").message == f"{tmp_path / 'file'} is a file, not a folder."


def test_an_artifact_is_not_taken_for_a_run(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text("{}")
    error = refused(tmp_path)
    assert error.message == f"{tmp_path} must be a run folder, got an artifact folder."
    assert f"try: liteft inspect {tmp_path}" in error.command_text()


def test_a_folder_without_a_run_says_so(tmp_path: Path) -> None:
    error = refused(tmp_path)
    assert "does not contain a run: there is no run.json." in error.message
    assert error.fix == ("liteft finetune or liteft distill",)


def test_a_folder_of_runs_names_them(run: Run, tmp_path: Path) -> None:
    for name in ("teacher", "student"):
        (tmp_path / "out" / name).mkdir(parents=True)
        (tmp_path / "out" / name / "run.json").write_text(json.dumps(INFO))
    error = refused(tmp_path / "out")
    assert error.accepted == {"runs in it": "student, teacher"}
    assert error.fix == (f"give one of them, such as {tmp_path / 'out' / 'student'}",)


def test_a_folder_of_pipelines_and_the_model_of_a_run_name_what_is_meant(tmp_path: Path) -> None:
    student = tmp_path / "tickets" / "student"
    (student / "model").mkdir(parents=True)
    (student / "run.json").write_text(json.dumps(INFO))
    assert refused(tmp_path).accepted == {"folders with runs in it": "tickets"}
    assert refused(student / "model").fix == (f"give {student}",)


def test_an_unfinished_run_says_how_to_go_on(tmp_path: Path) -> None:
    (tmp_path / "recipe.toml").write_text("")
    error = refused(tmp_path)
    assert "contains an unfinished run" in error.message
    assert error.fix == ("run the same command again: it resumes",)


@pytest.mark.parametrize("found", [RUN_FORMAT + 1, "1", None])
def test_another_format_is_refused_with_what_can_be_read(run: Run, found: Any) -> None:
    (run.path / "run.json").write_text(json.dumps(INFO | {"format": found, "kind": 7}))
    error = refused(run.path)
    assert f"has run format {found!r}" in error.message
    assert error.accepted == {"formats that this version reads": str(RUN_FORMAT)}
    assert error.fix == ("install a newer liteft, or train again",)


@pytest.mark.parametrize("found", range(1, RUN_FORMAT))
def test_a_format_of_development_versions_is_refused(run: Run, found: int) -> None:
    (run.path / "run.json").write_text(json.dumps(INFO | {"format": found}))
    error = refused(run.path)
    assert "which only development versions wrote" in error.message
    assert error.fix == ("train again",)


@pytest.mark.parametrize("content", [b"", b'{"format": 2,', b"\xff\xfe{}"])
def test_a_torn_run_file_is_named(run: Run, content: bytes) -> None:
    (run.path / "run.json").write_bytes(content)
    assert "run.json cannot be read: " in refused(run.path).message


@pytest.mark.parametrize("changes", [{"labels": None}, {"metrics": []}, {"kind": 7}])
def test_a_run_file_that_lacks_what_every_run_says_is_refused(run: Run, changes: Any) -> None:
    (run.path / "run.json").write_text(json.dumps(INFO | changes))
    error = refused(run.path)
    assert f"does not say what a run is: {next(iter(changes))} is missing" in error.message
    assert error.fix


def test_a_run_file_that_is_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "run.json").mkdir()
    assert "run.json cannot be read: " in refused(tmp_path).message


@pytest.mark.parametrize("kept", [0, 1, 40, -60, -1], ids=lambda kept: f"{kept} bytes")
def test_torn_predictions_are_an_error_that_names_the_split(run: Run, kept: int) -> None:
    path = run.path / "predictions" / "test.npz"
    path.write_bytes(path.read_bytes()[:kept])
    for read in (run.predictions, run.unseen_label):
        with pytest.raises(RunError, match="has no readable predictions for split 'test'"):
            read("test")


def test_a_changed_byte_in_predictions_is_found(run: Run) -> None:
    path = run.path / "predictions" / "test.npz"
    content = bytearray(path.read_bytes())
    content[content.index(LOGITS.tobytes())] ^= 1
    path.write_bytes(content)
    with pytest.raises(RunError, match="no readable predictions"):
        run.predictions("test")


@pytest.mark.parametrize("missing", ["logits", "labels"])
def test_predictions_without_a_needed_array_are_an_error(run: Run, missing: str) -> None:
    arrays = {"logits": LOGITS, "labels": GOLD}
    del arrays[missing]
    np.savez(run.path / "predictions" / "test.npz", **arrays)  # type: ignore[arg-type]
    with pytest.raises(RunError, match="no readable predictions"):
        run.predictions("test")


def test_pickled_predictions_are_never_loaded(run: Run) -> None:
    np.savez(run.path / "predictions" / "test.npz", logits=np.array([object()]), labels=GOLD, allow_pickle=True)
    with pytest.raises(RunError, match="no readable predictions"):
        run.predictions("test")


@pytest.mark.parametrize("split", ["dev", "", "a\0b"])
def test_an_unknown_split_lists_the_known(run: Run, split: str) -> None:
    with pytest.raises(RunError) as caught:
        run.predictions(split)
    assert caught.value.accepted == {"splits": "test"}


@pytest.fixture
def weights(run: Run) -> Path:
    """The weights of the run, which run.json names."""
    path = run.model_path / "model.safetensors"
    path.parent.mkdir()
    path.write_bytes(b"weights")
    told = hashlib.sha256(b"weights").hexdigest()
    (run.path / "run.json").write_text(json.dumps(INFO | {"weights_sha256": told}))
    return path


@pytest.mark.parametrize("content", [b"weight5", b"weights and more", None])
def test_weights_that_are_not_the_runs_are_refused_wherever_they_are_read(
    weights: Path, content: bytes | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_weights(weights.parent)
    weights.unlink() if content is None else weights.write_bytes(content)
    with pytest.raises(RunError, match="lacks its weights" if content is None else "was changed after the training"):
        check_weights(weights.parent)
    monkeypatch.chdir(weights.parent)
    with pytest.raises(RunError):
        check_weights(Path())


def test_weights_of_no_run_are_nobodys_to_check(weights: Path, tmp_path: Path) -> None:
    weights.write_bytes(b"others")
    (tmp_path / "run.json").unlink()
    check_weights(weights.parent)


def test_weights_are_hashed_once_a_process(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check_weights(weights.parent)
    monkeypatch.setattr(files, "sha256_file", None)
    check_weights(weights.parent)


def test_a_run_without_predictions_has_no_split(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(json.dumps(INFO))
    with pytest.raises(RunError, match="no readable predictions") as caught:
        read_run(tmp_path).predictions("test")
    assert caught.value.accepted == {"splits": "none"}
