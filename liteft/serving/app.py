"""The routes of a server, as an ASGI application that any ASGI server can run."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from importlib.metadata import version
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.routing import Route

from liteft.artifact import artifact_folder
from liteft.errors import LiteftError
from liteft.serving import dialects
from liteft.serving.dialects.bodies import body_of, decoded
from liteft.serving.http import Answer, Endpoint, Reply, Request, encode_json
from liteft.serving.keys import Keys
from liteft.serving.models import ServedModel, named_paths
from liteft.serving.openapi import openapi_document
from liteft.serving.refusals import Refused
from liteft.serving.service import Service
from liteft.serving.settings import ServeSettings
from liteft.serving.shedding import Shedding
from liteft.serving.tracing import Tracing

__all__ = ["create_app", "create_service", "metrics_app"]

Paths = tuple[str, ...]

# (paths, answer, dialect): of predictions
_PREDICTIONS: tuple[tuple[Paths, Answer, str], ...] = (
    (("/predict", "/", "/models/{model}/predict"), dialects.predict, "predict"),
    (("/classify", "/v1/classify", "/models/{model}/classify"), dialects.classify, "classify"),
    (("/v2/models/{model}/infer", "/v2/models/{model}/versions/{version}/infer"), dialects.infer, "v2"),
    (("/v1/models/{name_and_verb}", "/vertex"), dialects.predict_instances, "v1"),
    (("/invocations",), dialects.invoke, "invocations"),
    (("/rerank", "/models/{model}/rerank"), dialects.rerank, "rerank"),
    (("/pipeline", "/models/{model}/pipeline"), dialects.pipeline, "pipeline"),
)


class ReloadRequest(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """The body of /admin/reload.

    Attributes:
        model: the name of the model to load again from its folder; None for all.
    """

    model: str | None = None


_reload = msgspec.json.Decoder(ReloadRequest)


def create_service(
    artifacts: Sequence[str | os.PathLike[str]], settings: ServeSettings, loading: dict[str, Any]
) -> Service:
    """Return a service whose models are not loaded yet.

    Args:
        artifacts: folders, each PATH or NAME=PATH.
        settings: of the server.
        loading: arguments of ``liteft.load``.

    Raises:
        ConfigError: names of models that are the same, or do not fit into a path.
    """
    paths = named_paths(artifacts, artifact_folder)
    return Service({name: ServedModel(name, path, loading) for name, path in paths.items()}, settings)


def create_app(
    artifacts: Sequence[str | os.PathLike[str]] | Service, settings: ServeSettings | None = None, **loading: Any
) -> Any:
    """Return an ASGI application that serves artifacts, for an ASGI server of one's own.

    It loads them when the server starts it, and has no signals: `serve` is a whole server.

    Args:
        artifacts: folders, each PATH or NAME=PATH; or a service, which the caller loads, starts and closes.
        settings: limits and keys; None for the usual ones.
        **loading: arguments of ``liteft.load``.

    Raises:
        ConfigError: a setting, a name of a model, or a file of keys does not fit.
        MissingExtraError: traces are wanted, and OpenTelemetry is not installed.
    """
    own = not isinstance(artifacts, Service)
    chosen = settings or ServeSettings()
    service = artifacts if isinstance(artifacts, Service) else create_service(artifacts, chosen, loading)
    tracing = Tracing() if service.settings.traces else None

    @contextlib.asynccontextmanager
    async def lifespan(_: Any) -> AsyncIterator[None]:
        if own:
            await asyncio.to_thread(service.load)
            service.start()
        try:
            yield
        finally:
            service.close()
            if tracing is not None:
                tracing.close()

    middleware = []
    if service.settings.cors_origin is not None:
        origins = [service.settings.cors_origin]
        middleware.append(Middleware(CORSMiddleware, allow_origins=origins, allow_methods=["*"], allow_headers=["*"]))
    routes = list(_routes(service, tracing))
    middleware.append(Middleware(Shedding, service=service))
    app = Starlette(routes=routes, lifespan=lifespan, middleware=middleware, exception_handlers=_HANDLERS)
    app.router.redirect_slashes = False  # to what the client's Host header says, over http: its key would go there
    return app


def metrics_app(service: Service) -> Any:
    """Return an application with ``/metrics`` alone, for a port of its own."""
    return Starlette(routes=[_route("GET", "/metrics", Endpoint(service, _metrics, route="/metrics"))])


def _routes(service: Service, tracing: Tracing | None) -> Iterator[Route]:
    """Yield all routes, those of predictions first."""
    users = None if service.settings.api_keys is None else Keys(service.settings.api_keys)
    admins = None if service.settings.admin_keys is None else Keys(service.settings.admin_keys)
    for paths, answer, dialect in _PREDICTIONS:
        for path in paths:
            chosen = dialects.predict_only if path == "/vertex" else answer
            endpoint = Endpoint(service, chosen, route=path, dialect=dialect, keys=users, tracing=tracing)
            yield _route("POST", path, endpoint)
    for path, answer in _OPEN.items():
        yield _route("GET", path, Endpoint(service, answer, route=path))
    for path, answer in _KNOWN.items():
        yield _route("GET", path, Endpoint(service, answer, route=path, keys=users))
    if service.settings.metrics_port is None:
        yield _route("GET", "/metrics", Endpoint(service, _metrics, route="/metrics", keys=users))
    yield _route("POST", "/admin/reload", Endpoint(service, _reloaded(admins), route="/admin/reload"))


def _route(method: str, path: str, endpoint: Endpoint) -> Route:
    return Route(path, endpoint, methods=[method])


async def _live(service: Service, _: Request) -> Reply:
    return Reply(encode_json({"live": service.live}), 200 if service.live else 503)


async def _ready(service: Service, _: Request) -> Reply:
    ready = service.ready
    return Reply(encode_json({"ready": ready, "state": service.state}), 200 if ready else 503)


async def _metrics(service: Service, _: Request) -> Reply:
    return Reply(service.metrics.text(), kind=b"text/plain; version=0.0.4; charset=utf-8")


async def _info(service: Service, _: Request) -> Reply:
    """Answer GET /info, with the keys of text-embeddings-inference for the first model, and more for all."""
    service.refuse_while_loading()
    models = {name: _described(model) for name, model in service.models.items()}
    name, first = next(iter(models.items()))
    settings = service.settings
    content = {
        "model_id": name,
        "model_sha": first["revision"],
        "model_dtype": first["precision"],
        "served_model_name": name,
        "model_type": _model_type(next(iter(service.models.values()))),
        "max_input_length": first["max_tokens"],
        "max_batch_tokens": settings.max_request_tokens,
        "max_client_batch_size": settings.max_texts,
        "auto_truncate": True,
        "version": version("liteft"),
        "models": models,
        "limits": {
            "max_queue_ms": settings.max_queue_ms,
            "max_body_bytes": settings.max_body_bytes,
            "max_texts": settings.max_texts,
            "max_characters": settings.max_characters,
            "max_request_tokens": settings.max_request_tokens,
        },
        "queue": {"requests": len(service.queue), "tokens": service.queue.queued_tokens, "ms": _wait(service)},
    }
    return Reply(encode_json(content))


def _wait(service: Service) -> float:
    return round(1000 * service.queue.wait(), 3)


def _described(model: ServedModel) -> dict[str, Any]:
    loaded = model.loaded
    manifest, classifier = loaded.manifest, loaded.classifier
    return {
        "revision": loaded.revision,
        "source": classifier.source,
        "task": str(manifest.task),
        "labels": list(classifier.labels),
        "activation": manifest.activation,
        "paired": manifest.paired,
        "max_tokens": manifest.max_tokens,
        "truncation_side": manifest.truncation_side,
        "precision": classifier.precision,
        "backend": classifier.backend,
        "device": classifier.device,
        "threads": classifier.threads,
        "recorded_difference": loaded.difference,
        "load_seconds": round(loaded.seconds, 4),
    }


def _model_type(model: ServedModel) -> dict[str, Any]:
    manifest, labels = model.loaded.manifest, model.loaded.classifier.labels
    kind = "reranker" if manifest.task.numeric and manifest.paired else "classifier"
    return {kind: {"id2label": dict(enumerate(labels)), "label2id": {label: i for i, label in enumerate(labels)}}}


async def _models(service: Service, _: Request) -> Reply:
    """Answer GET /v1/models."""
    listed = [{"id": name, "object": "model", "owned_by": "liteft"} for name in service.models]
    return Reply(encode_json({"object": "list", "data": listed, "models": list(service.models)}))


async def _model(service: Service, request: Request) -> Reply:
    """Answer GET /v1/models/NAME."""
    name = request.path["model"]
    service.model(name)
    return Reply(encode_json({"name": name, "ready": service.ready}), 200 if service.ready else 503)


async def _openapi(service: Service, _: Request) -> Reply:
    settings = service.settings
    return Reply(openapi_document(guarded=settings.api_keys is not None, metrics=settings.metrics_port is None))


def _reloaded(admins: Keys | None) -> Callable[[Service, Request], Awaitable[Reply]]:
    """Return what answers POST /admin/reload, to who has a key for it."""

    async def reload(service: Service, request: Request) -> Reply:
        if admins is None:
            raise Refused(403, "key", "reloading needs a file of keys, the setting admin_keys of the server")
        admins.check(request.headers)
        service.refuse_while_loading()
        asked = decoded(_reload, await body_of(request) or b"{}")
        names = list(service.models) if asked.model is None else [service.model(asked.model).name]
        found: dict[str, Any] = {}
        for name in names:
            try:
                loaded = await asyncio.to_thread(service.reload, name)
            except LiteftError as error:
                text = f"{name} goes on with what was loaded before: {error}"
                return Reply(encode_json({"error": text, "error_type": "reload", "reloaded": found}), 409)
            found[name] = {"revision": loaded.revision, "seconds": round(loaded.seconds, 4)}
        return Reply(encode_json({"reloaded": found}))

    return reload


async def _not_found(request: Any, _: Exception) -> Any:
    return _plain(404, f"there is no {request.url.path}; /openapi.json lists all paths")


async def _not_allowed(request: Any, error: Any) -> Any:
    return _plain(405, f"{request.url.path} does not take {request.method}", headers=dict(error.headers or {}))


def _plain(status: int, text: str, headers: dict[str, str] | None = None) -> Any:
    content = encode_json({"error": text, "error_type": "path"})
    return Response(content, status, headers=headers, media_type="application/json")


_HANDLERS: dict[Any, Any] = {404: _not_found, 405: _not_allowed}

_OPEN: dict[str, Answer] = {
    "/livez": _live,
    "/v2/health/live": _live,
    "/readyz": _ready,
    "/health": _ready,
    "/ping": _ready,
    "/": _ready,
    "/v2/health/ready": _ready,
    "/v2/models/{model}/ready": dialects.model_ready,
    "/v2/models/{model}/versions/{version}/ready": dialects.model_ready,
}
"""Probes, which need no key."""

_KNOWN: dict[str, Answer] = {
    "/info": _info,
    "/models": _models,
    "/v1/models": _models,
    "/v1/models/{model}": _model,
    "/v2": dialects.server_metadata,
    "/v2/models/{model}": dialects.model_metadata,
    "/v2/models/{model}/versions/{version}": dialects.model_metadata,
    "/openapi.json": _openapi,
}
