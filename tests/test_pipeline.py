"""The whole way's last step: when an artifact that lies there is taken, and when it is made again."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("torch", reason="the whole way needs the extra 'train'")

from liteft import pipeline
from liteft.config import make_recipe
from liteft.data import Dataset, Split, load_dataset
from liteft.errors import ArtifactError, ConfigError, DataError, RunError
from liteft.form import ExportForm
from liteft.run import RUN_FORMAT
from tests.test_artifact import write

STORED = {
    "verification": {"weights_sha256": "1" * 64},
    "form": ExportForm(),
}
FLAT = {"form": ExportForm(flat=True)}
STATIC = {"form": ExportForm(scheme="static")}
NARROW = {"form": ExportForm(weight_bits=7)}
EDGE = {"form": ExportForm(target="edge")}


@pytest.mark.parametrize(
    ("stored", "export", "again"),
    [
        ({}, {}, False),
        ({}, {"flat": True}, True),
        (FLAT, {}, True),
        (FLAT, {"flat": True}, False),
        ({"graph": "traced"}, {}, False),
        ({}, {"precision": "fp16"}, True),
        ({}, {"scheme": "static"}, True),
        (STATIC, {}, True),
        (STATIC, {"scheme": "static"}, False),
        (STATIC, {"scheme": "static", "calibration": "mse"}, True),
        ({}, {"weight_bits": 7}, True),
        (NARROW, {"weight_bits": 7}, False),
        (NARROW, {}, True),
        ({"form": ExportForm(mixed=True)}, {}, True),
        ({"form": ExportForm(mixed=True), "fallbacks": {"layers.0.attention.output": "float"}}, {"mixed": True}, False),
        ({}, {"embedding_bits": 4}, True),
        ({}, {"vocabulary": 9}, True),
        ({"vocabulary": {"trimmed": "at export", "most": 9, "filled": False}}, {"vocabulary": 9}, False),
        ({"vocabulary": {"trimmed": "before training", "most": 9}}, {}, False),
        ({}, {"target": "edge"}, True),
        (EDGE, {"target": "edge"}, False),
        (EDGE, {"target": "edge", "precision": "fp32"}, True),
        (EDGE, {"flat": True}, True),
        ({"verification": {"weights_sha256": "2" * 64}}, {}, True),
    ],
)
def test_an_artifact_is_made_again_where_it_is_not_what_the_recipe_says(
    stored: Any, export: Any, again: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Any] = []
    monkeypatch.setattr(pipeline, "export", lambda *arguments, **settings: made.append(settings))
    write(tmp_path / "artifact", **(STORED | stored))
    student: Any = SimpleNamespace(info={"weights_sha256": "1" * 64})
    data: Any = SimpleNamespace(validation=None, train=None, splits={}, pool=None)
    pipeline.export_student(student, tmp_path / "artifact", make_recipe({"export": export}), data, None)
    assert len(made) == again
    assert not again or made[0]["form"] == make_recipe({"export": export}).export.form


@pytest.mark.parametrize(
    ("export", "student", "differs"),
    [
        ({"precision": "fp32"}, "1", {"precision": "int8 -> fp32"}),
        ({}, "2", {"weights": "111111111111 -> 222222222222"}),
        ({}, None, {"weights": "111111111111 -> those of a student that has not been trained yet"}),
        ({}, "1", None),
    ],
)
def test_an_artifact_that_would_have_to_be_replaced_is_refused_before_a_training(
    export: Any, student: str | None, differs: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "artifact", **STORED)
    if student is not None:
        (tmp_path / "student").mkdir()
        content = {"format": RUN_FORMAT, "kind": "student", "task": "single_label", "labels": ["a"], "metrics": {}}
        content |= {"weights_sha256": student * 64}
        (tmp_path / "student" / "run.json").write_text(json.dumps(content))
    trained: list[Any] = []
    made = SimpleNamespace(
        teacher=SimpleNamespace(run=None),
        arms={"student": (SimpleNamespace(info={"weights_sha256": "1" * 64}),)},
        general=None,
    )
    monkeypatch.setattr(pipeline, "distill_students", lambda *_words, **settings: trained.append(settings) or made)
    monkeypatch.setattr(pipeline, "with_labels", lambda data, _teacher: data)
    monkeypatch.setattr(pipeline, "_floors", lambda *_words: None)
    monkeypatch.setattr(pipeline, "_to_label", lambda *_words, **_settings: None)
    exported: list[Any] = []
    monkeypatch.setattr(pipeline, "export_student", lambda *_words, **settings: exported.append(settings))
    recipe = make_recipe({"student": {"size": "3"}, "export": export})
    data = SimpleNamespace(pool=None)
    monkeypatch.setattr(pipeline, "resolve_data", lambda data, _recipe: data)
    go: Any = functools.partial(pipeline.distill, "x", data, out=tmp_path, recipe=recipe)
    if differs is None:
        go(trust=True)
        assert exported[0]["trust"] is True
    else:
        with pytest.raises(ArtifactError, match="contains another artifact") as caught:
            go()
        assert caught.value.accepted == differs
        assert not trained
        go(overwrite=True)
    assert len(trained) == 1
    (tmp_path / "artifact" / "notes.txt").write_text("mine")
    with pytest.raises(ArtifactError, match="not part of the artifact"):
        go(overwrite=True)
    assert len(trained) == 1


def test_the_whole_ways_export_is_judged_by_the_recipe_and_calibrated_on_training_texts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Any] = []
    monkeypatch.setattr(pipeline, "export", lambda *arguments, **settings: made.append(settings))
    more = tmp_path / "more.txt"
    more.write_text("a text\nanother\n")
    recipe = make_recipe(
        {"export": {"scheme": "static", "tolerance": 1.5, "mixed": True}, "student": {"unlabeled": str(more)}}
    )
    pool = Split("pool", ["a text of the pool"])
    splits = {name: Split(name, [f"one of {name}"]) for name in ("train", "validation", "test")}
    data = Dataset("made", "single_label", ("x", "y"), splits, pool=pool)  # type: ignore[arg-type]
    pipeline.export_student(SimpleNamespace(info={}), tmp_path / "artifact", recipe, data, None, trust=True)  # type: ignore[arg-type]
    assert made[0]["trust"] is True
    assert (made[0]["verify"], made[0]["calibrate"], made[0]["form"].mixed) == (data.validation, data.train, True)
    assert made[0]["test"] is data.test
    assert made[0]["limits"].accuracy_drop == pytest.approx(0.015)
    assert made[0]["unlabeled"].texts == ["a text of the pool", "a text", "another"]


@pytest.mark.parametrize(
    ("settings", "message", "hint"),
    [
        ({"until": "studnt"}, "there is no stage 'studnt'", 'until="student"'),
        ({"recipe": make_recipe({"search": {"max_mb": 9}}), "size": "3"}, "has a budget", "liteft.search"),
        ({}, "either a size or an encoder of its own; neither is given", 'size="3x384"'),
        ({"size": "3"}, "no data was given", 'data="FILE_OR_FOLDER"'),
        ({"size": "3", "epoch": 4}, "unknown key", "epochs"),
        ({"size": "3", "percision": "int8"}, "unknown key .export.percision", "precision"),
        ({"size": "3", "form": "edge"}, "unknown key", 'target="edge"'),
    ],
)
def test_distill_refuses_what_its_command_refuses_before_anything_is_read(
    settings: Any, message: str, hint: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        pipeline.distill("x", out=tmp_path / "out", **settings)
    assert any(hint in str(each) for each in caught.value.fix)
    assert not (tmp_path / "out").exists()


def test_settings_of_the_export_are_taken_beside_those_of_the_student(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(pipeline, "resolve_data", lambda data, recipe: asked.append(recipe) or data)
    monkeypatch.setattr(pipeline, "_check_place", lambda *_words, **_settings: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        pipeline.distill("x", "y", out=tmp_path, size="3", vocabulary=9, precision="fp16", flat=True)  # type: ignore[arg-type]
    (recipe,) = asked
    assert (recipe.student.size, recipe.student.vocabulary, recipe.export.vocabulary) == ("3", 9, None)
    assert (recipe.export.precision, recipe.export.flat) == ("fp16", True)


@pytest.mark.parametrize(("marker", "kind"), [("", "a file"), ("run.json", "a run"), ("manifest.json", "an artifact")])
def test_distill_writes_into_no_file_run_or_artifact(marker: str, kind: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    if marker:
        out.mkdir()
    (out / marker if marker else out).write_text("{}")
    with pytest.raises(RunError, match=f"out is {kind}, but runs and artifacts are to be made in it") as caught:
        pipeline.distill("x", out=out, size="3")
    assert "try: --out NEW_FOLDER" in caught.value.command_text()


def test_a_pool_is_checked_before_anything_is_trained(tmp_path: Path) -> None:
    rows = [(f"text {number}", number % 2) for number in range(40)]
    data = load_dataset({"train": rows})
    for settings in ({}, {"until": "teacher"}):
        with pytest.raises(DataError, match="there is no file or folder"):
            pipeline.distill("x", data, out=tmp_path / "out", size="3", unlabeled=str(tmp_path / "missing"), **settings)
    with pytest.raises(ConfigError, match="a student of 9 layers is deeper than its teacher"):
        pipeline.distill("minilm", data, out=tmp_path / "out", size="9", until="teacher")
    with pytest.raises(DataError, match="there is no file or folder"):
        pipeline.distill("x", data, out=tmp_path / "out", until="teacher", general=str(tmp_path / "missing"))
    with pytest.raises(ConfigError, match="picks texts of a pool without labels, and there is none"):
        pipeline.distill("x", data, out=tmp_path / "out", size="3", pool_select=10)
    assert not (tmp_path / "out").exists()
