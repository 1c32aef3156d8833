"""LiteFT as a classifier of scikit-learn: texts and labels in, an artifact that predicts with the engine out.

    from liteft.integrations.sklearn import LiteftClassifier

    model = LiteftClassifier("minilm", size="3").fit(texts, labels)
    model.predict(["great, would buy again"])

It is cloned, searched, cross-validated, put into pipelines and stored by joblib as other estimators are.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np

from liteft.arguments import ProgressFunction
from liteft.errors import InputError, MissingExtraError
from liteft.installation import install_hint

try:
    from sklearn.base import BaseEstimator, ClassifierMixin
    from sklearn.utils.validation import check_consistent_length, check_is_fitted
except ModuleNotFoundError as missing:
    raise MissingExtraError(
        f"liteft.integrations.sklearn needs {missing.name}, which is not installed.", fix=install_hint("train")
    ) from None

from liteft.integrations.sklearn_rows import columns_of, gold_of, refuse_empty
from liteft.integrations.sklearn_training import Training

__all__ = ["LiteftClassifier"]


class LiteftClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Fine-tune a teacher, distil it into a student if a size is given, export what comes last, and predict with it.

    Args:
        teacher: a base by folder or hub name, or "minilm"; with a ``size`` also a finished teacher: a run, or the
            folder of a classifier of transformers or SetFit.
        size: layers, or layers x width, of the student; None exports the fine-tuned teacher.
        max_tokens: longer texts are cut to so many tokens; None for 128.
        teacher_epochs, student_epochs: passes over the texts; None for what their number asks for.
        teacher_learning_rate, student_learning_rate: None for what layers and width ask for.
        batch_size: texts of one step, of both trainings.
        precision: of the artifact: "int8", "fp16" or "fp32".
        unlabeled: texts without labels that the student learns too: a list, or a file or folder of them.
        validation_fraction: share of the rows that chooses among checkpoints and verifies the export.
        settings: more settings of a recipe, by table and key, such as ``{"student.hard_weight": 0.2}``; they override
            the arguments here.
        out: folder that keeps the trainings, each in a folder named by what it depends on: an equal fit finds its
            results there, and one that was killed resumes. None trains in a temporary folder and keeps the artifact
            alone, as long as the estimator.
        threads: of trainings and predictions; None for the number of cores.
        random_state: seed of the split, the trainings and their first weights. An integer repeats; None draws one of
            numpy's generator, as in scikit-learn.
        progress: called with a line of text at each step; True prints it to stderr.

    Attributes:
        classes_: (classes,) labels as they were given, sorted; with several labels per text the numbers of columns.
        multilabel_: whether labels were a matrix of 0 and 1, (texts, classes).
        artifact_: the artifact's folder, which ``liteft serve`` and ``liteft.load`` take. A temporary one is deleted
            with the estimator: copy it to keep it.
        metrics_: metrics on the validation rows, of the exported model before quantization.

    Texts are a list, array or Series; pairs of texts have two columns, or are a list of tuples. Labels per text are
    one column, or a matrix of 0 and 1. A pickle or joblib file holds the artifact's files, whose hashes are checked
    when it is used again. Needs the extra ``train``, and only numpy, tokenizers and scikit-learn to predict.
    """

    _model: Any  # loaded for the first prediction
    _finalizer: Any  # deletes a temporary artifact

    def __init__(
        self,
        teacher: Any = "minilm",
        *,
        size: str | int | None = None,
        max_tokens: int | None = None,
        teacher_epochs: float | None = None,
        teacher_learning_rate: float | None = None,
        student_epochs: float | None = None,
        student_learning_rate: float | None = None,
        batch_size: int = 32,
        precision: str = "int8",
        unlabeled: Any = None,
        validation_fraction: float = 0.1,
        settings: Mapping[str, Any] | None = None,
        out: str | os.PathLike[str] | None = None,
        threads: int | None = None,
        random_state: Any = 0,
        progress: ProgressFunction | bool | None = None,
    ) -> None:
        self.teacher = teacher
        self.size = size
        self.max_tokens = max_tokens
        self.teacher_epochs = teacher_epochs
        self.teacher_learning_rate = teacher_learning_rate
        self.student_epochs = student_epochs
        self.student_learning_rate = student_learning_rate
        self.batch_size = batch_size
        self.precision = precision
        self.unlabeled = unlabeled
        self.validation_fraction = validation_fraction
        self.settings = settings
        self.out = out
        self.threads = threads
        self.random_state = random_state
        self.progress = progress

    def fit(self, X: Any, y: Any) -> Self:
        """Train on texts and labels, and return the estimator.

        Args:
            X: texts, (texts,) of str; pairs, (texts, 2).
            y: labels, (texts,) of strings, integers or booleans; or (texts, classes) of 0 and 1.

        Raises:
            ValueError: texts or labels of another form, of different numbers, or of one class alone.
            ConfigError: a setting that does not fit.
            DataError, ModelError: texts that cannot be trained on, or a teacher that cannot be used.
            RunError: ``out`` cannot be written.
            VerificationError: the export loses more than it may.
            MissingExtraError: torch or transformers is not installed.
        """
        texts, pairs = columns_of(X)
        refuse_empty(texts)
        gold = gold_of(y)
        check_consistent_length(texts, gold.rows)
        training = Training.of(self.get_params(deep=False), texts, pairs, gold)
        if self.out is None:
            with tempfile.TemporaryDirectory(prefix="liteft-fit-", ignore_cleanup_errors=True) as folder:
                artifact, metrics = training.run(Path(folder))
                own = Path(tempfile.mkdtemp(prefix="liteft-artifact-"))
                shutil.copytree(artifact, own, dirs_exist_ok=True)
            self._keep(own)
        else:
            artifact, metrics = training.run(Path(self.out) / training.name)
            self._use(artifact)
        self.classes_, self.multilabel_, self.metrics_ = gold.classes, gold.several, metrics
        self._names = gold.names
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Return the most probable class of each text, (texts,); of several labels 0 and 1, (texts, classes) int64."""
        scores = self.predict_proba(X)
        if self.multilabel_:
            return (scores > 0.5).astype(np.int64)
        found: np.ndarray = self.classes_[scores.argmax(axis=1)]
        return found

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return probabilities, float32 (texts, classes), in the order of ``classes_``; of several labels, of each."""
        model, texts, pairs = self._asked(X)
        return self._in_order(model, model.predict_proba(texts, pairs))

    def decision_function(self, X: Any) -> np.ndarray:
        """Return logits, float32 (texts, classes); of two classes that of the second minus the first, (texts,)."""
        model, texts, pairs = self._asked(X)
        logits = self._in_order(model, model.logits(texts, pairs))
        if self.multilabel_ or len(self.classes_) != 2:
            return logits
        difference: np.ndarray = logits[:, 1] - logits[:, 0]
        return difference

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = tags.input_tags.one_d_array = True
        tags.input_tags.two_d_array = False
        tags.classifier_tags.multi_label = True
        return tags

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "artifact_")

    def __getstate__(self) -> dict[str, Any]:
        state = {name: value for name, value in super().__getstate__().items() if name not in ("_model", "_finalizer")}
        if "artifact_" in state:
            folder = Path(state.pop("artifact_"))
            found = [path for path in sorted(folder.rglob("*")) if path.is_file()]
            state["_files"] = {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        stored = state.pop("_files", None)
        super().__setstate__(state)
        if stored is None:
            return
        own = Path(tempfile.mkdtemp(prefix="liteft-artifact-"))
        for name, content in stored.items():
            path = own / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        self._keep(own)

    def _keep(self, folder: Path) -> None:
        """Use a temporary folder, which is deleted when the estimator is."""
        self._use(folder)
        self._finalizer = weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)

    def _use(self, artifact: Path) -> None:
        """Predict with another artifact than before, if there was one."""
        self._model = None
        if getattr(self, "_finalizer", None) is not None:
            self._finalizer()
        self._finalizer = None
        self.artifact_ = artifact

    def _asked(self, X: Any) -> tuple[Any, list[str], list[str] | None]:
        check_is_fitted(self)
        texts, pairs = columns_of(X)
        if getattr(self, "_model", None) is None:
            from liteft.runtime import load

            self._model = load(self.artifact_, threads=self.threads)
        if self._model.manifest.paired != (pairs is not None):
            kinds = ("single texts", "pairs of texts")
            raise InputError(
                f"X holds {kinds[pairs is not None]}, and this estimator was fitted on {kinds[pairs is None]}.",
                accepted={"X": "(texts,), or (texts, 2) for pairs"},
                fix="texts of the form that fit was given",
            )
        return self._model, texts, pairs

    def _in_order(self, model: Any, columns: np.ndarray) -> np.ndarray:
        """Return columns in the order of ``classes_``, which the artifact may have in another."""
        place = {name: number for number, name in enumerate(model.labels)}
        return np.ascontiguousarray(columns[:, [place[name] for name in self._names]])
