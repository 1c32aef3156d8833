"""`LiteftClassifier` among scikit-learn's own tools, on tiny bases that learn in a few steps."""

from __future__ import annotations

import copy
import gc
import inspect
import pickle
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone, is_classifier
from sklearn.exceptions import FitFailedWarning, NotFittedError
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV, StratifiedKFold, cross_val_predict, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, LabelEncoder, MultiLabelBinarizer
from sklearn.utils import estimator_checks
from sklearn.utils.validation import check_is_fitted

import liteft
from liteft.artifact import read_artifact
from liteft.errors import ArtifactError, ConfigError, InputError
from liteft.integrations.sklearn import LiteftClassifier
from liteft.integrations.sklearn_rows import gold_of
from liteft.integrations.sklearn_training import Training
from tests.cache import Cache
from tests.modules import module_of

NAMES = np.array(["red", "green", "blue"])


@pytest.fixture(scope="session")
def tiny() -> ModuleType:
    return module_of("finetuning")


@pytest.fixture(scope="session")
def base(tiny: ModuleType, cache: Cache) -> Path:
    return cache("sklearn-base", lambda folder: tiny.write_base(folder, "bert"))


@pytest.fixture(scope="session")
def rows(tiny: ModuleType) -> tuple[list[str], np.ndarray]:
    texts, gold = tiny.make_texts(90, seed=1)
    return list(texts), NAMES[gold]


@pytest.fixture(scope="session")
def new(tiny: ModuleType) -> tuple[list[str], np.ndarray]:
    texts, gold = tiny.make_texts(30, seed=7)
    return list(texts), NAMES[gold]


def make(base: Path, **changes: Any) -> LiteftClassifier:
    """Return an estimator that learns the topics in some ten steps."""
    quick = {"teacher.training_precision": "fp32", "student.training_precision": "fp32"}
    given: dict[str, Any] = {"max_tokens": 16, "teacher_epochs": 2, "teacher_learning_rate": 5e-3, "batch_size": 8}
    given |= {"precision": "fp32", "threads": 1, "settings": quick | changes.pop("settings", {})}
    return LiteftClassifier(str(base), **(given | changes))


@pytest.fixture(scope="module")
def fitted(base: Path, rows: tuple[list[str], np.ndarray]) -> LiteftClassifier:
    """A fitted estimator. Read it only."""
    return make(base).fit(*rows)


# -- what it gives -----------------------------------------------------------------------------------------------------


def test_it_learns_labels_and_scores_itself(fitted: LiteftClassifier, new: tuple[list[str], np.ndarray]) -> None:
    texts, gold = new
    assert is_classifier(fitted)
    assert fitted.classes_.tolist() == ["blue", "green", "red"]
    assert fitted.predict(texts).dtype == gold.dtype
    assert fitted.score(texts, gold) > 0.8
    assert fitted.metrics_["accuracy"] > 0.8


def test_probabilities_are_those_of_the_artifact_in_the_order_of_the_classes(
    fitted: LiteftClassifier, new: tuple[list[str], np.ndarray]
) -> None:
    found = fitted.predict_proba(new[0])
    with liteft.load(fitted.artifact_, threads=1) as loaded:
        theirs = loaded.predict_proba(new[0])
        order = [loaded.labels.index(name) for name in fitted.classes_]
    np.testing.assert_array_equal(found, theirs[:, order])
    np.testing.assert_array_equal(fitted.classes_[found.argmax(axis=1)], fitted.predict(new[0]))


def test_logits_of_three_classes_are_three_columns(fitted: LiteftClassifier, new: tuple[list[str], np.ndarray]) -> None:
    logits = fitted.decision_function(new[0]).astype(np.float64)
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    np.testing.assert_allclose(raised / raised.sum(axis=1, keepdims=True), fitted.predict_proba(new[0]), atol=1e-6)


