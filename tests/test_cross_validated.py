"""Cross-validation of a whole distillation, on tiny models."""

from __future__ import annotations

import json
import shutil
import tomllib
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import liteft
from liteft.config import read_recipe
from liteft.cross_validated import CrossValidation, fold_datasets
from liteft.data import Dataset, Split, load_dataset
from liteft.data.trainable import resolve_data
from liteft.errors import ConfigError, DataError, RunError
from liteft.metrics import Estimate
from liteft.recipes import Recipe, StudentRecipe, TeacherRecipe
from liteft.tasks import TASKS
from tests.cache import Cache
from tests.modules import module_of


@pytest.fixture(scope="module")
def tiny() -> ModuleType:
    return module_of("finetuning")


@pytest.fixture(scope="module")
def base(tiny: ModuleType, cache: Cache) -> Path:
    shape = {"num_hidden_layers": 4, "num_attention_heads": 4}
    return cache("distillation-base", lambda folder: tiny.write_base(folder, "bert", **shape))


def labelled(count: int = 40) -> Dataset:
    rows = [(f"text {number} of {'ab'[number % 2]}", "ab"[number % 2]) for number in range(count)]
    return load_dataset({"train": rows}, test_fraction=0.0)


def test_each_text_is_tested_once_and_trained_on_by_no_model_that_tests_it() -> None:
    data = labelled()
    folds = fold_datasets(data, 4, seed=0)
    tested = [text for fold in folds for text in fold.test.texts]
    assert sorted(tested) == sorted([*data.train.texts, *data.validation.texts])
    for fold in folds:
        parts = [set(split.texts) for split in fold.splits.values()]
        assert sum(map(len, parts)) == len(set().union(*parts)) == 40
        assert set(np.unique(fold.test.labels)) == {0, 1} and len(fold.validation)


def test_no_fold_is_tested_on_a_text_of_its_pool_and_probabilities_stay_with_their_texts() -> None:
    data = labelled()
    soft = np.linspace(0, 1, 2 * len(data.train), dtype=np.float32).reshape(-1, 2)
    parts = {name: replace(split, soft_labels=soft[: len(split)]) for name, split in data.splits.items()}
    whole = [*data.train.texts, *data.validation.texts]
    own = dict(zip(whole, [*parts["train"].soft_labels, *parts["validation"].soft_labels], strict=True))
    folds = fold_datasets(replace(data, splits=parts, pool=Split("pool", [*whole, "anything else"])), 4, seed=0)
    for fold in folds:
        assert fold.pool is not None and "anything else" in fold.pool.texts
        assert not {*fold.test.texts, *fold.validation.texts} & set(fold.pool.texts)
        for text, row in zip(fold.train.texts, fold.train.soft_labels, strict=True):
            assert row.tolist() == own[text].tolist()


def test_probabilities_of_some_rows_and_marks_of_unknown_labels_reach_the_folds() -> None:
    rows = [
        (f"text {number} of {'ab'[number % 2]}", {"a": 0.7, "b": 0.3} if number % 2 else "b") for number in range(40)
    ]
    dev = [(f"dev {number}", "abx"[number % 3]) for number in range(9)]
    data = load_dataset({"train": rows, "validation": dev}, test_fraction=0.0)
    folds = fold_datasets(data, 4, seed=0)
    assert sum(len(fold.test) for fold in folds) == 46, "three rows have a label that no training text has"
    for fold in folds:
        assert fold.train.soft_labels is not None and fold.train.soft_labels.sum(axis=1) == pytest.approx(1)
        assert all((split.labels >= 0).all() for split in fold.splits.values() if split.labels is not None)


def test_no_label_is_left_to_validate_alone() -> None:
    rows = [(f"alpha number {number} of many {number * 7}", "ab"[number % 2]) for number in range(40)]
    rows += [(f"rare {label} {number} zz", label) for label in "cdefghij" for number in range(2)]
    data = load_dataset({"train": rows}, test_fraction=0.0)
    for fold in fold_datasets(data, 5, seed=0):
        assert set(fold.validation.labels) <= set(fold.train.labels) and len(fold.validation)
        assert len(fold.train) + len(fold.validation) + len(fold.test) == 56


def test_duplicates_are_in_one_fold() -> None:
    rows = [(f"text {number % 20}", "ab"[number % 20 % 2]) for number in range(60)]
    folds = fold_datasets(load_dataset({"train": rows}, test_fraction=0.0), 5, seed=0)
    assert all(not set(fold.test.texts) & {*fold.train.texts, *fold.validation.texts} for fold in folds)


