"""``liteft search``: which recipe the search gets, what is printed, how it ends."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import liteft
from liteft.data import Dataset

COLUMNS = ["--text", "body", "--label", "stars"]


@pytest.fixture
def searches(monkeypatch: pytest.MonkeyPatch, make_artifact: Any) -> list[dict[str, Any]]:
    """Replace ``liteft.search``, which finds something within 5 MB and more; the calls that it got."""
    calls: list[dict[str, Any]] = []

    def search(teacher: Any, data: Any, *, out: Path, recipe: Any, progress: Any, **given: Any) -> Any:
        progress("1x384: training")
        calls.append({"teacher": teacher, "data": data, "out": Path(out), "recipe": recipe, **given})
        found = (recipe.search.max_mb or 5) >= 5
        return SimpleNamespace(
            artifact=make_artifact(Path(out) / "artifact").path if found else None,
            winner=object() if found else None,
            render=lambda: "a table",
            to_dict=lambda: {"winner": "1x384/int8" if found else None},
        )

    monkeypatch.setitem(vars(liteft), "search", search)
    return calls


@pytest.mark.parametrize(
    ("flags", "limits"),
    [
        (["--max-mb", "9.5", "--max-ms", "2", "--max-drop", "1.0"], (9.5, 2.0, 1.0)),
        (["--max-mb", "9.5"], (9.5, None, None)),
        (["--max-ms", "0.5"], (None, 0.5, None)),
        (["--max-drop", "0"], (None, None, 0.0)),
        (["--set", "search.max_drop=2.5"], (None, None, 2.5)),
    ],
)
def test_a_search_is_handed_every_limit_and_the_students_settings(
    flags: list[str], limits: Any, call: Any, reviews: Path, searches: list[Any], tmp_path: Path
) -> None:
    words = ["--data", reviews, *COLUMNS, "--teacher", "minilm", "--epochs", "8", "--out", tmp_path / "o"]
    called = call("search", *words, *flags, "--set", "search.layers=[1, 3]", "--trust", "--engine", "ray")
    assert called.status == 0, called.err
    (handed,) = searches
    recipe = handed["recipe"]
    assert (recipe.search.max_mb, recipe.search.max_ms, recipe.search.max_drop) == limits
    assert (recipe.search.layers, recipe.student.size, recipe.student.epochs) == ([1, 3], None, 8)
    assert (handed["teacher"], handed["out"]) == ("minilm", tmp_path / "o") and isinstance(handed["data"], Dataset)
    assert (handed["trust"], handed["engine"]) == (True, "ray")
    assert called.out == "a table\n"
    assert called.err.splitlines() == [
        "1x384: training",
        f"next: liteft predict {tmp_path / 'o' / 'artifact'} 'a text' --trust",
    ]


def test_a_recipes_budget_holds_and_flags_override_it(
    call: Any, reviews: Path, searches: list[Any], tmp_path: Path
) -> None:
    file = tmp_path / "recipe.toml"
    file.write_text("[search]\nmax_mb = 20\nwidths = [192]\n", encoding="utf-8")
    words = ["--data", reviews, *COLUMNS, "--teacher", "minilm", "--recipe", file, "--out", tmp_path / "o"]
    called = call("search", *words, "--max-mb", "9", "--json")
    assert called.status == 0, called.err
    assert (searches[0]["recipe"].search.max_mb, searches[0]["recipe"].search.widths) == (9, [192])
    assert called.document["winner"] == "1x384/int8" and called.document["next"].startswith("liteft predict")


def test_a_search_that_finds_nothing_prints_it_and_ends_with_status_1(
    call: Any, reviews: Path, searches: list[Any], tmp_path: Path
) -> None:
    words = ["--data", reviews, *COLUMNS, "--teacher", "minilm", "--out", tmp_path / "o", "--max-mb", "1"]
    called = call("search", *words)
    assert (called.status, called.out) == (1, "a table\n")
    assert "next:" not in called.err
    document = call("search", *words, "--json").document
    assert document == {"winner": None, "next": None}


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--max-mb", "0"], "search.max_mb"),
        (["--max-mb", "much"], "--max-mb must be a number, got 'much'"),
        (["--max-drop", "-1"], "search.max_drop"),
        ([], "a search needs a budget"),
        (["--max-mb", "9", "--until", "student"], "there is no flag --until"),
        (["--max-mb", "9", "--set", "search.depths=[1]"], "search.depths"),
        (["--max-megabytes", "9"], "try: --max-"),
    ],
)
def test_wrong_input_ends_with_status_2_before_anything_is_searched(
    flags: list[str], message: str, call: Any, reviews: Path, searches: list[Any], tmp_path: Path
) -> None:
    words = ["--data", reviews, *COLUMNS, "--teacher", "minilm", "--out", tmp_path / "o"]
    called = call("search", *words, *flags)
    assert called.status == 2
    assert message in called.err
    assert searches == []


@pytest.mark.parametrize("where", ["flag", "recipe"])
def test_distill_names_search_where_a_budget_is_given(
    where: str, call: Any, reviews: Path, searches: list[Any], tmp_path: Path
) -> None:
    (tmp_path / "recipe.toml").write_text("[search]\nmax_mb = 20\n", encoding="utf-8")
    budget = ["--max-mb", "20"] if where == "flag" else ["--recipe", tmp_path / "recipe.toml"]
    words = ["--data", reviews, *COLUMNS, "--teacher", "minilm", "--size", "1", "--out", tmp_path / "o"]
    called = call("distill", *words, *budget)
    assert called.status == 2
    assert "try: liteft search" in called.err
    assert searches == [] and not (tmp_path / "o").exists()


def test_bits_of_the_embeddings_narrow_a_search(call: Any, reviews: Path, searches: list[Any], tmp_path: Path) -> None:
    words = ["--data", reviews, *COLUMNS, "--teacher", "minilm", "--max-mb", "9", "--out", tmp_path / "o"]
    assert call("search", *words, "--embedding-bits", "8").status == 0
    recipe = searches[0]["recipe"]
    assert (recipe.search.embedding_bits, recipe.export.embedding_bits) == ([8], 8)
