"""The search of a teacher's settings: candidates are trained as named, and the best on validation stands first."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

pytest.importorskip("torch", reason="the candidates need the extra 'train'")

from tests.bench.conftest import load_script, write_data
from tests.finetuning.conftest import make_dataset, write_base

RECIPE = '[teacher]\nbase = "bert"\nepochs = 3\nbatch_size = 8\nlearning_rate = 5e-3\nmax_tokens = 16\n'


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    module = load_script("teacher_search")
    monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.chdir(tmp_path)
    write_data(tmp_path / "topics", make_dataset())
    write_base(tmp_path / "bert", "bert")
    (tmp_path / "recipe.toml").write_text(RECIPE, encoding="utf-8")
    return module


def search(script: ModuleType, monkeypatch: pytest.MonkeyPatch, *tried: str) -> int:
    words = ["--recipe", "recipe.toml", "--data", "topics", "--runs", "runs"]
    for name in tried:
        words += ["--try", name]
    monkeypatch.setattr("sys.argv", ["teacher_search.py", *words])
    status: int = script.main()
    return status


def test_candidates_differ_in_what_was_asked_and_the_best_stands_first(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert search(script, monkeypatch, "learning_rate=1e-9", "pooling=cls,epochs=4") == 0
    result: dict[str, Any] = json.loads((tmp_path / "bench/results/teacher_search_topics.json").read_text("utf-8"))
    best, worst = result["candidates"]
    assert [best["settings"], worst["settings"]] == ["pooling=cls,epochs=4", "learning_rate=1e-9"]
    assert best["validation"] > worst["validation"]
    assert best["interval"][0] < best["validation"] <= best["interval"][1]
    assert (best["teacher"]["pooling"], best["teacher"]["epochs"]) == ("cls", 4)
    assert (worst["teacher"]["learning_rate"], worst["teacher"]["epochs"]) == (1e-9, 3)
    assert "test" not in json.dumps(result["candidates"])
    assert str(tmp_path) not in json.dumps(result)


@pytest.mark.parametrize(
    ("tried", "words"), [("learning_rte=1", "learning_rte"), ("epochs", "--try epochs is not a setting")]
)
def test_settings_that_do_not_exist_are_errors(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tried: str, words: str
) -> None:
    assert search(script, monkeypatch, tried) == 1
    assert words in capsys.readouterr().err
