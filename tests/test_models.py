"""The folders of models/: recipes that can be run, and cards that say what their results say."""

from __future__ import annotations

import importlib
import json
import sys
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from liteft.arms import ARMS, arms_of
from liteft.config import make_recipe, read_recipe
from liteft.tasks import task_named

ROOT = Path(__file__).resolve().parents[1]
MODELS = ROOT / "models"
FOLDERS = sorted(path for path in MODELS.iterdir() if path.is_dir())
MEASURED = [folder for folder in FOLDERS if (folder / "results.json").is_file()]
WEIGHTS = {".safetensors", ".onnx", ".bin", ".pt", ".pth", ".npz", ".npy"}

each = pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
each_measured = pytest.mark.parametrize("folder", MEASURED, ids=lambda folder: folder.name)


def load(name: str) -> ModuleType:
    """Import a module of bench/, which is no package."""
    pytest.importorskip("tomli_w", reason="cards show recipes with the extra 'train'")
    sys.path.insert(0, str(ROOT / "bench"))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(ROOT / "bench"))


def read(folder: Path) -> Any:
    return json.loads((folder / "results.json").read_text(encoding="utf-8"))


def test_there_are_models() -> None:
    assert {"sst2", "trec", "clinc150", "goemotions", "rte"} <= {folder.name for folder in FOLDERS}


@each
def test_a_folder_holds_a_recipe_that_goes_the_whole_way_on_any_machine(folder: Path) -> None:
    recipe = read_recipe(folder / "recipe.toml")
    assert recipe.teacher.base and not Path(recipe.teacher.base).is_absolute()
    assert recipe.student.size
    assert recipe.data.source is None, "data are named by --data"
    assert recipe.student.student is None
    pool = recipe.student.unlabeled
    assert pool is None or f"--out {pool}" in (folder / "recipe.toml").read_text(), "the recipe says how it is made"


@each
def test_a_folder_says_what_numbers_cannot(folder: Path) -> None:
    about = tomllib.loads((folder / "about.toml").read_text(encoding="utf-8"))
    assert set(about) == {"title", "what", "data", "traps", "limits", "example"}
    assert all(about.values())


@each
def test_a_folder_holds_no_weights(folder: Path) -> None:
    assert [path.name for path in folder.rglob("*") if path.suffix in WEIGHTS] == []


@each_measured
def test_a_card_is_what_its_results_say(folder: Path) -> None:
    assert (folder / "card.md").read_text(encoding="utf-8") == load("model_card").card_text(read(folder))


@each_measured
def test_results_are_of_the_recipe_and_the_description_beside_them(folder: Path) -> None:
    results = read(folder)
    settings = read_recipe(folder / "recipe.toml").model_dump(mode="json", exclude_none=True)
    side = results["settings"]["teacher"]["truncation_side"]  # the base's own, where the recipe leaves it to that
    settings["teacher"].setdefault("truncation_side", side)
    if "max_tokens" in results["settings"]["teacher"]:  # the task's own, where the recipe leaves it to that
        settings["teacher"].setdefault("max_tokens", results["settings"]["teacher"]["max_tokens"])
    assert make_recipe(results["settings"]) == make_recipe(settings)
    for name in ("recipe", "about"):
        assert results[name] == tomllib.loads((folder / f"{name}.toml").read_text(encoding="utf-8"))


@each_measured
def test_neither_results_nor_card_hold_a_path_of_a_machine(folder: Path) -> None:
    card = (folder / "card.md").read_text(encoding="utf-8")
    assert load("model_results").absolute_paths([read(folder), *card.splitlines()]) == []


@each_measured
def test_results_hold_every_run_that_the_recipe_asks_for(folder: Path) -> None:
    student = read_recipe(folder / "recipe.toml").student
    names = ["student", *(f"student-seed{number}" for number in range(1, student.seeds))]
    arms = [ARMS[kind].suffix for kind in ("student", *arms_of(student.arms, control=student.control))]
    assert set(read(folder)["runs"]) == {"teacher", *(name + suffix for name in names for suffix in arms)}


def test_the_table_of_all_models_is_what_their_results_say() -> None:
    readme = (MODELS / "README.md").read_text(encoding="utf-8")
    assert load("model_card").with_table(readme, [read(folder) for folder in MEASURED]) == readme


@each_measured
def test_a_card_says_first_whether_a_floor_is_not_beaten(folder: Path) -> None:
    results = read(folder)
    card = load("model_card").card_text(results)
    own = results["artifact"]["against_model"]["artifact"]["metrics"]
    primary = task_named(results["data"]["task"]).primary_metric
    beaten = all(own[name] > row["metrics"][name] for row in results["floors"] for name in (primary, "macro_f1"))
    assert card.splitlines()[2].startswith("**The artifact is not better than") is not beaten


def test_results_from_before_floors_still_make_a_card_and_a_row() -> None:
    results = {key: value for key, value in read(MEASURED[0]).items() if key != "floors"}
    card, table = load("model_card").card_text(results), load("model_card").table_text([results])
    assert "not better than" not in card
    assert "| accuracy | - |" in table


@pytest.mark.parametrize(("tuned", "said"), [(True, "Both thresholds were chosen"), (False, "the artifact's is 0.5")])
def test_a_card_says_how_the_thresholds_of_artifact_and_floor_were_chosen(tuned: bool, said: str) -> None:
    results = read(MODELS / "goemotions")
    results["floors"][0]["metrics"]["micro_f1"] = 1.0
    results["artifact"]["threshold"] = 0.3 if tuned else None
    assert said in load("model_card").card_text(results).splitlines()[2]


def test_the_table_shows_an_arm_that_was_trained_and_a_dash_for_one_that_was_not() -> None:
    results = read(MODELS / "sst2")
    student, control = (
        next(row for row in results["seeds"]["rows"] if row["kind"] == kind) for kind in ("student", "control")
    )
    seeds = {"rows": [student], "differences": []}
    lines = load("model_card").table_text([results | {"seeds": seeds}]).splitlines()
    names = [cell.strip() for cell in lines[0].split("|")]
    cells = dict(zip(names, (cell.strip() for cell in lines[2].split("|")), strict=True))
    assert [cells[name] for name in ("C1 %", "C0 %", "student - C1", "student - C0")] == ["-"] * 4
    found = {"against": "c0", "difference": 0.0123, "interval": [0.001, 0.02], "metric": "accuracy"}
    seeds = {"rows": [student, control | {"kind": "c0"}], "differences": [found]}
    lines = load("model_card").table_text([results | {"seeds": seeds}]).splitlines()
    cells = dict(zip(names, (cell.strip() for cell in lines[2].split("|")), strict=True))
    assert cells["C0 %"] == f"{100 * control['metrics']['accuracy']['mean']:.1f}"
    assert cells["student - C0"] == "+1.23 [+0.10, +2.00]" and cells["student - C1"] == "-"
