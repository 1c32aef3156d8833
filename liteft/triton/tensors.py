"""The tensors that a model in Triton takes and gives: names, types and shapes, by the task of its artifact.

Names are those of the Open Inference Protocol as ``liteft`` speaks it elsewhere. Every tensor has a leading axis of
texts, which Triton calls the batch and which ``dims`` leaves out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from liteft.artifact import Manifest

__all__ = ["DTYPES", "LABELS_FILE", "PADDING", "Tensor", "inputs_of", "outputs_of", "token_tensors"]

LABELS_FILE = "labels.txt"
"""Names of the labels, one in a line, for Triton's classification extension."""

PADDING = -1
"""Fills the ids of a request's shorter texts, so that they are a rectangle; the graph drops it."""

DTYPES = {
    "TYPE_STRING": np.dtype(object),
    "TYPE_FP32": np.dtype(np.float32),
    "TYPE_BOOL": np.dtype(np.bool_),
    "TYPE_INT32": np.dtype(np.int32),
    "TYPE_INT64": np.dtype(np.int64),
}
"""Triton's name of a type -> numpy's; strings are bytes in an array of objects."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor of a model.

    Attributes:
        name: in requests and responses.
        data_type: Triton's name of its type.
        dims: its shape without the axis of texts; -1 for an axis of any length.
        labelled: its last axis is labels, whose names are in a file beside the configuration.
        ragged: requests with other shapes may be in one batch; the model gets all values in one axis.
    """

    name: str
    data_type: str
    dims: tuple[int, ...] = (1,)
    labelled: bool = False
    ragged: bool = False


def inputs_of(manifest: Manifest) -> tuple[Tensor, ...]:
    """Return what a client sends for an artifact: texts, and what else its task reads."""
    if manifest.answers is not None:
        return Tensor("question", "TYPE_STRING"), Tensor("context", "TYPE_STRING")
    text = Tensor("text", "TYPE_STRING")
    if manifest.marked:
        return text, Tensor("predicate", "TYPE_INT32")
    return (text, Tensor("pair", "TYPE_STRING")) if manifest.paired else (text,)


def outputs_of(manifest: Manifest) -> tuple[Tensor, ...]:
    """Return what a client receives for an artifact, by its task.

    Labels: ``label``, ``score`` and ``logits``, with ``probabilities`` where the logits have an activation and
    ``chosen`` where a text has several labels. Scores: ``score`` and ``logits``. Words: ``spans`` and ``tags``, both
    JSON. Answers: ``answer``, ``score``, ``start`` and ``end``. All: ``truncated``.
    """
    task, count = manifest.task, len(manifest.labels)
    truncated, score = Tensor("truncated", "TYPE_BOOL"), Tensor("score", "TYPE_FP32")
    if manifest.answers is not None:
        places = (Tensor("start", "TYPE_INT32"), Tensor("end", "TYPE_INT32"))
        return Tensor("answer", "TYPE_STRING"), score, *places, truncated
    if task.per_word:
        return Tensor("spans", "TYPE_STRING"), Tensor("tags", "TYPE_STRING"), truncated
    logits = Tensor("logits", "TYPE_FP32", (count,), labelled=not task.numeric)
    if task.numeric:
        return score, logits, truncated
    found = [Tensor("label", "TYPE_STRING"), score]
    if manifest.activation != "none":
        found.append(Tensor("probabilities", "TYPE_FP32", (count,), labelled=True))
    if task.several:
        found.append(Tensor("chosen", "TYPE_BOOL", (count,)))
    return (*found, logits, truncated)


def token_tensors(manifest: Manifest) -> tuple[Tensor, ...]:
    """Return what the graph of an ensemble takes: ids, type ids where the model has them, and the lengths of texts.

    Ids are (texts, longest) in a request, -1 where a text is shorter, and all of a batch's in one axis in the graph.
    """
    ids = Tensor("input_ids", "TYPE_INT64", (-1,), ragged=True)
    types = Tensor("token_type_ids", "TYPE_INT64", (-1,), ragged=True)
    return (ids, *((types,) if manifest.token_types else ()), Tensor("lengths", "TYPE_INT64"))
