"""The OpenAPI document of a server, made from the types that read its requests."""

from __future__ import annotations

import functools
from importlib.metadata import version
from typing import Any, NamedTuple

import msgspec

from liteft.serving.dialects.classify import ClassifyAnswer, ClassifyRequest
from liteft.serving.dialects.instances import InstancesRequest
from liteft.serving.dialects.pipelines import PipelineRequest
from liteft.serving.dialects.tei import PredictRequest, RankedText, RerankRequest
from liteft.serving.dialects.v2 import InferAnswer, InferRequest

__all__ = ["Failure", "ScoredLabel", "openapi_document"]


class ScoredLabel(msgspec.Struct):
    """A label with its score.

    Attributes:
        label: its name.
        score: from the model's activation, or a logit.
    """

    label: str
    score: float


class Failure(msgspec.Struct, omit_defaults=True):
    """The body of every error.

    Attributes:
        error: what was wrong, and what would be accepted.
        error_type: a word for programs.
        retry_after_ms: when to try again, in milliseconds; the header Retry-After has it in whole seconds.
        id: of the error in the server's log.
    """

    error: str
    error_type: str
    retry_after_ms: int | None = None
    id: str | None = None


class Predictions(msgspec.Struct):
    """The answer to instances.

    Attributes:
        predictions: one for each, as the task has them.
    """

    predictions: list[dict[str, Any]]


class _Posted(NamedTuple):
    """A path of predictions: what it is for, the types of a request and its answer, and a request."""

    summary: str
    sent: Any
    answered: Any
    example: dict[str, Any]


_TEXT = {"inputs": "Where is my parcel?"}
_INSTANCES = {"instances": ["Where is my parcel?", {"text": "It was left in the yard."}]}
_RERANK = {"query": "Where is my parcel?", "texts": ["It was left in the yard.", "Great service!"], "return_text": True}
_TENSORS = {"inputs": [{"name": "text", "shape": [1], "datatype": "BYTES", "data": ["Where is my parcel?"]}]}
_BATCH = {"inputs": [["Where is my parcel?"], ["Great service!"]], "top_k": 2}
_LISTED = {"input": ["Where is my parcel?", "Great service!"]}
_POSTED = {
    "/predict": _Posted(
        "Labels, spans or answers, as text-embeddings-inference gives them.", PredictRequest, Any, _BATCH
    ),
    "/": _Posted("As /predict.", PredictRequest, Any, _TEXT),
    "/rerank": _Posted("Texts by their scores beside a query.", RerankRequest, list[RankedText], _RERANK),
    "/classify": _Posted("Labels as vLLM gives them.", ClassifyRequest, ClassifyAnswer, _LISTED),
    "/v1/classify": _Posted("As /classify.", ClassifyRequest, ClassifyAnswer, _LISTED),
    "/pipeline": _Posted(
        "What transformers' pipelines give, in the shape of Hugging Face's clients.", PipelineRequest, Any, _TEXT
    ),
    "/v1/models/{model}:predict": _Posted(
        "Instances, of Vertex AI and KServe.", InstancesRequest, Predictions, _INSTANCES
    ),
    "/vertex": _Posted("Instances, by the only model or the body's.", InstancesRequest, Predictions, _INSTANCES),
    "/invocations": _Posted("SageMaker: the body of /predict, or instances.", PredictRequest, Any, _TEXT),
    "/v2/models/{model}/infer": _Posted(
        "Open Inference Protocol, with its binary extension.", InferRequest, InferAnswer, _TENSORS
    ),
    "/v2/models/{model}/versions/{version}/infer": _Posted(
        "As without a version.", InferRequest, InferAnswer, _TENSORS
    ),
}
_POSTED |= {
    f"/models/{{model}}{path}": _POSTED[path]._replace(summary=f"As {path}, by the model of this name.")
    for path in ("/predict", "/rerank", "/classify", "/pipeline")
}
_PROBES = {
    "/livez": "Whether the process is to be restarted; it never waits for the engine.",
    "/readyz": "Whether requests are to be sent here.",
    "/health": "As /readyz.",
    "/ping": "As /readyz.",
    "/": "As /readyz.",
    "/v2/health/live": "As /livez.",
    "/v2/health/ready": "As /readyz.",
    "/v2/models/{model}/ready": "As /readyz.",
    "/v2/models/{model}/versions/{version}/ready": "As /readyz.",
}
_GOT = {
    "/metrics": "Counters for Prometheus; on a port of its own where the server has one.",
    "/info": "Models and limits.",
    "/models": "Names of models.",
    "/v1/models": "Names of models.",
    "/v1/models/{model}": "Whether a model is ready.",
    "/v2": "Name and version of the server.",
    "/v2/models/{model}": "Inputs and outputs of a model.",
    "/v2/models/{model}/versions/{version}": "As without a version.",
    "/openapi.json": "This document.",
}
_ERRORS = {
    "401": "The key is missing or unknown.",
    "404": "The model has another name, or there is another version.",
    "408": "The end of the body has not come in time.",
    "413": "Over a limit of the server; the text has both numbers.",
    "415": "The body is compressed in another way than gzip or deflate.",
    "422": "A value is not what the model reads.",
    "429": "The queue is full; Retry-After says for how long.",
    "500": "The server failed.",
    "503": "The server is loading, or ending.",
    "504": "The request's time was over before it was computed.",
}
_RELOADING = {
    "401": "The key is missing or unknown.",
    "403": "The server has no file of keys for this.",
    "404": "The model has another name.",
    "409": "It could not be loaded; the old one stays.",
    "422": "The body is not what is read here.",
    "503": "The server is loading.",
}
_RELOAD = {
    "type": "object",
    "properties": {"model": {"type": ["string", "null"], "description": "Its name; left out for all."}},
    "additionalProperties": False,
}
_KEYS: list[dict[str, list[str]]] = [{"bearer": []}, {"key": []}]
_TIMEOUT = {
    "name": "X-Request-Timeout-Ms",
    "in": "header",
    "required": False,
    "description": "Milliseconds after which the answer is of no use.",
    "schema": {"type": "number", "exclusiveMinimum": 0},
}
_BINARY: dict[str, Any] = {"application/octet-stream": {}}  # JSON and tensors, whose lengths the JSON and a header say


