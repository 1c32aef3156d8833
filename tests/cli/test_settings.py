"""From flags, --set and a recipe file to one recipe."""

from __future__ import annotations

from pathlib import Path

import pytest

from liteft.cli.groups import Settings, parse_layers
from liteft.cli.settings import data_arguments, data_of_models, teacher_of, teachers_of
from liteft.cli.settings import resolve as resolve_settings
from liteft.config import make_recipe, write_recipe
from liteft.errors import ConfigError
from liteft.recipes import DataRecipe, Recipe, TeacherRecipe


def resolve(file: str | None, flags: dict[str, dict[str, object]], assigned: list[str]) -> Recipe:
    return resolve_settings(
        Settings(recipe=file, assigned=assigned), **{key: {} for key in Recipe.model_fields} | flags
    )


def test_flags_lie_over_the_file_and_leave_the_rest_of_it(tmp_path: Path) -> None:
    file = tmp_path / "recipe.toml"
    file.write_text("[teacher]\nepochs = 4\nlearning_rate = 3e-5\n", encoding="utf-8")
    recipe = resolve(str(file), {"teacher": {"epochs": 2.0, "batch_size": None}}, [])
    assert recipe.teacher.epochs == 2
    assert recipe.teacher.learning_rate == 3e-5
    assert recipe.teacher.batch_size == Recipe().teacher.batch_size


@pytest.mark.parametrize(
    ("entry", "table", "key", "value"),
    [
        ("teacher.warmup=0.1", "teacher", "warmup", 0.1),
        ("teacher.learning_rate=1e-4", "teacher", "learning_rate", 1e-4),
        ("student.layers=[0, 2, 5]", "student", "layers", [0, 2, 5]),
        ("student.size=3x384", "student", "size", "3x384"),
        ("student.control=true", "student", "control", True),
        ('data.text="true"', "data", "text", "true"),
        ("data.label_separator=|", "data", "label_separator", "|"),
        ("data.pair=", "data", "pair", ""),
        ("data.text=a=b", "data", "text", "a=b"),
        ("data.text=1\nlabel = 2", "data", "text", "1\nlabel = 2"),
    ],
)
def test_a_setting_is_a_toml_value_or_else_its_text(entry: str, table: str, key: str, value: object) -> None:
    assert getattr(getattr(resolve(None, {}, [entry]), table), key) == value


def test_a_setting_without_a_table_says_which_tables_have_it() -> None:
    with pytest.raises(ConfigError) as caught:
        resolve(None, {}, ["epochs=3"])
    assert caught.value.fix == ("--set teacher.epochs=3", "--set student.epochs=3", "--set pretrain.epochs=3")


def test_a_setting_of_a_table_that_the_command_does_not_read_is_refused() -> None:
    with pytest.raises(ConfigError, match="changes nothing: this command reads no table pretrain") as caught:
        resolve_settings(Settings(assigned=["pretrain.epochs=3"]), data={}, teacher={})
    assert caught.value.accepted == {"tables": "data, teacher"}
    with pytest.raises(ConfigError) as caught:
        resolve_settings(Settings(assigned=["epochs=3"]), data={}, teacher={})
    assert caught.value.fix == ("--set teacher.epochs=3",)


def test_an_unknown_table_names_the_closest_one() -> None:
    with pytest.raises(ConfigError, match="unknown key 'techer'") as caught:
        resolve(None, {}, ["techer.epochs=3"])
    assert "teacher" in caught.value.fix[0]


def test_a_flag_and_a_setting_that_differ_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"teacher\.epochs is given twice"):
        resolve(None, {"teacher": {"epochs": 2.0}}, ["teacher.epochs=3"])
    assert resolve(None, {"teacher": {"epochs": 3.0}}, ["teacher.epochs=3"]).teacher.epochs == 3