def test_more_folds_than_texts_are_refused() -> None:
    with pytest.raises(DataError, match="40 different labelled texts for 41 folds"):
        fold_datasets(labelled(), 41, seed=0)


def test_a_handful_of_texts_can_be_dealt_out() -> None:
    folds = fold_datasets(labelled(8), 2, seed=0)
    assert all(len(split) for fold in folds for split in fold.splits.values())


def test_one_fold_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="one fold leaves nothing"):
        liteft.distill("minilm", labelled(), out=tmp_path / "out", size="2", folds=1)


def test_a_teacher_without_the_only_fold_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="leaves out its only fold"):
        liteft.distill("minilm", "nowhere.csv", out=tmp_path / "out", size="2", teacher_folds=1)


def test_as_many_folds_as_texts_are_suggested_where_there_are_too_many() -> None:
    with pytest.raises(DataError) as caught:
        fold_datasets(labelled(8), 9, seed=0)
    assert "folds=8" in str(caught.value)


def test_the_texts_to_choose_by_are_as_many_as_was_asked() -> None:
    assert [len(fold.validation) for fold in fold_datasets(labelled(), 10, seed=0)] == [4] * 10
    wanted = fold_datasets(labelled(), 5, seed=0, validation_fraction=0.25)
    assert all(10 <= len(fold.validation) <= 11 for fold in wanted)


def test_a_test_split_that_was_drawn_is_dealt_out_too_and_a_given_one_is_not() -> None:
    rows = [(f"text {number} of {'ab'[number % 2]}", "ab"[number % 2]) for number in range(40)]
    folds = Recipe(student=StudentRecipe(size="1", folds=2))
    drawn = resolve_data(load_dataset({"train": rows}), folds)
    assert "test" not in drawn.splits and len(drawn.train) + len(drawn.validation) == 40
    given = load_dataset({"train": rows[:30], "test": rows[30:]})
    assert resolve_data(given, folds) is given


def test_a_test_fraction_beside_folds_is_refused(tmp_path: Path) -> None:
    recipe = liteft.Recipe.model_validate({"data": {"test_fraction": 0.3}})
    with pytest.raises(ConfigError, match="folds test every labelled text"):
        liteft.distill("minilm", labelled(), out=tmp_path / "out", recipe=recipe, size="1", folds=3)


def test_folds_of_a_part_of_the_labels_are_refused(tmp_path: Path) -> None:
    recipe = liteft.Recipe.model_validate({"data": {"labels_per_class": 5}})
    with pytest.raises(ConfigError, match="labels_per_class leaves some of them out"):
        liteft.distill("minilm", labelled(), out=tmp_path / "out", recipe=recipe, size="1", folds=3)


def test_folds_of_several_teachers_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="folds test students of one teacher, and 2 teachers"):
        liteft.distill(["minilm", "bert"], labelled(), out=tmp_path / "out", size="2", folds=2)


