"""Recipes: what fits, what is refused and how, and the way through TOML and back."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from liteft.config import differences, make_recipe, read_recipe, write_recipe
from liteft.errors import ConfigError, RunError
from liteft.recipe_checks import require_student, require_teacher
from liteft.recipes import Recipe, TeacherRecipe

OTHER: dict[str, dict[str, Any]] = {
    "data": {
        "source": 'C:\\texts "new"',
        "text": "body",
        "pair": "größe",
        "label": "stars",
        "task": "multi_label",
        "encoding": "gb18030",
        "delimiter": "\t",
        "label_separator": "|",
        "confidence": "sure",
        "label_names": ["x", "y"],
        "validation_fraction": 0.2,
        "test_fraction": 0.3,
        "seed": 2**32 - 1,
        "max_chars": 1000,
        "drop_long": True,
        "drop_empty": True,
        "labels_per_class": 10,
        "subset_seed": 3,
    },
    "teacher": {
        "epochs": 2.5,
        "max_steps": 7,
        "batch_size": 4,
        "gradient_accumulation": 2,
        "learning_rate": 1e-7,
        "optimizer": "adamw8bit",
        "schedule": "cosine",
        "warmup": 0.0,
        "weight_decay": 0.0,
        "max_grad_norm": 0.0,
        "label_smoothing": 0.1,
        "class_weights": "balanced",
        "early_stopping": 3,
        "choose_by": "log_loss",
        "calibrate": False,
        "tune_threshold": True,
        "evaluations_per_epoch": 4,
        "checkpoint_steps": 50,
        "training_precision": "bf16",
        "gradient_checkpointing": True,
        "group_by_length": False,
        "threads": 2,
        "seed": 5,
        "report_to": ["tensorboard"],
        "trainer": {"adam_beta2": 0.95, "lr_scheduler_kwargs": {"num_cycles": 2}},
        "base": "minilm",
        "epsilon": 8.0,
        "delta": 1e-5,
        "labels": ["bad", "good"],
        "pooling": "mean",
        "max_tokens": 256,
        "truncation_side": "left",
        "dropout": 0.0,
        "head": "lda",
        "rdrop_weight": 0.5,
        "max_answer": 12,
        "base_quantization": "4bit",
        "lora_rank": 8,
        "lora_alpha": 16.0,
        "lora_dropout": 0.1,
        "lora_targets": ["query"],
        "from_scratch": True,
        "size": "4x256",
        "vocabulary_file": "vocab.txt",
    },
    "student": {
        "epochs": 20.0,
        "size": "3x384",
        "student": "encoder",
        "layers": [0, 2, 5],
        "general": ["a.txt", "corpus"],
        "general_epochs": 2.0,
        "general_learning_rate": 1e-3,
        "learning_rates": [1e-5, 1e-4],
        "rate_search": False,
        "logits_loss": "mse",
        "temperature": 4.0,
        "hard_weight": 0.5,
        "transfer": "pool",
        "vocabulary_min_count": 5,
        "hidden_weight": 1.0,
        "relation_weight": 2.0,
        "matching_epochs": 1.0,
        "matching_learning_rate": 3e-4,
        "quantized_epochs": 2.0,
        "quantized_learning_rate": 1e-5,
        "fill_vocabulary": True,
        "augmentation": "ngram",
        "augment_labelled": True,
        "pool_select": 1000,
        "teacher_folds": 3,
        "vocabulary": 8000,
        "unlabeled": "more.jsonl",
        "arms": ["c0"],
        "control": True,
        "seeds": 3,
        "folds": 5,
    },
    "export": {
        "precision": "fp16",
        "scheme": "static",
        "calibration": "mse",
        "weight_bits": 7,
        "tolerance": 1.5,
        "mixed": True,
        "flat": True,
        "embedding_bits": 4,
        "vocabulary": 4000,
        "vocabulary_min_count": 3,
        "fill_vocabulary": True,
        "target": "edge",
    },
    "search": {
        "max_mb": 9.5,
        "max_ms": 2.0,
        "max_drop": 1.0,
        "layers": [1, 3],
        "widths": [192],
        "embedding_bits": [4],
        "quantized_epochs": 1.0,
        "margin": 2.0,
    },
    "pretrain": {
        "texts": ["a.txt", "b.txt"],
        "masked_share": 0.3,
        "base": "minilm",
        "size": "4x256",
        "vocabulary_file": "vocab.txt",
        "vocabulary": 4000,
        "vocabulary_kind": "bpe",
        "lowercase": False,
        "max_tokens": 64,
        "validation_fraction": 0.2,
        "epochs": 2.5,
        "batch_size": 4,
        "learning_rate": 1e-3,
        "warmup": 0.0,
        "checkpoint_steps": 50,
    },
    "hub": {
        "license": "apache-2.0",
        "language": ["en", "de"],
        "dataset": "acme/texts",
        "base_model": "acme/encoder",
        "private": False,
    },
}
"""A value for the keys of every table that is not the default."""


def refused(settings: dict[str, Any], **named: Any) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        make_recipe(settings, **named)
    return caught.value


def test_nothing_said_is_the_default() -> None:
    assert make_recipe({}) == Recipe() == make_recipe({"teacher": {}})


@pytest.mark.parametrize(
    ("settings", "where", "fix"),
    [
        ({"teacher": {"learning_rat": 1e-4}}, "teacher.learning_rat", "did you mean 'learning_rate'?"),
        ({"teacher": {"warm_up": 0.1}}, "teacher.warm_up", "did you mean 'warmup'?"),
        ({"data": {"lable": "x"}}, "data.lable", "did you mean 'label'?"),
        ({"student": {"Temperature": 2.0}}, "student.Temperature", "did you mean 'temperature'?"),
        ({"export": {"percision": "int8"}}, "export.percision", "did you mean 'precision'?"),
        ({"teachers": {}}, "teachers", "did you mean 'teacher'?"),
        ({"teacher": {"hard_weight": 0.1}}, "teacher.hard_weight", "did you mean 'student.hard_weight'?"),
        ({"epochs": 3}, "epochs", "did you mean 'teacher.epochs', 'student.epochs' or 'pretrain.epochs'?"),
    ],
)
def test_an_unknown_key_names_the_closest(settings: dict[str, Any], where: str, fix: str) -> None:
    error = refused(settings)
    assert error.message == f"the recipe: unknown key {where!r}."
    assert error.fix == (fix,)


def test_an_unknown_key_without_a_near_one_lists_all() -> None:
    error = refused({"export": {"zzz": 1}})
    assert error.accepted == {
        "keys": "calibration, embedding_bits, fill_vocabulary, flat, mixed, precision, scheme, target, tolerance, "
        "vocabulary, vocabulary_min_count, weight_bits"
    }
    assert error.fix == ("leave out export.zzz",)


def test_a_value_under_an_unknown_key_is_given_to_the_key_that_takes_it() -> None:
    error = refused({"student": {"form": "edge"}})
    assert str(error).endswith('try: target="edge"')
    assert error.command_hints() == ["--set export.target=edge"]


@pytest.mark.parametrize(
    ("settings", "fix"),
    [
        ({"teacher": {"warmup": -1}}, "--set teacher.warmup=0.06"),
        ({"teacher": {"epochs": -1}}, "leave out teacher.epochs"),
        ({"teacher": {"max_steps": 0}}, "leave out teacher.max_steps"),
        ({"search": {"size": "3"}}, "did you mean 'student.size'?"),
    ],
)
def test_a_setting_that_does_not_fit_is_told_its_default_or_its_table(settings: Any, fix: str) -> None:
    assert refused(settings).command_hints() == [fix]
    assert refused({"zzz": {}}).accepted == {"keys": "data, export, hub, pretrain, search, student, teacher"}


@pytest.mark.parametrize(
    ("table", "key", "value"),
    [
        ("teacher", "batch_size", "many"),
        ("teacher", "batch_size", 2.5),
        ("teacher", "learning_rate", "fast"),
        ("teacher", "batch_size", None),
        ("teacher", "max_answer", True),
        ("teacher", "epochs", True),
        ("student", "hard_weight", False),
        ("teacher", "from_scratch", "perhaps"),
        ("teacher", "base", 3),
        ("student", "layers", "middle"),
        ("student", "layers", [0, "two"]),
        ("student", "learning_rates", 1e-4),
        ("data", "text", ["body"]),
        ("data", "drop_long", []),
        ("export", "precision", 8),
    ],
)
def test_a_wrong_type_names_key_value_and_what_fits(table: str, key: str, value: Any) -> None:
    error = refused({table: {key: value}})
    assert error.message.startswith(f"the recipe: {table}.{key}")
    assert " must be " in error.message
    assert list(error.accepted) == ["accepted"]


def test_a_table_that_is_a_value_lists_the_tables() -> None:
    error = refused({"teacher": 3})
    assert error.message.startswith("the recipe: teacher must be a table, got 3")
    assert error.accepted == {"tables": "data, teacher, student, export, search, pretrain, hub"}


@pytest.mark.parametrize(
    ("table", "key", "value"),
    [
        ("data", "validation_fraction", 0),
        ("data", "validation_fraction", 1),
        ("data", "test_fraction", -0.1),
        ("data", "max_chars", 0),
        ("data", "seed", 2**32),
        ("data", "task", "regression"),
        ("teacher", "epochs", 0),
        ("teacher", "epochs", 1001),
        ("teacher", "batch_size", 0),
        ("teacher", "learning_rate", 0),
        ("teacher", "learning_rate", math.nan),
        ("teacher", "learning_rate", math.inf),
        ("teacher", "warmup", 1),
        ("teacher", "dropout", 1),
        ("teacher", "rdrop_weight", -0.1),
        ("teacher", "max_answer", 0),
        ("teacher", "label_smoothing", 1),
        ("teacher", "max_tokens", 3),
        ("teacher", "threads", 0),
        ("teacher", "seed", -1),
        ("teacher", "optimizer", "adamx"),
        ("teacher", "base_quantization", "2bit"),
        ("teacher", "lora_rank", -1),
        ("teacher", "lora_alpha", 0),
        ("teacher", "lora_dropout", 1),
        ("student", "temperature", 0),
        ("student", "hard_weight", 1.01),
        ("student", "hidden_weight", -1),
        ("student", "seeds", 0),
        ("student", "augmentation", "shuffle"),
        ("export", "precision", "int4"),
        ("export", "target", "phone"),
        ("search", "max_mb", 0),
        ("search", "max_drop", 101),
    ],
)
def test_a_value_out_of_range_is_named_with_the_bound(table: str, key: str, value: Any) -> None:
    error = refused({table: {key: value}}, origin="my.toml")
    assert error.message.startswith(f"my.toml: {table}.{key} must be ") and f"got {value!r}." in error.message


@pytest.mark.parametrize(
    ("table", "key", "value", "words"),
    [
        ("teacher", "epochs", 0, "a number above 0 and at most 1,000"),
        ("teacher", "max_tokens", "x", "a whole number at least 4"),
        ("search", "max_mb", -1, "a number above 0"),
        ("export", "precision", "int4", "fp32, fp16, int8"),
        ("data", "text", ["body"], "a string"),
    ],
)
def test_what_a_setting_takes_is_said_in_words(table: str, key: str, value: Any, words: str) -> None:
    assert refused({table: {key: value}}).accepted == {"accepted": words}


def test_a_value_in_another_case_is_guessed() -> None:
    assert refused({"export": {"precision": "INT8"}}).fix == ("did you mean 'int8'?",)


def test_a_size_of_layers_alone_may_be_a_number() -> None:
    assert make_recipe({"student": {"size": 3}}).student.size == "3"


def test_a_value_above_its_bound_is_told_the_bound_and_one_name_the_list_of_it() -> None:
    assert [str(fix) for fix in refused({"student": {"folds": 500}}).fix] == ["folds=100"]
    assert [str(fix) for fix in refused({"student": {"arms": "c0"}}).fix] == ["arms=['c0']"]


def test_a_path_may_be_given_as_one_and_a_byte_order_mark_is_read_over(tmp_path: Path) -> None:
    assert make_recipe({"student": {"unlabeled": Path("pool.txt")}}).student.unlabeled == "pool.txt"
    assert make_recipe({"student": {"general": [Path("a.txt"), "b"]}}).student.general == ["a.txt", "b"]
    (tmp_path / "recipe.toml").write_text('\ufeff[student]\nsize = "3"\n', encoding="utf-8")
    assert read_recipe(tmp_path / "recipe.toml").student.size == "3"


@pytest.mark.parametrize(
    "settings",
    [
        {"temperature": 3.0, "logits_loss": "mse"},
        {"general_epochs": 2.0},
        {"general_learning_rate": 1e-3},
        {"fill_vocabulary": True},
        {"rate_search": True, "epochs": 0, "quantized_epochs": 1},
        {"learning_rates": [1e-4], "epochs": 0, "quantized_epochs": 1},
        {"size": None, "student": "own", "layers": "spread"},
    ],
)
def test_a_student_setting_that_nothing_reads_is_refused_and_the_rest_is_accepted(settings: dict[str, Any]) -> None:
    student = {"size": "3", **settings}
    with pytest.raises(ConfigError) as caught:
        require_student(make_recipe({"student": student}).student)
    (name,) = {name for name in student if f"leave out {name}" in str(caught.value)}
    require_student(make_recipe({"student": {key: value for key, value in student.items() if key != name}}).student)


def test_a_size_that_is_none_is_refused_before_data_and_teacher() -> None:
    with pytest.raises(ConfigError, match="size 'tiny' is not understood"):
        require_student(make_recipe({"student": {"size": "tiny"}}).student)
    with pytest.raises(ConfigError, match="size '3\\*384' is not understood"):
        require_teacher(
            make_recipe({"teacher": {"from_scratch": True, "size": "3*384", "vocabulary_file": "v"}}).teacher
        )


def test_a_long_value_is_shortened_in_the_message() -> None:
    assert len(refused({"teacher": {"optimizer": "x" * 5000}}).message) < 300


def test_every_key_of_every_table_is_tried_below() -> None:
    default = Recipe()
    for table in Recipe.model_fields:
        keys = type(getattr(default, table)).model_fields
        tried = set(OTHER[table]) | (set(OTHER["teacher"]) if table in ("student", "pretrain") else set())
        assert set(keys) <= tried, f"add the new keys of [{table}] to OTHER"
        assert all(getattr(default, table).model_dump()[key] != value for key, value in OTHER[table].items())


@pytest.mark.parametrize("table", [*OTHER, None])
def test_every_setting_survives_writing_and_reading(tmp_path: Path, table: str | None) -> None:
    recipe = make_recipe(OTHER if table is None else {table: OTHER[table]})
    write_recipe(recipe, tmp_path / "recipe.toml")
    again = read_recipe(tmp_path / "recipe.toml")
    assert again == recipe
    assert differences(recipe, again) == {}
    if table is not None:
        assert {key: again.model_dump()[table][key] for key in OTHER[table]} == OTHER[table]


@pytest.mark.parametrize("layers", ["auto", "first", "spread", "ends", [0], [0, 2, 5]])
def test_layers_are_a_word_or_numbers(tmp_path: Path, layers: Any) -> None:
    write_recipe(make_recipe({"student": {"layers": layers}}), tmp_path / "recipe.toml")
    assert read_recipe(tmp_path / "recipe.toml").student.layers == layers


def test_what_is_none_is_left_out_of_the_file(tmp_path: Path) -> None:
    write_recipe(Recipe(), tmp_path / "recipe.toml")
    assert "max_steps" not in (tmp_path / "recipe.toml").read_text()


def test_overrides_lie_over_the_file_key_by_key(tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text("[teacher]\nepochs = 2\nseed = 1\n")
    recipe = read_recipe(path, overrides={"teacher": {"seed": 7}, "export": {"precision": "fp32"}})
    assert (recipe.teacher.epochs, recipe.teacher.seed, recipe.export.precision) == (2.0, 7, "fp32")


def test_overrides_of_what_is_no_table_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text("teacher = 3\n")
    with pytest.raises(ConfigError, match=r"recipe\.toml: teacher must be a table, got 3"):
        read_recipe(path, overrides={"teacher": {"seed": 7}})


def test_a_mistake_in_a_file_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text("[student]\ntemprature = 2\n")
    with pytest.raises(ConfigError, match=r"recipe\.toml: unknown key 'student\.temprature'"):
        read_recipe(path)


@pytest.mark.parametrize("content", [b"[teacher", b"[teacher]\nseed = 1\nseed = 2\n", b"\xff\xfe", b"a\0 = 1"])
def test_a_file_that_is_no_toml_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "recipe.toml").write_bytes(content)
    with pytest.raises(ConfigError, match=r"recipe\.toml is not valid TOML: "):
        read_recipe(tmp_path / "recipe.toml")


def test_a_missing_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"recipe\.toml cannot be read: No such file") as caught:
        read_recipe(tmp_path / "recipe.toml")
    assert caught.value.command_hints() == ["--recipe FILE.toml"]
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        read_recipe(tmp_path)


def test_a_recipe_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="could not be written"):
        write_recipe(Recipe(), tmp_path / "file" / "recipe.toml")


def test_differences_have_dotted_names_and_both_values() -> None:
    new = make_recipe({"teacher": {"seed": 3, "dropout": 0.2}, "student": {"layers": [0, 1]}})
    assert differences(Recipe(), new) == {
        "teacher.seed": "0 -> 3",
        "teacher.dropout": "None -> 0.2",
        "student.layers": "'auto' -> [0, 1]",
    }
    assert differences(new, new) == {}


def test_differences_of_one_table_need_no_dots() -> None:
    assert differences(TeacherRecipe(epochs=3), TeacherRecipe(epochs=1)) == {"epochs": "3.0 -> 1.0"}
    assert differences(TeacherRecipe(epochs=3), TeacherRecipe(epochs=1), prefix="teacher.") == {
        "teacher.epochs": "3.0 -> 1.0"
    }


@pytest.mark.parametrize("setting", [{"size": "3x384"}, {"size": "3by384"}, {"vocabulary_file": "v.txt"}], ids=str)
def test_what_only_a_teacher_from_scratch_has_is_refused_beside_a_base(setting: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f"^{next(iter(setting))} applies to a teacher from scratch only"):
        require_teacher(TeacherRecipe(base="bert", **setting))


def test_an_unknown_key_is_compared_with_those_of_its_own_table_first() -> None:
    assert refused({"teacher": {"precision": "bf16"}}).fix == ("did you mean 'training_precision'?",)
    assert refused({"student": {"epoch": 3}}).fix == ("did you mean 'epochs'?",)
