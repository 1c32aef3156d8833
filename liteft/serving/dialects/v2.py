"""The Open Inference Protocol, version 2, of KServe and Triton, with its binary extension.

Inputs are strings: ``text``, and ``pair`` for models of pairs; ``question`` and ``context``; and for models of roles
``predicate``. Outputs are what the metadata lists: ``label`` and ``score`` of the best label, ``probabilities`` of all,
``truncated``; of models of scores only ``score``; of models of words ``spans``, JSON for each text; and of questions
``answer``, ``score``, ``start`` and ``end``, which are -1 without an answer.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import msgspec
import numpy as np

from liteft.serving.dialects.asked import outcome_of
from liteft.serving.http import Reply, Request, decoded, encode_json
from liteft.serving.jobs import Outcome
from liteft.serving.models import ServedModel
from liteft.serving.reading import Instance, Item, Options
from liteft.serving.refusals import Refused, refused_input
from liteft.serving.rendering import predictions_of, rendered, scores_of
from liteft.serving.service import Service
from liteft.serving.tensors import InputTensor, OutputTensor, RequestedOutput, binary_of, read_tensor, split_body

__all__ = ["InferAnswer", "InferRequest", "infer", "model_metadata", "model_ready", "server_metadata"]

_VERSION = "1"
_BINARY = "binary_data"


class InferRequest(msgspec.Struct, omit_defaults=True):
    """The body of a request for inference.

    Attributes:
        inputs: tensors.
        outputs: those that are wanted; left out for all.
        id: comes back with the answer.
        parameters: ``raw_scores``, ``threshold``, and ``binary_data_output`` for all outputs after the JSON.
    """

    inputs: list[InputTensor]
    outputs: list[RequestedOutput] | None = None
    id: str | None = None
    parameters: dict[str, Any] = msgspec.field(default_factory=dict)


class InferAnswer(msgspec.Struct, omit_defaults=True):
    """The answer to a request for inference.

    Attributes:
        model_name, model_version: of the model.
        outputs: tensors.
        id: of the request.
        parameters: the model's revision.
    """

    model_name: str
    model_version: str
    outputs: list[OutputTensor]
    id: str | None = None
    parameters: dict[str, Any] = msgspec.field(default_factory=dict)


_decoder = msgspec.json.Decoder(InferRequest)


async def infer(service: Service, request: Request) -> Reply:
    """Answer POST /v2/models/NAME/infer."""
    model = _model(service, request)
    content, rest = split_body(await request.body(), request.headers)
    asked = decoded(_decoder, content)
    unknown = set(asked.parameters) - {"raw_scores", "threshold", "binary_data_output", "sequence_id", "priority"}
    if unknown:
        raise refused_input(f"unknown parameters: {', '.join(sorted(unknown))}; known are raw_scores, threshold")
    options = _options(asked)
    items = _items(asked.inputs, rest, model)
    outcome, values = await outcome_of(service, request, model.name, items, options)
    wanted = asked.outputs or [RequestedOutput(name) for name, *_ in _outputs(model)]
    everything = _output_values(outcome, values, options)
    tensors, tail = [], []
    for output in wanted:
        tensor, following = _tensor(output, everything, model, asked.parameters.get("binary_data_output", False))
        tensors.append(tensor)
        tail.append(following)
    revision = {"revision": outcome.loaded.revision}
    header = encode_json(InferAnswer(model.name, _VERSION, tensors, asked.id, revision))
    binary = b"".join(tail)
    if not binary:
        return Reply(header, outcome=outcome)
    length = (b"inference-header-content-length", b"%d" % len(header))
    return Reply(header + binary, kind=b"application/octet-stream", outcome=outcome, headers=[length])


async def model_metadata(service: Service, request: Request) -> Reply:
    """Answer GET /v2/models/NAME: exactly the inputs and outputs that `infer` has."""
    model = _model(service, request)
    content = {
        "name": model.name,
        "versions": [_VERSION],
        "platform": "liteft",
        "inputs": [{"name": name, "datatype": kind, "shape": [-1]} for name, kind in _inputs(model)],
        "outputs": [{"name": name, "datatype": kind, "shape": shape} for name, kind, shape in _outputs(model)],
    }
    return Reply(encode_json(content))


async def model_ready(service: Service, request: Request) -> Reply:
    """Answer GET /v2/models/NAME/ready."""
    name = request.path["model"]
    service.model(name)
    content = encode_json({"name": name, "ready": service.ready})
    return Reply(content, 200 if service.ready else 503)


async def server_metadata(_service: Service, _request: Request) -> Reply:
    """Answer GET /v2."""
    return Reply(encode_json({"name": "liteft", "version": version("liteft"), "extensions": ["binary_tensor_data"]}))


def _model(service: Service, request: Request) -> ServedModel:
    """Return the model that a path names. Raises Refused for another version than the only one."""
    version = request.path.get("version", _VERSION)
    if version != _VERSION:
        raise Refused(404, "input", f"there is no version {version!r}; served is {_VERSION}")
    if service.state == "loading":
        service.refuse_at_once()
    return service.model(request.path["model"])


def _options(asked: InferRequest) -> Options:
    try:
        return msgspec.convert(
            {name: asked.parameters[name] for name in ("raw_scores", "threshold") if name in asked.parameters}, Options
        )
    except msgspec.ValidationError as error:
        raise refused_input(f"a parameter cannot be read: {error}") from None


def _inputs(model: ServedModel) -> list[tuple[str, str]]:
    """Return the names and datatypes of a model's inputs."""
    manifest = model.loaded.manifest
    if manifest.task.extractive:
        return [("question", "BYTES"), ("context", "BYTES")]
    names = [("text", "BYTES")]
    if manifest.marked:
        names.append(("predicate", "INT64"))
    elif manifest.paired:
        names.append(("pair", "BYTES"))
    return names


