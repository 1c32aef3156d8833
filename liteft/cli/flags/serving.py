"""Flags of ``liteft serve``, each an environment variable too, LITEFT_ and its name; and of checks of a server."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from liteft.cli.flags.panels import panel

_listening = panel("Listening")
_limits = panel("Limits")
_ending = panel("Ending")
_watching = panel("Watching")
_checking = panel("Checking")


Host = Annotated[
    str,
    _listening(
        "--host", metavar="ADDRESS", help="Address to listen on; 0.0.0.0 for all of them.", envvar="LITEFT_HOST"
    ),
]
Port = Annotated[
    int, _listening("--port", metavar="PORT", help="Port to listen on; 0 for a free one.", envvar="LITEFT_PORT")
]
ApiKeys = Annotated[
    Path | None,
    _listening(
        "--api-keys",
        metavar="FILE",
        help="File with a key per line; who asks must have one of them. It is read again when it changes.",
        envvar="LITEFT_API_KEYS",
    ),
]
AdminKeys = Annotated[
    Path | None,
    _listening(
        "--admin-keys",
        metavar="FILE",
        help="File with keys for POST /admin/reload; without it, reloading takes a SIGHUP.",
        envvar="LITEFT_ADMIN_KEYS",
    ),
]
CorsOrigin = Annotated[
    str | None,
    _listening(
        "--cors-origin",
        metavar="URL",
        help="Origin of web pages that may ask, or * for any.",
        envvar="LITEFT_CORS_ORIGIN",
    ),
]
MaxQueueMs = Annotated[
    float,
    _limits(
        "--max-queue-ms",
        metavar="MS",
        help="Longest time that an admitted request waits; the rest are told when to come again.",
        envvar="LITEFT_MAX_QUEUE_MS",
    ),
]
MaxBodyBytes = Annotated[
    int,
    _limits("--max-body-bytes", metavar="N", help="Largest body of a request.", envvar="LITEFT_MAX_BODY_BYTES"),
]
MaxTexts = Annotated[
    int, _limits("--max-texts", metavar="N", help="Most texts of a request.", envvar="LITEFT_MAX_TEXTS")
]
MaxCharacters = Annotated[
    int,
    _limits("--max-characters", metavar="N", help="Most characters of a request.", envvar="LITEFT_MAX_CHARACTERS"),
]
MaxRequestTokens = Annotated[
    int,
    _limits(
        "--max-request-tokens",
        metavar="N",
        help="Most tokens of a request, as estimated from its characters.",
        envvar="LITEFT_MAX_REQUEST_TOKENS",
    ),
]
DrainDelay = Annotated[
    float,
    _ending(
        "--drain-delay",
        metavar="SECONDS",
        help="After SIGTERM: time to serve on while /readyz says 503.",
        envvar="LITEFT_DRAIN_DELAY",
    ),
]
DrainTimeout = Annotated[
    float,
    _ending(
        "--drain-timeout",
        metavar="SECONDS",
        help="Then: time for admitted requests to finish.",
        envvar="LITEFT_DRAIN_TIMEOUT",
    ),
]
MetricsPort = Annotated[
    int | None,
    _watching(
        "--metrics-port",
        metavar="PORT",
        help="Port for /metrics alone; left out, it is beside the others.",
        envvar="LITEFT_METRICS_PORT",
    ),
]
MetricsNames = Annotated[
    str,
    _watching(
        "--metrics-names",
        metavar="NAMES",
        help="liteft, or tei to count under the names of text-embeddings-inference too.",
        envvar="LITEFT_METRICS_NAMES",
    ),
]
LogRequests = Annotated[
    bool,
    _watching(
        "--log-requests",
        help="Write a line of JSON per request to stderr, never with texts.",
        envvar="LITEFT_LOG_REQUESTS",
    ),
]
Traces = Annotated[
    bool,
    _watching(
        "--traces",
        help="Send OpenTelemetry spans to where OTEL_EXPORTER_OTLP_ENDPOINT says (extra otel).",
        envvar="LITEFT_TRACES",
    ),
]
Serve = Annotated[
    str | None, _checking("--serve", metavar="URL", help="Check a running server, such as http://127.0.0.1:8080.")
]
Key = Annotated[
    str | None,
    _checking(
        "--key",
        metavar="KEY",
        help="A key that the server accepts; better in the variable, which other users cannot see.",
        envvar="LITEFT_KEY",
    ),
]