def test_two_classes_have_one_logit_that_is_positive_for_the_second(
    base: Path, rows: tuple[list[str], np.ndarray], new: tuple[list[str], np.ndarray]
) -> None:
    model = make(base).fit(rows[0], rows[1] == "red")
    logits = model.decision_function(new[0])
    assert model.classes_.tolist() == [False, True] and logits.shape == (len(new[0]),)
    np.testing.assert_array_equal(logits > 0, model.predict(new[0]))
    assert roc_auc_score(new[1] == "red", logits) > 0.8


@pytest.mark.slow
@pytest.mark.parametrize("classes", [[10, 2, 33], [-1.0, 0.5, 2.0]])
def test_numbers_stay_numbers(base: Path, rows: tuple[list[str], np.ndarray], classes: list[Any]) -> None:
    gold = np.array(classes)[np.searchsorted(np.sort(NAMES), rows[1])]
    if gold.dtype.kind == "f":
        with pytest.raises(ValueError, match="continuous"):
            make(base).fit(rows[0], gold)
        return
    model = make(base).fit(rows[0], gold)
    assert model.classes_.tolist() == sorted(classes)
    assert model.score(rows[0], gold) > 0.8


@pytest.mark.slow
def test_a_student_is_distilled_where_a_size_is_given(
    base: Path, rows: tuple[list[str], np.ndarray], fitted: LiteftClassifier
) -> None:
    model = make(base, size="1", student_epochs=2, student_learning_rate=5e-3, unlabeled=rows[0][:20]).fit(*rows)
    sizes = [read_artifact(each.artifact_).model_path.stat().st_size for each in (model, fitted)]
    assert sizes[0] < sizes[1] * 0.75
    assert model.score(*rows) > 0.6


def test_several_labels_are_a_matrix(base: Path, tiny: ModuleType) -> None:
    train = tiny.make_multi().train
    matrix = np.asarray(train.labels).astype(int)
    model = make(base, teacher_epochs=4).fit(list(train.texts), matrix)
    found = model.predict(list(train.texts))
    assert model.multilabel_ and model.classes_.tolist() == [0, 1, 2]
    assert found.shape == matrix.shape and set(np.unique(found)) <= {0, 1}
    assert (found == matrix).mean() > 0.7
    np.testing.assert_array_equal(model.predict_proba(list(train.texts)) > 0.5, found)
    np.testing.assert_array_equal(model.decision_function(list(train.texts)) > 0, found)


@pytest.mark.slow
def test_pairs_are_two_columns(base: Path, tiny: ModuleType, rows: tuple[list[str], np.ndarray]) -> None:
    first = rows[0]
    pairs = np.array([first, first[::-1]], dtype=object).T
    model = make(base).fit(pairs, rows[1])
    assert read_artifact(model.artifact_).manifest.paired
    listed = [tuple(row) for row in pairs[:5]]
    np.testing.assert_array_equal(model.predict_proba(listed), model.predict_proba(pd.DataFrame(pairs[:5])))
    with pytest.raises(ValueError, match="fitted on pairs of texts"):
        model.predict(first[:3])


@pytest.mark.slow
def test_equal_fits_give_equal_bits_and_another_seed_others(
    base: Path, rows: tuple[list[str], np.ndarray], fitted: LiteftClassifier
) -> None:
    assert np.array_equal(make(base).fit(*rows).predict_proba(rows[0]), fitted.predict_proba(rows[0]))
    other = make(base, random_state=np.random.RandomState(5)).fit(*rows)
    assert not np.array_equal(other.predict_proba(rows[0]), fitted.predict_proba(rows[0]))


