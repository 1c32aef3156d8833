"""The settings of a server, one frozen value, checked when it is made."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

from liteft.errors import ConfigError, option

__all__ = ["ServeSettings"]

_NAMES = ("liteft", "tei")
_MOST_PORT = 65535


@dataclass(frozen=True, slots=True)
class ServeSettings:
    """How a server listens, what it admits, and how it ends.

    Attributes:
        host, port: where it listens; port 0 takes a free one.
        max_queue_ms: the longest projected wait, in milliseconds, at which a request is still admitted.
        max_body_bytes: of a request's body.
        max_texts: texts (pairs, questions) of a request.
        max_characters: of a request, all texts together.
        max_request_tokens: of a request, all texts together, estimated from its characters.
        drain_delay: seconds between a SIGTERM and the end of listening, in which requests are served.
        drain_timeout: seconds that admitted requests then have to finish.
        api_keys: file with the keys of users, one per line; None lets everybody in.
        admin_keys: file with the keys for ``/admin``; None answers all of its requests with 403.
        metrics_port: port for ``/metrics`` alone; None has it beside the other routes.
        metrics_names: "liteft", or "tei" for the names of text-embeddings-inference beside them.
        cors_origin: origin of web pages that may ask, or "*"; None for none.
        log_requests: write one line of JSON for each request to stderr; texts are never in it.
        traces: send spans of OpenTelemetry; the environment's OTEL variables say where.

    Raises:
        ConfigError: a value is out of range.
    """

    host: str = "127.0.0.1"
    port: int = 8080
    max_queue_ms: float = 500.0
    max_body_bytes: int = 4 << 20
    max_texts: int = 1024
    max_characters: int = 1_000_000
    max_request_tokens: int = 1 << 17
    drain_delay: float = 5.0
    drain_timeout: float = 25.0
    api_keys: Path | None = None
    admin_keys: Path | None = None
    metrics_port: int | None = None
    metrics_names: str = "liteft"
    cors_origin: str | None = None
    log_requests: bool = False
    traces: bool = False

    def __post_init__(self) -> None:
        for name in ("max_body_bytes", "max_texts", "max_characters", "max_request_tokens"):
            self._require(name, least=1, whole=True)
        for name in ("max_queue_ms", "drain_delay", "drain_timeout"):
            self._require(name, least=0, whole=False)
        for name in ("port", "metrics_port"):
            if getattr(self, name) is not None:
                self._require(name, least=0, whole=True, most=_MOST_PORT)
        if self.metrics_names not in _NAMES:
            raise ConfigError(
                f"the names of metrics must be liteft or tei, got {self.metrics_names!r}.",
                accepted={"metrics_names": ", ".join(_NAMES)},
                fix=option("metrics_names", "liteft"),
            )

    def _require(self, name: str, *, least: int, whole: bool, most: float = float("inf")) -> None:
        value = getattr(self, name)
        kind = int if whole else int | float
        if not isinstance(value, bool) and isinstance(value, kind) and least <= value <= most:
            return
        usual = next(field.default for field in fields(type(self)) if field.name == name)
        upper = "" if most == float("inf") else f", at most {most:,}"
        raise ConfigError(
            f"{name} must be {'an integer' if whole else 'a number'} of at least {least}{upper}, got {value!r}.",
            accepted={name: f"{least} or more{upper}"},
            fix=option(name, 9000 if usual is None else usual),
        )
