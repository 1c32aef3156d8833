"""Results of a model folder: taken from tiny runs of a real pipeline, refused where they are of something else."""

from __future__ import annotations

import copy
import json
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

pytest.importorskip("torch", reason="the runs need the extra 'train'")

import torch

import liteft
from liteft.config import read_recipe
from liteft.data import Dataset, Split
from liteft.errors import ArtifactError, ConfigError, DataError, RunError
from liteft.report import Comparison, comparison, measure
from liteft.report.subjects import Subject
from tests.bench.conftest import load_script, write_data
from tests.finetuning.conftest import make_dataset, make_multi, write_base

RECIPE = """
[teacher]
base = "bert"
epochs = 4
batch_size = 8
learning_rate = 5e-3
training_precision = "fp32"
max_tokens = 16

[student]
size = "1"
epochs = 4
batch_size = 8
learning_rates = [5e-3, 1e-3]
training_precision = "fp32"
arms = ["c0", "c1"]
seeds = 2
"""
ABOUT = """
title = "Topics: what is a text about?"
what = "Words of a topic among others."
data = "Made up for a test."
traps = ["Nobody talks like this."]
limits = ["Of no use."]
example = ["red1 w3 red2"]
"""


@dataclass
class Made:
    """Folders of a measured model: models/topics, runs/topics and data/topics below ``root``, and its results."""

    root: Path
    results: dict[str, Any]
    compared: list[Comparison]

    @property
    def model(self) -> Path:
        return self.root / "models" / "topics"

    @property
    def runs(self) -> Path:
        return self.root / "runs" / "topics"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return load_script("model_results")


class InProcess:
    """A worker without a process of its own: starting one takes longer than all else here."""

    def __init__(self, subject: Subject) -> None:
        loader = measure.load_model if subject.engine == "torch" else measure.load_artifact
        self.subject = subject
        self._measuring = loader(str(subject.folder), 1, "cpu")
        self.versions = self._measuring.versions

    def logits(self, _texts: Path, split: Split) -> Any:
        return self._measuring.logits(split)


@contextmanager
def workers_in_process(subjects: Sequence[Subject], **_settings: Any) -> Iterator[list[InProcess]]:
    before = torch.get_num_threads()  # loading sets the threads of the process
    try:
        yield [InProcess(subject) for subject in subjects]
    finally:
        torch.set_num_threads(before)


