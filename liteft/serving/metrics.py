"""What a server counts, for Prometheus.

Durations have buckets from 100 microseconds, as short texts take less than a millisecond. Labels are bounded: routes
and models are known, and of a model's labels the first hundred are counted by name.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)

from liteft.serving.queueing import JobQueue
from liteft.serving.refusals import Refused

if TYPE_CHECKING:
    from liteft.serving.jobs import Batch, Job
    from liteft.serving.models import Loaded, ServedModel

__all__ = ["Metrics"]

_SECONDS = (
    *(0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05),
    *(0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0),
)
_TEXTS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
_TOKENS = (16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768, 65536, 131072)
_NAMED_LABELS = 100


@dataclass(frozen=True, slots=True)
class _Runs:
    """The counters of runs: of all models, or those of one."""

    queue: Histogram
    tokenization: Histogram
    inference: Histogram
    batch_texts: Histogram
    batch_tokens: Histogram
    texts: Counter
    tokens: Counter
    truncated: Counter
    empty: Counter
    speed: Gauge


class Metrics:
    """Counters of one server, in a registry of their own. Safe to use from several threads.

    Args:
        queue: whose length is shown.
        tei: also use the names of text-embeddings-inference.
    """

    def __init__(self, queue: JobQueue, *, tei: bool = False) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        GCCollector(registry=registry)

        def histogram(name: str, text: str, labels: Sequence[str], buckets: Sequence[float]) -> Histogram:
            return Histogram(name, text, labels, buckets=buckets, registry=registry)

        def counter(name: str, text: str, labels: Sequence[str] = ()) -> Counter:
            return Counter(name, text, labels, registry=registry)

        def gauge(name: str, text: str, labels: Sequence[str] = ()) -> Gauge:
            return Gauge(name, text, labels, registry=registry)

        of_http = ("http_request_method", "http_route", "http_response_status_code")
        self._http = histogram("http_server_request_duration_seconds", "Whole requests.", of_http, _SECONDS)
        self._requests = counter("liteft_requests", "Requests.", ("model", "dialect", "code"))
        self._runs = _Runs(
            queue=histogram("liteft_queue_seconds", "Waiting before the engine.", ("model",), _SECONDS),
            tokenization=histogram("liteft_tokenization_seconds", "Of a batch.", ("model",), _SECONDS),
            inference=histogram("liteft_inference_seconds", "Of a batch.", ("model",), _SECONDS),
            batch_texts=histogram("liteft_batch_texts", "Texts of a batch.", ("model",), _TEXTS),
            batch_tokens=histogram("liteft_batch_tokens", "Tokens of a batch.", ("model",), _TOKENS),
            texts=counter("liteft_texts", "Texts computed.", ("model",)),
            tokens=counter("liteft_tokens", "Tokens computed, without any padding.", ("model",)),
            truncated=counter("liteft_truncated", "Texts that were cut.", ("model",)),
            empty=counter("liteft_empty", "Texts without a token of their own.", ("model",)),
            speed=gauge("liteft_drain_tokens_per_second", "What the engine computes while it runs.", ("model",)),
        )
        self._own: dict[str, _Runs] = {}
        self._labels = counter("liteft_predictions", "Best labels of texts.", ("model", "label"))
        self._refused = counter("liteft_refused", "Requests without an answer.", ("reason",))
        self._reloads = counter("liteft_reloads", "Reloads.", ("model", "outcome"))
        self._info = gauge(
            "liteft_model_info", "What is served.", ("model", "revision", "task", "precision", "backend", "device")
        )
        self._ready = gauge("liteft_ready", "1 if the server is ready.")
        gauge("liteft_queued_requests", "Requests that wait.").set_function(lambda: float(len(queue)))
        gauge("liteft_queued_seconds", "What those who wait will take.").set_function(lambda: queue.queued_seconds)
        self._queued_tokens = gauge("liteft_queued_tokens", "Tokens of the requests that wait, estimated.")
        self._queued_tokens.set_function(lambda: float(queue.queued_tokens))
        self._tei = None if not tei else _TeiNames(registry, queue)

    def _of(self, model: str) -> _Runs:
        """Return the counters of one model, looked up once."""
        own = self._own.get(model)
        if own is None:
            own = self._own[model] = _Runs(
                **{each.name: getattr(self._runs, each.name).labels(model) for each in fields(_Runs)}
            )
        return own

    def text(self) -> bytes:
        """Return all counters in Prometheus's text format."""
        return generate_latest(self.registry)

    def answered(self, method: str, route: str, dialect: str, model: str, code: int, seconds: float) -> None:
        """Count a request that got an answer, or an error."""
        self._http.labels(method, route, str(code)).observe(seconds)
        if dialect:
            self._requests.labels(model, dialect, str(code)).inc()
            if self._tei is not None:
                self._tei.answered(dialect, code, seconds)

    def refused(self, refused: Refused) -> None:
        """Count a request without an answer, by its reason."""
        self._refused.labels(refused.reason).inc()

    def full(self) -> Callable[[], None]:
        """Return what counts a request that was refused unread because the queue was full: of no model and dialect."""
        refused, requests = self._refused.labels("overloaded"), self._requests.labels("", "", "429")

        def count() -> None:
            refused.inc()
            requests.inc()

        return count

    def ran(
        self,
        model: ServedModel,
        jobs: list[Job],
        batch: Batch,
        tokens: np.ndarray,
        truncated: np.ndarray,
    ) -> None:
        """Count a run: its jobs, their logits, and of each text its tokens and whether it was truncated."""
        times = jobs[0].times
        assert times is not None
        tokenization, inference = times.tokenization, times.inference
        if batch.loaded.labels_texts:
            self._decided(model, batch)
        total, own = int(tokens.sum()), self._of(model.name)
        own.tokenization.observe(tokenization)
        own.inference.observe(inference)
        own.batch_texts.observe(len(tokens))
        own.batch_tokens.observe(total)
        own.texts.inc(len(tokens))
        own.tokens.inc(total)
        own.truncated.inc(int(np.count_nonzero(truncated)))
        own.empty.inc(int(np.count_nonzero(tokens <= batch.loaded.classifier.special_tokens)))
        own.speed.set(total / max(1e-9, tokenization + inference))
        for job in jobs:
            if job.times is not None:
                own.queue.observe(job.times.queue)
                if self._tei is not None:
                    self._tei.queue.observe(job.times.queue)
        if self._tei is not None:
            self._tei.ran(len(tokens), total, tokenization, inference)

    def _decided(self, model: ServedModel, batch: Batch) -> None:
        """Count the best labels of texts."""
        labels = batch.loaded.classifier.labels
        best = np.asarray(batch.logits).argmax(axis=1)
        for number, count in enumerate(np.bincount(best, minlength=len(labels)).tolist()):
            if count:
                label = labels[number] if number < _NAMED_LABELS else "(others)"
                self._labels.labels(model.name, label).inc(count)

    def loaded(self, model: ServedModel, loaded: Loaded) -> None:
        """Say which artifact a model is now."""
        for labels in [each for each in self._info._metrics if each[0] == model.name]:
            self._info.remove(*labels)
        engine = loaded.classifier
        self._info.labels(
            model.name, loaded.revision, str(loaded.manifest.task), engine.precision, engine.backend, engine.device
        ).set(1)

    def reloaded(self, model: str, outcome: str) -> None:
        """Count a reload, "replaced" or "failed"."""
        self._reloads.labels(model, outcome).inc()

    def show_ready(self, ready: Callable[[], bool]) -> None:
        """Show what a function returns, as the probe does, whenever the counters are read."""
        self._ready.set_function(lambda: float(ready()))


