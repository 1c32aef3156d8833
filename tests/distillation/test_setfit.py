"""Folders that sentence-transformers and SetFit wrote: bases that pool as stated, and teachers with a linear head."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import sys
import types
from pathlib import Path
from types import ModuleType
from typing import Any

import joblib
import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import MultiOutputClassifier

from liteft.data import Dataset
from liteft.distillation.initial import create_student
from liteft.distillation.teachers import Teacher, find_teacher
from liteft.errors import ConfigError, ModelError
from liteft.finetuning import finetune
from liteft.finetuning.logits import predict_logits
from liteft.finetuning.setfit import NormalizedLinear
from liteft.recipes import Recipe, StudentRecipe
from liteft.untrusted.pickles import Pickled, read_pickle
from tests.distillation.students import distill

sentence_transformers = pytest.importorskip("sentence_transformers")

QUICK: dict[str, Any] = {"size": "2", "epochs": 1, "batch_size": 8, "learning_rate": 3e-3, "training_precision": "fp32"}


def sentence_model(base: Path, mode: str = "mean", *more: Any, **settings: Any) -> Any:
    """Return a sentence-transformers model on a tiny base."""
    from sentence_transformers.sentence_transformer import modules

    encoder = modules.Transformer(str(base), max_seq_length=16)
    pooled = modules.Pooling(encoder.get_embedding_dimension(), pooling_mode=mode)
    return sentence_transformers.SentenceTransformer(modules=[encoder, pooled, *more], device="cpu", **settings)


def normalizing() -> Any:
    from sentence_transformers.sentence_transformer import modules

    return modules.Normalize()


class SetFit:
    """A SetFit model as its package saves and computes it (setfit 1.2: config_setfit.json, the body, the head)."""

    def __init__(self, body: Any, head: Any, *, labels: list[str] | None = None, normalize: bool = False) -> None:
        self.body, self.head, self.labels, self.normalize = body, head, labels, normalize

    def embed(self, texts: Any) -> np.ndarray:
        found: np.ndarray = self.body.encode(list(texts), normalize_embeddings=self.normalize)
        return found

    def fit(self, texts: Any, gold: Any) -> SetFit:
        self.head.fit(self.embed(texts), gold)
        return self

    def save(self, folder: Path) -> Path:
        self.body.save(str(folder), create_model_card=False)
        stated = {"labels": self.labels, "normalize_embeddings": self.normalize}
        (folder / "config_setfit.json").write_text(json.dumps(stated))
        joblib.dump(self.head, str(folder / "model_head.pkl"))
        return folder

    def probabilities(self, texts: Any) -> np.ndarray:
        found = self.head.predict_proba(self.embed(texts))
        return np.stack(found, axis=1)[:, :, 1] if isinstance(found, list) else np.asarray(found)


@pytest.fixture(scope="module")
def texts(dataset: Dataset) -> list[str]:
    return [str(text) for text in dataset.train.texts]


@pytest.fixture(scope="module")
def gold(dataset: Dataset) -> np.ndarray:
    return np.asarray(dataset.train.labels)


@pytest.fixture
def setfit(base: Path, dataset: Dataset, texts: list[str], gold: np.ndarray, tmp_path: Path) -> Path:
    model = SetFit(sentence_model(base), LogisticRegression(), labels=list(dataset.labels))
    return model.fit(texts, gold).save(tmp_path / "setfit")


def found_teacher(folder: Path, **settings: Any) -> Teacher:
    found = find_teacher(folder, **settings)
    assert isinstance(found, Teacher)
    return found


def probabilities(folder: Path, dataset: Dataset) -> np.ndarray:
    """Return the probabilities of the teacher in a folder for the training texts."""
    loaded = found_teacher(folder).loaded
    logits = torch.from_numpy(np.asarray(predict_logits(loaded, dataset.train))).double()
    task = loaded.settings.task
    return (torch.sigmoid(logits) if task == "multi_label" else torch.softmax(logits, dim=-1)).numpy()


# -- sentence-transformers folders as bases ----------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["mean", "cls"])
def test_a_saved_sentence_transformer_is_a_base_that_pools_as_it_did(
    base: Path, tiny: ModuleType, dataset: Dataset, tmp_path: Path, mode: str
) -> None:
    sentence_model(base, mode, normalizing()).save(str(tmp_path / "st"))
    run = finetune(tmp_path / "st", dataset, out=tmp_path / "run", **{**tiny.QUICK, "epochs": 1})
    assert run.info["pooling"] == mode


@pytest.mark.parametrize(
    ("mode", "dense", "words"),
    [
        ("max", False, "pools by max"),
        ("lasttoken", False, "pools by lasttoken"),
        ("mean", True, "LiteFT does not have"),
    ],
)
def test_what_a_saved_sentence_transformer_does_more_is_an_error(
    base: Path, tiny: ModuleType, dataset: Dataset, tmp_path: Path, mode: str, dense: bool, words: str
) -> None:
    from sentence_transformers.sentence_transformer import modules

    more = [modules.Dense(tiny.WIDTH, 8)] if dense else []
    sentence_model(base, mode, *more).save(str(tmp_path / "st"))
    with pytest.raises(ModelError, match=words):
        finetune(tmp_path / "st", dataset, out=tmp_path / "run", **tiny.QUICK)


# -- SetFit folders as teachers ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("normalize", ["", "flag", "module"])
def test_a_setfit_teacher_gives_the_probabilities_that_setfit_gives(
    base: Path, dataset: Dataset, texts: list[str], gold: np.ndarray, tmp_path: Path, normalize: str
) -> None:
    body = sentence_model(base, "mean", *([normalizing()] if normalize == "module" else []))
    model = SetFit(body, LogisticRegression(), labels=list(dataset.labels), normalize=normalize == "flag")
    folder = model.fit(texts, gold).save(tmp_path / "setfit")
    np.testing.assert_allclose(probabilities(folder, dataset), model.probabilities(texts), atol=1e-5)


def test_two_classes_become_two_logits(
    base: Path, dataset: Dataset, texts: list[str], gold: np.ndarray, tmp_path: Path
) -> None:
    model = SetFit(sentence_model(base), LogisticRegression(), labels=["no", "yes"]).fit(texts, gold == 0)
    folder = model.save(tmp_path / "setfit")
    assert found_teacher(folder).loaded.settings.labels == ("no", "yes")
    np.testing.assert_allclose(probabilities(folder, dataset), model.probabilities(texts), atol=1e-5)


@pytest.mark.parametrize("kind", [OneVsRestClassifier, MultiOutputClassifier])
def test_a_head_for_each_label_is_a_multi_label_teacher(
    base: Path, dataset: Dataset, texts: list[str], gold: np.ndarray, tmp_path: Path, kind: Any
) -> None:
    several = np.stack([gold == 0, gold != 1], axis=1).astype(int)
    model = SetFit(sentence_model(base), kind(LogisticRegression()), labels=["a", "b"]).fit(texts, several)
    folder = model.save(tmp_path / "setfit")
    assert found_teacher(folder).loaded.settings.task == "multi_label"
    np.testing.assert_allclose(probabilities(folder, dataset), model.probabilities(texts), atol=1e-5)


def test_labels_that_setfit_does_not_name_are_those_of_the_head(
    base: Path, dataset: Dataset, texts: list[str], gold: np.ndarray, tmp_path: Path
) -> None:
    named = np.asarray(dataset.labels)[gold]
    folder = SetFit(sentence_model(base), LogisticRegression()).fit(texts, named).save(tmp_path / "setfit")
    assert found_teacher(folder).loaded.settings.labels == tuple(sorted(dataset.labels))


def test_setfits_own_head_is_read_with_its_temperature(
    base: Path, tiny: ModuleType, dataset: Dataset, texts: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    modeling = types.ModuleType("setfit.modeling")
    monkeypatch.setitem(sys.modules, "setfit", types.ModuleType("setfit"))
    monkeypatch.setitem(sys.modules, "setfit.modeling", modeling)

    class SetFitHead(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = torch.nn.Linear(tiny.WIDTH, 3)
            self.temperature, self.eps, self.multitarget = 2.0, 1e-5, False

        def predict_proba(self, embeddings: np.ndarray) -> np.ndarray:
            logits = self.linear(torch.from_numpy(embeddings)) / (self.temperature + self.eps)
            return np.asarray(torch.softmax(logits, dim=-1).detach())

    SetFitHead.__module__, SetFitHead.__qualname__ = "setfit.modeling", "SetFitHead"
    modeling.SetFitHead = SetFitHead  # type: ignore[attr-defined]
    model = SetFit(sentence_model(base), SetFitHead(), labels=list(dataset.labels))
    folder = model.save(tmp_path / "setfit")
    np.testing.assert_allclose(probabilities(folder, dataset), model.probabilities(texts), atol=1e-5)


def test_a_student_of_a_setfit_teacher_is_an_ordinary_model(setfit: Path, dataset: Dataset, tmp_path: Path) -> None:
    run = distill(setfit, dataset, out=tmp_path / "student", **QUICK)
    assert run.info["teacher"]["name"] == "setfit"
    assert run.info["pooling"] == "mean"
    assert run.labels == dataset.labels


def test_a_students_head_starts_for_vectors_that_are_not_normalized(
    base: Path, dataset: Dataset, texts: list[str], gold: np.ndarray, tmp_path: Path
) -> None:
    model = SetFit(sentence_model(base), LogisticRegression(), labels=list(dataset.labels), normalize=True)
    teacher = found_teacher(model.fit(texts, gold).save(tmp_path / "setfit"))
    head: Any = teacher.loaded.model.classifier
    length = np.linalg.norm(model.body.encode(texts), axis=1).mean()
    assert isinstance(head, NormalizedLinear)
    assert length / 2 < head.typical_length < length * 2
    student: Any = create_student(teacher.loaded, StudentRecipe(size="4")).model
    assert not isinstance(student.classifier, NormalizedLinear)
    torch.testing.assert_close(student.classifier.weight, head.weight / head.typical_length)


def test_the_head_is_part_of_what_identifies_a_setfit_teacher(
    setfit: Path, base: Path, dataset: Dataset, texts: list[str], gold: np.ndarray, tmp_path: Path
) -> None:
    other = SetFit(sentence_model(base), LogisticRegression(C=0.01), labels=list(dataset.labels)).fit(texts, gold)
    again = found_teacher(other.save(tmp_path / "other"))
    assert again.weights_sha256 != found_teacher(setfit).weights_sha256
    assert found_teacher(Path(shutil.copytree(setfit, tmp_path / "copy"))).weights_sha256 == (
        found_teacher(setfit).weights_sha256
    )


# -- what is refused ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("head", "words"),
    [
        (LogisticRegression(solver="liblinear"), "judges its 3 labels apart"),
        (OneVsRestClassifier(LogisticRegression()), "judges single labels apart"),
    ],
)
def test_scores_that_no_softmax_gives_are_refused(
    base: Path, dataset: Dataset, texts: list[str], gold: np.ndarray, tmp_path: Path, head: Any, words: str
) -> None:
    model = SetFit(sentence_model(base), head, labels=list(dataset.labels))
    try:
        model.fit(texts, gold)
    except ValueError:  # newer versions of scikit-learn refuse it themselves
        head.set_params(solver="lbfgs").fit(model.embed(texts), gold)
        head.solver = "liblinear"
    with pytest.raises(ModelError, match=words):
        find_teacher(model.save(tmp_path / "setfit"))


def test_another_kind_of_head_is_refused_by_its_name(
    base: Path, texts: list[str], gold: np.ndarray, tmp_path: Path
) -> None:
    from sklearn.svm import LinearSVC

    folder = SetFit(sentence_model(base), LinearSVC()).fit(texts, gold).save(tmp_path / "setfit")
    with pytest.raises(ModelError, match=r"sklearn\.svm\._classes\.LinearSVC, which is not a linear layer"):
        find_teacher(folder)


def test_a_head_that_was_not_trained_is_refused(base: Path, tmp_path: Path) -> None:
    folder = SetFit(sentence_model(base), LogisticRegression()).save(tmp_path / "setfit")
    with pytest.raises(ModelError, match="was not trained"):
        find_teacher(folder)


def test_a_setfit_model_that_pools_the_first_token_is_refused(
    base: Path, texts: list[str], gold: np.ndarray, tmp_path: Path
) -> None:
    folder = SetFit(sentence_model(base, "cls"), LogisticRegression()).fit(texts, gold).save(tmp_path / "setfit")
    with pytest.raises(ModelError, match="reads the first token's vector"):
        find_teacher(folder)


def test_a_prompt_before_every_text_is_not_left_out(
    base: Path, texts: list[str], gold: np.ndarray, tmp_path: Path
) -> None:
    body = sentence_model(base, prompts={"asked": "w1 "}, default_prompt_name="asked")
    folder = SetFit(body, LogisticRegression()).fit(texts, gold).save(tmp_path / "setfit")
    with pytest.raises(ModelError, match="puts 'w1 ' before every text"):
        find_teacher(folder)


def test_labels_that_contradict_the_folder_are_refused(setfit: Path) -> None:
    recipe = Recipe.model_validate({"teacher": {"labels": ["x", "y", "z"]}})
    with pytest.raises(ConfigError, match="has labels of its own"):
        find_teacher(setfit, recipe=recipe)


class Malicious:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_a_malicious_pickle_runs_nothing(setfit: Path, tmp_path: Path, protocol: int) -> None:
    mark = tmp_path / "ran"
    content = pickle.dumps(Malicious(mark), protocol=protocol)
    (setfit / "model_head.pkl").write_bytes(content)
    with pytest.raises(ModelError, match="is not a linear layer that LiteFT reads"):
        find_teacher(setfit)
    assert not mark.exists()
    pickle.loads(content)
    assert mark.exists()  # so it would have run


def test_a_malicious_attribute_of_a_usable_head_runs_nothing(
    base: Path, dataset: Dataset, texts: list[str], gold: np.ndarray, tmp_path: Path
) -> None:
    model = SetFit(sentence_model(base), LogisticRegression(), labels=list(dataset.labels)).fit(texts, gold)
    expected = model.probabilities(texts)
    mark = tmp_path / "ran"
    model.head.n_iter_ = Malicious(mark)
    folder = model.save(tmp_path / "setfit")
    np.testing.assert_allclose(probabilities(folder, dataset), expected, atol=1e-5)
    assert not mark.exists()
    joblib.load(folder / "model_head.pkl")
    assert mark.exists()


def test_arrays_of_objects_which_hold_a_pickle_of_their_own_are_refused(setfit: Path, tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    joblib.dump(np.array([Malicious(mark)], dtype=object), str(setfit / "model_head.pkl"))
    with pytest.raises(ModelError, match="holds objects, not numbers or texts"):
        find_teacher(setfit)
    assert not mark.exists()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not a pickle",
        b"\x80\x04K\x01.",
        b"\x80\x04P1\n.",
        b"cos\nsystem\n(S'true'\ntR.",
        b"\x80\x04]K\x01K\x02s.",
        b"\x80\x04K\x01)R.",
        b"\x80\x04K\x01}b.",
        b"\x80\x02cos\nsystem\n}b.",
    ],
)
def test_a_broken_or_strange_pickle_is_refused(setfit: Path, content: bytes) -> None:
    (setfit / "model_head.pkl").write_bytes(content)
    with pytest.raises(ModelError, match=r"model_head\.pkl cannot be used"):
        find_teacher(setfit)


def test_a_head_that_ends_early_is_refused(setfit: Path) -> None:
    path = setfit / "model_head.pkl"
    whole = path.read_bytes()
    for size in range(0, len(whole), 61):
        path.write_bytes(whole[:size])
        with pytest.raises(ModelError):
            find_teacher(setfit)


def test_arrays_are_read_as_joblib_reads_them(tmp_path: Path) -> None:
    arrays = {
        "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "texts": np.array(["a", "bcd"]),
        "empty": np.zeros((0, 3), dtype=np.float32),
        "big": np.arange(4, dtype=">i4"),
        "bool": np.array([True, False]),
    }
    joblib.dump(arrays, str(tmp_path / "arrays.pkl"))
    found = read_pickle(tmp_path / "arrays.pkl")
    assert set(found) == set(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)


def test_an_object_is_described_and_not_made(tmp_path: Path) -> None:
    joblib.dump(LogisticRegression(C=2.0), str(tmp_path / "head.pkl"))
    found = read_pickle(tmp_path / "head.pkl")
    assert isinstance(found, Pickled)
    assert found.name == "sklearn.linear_model._logistic.LogisticRegression"
    assert found.attribute("C") == 2.0
