"""Folders of SetFit: a sentence-transformers encoder, config_setfit.json, and a head in model_head.pkl.

The head is a pickle, which is read as data (`liteft.untrusted.pickles`): nothing in it is run. What becomes one linear
layer is scikit-learn's LogisticRegression, alone or one for each label, and SetFit's own head, whose tensors
`liteft.finetuning.setfit` reads with torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from liteft import files
from liteft.errors import ModelError
from liteft.foreign.meaning import train_first
from liteft.foreign.sentence import default_prompt, normalizes, read_pooling
from liteft.foreign.weights import require_weights, weights_sha256
from liteft.tasks import MULTI_LABEL, SINGLE_LABEL, Task
from liteft.untrusted.pickles import Pickled, read_pickle

__all__ = ["LinearHead", "SetFitFolder", "is_setfit", "linear_head", "pickled_head", "read_setfit", "setfit_sha256"]

_CONFIG = "config_setfit.json"
_HEAD = "model_head.pkl"
_ONE = "sklearn.linear_model._logistic.LogisticRegression"
_SEVERAL = ("sklearn.multiclass.OneVsRestClassifier", "sklearn.multioutput.MultiOutputClassifier")
_ACCEPTED = {
    "heads": "LogisticRegression; OneVsRestClassifier or MultiOutputClassifier of them for several labels; SetFitHead"
}


@dataclass(frozen=True, slots=True)
class SetFitFolder:
    """What the JSON files of a SetFit folder state.

    Attributes:
        labels: the names that the folder gives to the numbers of its classes; None if it gives none.
        normalized: whether embeddings are divided by their length before the head reads them.
    """

    labels: tuple[str, ...] | None
    normalized: bool


@dataclass(frozen=True, slots=True)
class LinearHead:
    """A head as one linear layer, whose logits give the probabilities that SetFit would give.

    Attributes:
        labels: names in the order of the logits.
        task: what a label means.
        weight: (labels, width) float64.
        bias: (labels,) float64.
    """

    labels: tuple[str, ...]
    task: Task
    weight: np.ndarray
    bias: np.ndarray


def is_setfit(folder: Path) -> bool:
    """Return whether a folder was written by SetFit: it has a head beside an encoder of sentence-transformers."""
    return (folder / _HEAD).is_file() and (folder / "modules.json").is_file()


def setfit_sha256(folder: Path) -> str:
    """Return what identifies the encoder's weights, the head and what is stated of both: 64 hexadecimal digits."""
    parts = [folder / _HEAD, folder / _CONFIG, *sorted(folder.glob("*_Pooling/config.json")), folder / "modules.json"]
    parts += require_weights(folder)
    return str(weights_sha256([path for path in parts if path.is_file()]))


def read_setfit(folder: Path) -> SetFitFolder:
    """Return what the JSON files of a SetFit folder state.

    Raises:
        ModelError: they cannot be read, or the encoder pools otherwise than by the mean, has layers after the pooling,
            or reads texts with a prompt.
    """
    pooling = read_pooling(folder)
    if pooling != "mean":
        raise ModelError(
            f"the head of {folder} reads {_pooled(pooling)}, and LiteFT has no classifier with such a head.",
            accepted={"pooling": "mean, with the head on top; transformers' classifiers have a layer before [CLS]'s"},
            fix=["a SetFit model whose encoder pools by the mean", train_first(folder)],
        )
    if prompt := default_prompt(folder):
        raise ModelError(
            f"{folder} puts {prompt!r} before every text, which would be left out.",
            accepted={"default_prompt_name": "null, in config_sentence_transformers.json"},
            fix=["the prompt in the texts of the data, and null in that file", train_first(folder)],
        )
    path = folder / _CONFIG
    content = _read_config(path) if path.is_file() else {}  # SetFit has written it since version 1.0
    named = content.get("labels")
    if named is not None and not (isinstance(named, list) and all(isinstance(name, str | int) for name in named)):
        raise _broken(path, "labels is not a list of names")
    labels = None if not named else tuple(str(name) for name in named)
    return SetFitFolder(labels, content.get("normalize_embeddings") is True or normalizes(folder))


def pickled_head(folder: Path) -> Pickled:
    """Return the head as the pickle describes it. Raises ModelError if the file cannot be read as data."""
    path = folder / _HEAD
    try:
        head = read_pickle(path)
    except (OSError, ValueError) as error:
        raise _broken(path, str(error)) from None
    if not isinstance(head, Pickled):
        raise _broken(path, f"it holds a {type(head).__name__}, not a classifier")
    return head


def linear_head(folder: Path, head: Pickled, labels: Sequence[str] | None) -> LinearHead:
    """Return a head of scikit-learn as one linear layer.

    Two classes, of which LogisticRegression judges one, become two logits, the first of which is 0.

    Args:
        folder: for error messages.
        head: from `pickled_head`.
        labels: names of the classes' numbers, where the folder gives them.

    Raises:
        ModelError: it is another kind of head, was not trained, or has probabilities that no linear layer gives.
    """
    if head.name == _ONE:
        return _of_one(folder, head, labels)
    if head.name in _SEVERAL:
        return _of_several(folder, head, labels)
    raise ModelError(
        f"the head of {folder} is {head.name}, which is not a linear layer that LiteFT reads.",
        accepted=_ACCEPTED,
        fix="train SetFit's head anew as LogisticRegression, its default",
    )


