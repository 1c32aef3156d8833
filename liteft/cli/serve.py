"""``liteft serve``: answer requests over HTTP, without torch."""

from __future__ import annotations

import os
from typing import Annotated, Any

import typer

from liteft.cli import groups
from liteft.cli.flags.machine import Backend, Device, EnginePrecision, Threads, Trust
from liteft.cli.flags.serving import (
    AdminKeys,
    ApiKeys,
    CorsOrigin,
    DrainDelay,
    DrainTimeout,
    Host,
    LogRequests,
    MaxBodyBytes,
    MaxCharacters,
    MaxQueueMs,
    MaxRequestTokens,
    MaxTexts,
    MetricsNames,
    MetricsPort,
    Port,
    Traces,
)
from liteft.errors import ConfigError

Artifacts = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="ARTIFACT",
        help="Artifacts, each PATH or NAME=PATH; or LITEFT_ARTIFACTS, separated by commas.",
    ),
]

EXAMPLES = (
    "liteft serve runs/reviews",
    "liteft serve reviews=runs/reviews intents=runs/intents --host 0.0.0.0 --max-queue-ms 200",
)

_ARTIFACTS = "LITEFT_ARTIFACTS"


@groups.flat
def serve(
    *,
    artifacts: Artifacts = None,
    host: Host = "127.0.0.1",
    port: Port = 8080,
    api_keys: ApiKeys = None,
    admin_keys: AdminKeys = None,
    cors_origin: CorsOrigin = None,
    max_queue_ms: MaxQueueMs = 500.0,
    max_body_bytes: MaxBodyBytes = 4 << 20,
    max_texts: MaxTexts = 1024,
    max_characters: MaxCharacters = 1_000_000,
    max_request_tokens: MaxRequestTokens = 1 << 17,
    drain_delay: DrainDelay = 5.0,
    drain_timeout: DrainTimeout = 25.0,
    metrics_port: MetricsPort = None,
    metrics_names: MetricsNames = "liteft",
    log_requests: LogRequests = False,
    traces: Traces = False,
    device: Device = "auto",
    backend: Backend = "auto",
    threads: Threads = None,
    engine_precision: EnginePrecision = None,
    trust: Trust = False,
    output: groups.Output,
) -> None:
    """Serve artifacts over HTTP: text-embeddings-inference's routes, Open Inference Protocol v2, and others.

    GET /openapi.json lists all routes. Requests are admitted whole, up to a time in the queue, and told when to come
    again beyond it. SIGHUP loads the artifacts again, SIGTERM ends without losing a request.

    Every flag is an environment variable too: --max-queue-ms is LITEFT_MAX_QUEUE_MS.
    """
    from liteft.serving import ServeSettings, serve

    settings = ServeSettings(
        host=host,
        port=port,
        max_queue_ms=max_queue_ms,
        max_body_bytes=max_body_bytes,
        max_texts=max_texts,
        max_characters=max_characters,
        max_request_tokens=max_request_tokens,
        drain_delay=drain_delay,
        drain_timeout=drain_timeout,
        api_keys=api_keys,
        admin_keys=admin_keys,
        metrics_port=metrics_port,
        metrics_names=metrics_names,
        cors_origin=cors_origin,
        log_requests=log_requests,
        traces=traces,
    )
    given = artifacts or [each for each in os.environ.get(_ARTIFACTS, "").split(",") if each]
    loading: dict[str, Any] = {
        "device": _or_variable("LITEFT_DEVICE", device, "auto"),
        "backend": _or_variable("LITEFT_BACKEND", backend, "auto"),
        "threads": threads,
        "engine_precision": _or_variable("LITEFT_ENGINE_PRECISION", engine_precision, None),
        "trust": trust or _switched_on("LITEFT_TRUST"),
    }
    serve(given, settings=settings, tell=output.console().progress, **loading)


def _or_variable(name: str, given: Any, usual: Any) -> Any:
    """Return what a flag was given, or the environment's value where it was left out."""
    return (os.environ.get(name) or usual) if given == usual else given


def _switched_on(name: str) -> bool:
    """Return whether a variable switches something on; a word that might mean either is an error."""
    value = os.environ.get(name, "")
    if value.lower() in ("", "0", "false", "no", "off"):
        return False
    if value.lower() in ("1", "true", "yes", "on"):
        return True
    raise ConfigError(f"the environment's {name} is {value!r}.", accepted={name: "1 or 0"}, fix=f"export {name}=0")