def make(script: ModuleType, root: Path, dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> Made:
    """Train everything that the recipe asks for, and collect the results."""
    write_data(root / "data" / "topics", dataset)
    write_base(root / "bert", "bert")
    model = root / "models" / "topics"
    model.mkdir(parents=True)
    (model / "recipe.toml").write_text(RECIPE, encoding="utf-8")
    (model / "about.toml").write_text(ABOUT, encoding="utf-8")
    monkeypatch.chdir(root)  # the recipe names its base without a path of this machine
    recipe = read_recipe(model / "recipe.toml", overrides={"data": {"source": str(root / "data" / "topics")}})
    liteft.distill("bert", out=root / "runs" / "topics", recipe=recipe)
    made = Made(root, {}, [])

    def recorded(*models: Any, **settings: Any) -> Comparison:
        made.compared.append(compare(*models, **settings))
        return made.compared[-1]

    compare = script.compare
    monkeypatch.setattr(script, "compare", recorded)
    made.results = script.collect(model, made.runs)
    return made


@pytest.fixture(scope="module")
def made(script: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    """A teacher, two students with their controls, an artifact. Not to be changed."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(comparison, "open_workers", workers_in_process)
        yield make(script, tmp_path_factory.mktemp("measured"), make_dataset(), monkeypatch)


@pytest.fixture
def results(made: Made) -> dict[str, Any]:
    """The results, to be changed at will."""
    return copy.deepcopy(made.results)


@pytest.fixture
def copied(made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Made:
    """The same folders, to be changed at will."""
    shutil.copytree(made.root, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    return Made(tmp_path / "copy", made.results, [])


@pytest.fixture(scope="module")
def card() -> Callable[[dict[str, Any]], str]:
    return load_script("model_card").card_text


def test_every_run_stands_there_with_the_metrics_of_every_split(made: Made) -> None:
    runs = made.results["runs"]
    students = [f"student{seed}{arm}" for seed in ("", "-seed1") for arm in ("", "-control", "-c0")]
    assert list(runs) == ["teacher", *students]
    for name, run in runs.items():
        stored = json.loads((made.runs / name / "run.json").read_text(encoding="utf-8"))
        assert run["metrics"] == stored["metrics"]
        assert {"train", "validation", "test"} <= run["metrics"].keys()
        assert len(run["metrics"]["test"]["accuracy_interval"]) == 2
        assert run["seconds"] == stored["seconds"]
    assert set(runs["student"]["search"]) == {"0.005", "0.001"}


def test_students_stand_beside_their_arms_and_teacher_over_seeds(made: Made) -> None:
    seeds = made.results["seeds"]
    assert [(row["kind"], row["seeds"]) for row in seeds["rows"]] == [
        ("student", [0, 1]),
        ("control", [0, 1]),
        ("c0", [0, 1]),
        ("teacher", [0]),
    ]
    assert [found["against"] for found in seeds["differences"]] == ["control", "c0", "teacher"]
    compared = [model["name"] for model in made.results["comparison"]["models"]]
    assert compared == ["teacher", "student", "student-control", "student-c0", "artifact"]


def test_the_artifact_is_measured_beside_its_own_model_on_the_test_split(made: Made) -> None:
    artifact = made.results["artifact"]
    beside = artifact["against_model"]
    assert (artifact["precision"], beside["split"], beside["texts"]) == ("int8", "test", 18)
    assert beside["model"]["metrics"]["accuracy"] == made.results["runs"]["student"]["metrics"]["test"]["accuracy"]
    gained = beside["artifact"]["metrics"]["accuracy"] - beside["model"]["metrics"]["accuracy"]
    assert beside["paired"]["difference"] == pytest.approx(gained)
    assert artifact["verification"]["split"] == "validation"


def test_the_recorded_command_names_recipe_data_and_runs_and_no_path_of_the_machine(
    script: ModuleType, made: Made
) -> None:
    command = "liteft distill --recipe models/topics/recipe.toml --data DATA/topics --out RUNS/topics"
    assert made.results["command"] == command
    assert script.absolute_paths(made.results) == []
    assert str(made.root) not in json.dumps(made.results)


def test_the_results_say_what_they_were_measured_with(made: Made) -> None:
    assert made.results["versions"]["torch"] != "missing"
    assert made.results["machine"]["cores"] >= 1
    assert made.results["commit"]
    assert made.results["data"]["rows"] == {"train": 48, "validation": 18, "test": 18}
    assert len(made.results["data"]["fingerprint"]) == 64


@pytest.mark.parametrize("path", ["/home/me/data", "see /var/x.json, line 3", "~/runs", "C:\\data", "at:/srv/data/a"])
def test_an_absolute_path_is_found_wherever_it_stands(script: ModuleType, path: str) -> None:
    assert script.absolute_paths({"a": [{"b": path}]}) == [path]
    assert script.absolute_paths({path: 1}) == [path]


@pytest.mark.parametrize("text", ["and/or", "RUNS/trec/teacher", "https://host/page", "3 / 4", "train.jsonl, line 7"])
def test_other_slashes_are_no_paths(script: ModuleType, text: str) -> None:
    assert script.absolute_paths([text]) == []


def test_a_path_of_the_machine_is_refused(script: ModuleType, copied: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    about = ABOUT.replace("Made up for a test.", "From /home/me/data.")
    (copied.model / "about.toml").write_text(about, encoding="utf-8")
    monkeypatch.setattr(script, "compare", replayed(made_of=copied))
    with pytest.raises(ConfigError, match="contain paths of this machine: From /home/me/data"):
        script.collect(copied.model, copied.runs)


def test_runs_of_another_recipe_are_refused_with_the_setting(script: ModuleType, copied: Made) -> None:
    (copied.model / "recipe.toml").write_text(RECIPE.replace("epochs = 4", "epochs = 3", 1), encoding="utf-8")
    with pytest.raises(RunError, match="settings that differ from the recipe's") as raised:
        script.collect(copied.model, copied.runs)
    assert raised.value.accepted == {"teacher.epochs": "3.0 -> 4.0"}


def test_threads_may_differ_and_stand_in_the_command(
    script: ModuleType, copied: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = copied.runs / "teacher" / "recipe.toml"
    text = stored.read_text(encoding="utf-8").replace("[teacher]", "[teacher]\nthreads = 2")
    stored.write_text(text, encoding="utf-8")
    monkeypatch.setattr(script, "compare", replayed(made_of=copied))
    found = script.collect(copied.model, copied.runs)
    assert found["command"].endswith("--out RUNS/topics --set teacher.threads=2")


def test_a_score_of_a_run_that_is_not_found_again_is_noted(
    script: ModuleType, card: Any, made: Made, copied: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not any("when scored here" in note for note in made.results["comparison"]["notes"])
    path = copied.runs / "teacher" / "run.json"
    info = json.loads(path.read_text(encoding="utf-8"))
    info["metrics"]["test"]["accuracy"] = 0.5
    path.write_text(json.dumps(info), encoding="utf-8")
    monkeypatch.setattr(script, "compare", replayed(made_of=copied))
    assert "- Note: teacher: accuracy 50.00% in its run, " in card(script.collect(copied.model, copied.runs))


def test_other_data_than_the_runs_are_refused(script: ModuleType, copied: Made) -> None:
    with open(copied.root / "data" / "topics" / "test.jsonl", "a", encoding="utf-8") as file:
        file.write('{"text": "red1 red2", "label": "red"}\n')
    with pytest.raises(DataError, match=r"is not what .*teacher was trained on") as raised:
        script.collect(copied.model, copied.runs, data=copied.root / "data" / "topics")
    assert "'test': 19" in raised.value.accepted["rows now"]


def test_a_run_that_the_recipe_asks_for_and_nobody_made_is_named(script: ModuleType, copied: Made) -> None:
    (copied.model / "recipe.toml").write_text(RECIPE.replace("seeds = 2", "seeds = 3"), encoding="utf-8")
    with pytest.raises(RunError, match=r"there is no folder .*student-seed2"):
        script.collect(copied.model, copied.runs)


def test_an_artifact_of_another_student_is_refused(script: ModuleType, copied: Made) -> None:
    shutil.rmtree(copied.runs / "student")
    shutil.copytree(copied.runs / "student-seed1", copied.runs / "student")
    with pytest.raises(ArtifactError, match=r"artifact is not an artifact in int8 of .*student"):
        script.collect(copied.model, copied.runs)


def test_a_card_needs_nothing_but_the_stored_results(card: Any, made: Made, tmp_path: Path) -> None:
    (tmp_path / "results.json").write_text(json.dumps(made.results), encoding="utf-8")
    assert card(json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))) == card(made.results)


def test_a_card_shows_numbers_with_intervals_traps_and_the_commands(card: Any, results: dict[str, Any]) -> None:
    text = card(results)
    assert text.startswith("# Topics: what is a text about?\n")
    assert "- Nobody talks like this." in text and "- Of no use." in text
    assert f"    {results['command']}\n    {results['results_command']}\n" in text
    test = results["runs"]["student-seed1"]["metrics"]["test"]
    low, high = test["accuracy_interval"]
    assert f"{100 * test['accuracy']:.1f} [{100 * low:.1f}, {100 * high:.1f}]" in text
    assert "learning_rates = [" in text
    assert "5e-3" not in text and "- student, mean of accuracy and macro F1: 0.005: " in text


def test_a_card_says_what_a_check_of_the_data_found(card: Any, results: dict[str, Any]) -> None:
    results["data"]["warnings"] = ["11 rows of test (2.2%) with texts that train also contains"]
    assert "- The data check: 11 rows of test (2.2%) with texts that train also contains." in card(results)


@pytest.mark.parametrize(
    ("difference", "interval", "said"),
    [
        (0.02, [0.01, 0.03], "+2.00 [+1.00, +3.00] points of accuracy. The interval excludes zero: learning from the"),
        (-0.02, [-0.03, -0.01], "The interval excludes zero: learning from the teacher was worse than from labels"),
        (0.02, [-0.01, 0.05], "The interval does not exclude zero: these runs show neither that the teacher helps"),
    ],
)
def test_a_card_claims_a_gain_only_where_the_interval_excludes_zero(
    card: Any, results: dict[str, Any], difference: float, interval: list[float], said: str
) -> None:
    excludes = interval[0] > 0 or interval[1] < 0
    found = results["seeds"]["differences"][0]
    found.update(difference=difference, interval=interval, excludes_zero=excludes)
    text = card(results)
    assert said in text
    assert ("learning from the teacher helped" in text) == (excludes and difference > 0)


def test_a_card_without_a_control_says_that_nothing_is_known_of_the_teachers_part(
    card: Any, results: dict[str, Any]
) -> None:
    del results["seeds"]["differences"][0]
    assert "There was no control" in card(results)


def test_a_split_of_unknown_labels_alone_has_no_score_in_the_card(card: Any, results: dict[str, Any]) -> None:
    results["data"]["rows"]["strange"] = 4
    results["data"]["lengths"]["strange"] = results["data"]["lengths"]["test"]
    results["data"]["unknown_labels_only"] = ["strange"]
    for run in results["runs"].values():
        run["metrics"]["strange"] = {"accuracy": 0.0}
    text = card(results)
    assert "strange: only labels that training lacks" in text
    assert "strange accuracy" not in text


def test_a_card_says_that_speed_was_not_measured_or_how_fast(card: Any, results: dict[str, Any]) -> None:
    assert "Speed and memory were not measured." in card(results)
    timing = {"p50_ms": 1.25, "p99_ms": 3.0, "texts_per_second": 800.0, "calls": 9, "batches": 3}
    for model in results["comparison"]["models"]:
        model.update(timing={**timing, "rounds": [[1.25, 3.0, 800.0]]}, latency_p50_ms=1.25, peak_memory_mb=150.0)
    text = card(results)
    assert "Speed and memory were not measured." not in text
    assert "| 1.25 | 3.00 | 800 | 150 |" in text


def test_stored_tables_print_as_they_did_when_they_were_new(made: Made) -> None:
    stored = load_script("stored")
    for found in made.compared:
        content = json.loads(json.dumps(found.to_dict()))
        assert stored.stored_comparison(content).to_markdown() == found.to_markdown()
    content = made.results["seeds"]
    assert stored.stored_seeds(json.loads(json.dumps(content))).to_dict() == content


def test_the_script_writes_results_card_and_table_and_cards_are_written_again_from_results(
    script: ModuleType, card: Any, copied: Made, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    models = copied.root / "models"
    old = "before\n<!-- results -->\nold\n<!-- end of results -->\nafter\n"
    (models / "README.md").write_text(old, encoding="utf-8")
    monkeypatch.setattr(script, "collect", lambda *_arguments, **_settings: copied.results)
    words = ["model_results.py", "topics", "--runs", str(copied.root / "runs"), "--models", str(models)]
    monkeypatch.setattr(sys, "argv", words)
    assert script.main() == 0
    stored = json.loads((copied.model / "results.json").read_text(encoding="utf-8"))
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == stored
    assert (copied.model / "card.md").read_text(encoding="utf-8") == card(stored)
    readme = (models / "README.md").read_text(encoding="utf-8")
    assert readme.startswith("before\n") and readme.endswith("\nafter\n") and "old" not in readme
    assert "| [topics](topics/card.md) | accuracy |" in readme
    (copied.model / "card.md").write_text("written by hand", encoding="utf-8")
    monkeypatch.setattr(sys, "argv", ["model_results.py", "--cards", "--models", str(models)])
    assert script.main() == 0
    assert (copied.model / "card.md").read_text(encoding="utf-8") == card(stored)
    assert (models / "README.md").read_text(encoding="utf-8") == readme


def test_the_script_ends_with_status_1_and_what_to_do(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["model_results.py", "nothing", "--runs", str(tmp_path), "--models", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", words)
    assert script.main() == 1
    assert "ConfigError: " in capsys.readouterr().err


@pytest.mark.slow
def test_several_labels_a_text_go_the_same_way(
    script: ModuleType, card: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = make(script, tmp_path / "multi", make_multi(), monkeypatch)
    text = card(made.results)
    assert "| run | validation micro F1 % | test micro F1 % | test macro F1 % |" in text
    assert "points of micro F1." in text
    assert "Points of micro F1 gained over fp32: 95% interval [" in text
    assert "any number of labels per text" in text


def replayed(made_of: Made) -> Callable[..., Any]:
    """Return a ``compare`` that measures nothing and answers with the numbers of earlier comparisons."""
    content = made_of.results["comparison"]
    both = {**content, "models": [content["models"][1], content["models"][-1]]}

    class Stored:
        task, split = content["task"], content["split"]

        def __init__(self, count: int) -> None:
            self.count = count

        def to_dict(self) -> dict[str, Any]:
            return copy.deepcopy(both if self.count == 2 else content)

    return lambda *models, **_settings: Stored(len(models))