class _TeiNames:
    """The counters that dashboards of text-embeddings-inference show, by its names.

    Its counters are gauges here, since Prometheus's library would add "_total" to the names of counters.
    """

    def __init__(self, registry: CollectorRegistry, queue: JobQueue) -> None:
        def histogram(name: str, text: str, buckets: Sequence[float] = _SECONDS) -> Histogram:
            return Histogram(name, text, buckets=buckets, registry=registry)

        self._count = Gauge("te_request_count", "Requests.", ("method",), registry=registry)
        self._success = Gauge("te_request_success", "Requests with an answer.", ("method",), registry=registry)
        self._failure = Gauge("te_request_failure", "Requests with an error.", ("err",), registry=registry)
        self._duration = histogram("te_request_duration", "Whole requests, in seconds.")
        self._tokenization = histogram("te_request_tokenization_duration", "In seconds.")
        self._inference = histogram("te_request_inference_duration", "In seconds.")
        self.queue = histogram("te_request_queue_duration", "In seconds.")
        self._size = histogram("te_batch_next_size", "Texts of a batch.", _TEXTS)
        self._tokens = histogram("te_batch_next_tokens", "Tokens of a batch.", _TOKENS)
        Gauge("te_queue_size", "Requests that wait.", registry=registry).set_function(lambda: float(len(queue)))

    def answered(self, dialect: str, code: int, seconds: float) -> None:
        self._count.labels(dialect).inc()
        if code < 400:
            self._success.labels(dialect).inc()
        else:
            self._failure.labels(str(code)).inc()
        self._duration.observe(seconds)

    def ran(self, texts: int, tokens: int, tokenization: float, inference: float) -> None:
        self._tokenization.observe(tokenization)
        self._inference.observe(inference)
        self._size.observe(texts)
        self._tokens.observe(tokens)