def test_a_distillation_is_cross_validated_and_then_made_of_all_texts(
    base: Path, tiny: ModuleType, tmp_path: Path
) -> None:
    quick: dict[str, Any] = tiny.QUICK | {"epochs": 1}
    student = {name: quick[name] for name in ("epochs", "batch_size", "learning_rate", "training_precision")}
    recipe = Recipe(teacher=TeacherRecipe(**quick), student=StudentRecipe(size="2", arms=["c1"], folds=2, **student))
    made = liteft.distill(str(base), labelled(), out=tmp_path / "out", recipe=recipe, until="student")
    assert made.folds is not None and made.folds.texts == 40
    assert set(made.folds.scores) == {"student", "control", "teacher"}
    assert (tmp_path / "out" / "fold2" / "student-control" / "run.json").is_file()
    assert made.student is not None and "test" not in made.student.metrics
    assert read_recipe(made.student.path / "recipe.toml").data.test_fraction == 0
    text = made.render()
    assert "cross-validation: 40 texts in 2 folds" in text and "naive Bayes" in text and "word vectors" in text
    document = json.loads(json.dumps(made.to_dict()))
    assert document["folds"]["student_minus"]["control"]["metric"] == "accuracy"
    assert "student minus it, points of accuracy" in text
    low, high = document["folds"]["student_minus"]["control"]["interval"]
    assert low <= document["folds"]["student_minus"]["control"]["difference"] <= high
    stored = json.loads((tmp_path / "out" / "folds.json").read_text(encoding="utf-8"))
    student = tomllib.loads((made.student.path / "recipe.toml").read_text(encoding="utf-8"))["student"]
    assert stored.pop("student").items() <= student.items(), "by which a card knows that they are of its model"
    assert stored == {"data": stored["data"], **document["folds"]}
    assert stored["data"]["fingerprint"] == made.student.info["data"]["fingerprint"]
    again = liteft.distill(str(base), labelled(), out=tmp_path / "out", recipe=recipe, until="student")
    assert again.folds is not None and again.folds.to_dict()["metrics"] == document["folds"]["metrics"]
    more = recipe.model_copy(update={"student": recipe.student.model_copy(update={"folds": 4})})
    with pytest.raises(RunError, match="holds a cross-validation in 2 folds") as caught:
        liteft.distill(str(base), labelled(), out=tmp_path / "out", recipe=more, until="student")
    assert caught.value.accepted == {"folds": "2 -> 4"}
    (tmp_path / "out" / "folds.json").write_text("[]", encoding="utf-8")  # it is written again
    shutil.rmtree(tmp_path / "out" / "fold1")
    shutil.rmtree(tmp_path / "out" / "fold2")
    with pytest.raises(RunError) as caught:
        liteft.distill(str(base), labelled(44), out=tmp_path / "out", recipe=recipe, until="student")
    assert list(caught.value.accepted) == ["data"]
    for table, changed in (("teacher", {"epochs": 2.0}), ("student", {"temperature": 5.0})):
        update = {table: getattr(recipe, table).model_copy(update=changed)}
        other = recipe.model_copy(update=update)
        with pytest.raises(RunError) as caught:
            liteft.distill(str(base), labelled(), out=tmp_path / "out", recipe=other, until="student")
        assert list(caught.value.accepted) == list(changed)
    assert not list((tmp_path / "out").glob("fold?")), "refused before a fold is trained"
    with pytest.raises(ConfigError, match="is a teacher already"):
        liteft.distill(made.teacher or "", labelled(), out=tmp_path / "other", recipe=recipe, until="student")


def test_an_arm_that_is_better_over_all_folds_is_said_first() -> None:
    judged = CrossValidation(
        folds=5,
        texts=200,
        task=TASKS["single_label"],
        scores={kind: {"accuracy": 0.8, "macro_f1": 0.8} for kind in ("student", "c0", "control", "teacher")},
        intervals={},
        differences={
            "c0": Estimate(-0.06, -0.09, -0.03),
            "control": Estimate(-0.02, -0.05, 0.01),
            "c2": Estimate(-0.1, -0.196, -3e-6),  # printed as 0.0, and due to a tie of two draws
            "teacher": Estimate(-0.06, -0.09, -0.03),
        },
    )
    (line,) = judged.warnings
    assert line.startswith("the student is worse than C0, by 6.0 points of accuracy over all folds [3.0, 9.0]")
    assert line.endswith("is better; use it, or another teacher.")


def scored(queries: int, candidates: int) -> Dataset:
    """Return queries with as many candidates each, one of which has the score 1."""
    texts = [f"query {number}" for number in range(queries) for _ in range(candidates)]
    pairs = [f"text {number}" for number in range(len(texts))]
    train = Split("train", texts, pairs, np.tile(np.eye(candidates)[0], queries))
    cut = len(train) - 2 * candidates
    splits = {"train": train.take(np.arange(cut)), "validation": train.take(np.arange(cut, len(train)))}
    return Dataset("queries", "scores", ("score",), splits)


def test_candidates_of_a_query_are_in_one_fold_and_there_are_no_more_folds_than_queries() -> None:
    folds = fold_datasets(scored(6, 10), 6, seed=0)
    for fold in folds:
        asked = [set(split.texts) for split in fold.splits.values()]
        assert all(asked) and not asked[0] & asked[1] and not asked[2] & (asked[0] | asked[1])
    with pytest.raises(DataError, match="6 different first texts of pairs, such as queries, for 7 folds"):
        fold_datasets(scored(6, 20), 7, seed=0)


def test_folds_of_scores_are_large_enough_for_correlations() -> None:
    with pytest.raises(DataError, match="5 folds of 40 scored texts are too small") as caught:
        fold_datasets(scored(20, 2), 5, seed=0)
    assert "folds=4" in str(caught.value)
