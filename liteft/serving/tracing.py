"""Spans of OpenTelemetry, one for each prediction, under the caller's ``traceparent``; for who has the extra."""

from __future__ import annotations

import time
from collections.abc import Mapping

from liteft.errors import MissingExtraError
from liteft.installation import install_hint

__all__ = ["Tracing"]


class Tracing:
    """Sends spans where the environment's OTEL_EXPORTER_OTLP_ENDPOINT says.

    Raises:
        MissingExtraError: OpenTelemetry is not installed.
    """

    def __init__(self) -> None:
        try:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.resources import Resource
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor
            from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
        except ImportError as error:
            raise MissingExtraError(
                "traces were requested, and OpenTelemetry is not installed.", fix=install_hint("otel")
            ) from error
        self._provider = TracerProvider(resource=Resource.create({"service.name": "liteft"}))
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("liteft")
        self._context = TraceContextTextMapPropagator()

    def span(
        self, method: str, route: str, status: int, headers: Mapping[bytes, bytes], model: str, seconds: float
    ) -> None:
        """Record a request that has just ended; what it said is not in the span."""
        from opentelemetry.trace import SpanKind, Status, StatusCode

        carrier = {name: headers[name.encode()].decode("latin-1") for name in _CARRIED if name.encode() in headers}
        ended = time.time_ns()
        span = self._tracer.start_span(
            f"{method} {route}",
            context=self._context.extract(carrier),
            kind=SpanKind.SERVER,
            start_time=ended - int(seconds * 1e9),
            attributes={
                "http.request.method": method,
                "http.route": route,
                "http.response.status_code": status,
                "liteft.model": model,
            },
        )
        if status >= 500:
            span.set_status(Status(StatusCode.ERROR))
        span.end(ended)

    def close(self) -> None:
        """Send what has not been sent yet."""
        self._provider.shutdown()


_CARRIED = ("traceparent", "tracestate")
