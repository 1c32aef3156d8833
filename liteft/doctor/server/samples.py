"""The texts that a checked server is asked about, in the form that each dialect has, and its answers in one form.

An answer becomes rows of (what was found, score): labels in their order, spans and answers with their places, or one
score. So the answers of all dialects can be compared.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from liteft.tasks import Task

__all__ = ["DIALECTS", "Dialect", "Rows", "ServedModel", "same_rows", "single_rows"]

Rows = list[tuple[str, float]]
Item = dict[str, Any]

_TEXTS = (
    "Where is the parcel that I ordered on Monday?",
    "The parcel is at the post office, and you can fetch it until Friday.",
)
_TOLERANCE = 1e-6  # a score of float32 in its shortest form, beside the same one as float64


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A model as /info and /v2 describe it.

    Attributes:
        name: in requests.
        task: what it does.
        labels: all of them.
        inputs: names of its tensors, which say what it reads.
        revision: of its artifact.
    """

    name: str
    task: Task
    labels: tuple[str, ...]
    inputs: tuple[str, ...]
    revision: str

    @property
    def labelling(self) -> bool:
        """True if a text gets labels, with a score for each."""
        return not (self.task.per_word or self.task.extractive or self.task.numeric)

    def items(self) -> list[Item]:
        """Return two values, each by the names of its parts."""
        first, second = _TEXTS
        if "question" in self.inputs:
            return [{"question": first, "context": second}, {"question": first, "context": f"{second} {first}"}]
        if "pair" in self.inputs:
            return [{"text": first, "pair": second}, {"text": second, "pair": second}]
        if "predicate" in self.inputs:
            return [{"text": text, "predicate": 1} for text in _TEXTS]
        return [{"text": text} for text in _TEXTS]


@dataclass(frozen=True, slots=True)
class Dialect:
    """A route for predictions.

    Attributes:
        path: as /openapi.json has it.
        body: makes a request of a model and values.
        rows: reads the rows of each value out of the content of an answer; fails if the content has another form.
        fits: whether a model can be asked in it; others must be refused.
    """

    path: str
    body: Callable[[ServedModel, list[Item]], Any]
    rows: Callable[[Any, ServedModel], list[Rows]]
    fits: Callable[[ServedModel], bool] = lambda _: True


def same_rows(one: list[Rows], other: list[Rows]) -> bool:
    """Return whether the same was found, with the same scores but for how they are written."""
    if [[name for name, _ in rows] for rows in one] != [[name for name, _ in rows] for rows in other]:
        return False
    pairs = zip((s for rows in one for _, s in rows), (s for rows in other for _, s in rows), strict=True)
    return all(abs(a - b) <= _TOLERANCE * max(1.0, abs(a)) for a, b in pairs)


def single_rows(content: Any, model: ServedModel) -> Rows:
    """Return the rows of an answer to one value, in the form of transformers' pipelines."""
    if model.task.per_word:
        return [(f"{span['entity_group']} {span['start']}:{span['end']}", span["score"]) for span in content]
    if model.task.extractive:
        return [_answer(content["answer"], content["start"], content["end"], content["score"])]
    if model.task.numeric:
        (only,) = content
        return [("score", only["score"])]
    return _in_order({each["label"]: each["score"] for each in content}, model)


def _answer(text: str | None, start: int | None, end: int | None, score: float) -> tuple[str, float]:
    return (f"{text} {start}:{end}" if text else "no answer", score)


def _in_order(scores: dict[str, float], model: ServedModel) -> Rows:
    """Return the scores in the order of the model's labels; those that are missing stay away."""
    return [(label, scores[label]) for label in model.labels if label in scores]


def _pipeline_rows(content: Any, model: ServedModel) -> list[Rows]:
    return [single_rows(each, model) for each in content]


def _classified_rows(content: Any, model: ServedModel) -> list[Rows]:
    data = sorted(content["data"], key=lambda each: each["index"])
    return [list(zip(model.labels, each["probs"], strict=True)) for each in data]


