"""What is being compared: kinds of folders, their names, and who may stand beside whom."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from liteft.artifact import Artifact
from liteft.errors import ConfigError, ModelError, RunError
from liteft.report.subjects import find_subjects


def test_a_path_and_the_object_read_from_it_are_one_thing(forms: Any) -> None:
    by_path = find_subjects([forms.run.path, str(forms.artifact.path)])
    assert by_path == find_subjects([forms.run, forms.artifact])


def test_a_run_says_its_kind_and_an_artifact_its_precision(forms: Any) -> None:
    run, folder, artifact = find_subjects([forms.run, forms.folder, forms.artifact])
    assert (run.form, folder.form, artifact.form) == ("student, torch", "torch", "fp32, onnx")
    assert run.info == forms.run.info and folder.info is None
    assert run.folder == forms.run.model_path and run.path == forms.run.path
    assert run.labels == folder.labels == artifact.labels


def test_names_take_as_much_of_the_path_as_tells_them_apart(first: Artifact, tmp_path: Path) -> None:
    for name in ("a/model", "b/model", "b/other"):
        shutil.copytree(first.path, tmp_path / name)
    paths = [tmp_path / name for name in ("a/model", "b/model", "b/other")]
    assert [subject.name for subject in find_subjects(paths[1:])] == ["model", "other"]
    assert [subject.name for subject in find_subjects(paths)] == ["a/model", "b/model", "b/other"]


def test_the_same_folder_twice_is_numbered(first: Artifact) -> None:
    assert [subject.name for subject in find_subjects([first, first])] == ["first 1", "first 2"]


def test_names_may_be_given(first: Artifact, second: Artifact) -> None:
    assert [subject.name for subject in find_subjects([first, second], ["x", "y"])] == ["x", "y"]
    with pytest.raises(ConfigError, match="x, x"):
        find_subjects([first, second], ["x", "x"])


def test_a_folder_of_nothing_says_what_would_be_something(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="not a model folder") as caught:
        find_subjects([tmp_path])
    assert set(caught.value.accepted) == {"a run", "an artifact", "a model folder"}
    with pytest.raises(ModelError, match="is not a folder"):
        find_subjects([tmp_path / "none"])


def test_a_folder_of_runs_names_them(tmp_path: Path) -> None:
    for name in ("student", "teacher"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "run.json").write_text("{}")
    with pytest.raises(ModelError, match="contains runs, but is not a model itself") as caught:
        find_subjects([tmp_path])
    assert caught.value.accepted == {"runs in it": "student, teacher"}
    assert caught.value.fix == (f"name the model of one of them, as {tmp_path / 'student' / 'model'}",)


def test_a_folder_of_pipelines_names_them_and_a_file_its_folder(tmp_path: Path) -> None:
    student = tmp_path / "tickets" / "student"
    student.mkdir(parents=True)
    (student / "run.json").write_text("{}")
    with pytest.raises(ModelError, match="contains folders with runs") as caught:
        find_subjects([tmp_path])
    assert caught.value.accepted == {"folders in it": "tickets"}
    assert caught.value.fix == (f"give one of them, such as {tmp_path / 'tickets'}",)
    with pytest.raises(ModelError, match="is not a folder") as caught:
        find_subjects([tmp_path / "tikets"])
    assert caught.value.fix == (f"did you mean {tmp_path / 'tickets'}?",)
    (student / "config.json").write_text("{}")
    (student / "model.safetensors").write_bytes(b"")
    with pytest.raises(ModelError, match=r"model\.safetensors is a file") as caught:
        find_subjects([student / "model.safetensors"])
    assert caught.value.fix == (f"give the folder: {student}",)


def test_an_unfinished_run_is_a_run_error(tmp_path: Path) -> None:
    (tmp_path / "recipe.toml").write_text("")
    with pytest.raises(RunError, match="unfinished"):
        find_subjects([tmp_path])


def test_weights_in_other_formats_are_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "pytorch_model.bin").write_bytes(b"pickle")
    with pytest.raises(ModelError, match=r"has no model\.safetensors"):
        find_subjects([tmp_path])


def test_a_broken_config_is_a_model_error(forms: Any, tmp_path: Path) -> None:
    folder = shutil.copytree(forms.folder, tmp_path / "model")
    (folder / "config.json").write_text("{")
    with pytest.raises(ModelError, match=r"config\.json cannot be used"):
        find_subjects([folder])


def test_a_model_of_transformers_own_is_known_by_its_config(forms: Any, tmp_path: Path) -> None:
    folder = shutil.copytree(forms.folder, tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    del config["liteft"]
    config["problem_type"] = "multi_label_classification"
    config["id2label"] = {"3": "k", "2": "c", "0": "a", "1": "b"}
    (folder / "config.json").write_text(json.dumps(config))
    (subject,) = find_subjects([folder])
    assert (subject.task, subject.labels, subject.paired) == ("multi_label", ("a", "b", "c", "k"), None)


def test_the_two_labels_that_transformers_does_not_write_are_known(forms: Any, tmp_path: Path) -> None:
    folder = shutil.copytree(forms.folder, tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    for name in ("liteft", "id2label", "label2id"):
        del config[name]
    (folder / "config.json").write_text(json.dumps(config))
    (subject,) = find_subjects([folder])
    assert subject.labels == ("LABEL_0", "LABEL_1")


def test_models_of_different_tasks_are_refused(write_artifact: Callable[..., Artifact], first: Artifact) -> None:
    several = write_artifact("several", multi=True)
    with pytest.raises(ModelError, match="several and first have different tasks") as caught:
        find_subjects([first, several])
    assert caught.value.accepted == {
        "first": "single_label, single texts",
        "several": "multi_label, single texts",
    }
    pairs = write_artifact("pairs", paired=True)
    with pytest.raises(ModelError, match="different tasks"):
        find_subjects([first, pairs])