@functools.cache
def openapi_document(*, guarded: bool, metrics: bool = True) -> bytes:
    """Return the document, JSON in UTF-8.

    Args:
        guarded: all but probes needs a key.
        metrics: they are at this port.
    """
    kinds = [kind for posted in _POSTED.values() for kind in (posted.sent, posted.answered)]
    found, components = msgspec.json.schema_components(
        [Failure, list[ScoredLabel], *kinds], ref_template="#/components/schemas/{name}"
    )
    failure, labels, *schemas = found
    sent, answered = dict(zip(_POSTED, schemas[::2], strict=True)), dict(zip(_POSTED, schemas[1::2], strict=True))
    for path, posted in _POSTED.items():
        if posted.answered is Any:
            answered[path] = {"anyOf": [labels, {"type": "array"}, {"type": "object"}]}
    sent["/invocations"] = {"anyOf": [sent["/invocations"], sent["/vertex"]]}
    keys = {"security": _KEYS} if guarded else {}
    paths: dict[str, dict[str, Any]] = {}
    for path, posted in _POSTED.items():
        paths.setdefault(path, {})["post"] = _operation(path, posted, sent[path], answered[path], failure) | keys
    for path, text in {**_PROBES, **_GOT}.items():
        if path == "/metrics" and not metrics:
            continue
        responses = {"200": {"description": "The answer."}, "503": _content(failure, _ERRORS["503"])}
        got: dict[str, Any] = {"summary": text, "parameters": _names(path), "responses": responses}
        paths.setdefault(path, {})["get"] = got | (keys if path in _GOT else {})
    paths["/admin/reload"] = {
        "post": {
            "summary": "Load models again from their folders; needs a key for it.",
            "requestBody": {"required": False, "content": {"application/json": {"schema": _RELOAD}}},
            "responses": {"200": {"description": "Reloaded."}, **_failures(_RELOADING, failure)},
            "security": _KEYS,
        }
    }
    ways = {
        "bearer": {"type": "http", "scheme": "bearer"},
        "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    }
    document = {
        "openapi": "3.1.0",
        "info": {"title": "liteft serve", "version": version("liteft"), "license": {"name": "Apache-2.0"}},
        "paths": paths,
        "components": {"schemas": components, "securitySchemes": ways},
    }
    return msgspec.json.encode(document)


def _operation(path: str, posted: _Posted, sent: Any, answered: Any, failure: Any) -> dict[str, Any]:
    """Return what the document says of a path of predictions."""
    body = {"application/json": {"schema": sent, "example": posted.example}}
    answer = _content(answered, "The answer.")
    if posted.sent is InferRequest:
        body, answer["content"] = body | _BINARY, answer["content"] | _BINARY
    return {
        "summary": posted.summary,
        "parameters": [*_names(path), _TIMEOUT],
        "requestBody": {"required": True, "content": body},
        "responses": {"200": answer, **_failures(_ERRORS, failure)},
    }


def _failures(texts: dict[str, str], failure: Any) -> dict[str, Any]:
    return {code: _content(failure, text) for code, text in texts.items()}


def _content(schema: Any, text: str) -> dict[str, Any]:
    return {"description": text, "content": {"application/json": {"schema": schema}}}


def _names(path: str) -> list[dict[str, Any]]:
    """Return the parameters that a path names."""
    return [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in ("model", "version")
        if f"{{{name}}}" in path
    ]