def _of_one(folder: Path, head: Pickled, labels: Sequence[str] | None) -> LinearHead:
    weight, bias, classes = _fitted(folder, head)
    names = _names(folder, classes, labels)
    several, binary = head.attribute("multi_class"), len(classes) == 2
    apart = several == "ovr" or head.attribute("solver") == "liblinear"
    if apart and not binary:
        raise ModelError(
            f"the head of {folder} judges its {len(classes)} labels apart and makes their scores sum to 1, which no "
            "softmax does.",
            accepted={"LogisticRegression": 'of several labels, with solver "lbfgs" and without multi_class="ovr"'},
            fix="train SetFit's head anew with scikit-learn's defaults",
        )
    if binary:
        other = -weight if several == "multinomial" else np.zeros_like(weight)
        shift = -bias if several == "multinomial" else np.zeros_like(bias)
        weight, bias = np.concatenate([other, weight]), np.concatenate([shift, bias])
    if len(weight) != len(classes):
        raise _broken(folder / _HEAD, f"{len(weight)} rows of weights for {len(classes)} classes")
    return LinearHead(names, SINGLE_LABEL, weight, bias)


def _of_several(folder: Path, head: Pickled, labels: Sequence[str] | None) -> LinearHead:
    """Return heads that each judge whether a text has one label."""
    heads = head.attribute("estimators_")
    if not isinstance(heads, list) or not heads:
        raise _untrained(folder)
    other = next((each.name for each in heads if isinstance(each, Pickled) and each.name != _ONE), None)
    if other is not None:
        raise ModelError(
            f"one of the heads of {folder} is {other}.",
            accepted=_ACCEPTED,
            fix="texts with and without each label, where SetFit's head is trained",
        )
    binarizer = head.attribute("label_binarizer_")
    if isinstance(binarizer, Pickled) and binarizer.attribute("y_type_") != "multilabel-indicator":
        raise ModelError(
            f"the head of {folder} judges single labels apart, and no softmax gives its scores.",
            accepted=_ACCEPTED,
            fix="train SetFit's head anew as LogisticRegression, its default",
        )
    fitted = [_fitted(folder, each) for each in heads]
    if any(list(classes) != [0, 1] or len(weight) != 1 for weight, _, classes in fitted):
        raise _broken(folder / _HEAD, "a head of one label has other classes than 0 and 1")
    weight = np.concatenate([weight for weight, _, _ in fitted])
    bias = np.concatenate([bias for _, bias, _ in fitted])
    return LinearHead(_names(folder, range(len(heads)), labels), MULTI_LABEL, weight, bias)


def _fitted(folder: Path, head: Any) -> tuple[np.ndarray, np.ndarray, list[Any]]:
    """Return the weights (rows, width), the biases (rows,) and the classes of a LogisticRegression."""
    found = [head.attribute(name) if isinstance(head, Pickled) else None for name in ("coef_", "classes_")]
    weight, classes = found
    if not isinstance(weight, np.ndarray) or not isinstance(classes, np.ndarray):
        raise _untrained(folder)
    bias = head.attribute("intercept_")
    bias = bias if isinstance(bias, np.ndarray) else np.zeros(len(weight))
    if weight.ndim != 2 or bias.shape not in ((len(weight),), (1,)) or classes.ndim != 1:
        raise _broken(folder / _HEAD, "its weights do not fit together")
    if not (np.isfinite(weight).all() and np.isfinite(bias).all()):
        raise _broken(folder / _HEAD, "its weights are not finite")
    return weight.astype(np.float64), np.broadcast_to(bias, len(weight)).astype(np.float64), classes.tolist()


def _names(folder: Path, classes: Sequence[Any], labels: Sequence[str] | None) -> tuple[str, ...]:
    """Return the names of classes: their own if these are texts, those of the folder if they are numbers."""
    if labels is None or any(isinstance(each, str) for each in classes):
        names = tuple(str(each) for each in classes)
    elif all(0 <= int(each) < len(labels) for each in classes):
        names = tuple(labels[int(each)] for each in classes)
    else:
        raise _broken(folder / _CONFIG, f"it names {len(labels)} labels, and the head has {len(classes)}")
    if len(set(names)) < len(names):
        raise _broken(folder / _CONFIG, "it names two labels alike")
    return names


def _pooled(pooling: str | None) -> str:
    return "the first token's vector" if pooling == "cls" else "vectors that its files do not describe"


def _read_config(path: Path) -> dict[str, Any]:
    try:
        content = files.read_json(path)
    except (OSError, ValueError) as error:
        raise _broken(path, str(error)) from None
    if not isinstance(content, dict):
        raise _broken(path, "it is not a JSON object")
    return content


def _untrained(folder: Path) -> ModelError:
    return ModelError(f"the head of {folder} was not trained.", accepted=_ACCEPTED, fix="train it with SetFit first")


def _broken(path: Path, reason: str) -> ModelError:
    return ModelError(f"{path} cannot be used: {reason}.", fix="copy the whole folder again")