def test_settings_of_the_export_reach_that_of_a_teacher(
    base: Path, rows: tuple[list[str], np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    given: dict[str, Any] = {}

    def export(*_: Any, **settings: Any) -> Any:
        given.update(settings)
        raise StopIteration

    monkeypatch.setattr(liteft, "export", export)
    asked = {"vocabulary": 60, "fill_vocabulary": True, "vocabulary_min_count": 3}
    with pytest.raises(StopIteration):
        make(base, settings={f"export.{name}": value for name, value in asked.items()}).fit(*rows)
    assert {name: given[name] for name in asked} == asked


@pytest.mark.slow
@pytest.mark.parametrize("names", [["a ", "b", "c"], ["", "b", "c"]])
def test_labels_that_no_file_could_hold_come_back(
    base: Path, rows: tuple[list[str], np.ndarray], names: list[str]
) -> None:
    gold = np.array(names)[np.searchsorted(np.sort(NAMES), rows[1])]
    model = make(base).fit(rows[0], gold)
    assert model.classes_.tolist() == sorted(names)
    assert model.score(rows[0], gold) > 0.8


# -- scikit-learn's tools ----------------------------------------------------------------------------------------------


def test_a_clone_has_the_parameters_and_is_not_fitted(fitted: LiteftClassifier) -> None:
    other = clone(fitted)
    assert other.get_params() == fitted.get_params()
    with pytest.raises(NotFittedError):
        other.predict(["w1"])
    with pytest.raises(NotFittedError):
        check_is_fitted(other)
    assert other.set_params(size="2x16", precision="int8").get_params()["size"] == "2x16"
    with pytest.raises(ValueError, match="Invalid parameter"):
        other.set_params(no_such="2")


@pytest.mark.slow
def test_a_grid_search_finds_the_rate_that_learns_and_passes_over_one_that_fails(
    base: Path, rows: tuple[list[str], np.ndarray], new: tuple[list[str], np.ndarray]
) -> None:
    grid = {"teacher_learning_rate": [1e-9, 5e-3]}
    search = GridSearchCV(make(base), grid, cv=StratifiedKFold(2), scoring="accuracy")
    with pytest.warns(FitFailedWarning, match="does no better on validation than answers"):
        search.fit(*rows)
    assert search.best_params_ == {"teacher_learning_rate": 5e-3}
    assert search.best_score_ > 0.7
    assert search.score(*new) > 0.8


@pytest.mark.slow
def test_cross_validation_gives_every_text_to_a_model_that_has_not_seen_it(
    base: Path, rows: tuple[list[str], np.ndarray]
) -> None:
    found = cross_val_predict(make(base), *rows, cv=2, method="predict_proba")
    assert found.shape == (90, 3)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-5)
    assert (np.sort(NAMES)[found.argmax(axis=1)] == rows[1]).mean() > 0.7


@pytest.mark.slow
def test_cross_validation_runs_in_processes_of_joblib(base: Path, rows: tuple[list[str], np.ndarray]) -> None:
    scores = cross_val_score(make(base), *rows, cv=2, n_jobs=2, error_score="raise")
    assert scores.mean() > 0.7


def test_a_pipeline_cleans_texts_first(base: Path, rows: tuple[list[str], np.ndarray]) -> None:
    lower = FunctionTransformer(lambda texts: [text.lower() for text in texts])
    model = make_pipeline(lower, make(base)).fit(*rows)
    shouted = [text.upper() for text in rows[0]]
    np.testing.assert_array_equal(model.predict(shouted), model.predict(rows[0]))
    model.set_params(liteftclassifier__size="1")
    assert model[-1].size == "1"


def test_series_and_arrays_are_read_as_lists_are(fitted: LiteftClassifier, rows: tuple[list[str], np.ndarray]) -> None:
    texts = rows[0][:5]
    expected = fitted.predict_proba(texts)
    frame = pd.DataFrame({"text": texts}, index=[7, 3, 1, 9, 8])
    for form in (np.array(texts), np.array(texts, dtype=object), pd.Series(texts), frame["text"], frame, tuple(texts)):
        np.testing.assert_array_equal(fitted.predict_proba(form), expected)


CHECKS = [
    "check_no_attributes_set_in_init",
    "check_do_not_raise_errors_in_init_or_set_param",
    "check_parameters_default_constructible",
    "check_estimator_cloneable",
    "check_estimator_repr",
    "check_estimator_tags_renamed",
    "check_valid_tag_types",
    "check_get_params_invariance",
    "check_set_params",
    "check_mixin_order",
]


@pytest.mark.parametrize("name", CHECKS)
def test_scikit_learns_own_check_passes(name: str) -> None:
    check = getattr(estimator_checks, name, None)
    if check is None:
        pytest.skip(f"this version of scikit-learn has not {name}")
    check("LiteftClassifier", LiteftClassifier())


def test_checks_of_matrices_of_numbers_are_left_out_by_its_tags() -> None:
    tags = LiteftClassifier().__sklearn_tags__()
    assert tags.input_tags.string and tags.input_tags.one_d_array and not tags.input_tags.two_d_array
    assert tags.classifier_tags.multi_label and tags.estimator_type == "classifier"


# -- storing -----------------------------------------------------------------------------------------------------------


def test_a_stored_estimator_predicts_the_same_and_is_another(
    fitted: LiteftClassifier, rows: tuple[list[str], np.ndarray], tmp_path: Path
) -> None:
    expected = fitted.predict_proba(rows[0])
    joblib.dump(fitted, tmp_path / "model.joblib")
    for other in (joblib.load(tmp_path / "model.joblib"), pickle.loads(pickle.dumps(fitted)), copy.deepcopy(fitted)):
        assert other.artifact_ != fitted.artifact_
        np.testing.assert_array_equal(other.predict_proba(rows[0]), expected)
        assert other.classes_.tolist() == fitted.classes_.tolist()


PREDICTING = """
import sys, joblib
model = joblib.load(sys.argv[1])
print(model.predict(["red1 red2", "blue3 blue0"]).tolist(), "torch" in sys.modules, "transformers" in sys.modules)
"""


def test_a_stored_estimator_predicts_without_torch(fitted: LiteftClassifier, tmp_path: Path) -> None:
    joblib.dump(fitted, tmp_path / "model.joblib")
    command = [sys.executable, "-c", PREDICTING, str(tmp_path / "model.joblib")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == f"{fitted.predict(['red1 red2', 'blue3 blue0']).tolist()} False False", done.stderr


def test_a_changed_byte_in_a_stored_estimator_is_found(fitted: LiteftClassifier) -> None:
    state = fitted.__getstate__()
    content = bytearray(state["_files"]["model.onnx"])
    content[len(content) // 2] ^= 1
    state["_files"]["model.onnx"] = bytes(content)
    other = LiteftClassifier.__new__(LiteftClassifier)
    other.__setstate__(state)
    with pytest.raises(ArtifactError):
        other.predict(["w1"])


def test_a_temporary_artifact_is_deleted_with_its_estimator(fitted: LiteftClassifier) -> None:
    other = copy.deepcopy(fitted)
    folder = other.artifact_
    other.predict(["w1"])
    del other
    gc.collect()
    assert not folder.exists()


@pytest.mark.slow
def test_fitting_again_replaces_the_temporary_artifact(base: Path, rows: tuple[list[str], np.ndarray]) -> None:
    model = make(base).fit(*rows)
    model.predict(["w1"])
    first = model.artifact_
    model.set_params(random_state=4).fit(rows[0], rows[1] == "red")
    assert not first.exists() and model.artifact_.is_dir()
    assert model.predict(["w1"]).dtype == bool


@pytest.mark.slow
def test_a_folder_keeps_each_fit_and_an_equal_one_finds_it(
    base: Path, rows: tuple[list[str], np.ndarray], tmp_path: Path
) -> None:
    lines: list[str] = []
    first = make(base, out=tmp_path / "fits", teacher_epochs=1).fit(*rows)
    again = make(base, out=tmp_path / "fits", teacher_epochs=1, progress=lines.append).fit(*rows)
    other = make(base, out=tmp_path / "fits", teacher_epochs=1).fit(rows[0][:60], rows[1][:60])
    assert again.artifact_ == first.artifact_ != other.artifact_
    assert not any("step" in line for line in lines)
    assert len(list((tmp_path / "fits").iterdir())) == 2
    folder = first.artifact_
    del first, again
    gc.collect()
    assert folder.is_dir()


# -- what is refused ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("X", "words"),
    [
        ("one text", "X is one text"),
        ([["a", "b", "c"]], "has the shape"),
        (["a", None], "row 1 of X is of type NoneType"),
        (np.ones((3, 1)), "row 0 of X is of type float"),
        ([("a", "b"), ("c", 3)], "row 1 of X is of type int"),
        (7, "not a list of texts"),
        ({"text": "a"}, "X is a dict"),
        ({"a", "b"}, "X is a set"),
    ],
)
def test_what_is_no_list_of_texts_is_refused(fitted: LiteftClassifier, X: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        fitted.predict(X)


@pytest.mark.parametrize(
    ("y", "words"),
    [
        ([0.5, 1.5, 2.25, 0.1], "continuous"),
        (["a"] * 4, "y has 1 class"),
        (["a", "b", "a", None], "several types, which have no order: NoneType, str"),
        (np.array(["a", "b", "a", float("nan")], dtype=object), "several types, which have no order: float, str"),
        (["a", "b"], "inconsistent numbers of samples"),
        ([["a"], ["a", "b"], ["c"], ["d"]], "MultiLabelBinarizer|Unknown|unknown|legacy|inhomogeneous"),
    ],
)
def test_what_is_no_label_for_each_text_is_refused(y: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        LiteftClassifier().fit(["t", "u", "v", "w"], y)


@pytest.mark.slow
def test_lists_of_labels_become_a_matrix_by_scikit_learns_own_means(base: Path, tiny: ModuleType) -> None:
    train = tiny.make_multi().train
    lists = [NAMES[row].tolist() for row in np.asarray(train.labels)]
    binarizer = MultiLabelBinarizer()
    model = make(base, teacher_epochs=1).fit(list(train.texts), binarizer.fit_transform(lists))
    found = binarizer.inverse_transform(model.predict(list(train.texts)))
    assert len(found) == len(train.texts)


@pytest.mark.slow
def test_encoded_labels_come_back(base: Path, rows: tuple[list[str], np.ndarray]) -> None:
    encoder = LabelEncoder()
    model = make(base).fit(rows[0], encoder.fit_transform(rows[1]))
    assert (encoder.inverse_transform(model.predict(rows[0])) == rows[1]).mean() > 0.8


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"settings": {"hard_weight": 0.2}}, "settings has the key 'hard_weight'"),
        ({"settings": {"student.hard_wait": 0.2}}, "hard_wait"),
        ({"precision": "int3"}, "precision"),
        ({"batch_size": 0}, "batch_size"),
        ({"unlabeled": ["w1"]}, "no size was given"),
        ({"size": "three"}, "three"),
    ],
)
def test_a_parameter_that_does_not_fit_is_an_error_when_fitting(
    base: Path, rows: tuple[list[str], np.ndarray], changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        make(base, **changes).fit(*rows)


def test_an_empty_text_is_named_by_its_row(base: Path, rows: tuple[list[str], np.ndarray]) -> None:
    with pytest.raises(InputError, match=f"row {len(rows[0])} of X is empty") as caught:
        make(base).fit([*rows[0], " "], [*rows[1], "red"])
    assert caught.value.fix == ("leave it out",)


def test_a_seed_of_numpy_is_that_number() -> None:
    def seed(state: Any) -> int:
        parameters = LiteftClassifier(random_state=state).get_params()
        return Training.of(parameters, ["a", "b"], None, gold_of(["x", "y"])).recipe.teacher.seed

    assert seed(np.int64(7)) == seed(7) == 7


def test_every_parameter_is_documented() -> None:
    names = list(inspect.signature(LiteftClassifier).parameters)
    text = inspect.getdoc(LiteftClassifier) or ""
    assert [name for name in names if name not in text] == []