def _instance_rows(content: Any, model: ServedModel) -> list[Rows]:
    found = []
    for each in content["predictions"]:
        if model.task.per_word:
            found.append(single_rows(each["spans"], model))
        elif model.task.numeric:
            found.append([("score", each["score"])])
        else:
            found.append(single_rows(each["top"] if model.labelling else each, model))
    return found


def _tensor_rows(content: Any, model: ServedModel) -> list[Rows]:
    found = {output["name"]: output["data"] for output in content["outputs"]}
    if model.task.per_word:
        return [single_rows(json.loads(spans), model) for spans in found["spans"]]
    if model.task.extractive:
        columns = (found[name] for name in ("answer", "start", "end", "score"))
        return [[_answer(*row)] for row in zip(*columns, strict=True)]
    if model.task.numeric:
        return [[("score", score)] for score in found["score"]]
    width, flat = len(model.labels), found["probabilities"]
    rows = [flat[at : at + width] for at in range(0, len(flat), width)]
    return [list(zip(model.labels, row, strict=True)) for row in rows]


def _ranked_rows(content: Any, _: ServedModel) -> list[Rows]:
    return [[("score", each["score"])] for each in sorted(content, key=lambda each: each["index"])]


def _inputs(model: ServedModel, items: list[Item]) -> Any:
    return {"model": model.name, "inputs": items}


def _texts(model: ServedModel, items: list[Item]) -> Any:
    return {"model": model.name, "input": [item.get("text", "") for item in items]}


def _instances(model: ServedModel, items: list[Item]) -> Any:
    return {"instances": items, **({"parameters": {"top_k": len(model.labels)}} if model.labelling else {})}


def _vertex(model: ServedModel, items: list[Item]) -> Any:
    return {"model": model.name, **_instances(model, items)}


def _tensors(model: ServedModel, items: list[Item]) -> Any:
    kinds = {name: "INT64" if name == "predicate" else "BYTES" for name in model.inputs}
    columns = {name: [item[name] for item in items] for name in model.inputs}
    named = [{"name": name, "datatype": kinds[name], "shape": [len(items)], "data": columns[name]} for name in kinds]
    return {"inputs": named}


def _query(model: ServedModel, items: list[Item]) -> Any:
    return {"model": model.name, "query": items[0].get("text", ""), "texts": [each.get("pair", "") for each in items]}


def _labels_single_texts(model: ServedModel) -> bool:
    return model.labelling and model.inputs == ("text",)


def _ranks(model: ServedModel) -> bool:
    return model.task.numeric and "pair" in model.inputs


DIALECTS = (
    Dialect("/predict", _inputs, _pipeline_rows),
    Dialect("/", _inputs, _pipeline_rows),
    Dialect("/invocations", _inputs, _pipeline_rows),
    Dialect("/pipeline", _inputs, _pipeline_rows),
    Dialect("/classify", _texts, _classified_rows, _labels_single_texts),
    Dialect("/v1/classify", _texts, _classified_rows, _labels_single_texts),
    Dialect("/v1/models/{model}:predict", _instances, _instance_rows),
    Dialect("/vertex", _vertex, _instance_rows),
    Dialect("/v2/models/{model}/infer", _tensors, _tensor_rows),
    Dialect("/v2/models/{model}/versions/{version}/infer", _tensors, _tensor_rows),
    Dialect("/rerank", _query, _ranked_rows, _ranks),
    Dialect("/models/{model}/predict", _inputs, _pipeline_rows),
    Dialect("/models/{model}/pipeline", _inputs, _pipeline_rows),
    Dialect("/models/{model}/classify", _texts, _classified_rows, _labels_single_texts),
    Dialect("/models/{model}/rerank", _query, _ranked_rows, _ranks),
)
"""All that are known here; the first is what the others are compared with."""
