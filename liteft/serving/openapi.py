"""The OpenAPI document of a server, made from the types that read its requests."""

from __future__ import annotations

import functools
from importlib.metadata import version
from typing import Any

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


_POSTED: dict[str, tuple[str, Any, Any]] = {
    "/predict": ("Labels, spans or answers, as text-embeddings-inference gives them.", PredictRequest, list[Any]),
    "/": ("As /predict.", PredictRequest, list[Any]),
    "/rerank": ("Texts by their scores beside a query.", RerankRequest, list[RankedText]),
    "/classify": ("Labels as vLLM gives them.", ClassifyRequest, ClassifyAnswer),
    "/v1/classify": ("As /classify.", ClassifyRequest, ClassifyAnswer),
    "/pipeline": (
        "What transformers' pipelines give, in the shape of Hugging Face's clients.",
        PipelineRequest,
        list[Any],
    ),
    "/v1/models/{model}:predict": ("Instances, of Vertex AI and KServe.", InstancesRequest, Predictions),
    "/vertex": ("Instances, by the only model.", InstancesRequest, Predictions),
    "/invocations": ("SageMaker: the body of /predict, or instances.", PredictRequest, Any),
    "/v2/models/{model}/infer": ("Open Inference Protocol, with its binary extension.", InferRequest, InferAnswer),
    "/v2/models/{model}/versions/{version}/infer": ("As without a version.", InferRequest, InferAnswer),
}
_GOT = {
    "/livez": "Whether the process is to be restarted; it never waits for the engine.",
    "/readyz": "Whether requests are to be sent here.",
    "/health": "As /readyz.",
    "/ping": "As /readyz.",
    "/": "As /readyz.",
    "/v2/health/live": "As /livez.",
    "/v2/health/ready": "As /readyz.",
    "/v2/models/{model}/ready": "As /readyz.",
    "/v2/models/{model}/versions/{version}/ready": "As /readyz.",
    "/metrics": "Counters for Prometheus.",
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
    "404": "No model has this name.",
    "413": "Over a limit of the server; the text has both numbers.",
    "422": "A value is not what the model reads.",
    "429": "The queue is full; Retry-After says for how long.",
    "500": "The server failed.",
    "503": "The server is loading, or ending.",
    "504": "The request's time was over before it was computed.",
}
_TIMEOUT = {
    "name": "X-Request-Timeout-Ms",
    "in": "header",
    "required": False,
    "description": "Milliseconds after which the answer is of no use.",
    "schema": {"type": "number", "exclusiveMinimum": 0},
}


@functools.cache
def openapi_document(*, guarded: bool) -> bytes:
    """Return the document, JSON in UTF-8; ``guarded`` says that predictions need a key."""
    kinds = [kind for _, sent, answered in _POSTED.values() for kind in (sent, answered)]
    schemas, components = msgspec.json.schema_components(
        [*kinds, Failure, ScoredLabel], ref_template="#/components/schemas/{name}"
    )
    instances = schemas[2 * list(_POSTED).index("/vertex")]
    errors = {code: _content(schemas[-2], text) for code, text in _ERRORS.items()}
    paths: dict[str, dict[str, Any]] = {}
    for place, (path, (text, *_)) in enumerate(_POSTED.items()):
        answered = _content(schemas[2 * place + 1], "The answer.")
        paths.setdefault(path, {})["post"] = {
            "summary": text,
            "parameters": [*_names(path), _TIMEOUT],
            "requestBody": {"required": True, "content": {"application/json": {"schema": schemas[2 * place]}}},
            "responses": {"200": answered, **errors},
            **({"security": [{"bearer": []}, {"key": []}]} if guarded else {}),
        }
    for path, text in _GOT.items():
        responses = {"200": {"description": "The answer."}, "503": errors["503"]}
        paths.setdefault(path, {})["get"] = {"summary": text, "parameters": _names(path), "responses": responses}
    invoked = paths["/invocations"]["post"]["requestBody"]["content"]["application/json"]
    invoked["schema"] = {"anyOf": [invoked["schema"], instances]}
    paths["/admin/reload"] = {
        "post": {
            "summary": "Load models again from their folders; needs a key for it.",
            "responses": {"200": {"description": "Reloaded."}, "409": _content(schemas[-2], "The old one stays.")},
            "security": [{"bearer": []}, {"key": []}],
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


def _content(schema: Any, text: str) -> dict[str, Any]:
    return {"description": text, "content": {"application/json": {"schema": schema}}}


def _names(path: str) -> list[dict[str, Any]]:
    """Return the parameters that a path names."""
    return [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in ("model", "version")
        if f"{{{name}}}" in path
    ]
