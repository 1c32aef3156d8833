"""What a model's inputs and outputs are in the Open Inference Protocol: names, datatypes, and their values.

Inputs are strings: ``text``, and ``pair`` for models of pairs; ``question`` and ``context``; and for models of roles
``predicate``. Outputs: ``label`` and ``score`` of the best label, ``probabilities`` of all, of models of several labels
``chosen``, those that have a score above the threshold; of models of scores only ``score``; of models of words
``spans``, JSON for each text; of questions ``answer``, ``score``, ``start`` and ``end``, which are -1 without an
answer; and ``truncated`` of all.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from liteft.serving.http import encode_json
from liteft.serving.jobs import Outcome
from liteft.serving.models import Loaded
from liteft.serving.reading import Instance, Item, Options
from liteft.serving.refusals import refused_input
from liteft.serving.rendering import predictions_of, rendered, scores_of
from liteft.serving.tensors import InputTensor, read_tensor

__all__ = ["Described", "inputs_of", "items_of", "output_values", "outputs_of"]

_TRUNCATED = {"truncated": "BOOL"}
_PER_LABEL = ("probabilities", "chosen")


class Described(NamedTuple):
    """A tensor without values, as a model's metadata lists it; -1 in a shape is the number of texts."""

    name: str
    datatype: str
    shape: list[int]


def inputs_of(loaded: Loaded) -> list[Described]:
    """Return the inputs of a model."""
    manifest = loaded.manifest
    names = {"text": "BYTES"}
    if manifest.task.extractive:
        names = {"question": "BYTES", "context": "BYTES"}
    elif manifest.marked:
        names |= {"predicate": "INT64"}
    elif manifest.paired:
        names |= {"pair": "BYTES"}
    return [Described(name, datatype, [-1]) for name, datatype in names.items()]


def outputs_of(loaded: Loaded) -> list[Described]:
    """Return the outputs of a model."""
    task = loaded.manifest.task
    if task.per_word:
        names = {"spans": "BYTES"}
    elif task.extractive:
        names = {"answer": "BYTES", "score": "FP32", "start": "INT64", "end": "INT64"}
    elif task.numeric:
        names = {"score": "FP32"}
    else:
        names = {"label": "BYTES", "score": "FP32", "probabilities": "FP32"}
        if task.several:
            names |= {"chosen": "BOOL"}
    per_label = [-1, len(loaded.classifier.labels)]
    return [
        Described(name, datatype, per_label if name in _PER_LABEL else [-1])
        for name, datatype in (names | _TRUNCATED).items()
    ]


def items_of(tensors: list[InputTensor], rest: memoryview, loaded: Loaded) -> list[Item]:
    """Return the items in the tensors of a request.

    Args:
        tensors: of the request.
        rest: the bytes after its JSON.
        loaded: the model that is asked.

    Raises:
        Refused: they are not the model's inputs, or their values do not fit.
    """
    expected = {each.name: each.datatype for each in inputs_of(loaded)}
    columns: dict[str, list[Any]] = {}
    for tensor in tensors:
        if tensor.name not in expected:
            raise refused_input(f"there is an input {tensor.name!r:.60}; this model's are {', '.join(expected)}")
        if tensor.name in columns:
            raise refused_input(f"the input {tensor.name} is given twice")
        columns[tensor.name], rest = read_tensor(tensor, expected[tensor.name], rest)
    if len(rest):
        raise refused_input(f"{len(rest):,} bytes follow the last tensor: binary_data_size must cover all of them")
    lengths = {name: len(values) for name, values in columns.items()}
    if set(columns) != set(expected) or len(set(lengths.values())) > 1:
        raise refused_input(f"the inputs {', '.join(expected)} must have as many values each, got {lengths}")
    if list(columns) == ["text"]:
        return list(columns["text"])
    return [Instance(**dict(zip(columns, row, strict=True))) for row in zip(*columns.values(), strict=True)]


def output_values(outcome: Outcome, values: list[Any], options: Options) -> dict[str, Any]:
    """Return the values of all outputs, each an array or a list of strings."""
    task, cut = outcome.loaded.manifest.task, {"truncated": np.asarray(outcome.truncated)}
    if task.per_word:
        return {"spans": [encode_json(spans).decode() for spans in rendered(outcome, values, options)], **cut}
    if task.extractive:
        answers = predictions_of(outcome, values, options)
        places = {
            name: np.array([-1 if (at := getattr(each, name)) is None else at for each in answers], dtype=np.int64)
            for name in ("start", "end")
        }
        scores = np.array([each.score for each in answers], dtype=np.float32)
        return {"answer": [each.text for each in answers], "score": scores, **places, **cut}
    scores = scores_of(outcome, raw=options.raw_scores)
    if task.numeric:
        return {"score": scores[:, 0], **cut}
    labels, best = outcome.loaded.classifier.labels, scores.argmax(axis=1)
    found = {"label": [labels[i] for i in best.tolist()], "score": scores.max(axis=1), "probabilities": scores}
    if task.several:
        decided = predictions_of(outcome, values, Options(threshold=options.threshold))
        chosen = [[label in each.labels for label in labels] for each in decided]
        found["chosen"] = np.array(chosen, dtype=bool).reshape(len(decided), len(labels))
    return {**found, **cut}
