"""What a server is apart from HTTP: models, one queue, one lane, and whether requests are admitted now."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Literal

import numpy as np

from liteft.runtime.word_texts import WordText
from liteft.serving.jobs import Batch, Job, Outcome, Times
from liteft.serving.lane import Lane
from liteft.serving.metrics import Metrics
from liteft.serving.models import Loaded, ServedModel
from liteft.serving.queueing import JobQueue
from liteft.serving.refusals import Refused, expired, gone, loading, too_large
from liteft.serving.resting import Rest
from liteft.serving.settings import ServeSettings

__all__ = ["Receive", "Service", "State", "Unread", "checked_timeout"]

State = Literal["loading", "ready", "draining"]
Receive = Callable[[], Awaitable[Any]]

_WATCH_AFTER = 0.02  # seconds after which it is watched whether a client has left: most are answered before
_BODIES = 16  # of the largest size that may be coming at a time, besides those that come as a whole
_TICK = 0.02  # seconds between two measurements of the event loop's lag
_PUNCTUAL = 0.005  # seconds by which timers of an idle event loop may be late
_ROUNDS = 4  # of the event loop that a request waits for: to be read, admitted, told its result, and answered
_LONGEST_RUN = 120.0  # seconds of a run after which the engine is taken to hang
_FAILURES = 3  # runs in a row that fail before the server says that it is not ready
_UNREADY = 15.0  # seconds for which it says so after the last of them


class Unread:
    """The bytes of bodies that have begun to come and have not ended, of all requests together.

    Args:
        most: bytes at which a further one is refused.
    """

    def __init__(self, most: int) -> None:
        self._most, self._bytes = most, 0

    def take(self, count: int) -> None:
        """Count a body that is coming. Raises Refused if there are too many."""
        if self._bytes + count > self._most:
            text = f"{self._bytes:,} bytes of other requests are still coming, and up to {self._most:,} are accepted"
            raise Refused(429, "overloaded", text, retry_after_ms=1000.0)
        self._bytes += count

    def give(self, count: int) -> None:
        """Count out a body that has come, or will not."""
        self._bytes -= count


class Service:
    """Models and the lane that computes them.

    Args:
        models: by name.
        settings: of the server.

    Attributes:
        models, settings: as given.
        metrics: what is counted.
        queue: what is admitted.
        rest: of the event loop, after refusals.
        state: "loading", "ready" or "draining".
    """

    def __init__(self, models: Mapping[str, ServedModel], settings: ServeSettings) -> None:
        self.models, self.settings = dict(models), settings
        self.queue = JobQueue(max_queue_ms=settings.max_queue_ms)
        self.metrics = Metrics(self.queue, tei=settings.metrics_names == "tei")
        self.rest = Rest(self.queue)
        self.state: State = "loading"
        self.unread = Unread(_BODIES * settings.max_body_bytes)
        self._lane: Lane | None = None
        self.metrics.show_ready(lambda: self.ready)

    def load(self) -> None:
        """Load all models.

        Raises:
            LiteftError: one of them cannot be loaded.
        """
        for model in self.models.values():
            self.metrics.loaded(model, model.load())

    def start(self) -> None:
        """Start the lane, and admit requests. In the event loop, once the models are loaded."""
        self._lane = Lane(self.queue, asyncio.get_running_loop(), self.metrics.ran, self.rest)
        self._lane.start()
        self._tick(None)
        self.state = "ready"

    def drain(self) -> None:
        """Say to those who ask that this server is ending; requests are served on."""
        self.state = "draining"

    def close(self) -> None:
        """End the lane once the queue is empty. The service is of no use after that."""
        self.state = "draining"
        self.queue.close()

    def _tick(self, due: float | None) -> None:
        """Measure every few milliseconds how late the event loop is: that is how long its rounds take."""
        if self.queue.closed:
            return
        loop = asyncio.get_running_loop()
        now = loop.time()
        late = 0.0 if due is None else now - due
        self.queue.lag = _ROUNDS * max(0.0, late - self.rest.take_slept() - _PUNCTUAL)
        loop.call_later(_TICK, self._tick, now + _TICK)

    @property
    def live(self) -> bool:
        """False if the engine seems to hang."""
        since = self.queue.running_since
        return since is None or time.perf_counter() - since < _LONGEST_RUN

    @property
    def ready(self) -> bool:
        """True if the models are loaded, the engine does not fail, and the server is not ending.

        A full queue does not make a server unready: the others would get its load and follow it. An engine that has
        failed gets requests again after a while, since only those can show that it works.
        """
        lane = self._lane
        fails = lane is not None and lane.failures >= _FAILURES and time.perf_counter() - lane.failed < _UNREADY
        return self.state == "ready" and not fails

    def reload(self, name: str) -> Loaded:
        """Load a model again from its folder. Takes time: not in the event loop.

        Raises:
            LiteftError: it cannot be loaded, or its answers are not the recorded ones; the old one stays.
            Exception: anything else, with which it is the same.
        """
        model = self.models[name]
        try:
            loaded = model.load()
        except Exception:
            self.metrics.reloaded(name, "failed")
            raise
        self.metrics.reloaded(name, "replaced")
        self.metrics.loaded(model, loaded)
        return loaded

    def model(self, name: str | None) -> ServedModel:
        """Return the model of a name, or the only one for None.

        Raises:
            Refused: there is none of that name, or several to choose from.
        """
        if name is None:
            if len(self.models) == 1:
                return next(iter(self.models.values()))
            raise Refused(422, "input", f'several models are served: "model" must be one of {", ".join(self.models)}')
        found = self.models.get(name)
        if found is None:
            raise Refused(404, "input", f"there is no model {name!r}; served are {', '.join(self.models)}")
        return found

    def refuse_while_loading(self) -> None:
        """Raise Refused if the models are not loaded yet."""
        if self.state == "loading":
            raise loading()

    async def ask(
        self, model: ServedModel, values: list[Any], receive: Receive, *, timeout_ms: float | None = None
    ) -> Outcome:
        """Return the logits of values, once the lane has computed them.

        Args:
            model: that computes.
            values: as its ``encode`` takes them.
            receive: of ASGI, to notice that the client has left.
            timeout_ms: time from now after which the answer is of no use.

        Raises:
            Refused: the request is too large, the queue is full, its time is over, the client has left, or a value is
                none that the model reads.
            Exception: of the engine.
        """
        characters = sum(map(_characters, values))
        tokens = model.tokens_of(len(values), characters)
        self._check_size(len(values), characters, tokens)
        if not values:
            return _nothing(model.loaded)
        loop, now = asyncio.get_running_loop(), time.perf_counter()
        deadline = None if timeout_ms is None else now + timeout_ms / 1000
        cost = model.seconds_of(len(values), characters)
        job = Job(model, model.loaded, values, characters, tokens, cost, now, deadline, loop.create_future())
        self.queue.put(job)
        timers = [loop.call_later(_WATCH_AFTER, self._watch, job, receive)]
        if timeout_ms is not None:
            timers.append(loop.call_later(timeout_ms / 1000, self._expire, job))
        try:
            return await job.future
        finally:
            for timer in timers:
                timer.cancel()
            self.queue.leave(job)  # only if this task was cancelled: else it is not queued any more
            del job  # an error's traceback has this frame, and the job's future the error: texts would stay in a cycle

    def _check_size(self, values: int, characters: int, tokens: int) -> None:
        settings = self.settings
        if values > settings.max_texts:
            raise too_large("texts", "texts", values, settings.max_texts, "max_texts")
        if characters > settings.max_characters:
            raise too_large("characters", "characters", characters, settings.max_characters, "max_characters")
        if tokens > settings.max_request_tokens:
            most = settings.max_request_tokens
            raise too_large("tokens", "tokens (estimated from its characters)", tokens, most, "max_request_tokens")

    def _watch(self, job: Job, receive: Receive) -> None:
        """Take a job back if its client leaves before it is computed."""
        if job.future.done():
            return
        task = asyncio.ensure_future(self._leaving(job, receive))
        job.future.add_done_callback(lambda _: task.cancel())

    async def _leaving(self, job: Job, receive: Receive) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            while (await receive())["type"] != "http.disconnect":
                pass
            if self.queue.leave(job) and not job.future.done():
                job.future.set_exception(gone())

    def _expire(self, job: Job) -> None:
        if self.queue.leave(job) and not job.future.done():
            job.future.set_exception(expired((time.perf_counter() - job.arrived) * 1000))


def checked_timeout(text: bytes | None) -> float | None:
    """Return the milliseconds of a header X-Request-Timeout-Ms. Raises Refused if it is not a positive number."""
    if text is None:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value > 0):
        raise Refused(422, "input", f"X-Request-Timeout-Ms must be a positive number, got {text.decode('latin-1')!r}")
    return value


def _characters(value: Any) -> int:
    if isinstance(value, str):
        return len(value)
    if isinstance(value, WordText):
        return value.characters
    return sum(map(len, value))


def _nothing(loaded: Loaded) -> Outcome:
    """Return the outcome of a request without texts."""
    encoded = loaded.classifier.encode([])
    logits = loaded.classifier.run(encoded, check=False)
    return Outcome(Batch(loaded, logits), slice(0, 0), np.zeros(0, dtype=bool), 0, Times(0.0, 0.0, 0.0))