def _outputs(model: ServedModel) -> list[tuple[str, str, list[int]]]:
    """Return the names, datatypes and shapes of a model's outputs."""
    task, cut = model.loaded.manifest.task, ("truncated", "BOOL", [-1])
    if task.per_word:
        return [("spans", "BYTES", [-1]), cut]
    if task.extractive:
        places = [("start", "INT64", [-1]), ("end", "INT64", [-1])]
        return [("answer", "BYTES", [-1]), ("score", "FP32", [-1]), *places, cut]
    if task.numeric:
        return [("score", "FP32", [-1]), cut]
    labels = len(model.loaded.classifier.labels)
    return [("label", "BYTES", [-1]), ("score", "FP32", [-1]), ("probabilities", "FP32", [-1, labels]), cut]


def _items(tensors: list[InputTensor], rest: memoryview, model: ServedModel) -> list[Item]:
    """Return the items in the tensors of a request. Raises Refused for other tensors than the model's inputs."""
    expected = dict(_inputs(model))
    columns: dict[str, list[Any]] = {}
    for tensor in tensors:
        if tensor.name not in expected or tensor.name in columns:
            raise refused_input(f"there is an input {tensor.name!r}; this model's are {', '.join(expected)}")
        values, rest = read_tensor(tensor, rest)
        kind = str if expected[tensor.name] == "BYTES" else int
        if not all(type(value) is kind for value in values):
            raise refused_input(f"{tensor.name} must have values of {expected[tensor.name]}")
        columns[tensor.name] = values
    missing = [name for name in expected if name not in columns]
    if missing or len(set(map(len, columns.values()))) > 1:
        lengths = {name: len(values) for name, values in columns.items()}
        raise refused_input(f"the inputs {', '.join(expected)} must have as many values each, got {lengths}")
    if list(columns) == ["text"]:
        return list(columns["text"])
    return [Instance(**dict(zip(columns, row, strict=True))) for row in zip(*columns.values(), strict=True)]


def _output_values(outcome: Outcome, values: list[Any], options: Options) -> dict[str, Any]:
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
    return {"label": [labels[i] for i in best.tolist()], "score": scores.max(axis=1), "probabilities": scores, **cut}


def _tensor(
    output: RequestedOutput, values: dict[str, Any], model: ServedModel, binary: bool
) -> tuple[OutputTensor, bytes]:
    """Return an output, and its bytes if they follow the JSON."""
    kinds = {name: kind for name, kind, _ in _outputs(model)}
    if output.name not in kinds:
        raise refused_input(f"there is no output {output.name!r}; this model's are {', '.join(kinds)}")
    found, kind = values[output.name], kinds[output.name]
    classes = output.parameters.get("classification", 0)
    shape = [len(found)] if isinstance(found, list) else list(found.shape)
    if classes:
        found, shape, kind = *_best(found, classes, model, output.name), "BYTES"
    if output.parameters.get(_BINARY, binary):
        content = binary_of(found, kind)
        return OutputTensor(output.name, shape, kind, parameters={"binary_data_size": len(content)}), content
    data = found if isinstance(found, list) else found.ravel().tolist()
    return OutputTensor(output.name, shape, kind, data), b""


def _best(scores: Any, classes: Any, model: ServedModel, name: str) -> tuple[list[str], list[int]]:
    """Return the best labels as Triton's classification extension writes them, "score:number:label", and the shape."""
    if name != "probabilities" or type(classes) is not int or classes < 1:
        raise refused_input("classification must be a positive integer, and is for the output probabilities")
    labels = model.loaded.classifier.labels
    order = np.argsort(-scores, axis=1, kind="stable")[:, :classes]
    words = [
        f"{row[column]:f}:{column}:{labels[column]}"
        for row, columns in zip(scores, order.tolist(), strict=True)
        for column in columns
    ]
    return words, list(order.shape)
