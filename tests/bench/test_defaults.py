"""The measurement of the default settings: what is finished stays, here and elsewhere, and the table shows it."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("torch", reason="the measurement needs the extra 'train'")

from liteft.floors import Floor, Floors
from liteft.tasks import SINGLE_LABEL
from tests.bench.conftest import load_script
from tests.finetuning.conftest import make_dataset


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    module = load_script("defaults")
    monkeypatch.setattr(module, "RESULT", tmp_path / "defaults.json")
    return module


def row(model: str, tag: str, accuracy: float, **more: Any) -> dict[str, Any]:
    metrics = {"metrics": {"accuracy": accuracy}, "texts": 1_200, "learning_rate": 2e-4, "epochs": 4.0}
    metrics["choose_by"] = "balanced"
    return {"set": "mail", "model": model, "tag": tag, **metrics, **more}


def floor(accuracy: float) -> Floor:
    return Floor("counts", {}, {"validation": {"accuracy": accuracy}}, {"validation": {}}, {}, 1.0)


def test_a_measurement_goes_on_from_the_committed_result(script: ModuleType, tmp_path: Path) -> None:
    committed = [row("teacher", "default", 0.9), row("teacher", "half the rate", 0.8)]
    script.RESULT.write_text(json.dumps({"rows": committed}), encoding="utf-8")
    script.store(tmp_path, "mail", "teacher", "default", row("teacher", "default", 0.7))
    script.adopt(tmp_path)
    found = {each["tag"]: each["metrics"]["accuracy"] for each in script.stored(tmp_path)}
    assert found == {"default": 0.7, "half the rate": 0.8}
    assert script.stored(tmp_path)[0]["commit"] and script.stored(tmp_path)[0]["processor"]
    script.adopt(tmp_path)
    assert len(script.stored(tmp_path)) == 2


def test_only_one_kind_of_setting_leaves_the_others_out(script: ModuleType) -> None:
    made = {"learning_rate": 2e-4, "epochs": 4.0}
    rates = [{"learning_rate": 1e-4}, {"learning_rate": 4e-4}]
    assert [settings for _, settings in script.around(made, "rates")] == rates
    assert not list(script.around(made, "default")) and not list(script.around(made, "losses"))
    batches = [{"epochs": 4.0, "batch_size": 16}, {"epochs": 4.0, "batch_size": 64}]
    lengths = [{"epochs": 2.0}, {"epochs": 8.0}, *batches]
    assert [settings for _, settings in script.around(made, "lengths")] == lengths
    assert [settings for _, settings in script.around(made, None)] == [*rates, *lengths]


def test_the_table_has_floors_rates_and_controls_and_a_dash_for_what_is_missing(script: ModuleType) -> None:
    floors = Floors(tuple(floor(share) for share in (0.5, 0.75)), SINGLE_LABEL, ("a", "b"), "mail", 1_200)
    rates = {"half the rate": 0.87, "default": 0.9, "twice the rate": 0.88}
    above = {"minus control": {"difference": 0.03, "interval": [-0.01, 0.07]}}
    student = row("3x384", "default", 0.89, control=row("control", "", 0.86)) | above
    student["metrics"]["macro_f1"] = 0.8
    rows = [
        {"set": "mail", "model": "floors", "tag": "", "floors": floors.to_dict()},
        *(row("teacher", tag, accuracy) for tag, accuracy in rates.items()),
        student,
        row("3x384", "half the rate", 0.85),
        row("3x384", "no labels", 0.84),
        row("1x384", "default", 0.7),
    ]
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in script.table(rows).splitlines()]
    rates_of = {line[2]: line for line in lines[2:4]}
    assert rates_of["teacher"] == ["mail", "1,200", "teacher", "both", "-", "87.0", "90.0", "88.0", "-", "-", "75.0"]
    measured = ["-", "85.0", "89.0 / 80.0", "-", "86.0", "+3.0 [-1.0, +7.0]", "75.0"]
    assert rates_of["3x384"] == ["mail", "1,200", "3x384", "both", *measured]
    assert ["mail", "1,200", "3x384", "both", "89.0 / 80.0", "84.0"] in lines and not any(
        "1x384" in line for line in lines
    )


def test_the_rows_of_a_set_keep_their_weights_by_one_choice(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    floors = {"set": "mail", "model": "floors", "tag": ""}
    committed = [floors, row("teacher", "default", 0.9) | {"choose_by": "metric"}]
    script.RESULT.write_text(json.dumps({"rows": committed}), encoding="utf-8")
    script.adopt(tmp_path)
    trained: list[str] = []

    def finetune(base: str, data: Any, **settings: Any) -> Any:
        trained.append(settings["choose_by"])
        info = {"learning_rate": 2e-4, "steps": 6, "weights_sha256": "0"}
        return SimpleNamespace(path=tmp_path, kind="teacher", info=info, metrics={"validation": {"accuracy": 0.8}})

    monkeypatch.setattr(script, "finetune", finetune)
    monkeypatch.setattr(script, "SIZES", ())
    monkeypatch.setattr(script.shutil, "rmtree", lambda path: None)
    recipe = SimpleNamespace(teacher=SimpleNamespace(choose_by="metric", epochs=4.0))
    monkeypatch.setattr(script, "read_recipe", lambda path: recipe)
    script.measure("mail", make_dataset(), tmp_path, {}, only="choice")
    script.measure("mail", make_dataset(), tmp_path, {}, only="rates")
    assert trained == ["metric", "balanced", "metric", "metric", "metric"]
    assert "kept by both" in {each["tag"] for each in script.stored(tmp_path)}


def test_nothing_is_judged_on_test(script: ModuleType) -> None:
    assert list(script.judged("mail", make_dataset()).splits) == ["train", "validation"]


def test_where_texts_are_few_a_few_choose_and_the_others_of_validation_judge(script: ModuleType) -> None:
    data = make_dataset(other=80)
    cut = script.judged(script.FEW[0], data)
    assert (len(cut.validation), len(cut.splits["test"])) == (50, 30)
    assert sorted([*cut.validation.texts, *cut.splits["test"].texts]) == sorted(data.validation.texts)
    assert script._judge({"validation": {}, "test": {}}) == "test"
    longer = [settings["epochs"] for _, settings in script.around({"epochs": 40.0}, "lengths", few=True)]
    assert longer == [20.0, 80.0, 160.0, 40.0, 40.0]