def test_a_mistake_on_the_command_line_is_not_blamed_on_the_file(tmp_path: Path) -> None:
    file = tmp_path / "recipe.toml"
    file.write_text("[teacher]\nepochs = 4\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"^the command line"):
        resolve(str(file), {}, ["teacher.epoch=3"])


def test_local_paths_become_absolute_and_names_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("reviews.csv").touch()
    Path("base").mkdir()
    flags = {"data": {"source": "reviews.csv"}, "teacher": {"base": "base"}, "student": {"unlabeled": "more.txt"}}
    recipe = resolve(None, flags, [])
    assert recipe.data.source == str(tmp_path / "reviews.csv")
    assert recipe.teacher.base == str(tmp_path / "base")
    assert recipe.student.unlabeled == "more.txt"
    assert resolve(None, {"teacher": {"base": "google-bert/bert-base-uncased"}}, []).teacher.base == (
        "google-bert/bert-base-uncased"
    )


def test_the_same_command_from_another_folder_gives_the_same_recipe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "reviews.csv").touch()
    monkeypatch.chdir(tmp_path)
    one = resolve(None, {"data": {"source": "reviews.csv"}}, ["teacher.warmup=0.1"])
    monkeypatch.chdir(tmp_path / "below")
    assert resolve(None, {"data": {"source": "../reviews.csv"}}, ["teacher.warmup=0.1"]) == one


def test_layers_are_numbers_or_a_word() -> None:
    assert parse_layers("0,2,5") == [0, 2, 5]
    assert parse_layers("[0, 2]") == [0, 2]
    assert parse_layers("spread") == "spread"
    assert parse_layers(None) is None


def test_a_next_command_names_data_with_every_setting() -> None:
    data = DataRecipe(source="r.csv", text="body", label="stars", max_chars=500, seed=3, drop_empty=True)
    words = data_arguments(data)
    assert words[:6] == ["--data", "r.csv", "--text", "body", "--label", "stars"]
    assert words[6:] == ["--set", "data.seed=3", "--max-chars", "500", "--drop-empty"]


def test_several_label_columns_are_one_flag_or_several(tmp_path: Path) -> None:
    words = data_arguments(make_recipe({"data": {"label": ["a", "b"], "label_names": "x, y"}}).data)
    assert words == ["--label", "a,b", "--label-names", "x,y"]
    assert data_arguments(DataRecipe(label=["a,b", "c"])) == ["--label", "a,b", "--label", "c"]
    assert resolve(None, {"data": {"label": ["stars"]}}, []).data.label == "stars"
    file = tmp_path / "recipe.toml"
    file.write_text('[data]\nlabel = "stars"\n', encoding="utf-8")
    assert resolve(str(file), {"data": {"label": []}}, []).data.label == "stars"


def test_a_runs_own_data_are_read_as_they_were_for_it(tmp_path: Path) -> None:
    source = tmp_path / "reviews.csv"
    source.touch()
    run = tmp_path / "run"
    run.mkdir()
    table = {"source": str(source), "text": "body", "seed": 7, "test_fraction": 0.3}
    write_recipe(make_recipe({"data": table}), run / "recipe.toml")
    for named in ({}, {"source": str(source)}):
        on, how = data_of_models(resolve(None, {"data": named}, []), [str(tmp_path / "artifact"), str(run)])
        assert on == str(source)
        assert (how["text"], how["seed"], how["test_fraction"]) == ("body", 7, 0.3)
        assert "source" not in how and "task" not in how


def test_other_data_are_read_as_the_command_says(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    write_recipe(make_recipe({"data": {"source": "a.csv", "text": "body"}}), run / "recipe.toml")
    recipe = resolve(None, {"data": {"source": "b.csv", "label": "y"}}, [])
    assert data_of_models(recipe, [str(run)]) == ("b.csv", {"label": "y"})


def test_several_teachers_are_one_flag_or_several_and_a_search_has_one() -> None:
    assert teachers_of(Recipe(), ["a,b", "c"]) == ["a", "b", "c"]
    assert teachers_of(Recipe(teacher=TeacherRecipe(base="x")), None) == ["x"]
    with pytest.raises(ConfigError, match="2 teachers were named, and a search has one"):
        teacher_of(Recipe(), ["a", "b"])
