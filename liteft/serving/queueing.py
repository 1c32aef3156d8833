"""The queue before the engine: what is admitted, what is run together, and how long a new request would wait.

The queue is measured in seconds of the engine, not in requests: a request of 500 texts is not one of 1. Each model
learns how many characters it computes per second from its own runs, so a job's seconds are known before it is
tokenized, and the time until the queue has drained is a sum. A request is admitted, whole, if what is before it takes
at most ``max_queue_ms``; else it is refused at once, with the time after which what waits now has been computed.

Nobody waits for a batch to fill: the engine's time is linear in tokens, so waiting gains nothing. Whatever is queued
when the engine becomes free, up to a batch's worth of time, is run together, the oldest first. Results do not depend
on what a text is batched with, so callers cannot tell.
"""

from __future__ import annotations

import threading
import time
from collections import deque

from liteft.serving.jobs import Job
from liteft.serving.refusals import Refused, draining, expired, overloaded

__all__ = ["JobQueue"]

_BATCH_SECONDS = 0.02  # of one run: short enough for those who come next, long beside the cost of starting it
_NEWEST = 0.05  # weight of the newest job in the running mean of what jobs cost


class JobQueue:
    """Jobs in order of arrival, with the seconds that they will take. Safe to use from several threads.

    Args:
        max_queue_ms: the longest projected wait, in milliseconds, at which a job is admitted.

    Attributes:
        lag: seconds that a request waits for the event loop, because that is busy or rests.
        expected: seconds in the engine of requests that have come and are not read yet, at the mean of earlier ones.
    """

    def __init__(self, *, max_queue_ms: float) -> None:
        self._most = max_queue_ms / 1000
        self._jobs: deque[Job] = deque()
        self._changed = threading.Condition()
        self._queued = 0.0
        self._tokens = 0
        self._running = 0.0
        self._started: float | None = None
        self._closed = False
        self.lag = 0.0
        self.expected = 0.0
        self._mean_cost = 0.0

    def __len__(self) -> int:
        return len(self._jobs)

    @property
    def queued_seconds(self) -> float:
        """What the queued jobs will take in the engine, in seconds."""
        return max(0.0, self._queued)

    @property
    def queued_tokens(self) -> int:
        """Tokens of the queued jobs, estimated."""
        return max(0, self._tokens)

    @property
    def closed(self) -> bool:
        """True once nothing is admitted any more."""
        return self._closed

    @property
    def idle(self) -> bool:
        """True if nothing is queued or runs."""
        return not self._jobs and self._started is None

    @property
    def running_since(self) -> float | None:
        """When the batch that runs now was started; None if none runs."""
        return self._started

    def wait(self) -> float:
        """Return how long a job that comes now would wait, in seconds.

        ``lag`` and ``expected`` count up to half of what is accepted: else a server that is busy with refusing, or
        guesses wrong, would refuse while its engine has nothing to do.
        """
        started = self._started
        left = 0.0 if started is None else max(0.0, self._running - (time.perf_counter() - started))
        return self.queued_seconds + left + min(self.lag + self.expected, self._most / 2)

    def wait_if_full(self) -> float | None:
        """Return how long a job that comes now would wait, in seconds, if that is too long; else None."""
        wait = self.wait()
        return wait if wait > self._most else None

    def refuse_if_full(self) -> None:
        """Raise Refused if a job that comes now would not be admitted: without having read it."""
        wait = self.wait_if_full()
        if wait is not None:
            raise overloaded(wait * 1000, most_ms=self._most * 1000)

    def expect_one(self) -> None:
        """Count a request before it is read, at the mean cost of earlier ones: of many at once not all may fit."""
        self.expected += self._mean_cost

    def expect_none(self) -> None:
        """Count none of them any more: they are being read now."""
        self.expected = 0.0

    def put(self, job: Job) -> None:
        """Admit a job.

        Raises:
            Refused: it would wait too long, or the queue is closed.
        """
        self.refuse_if_full()
        with self._changed:
            if self._closed:
                raise draining()
            self._jobs.append(job)
            self._queued += job.cost
            self._tokens += job.tokens
            self._mean_cost += _NEWEST * (job.cost - self._mean_cost)
            self._changed.notify()

    def leave(self, job: Job) -> bool:
        """Take back a job that is still queued, and free its place; return False if it runs or has left."""
        with self._changed:
            if job.state != "queued":
                return False
            self._jobs.remove(job)
            self._count_out(job, "left")
            return True

    def take(self) -> tuple[list[Job], list[tuple[Job, Refused]]]:
        """Wait for jobs, and return those that are to run together, and those that expired; none at the end."""
        with self._changed:
            batch, late = self._next_batch(time.perf_counter())
            while not batch and not late and not self._closed:
                self._changed.wait()
                batch, late = self._next_batch(time.perf_counter())
            self._running = sum(job.cost for job in batch)
            self._started = time.perf_counter() if batch else None
            return batch, late

    def finished(self) -> None:
        """Say that the batch has run."""
        self._started = None

    def close(self) -> None:
        """Let ``take`` return nothing once the queue is empty."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _next_batch(self, now: float) -> tuple[list[Job], list[tuple[Job, Refused]]]:
        """Take the oldest job, and those for the same model behind it, until a batch is full."""
        batch: list[Job] = []
        late: list[tuple[Job, Refused]] = []
        passed: list[Job] = []  # for other models, or the same before or after it was replaced
        seconds = 0.0
        while self._jobs:
            job = self._jobs[0]
            if job.deadline is not None and now > job.deadline:
                self._drop(job, "left")
                late.append((job, expired((now - job.arrived) * 1000)))
            elif batch and job.loaded is not batch[0].loaded:
                passed.append(self._jobs.popleft())
            elif batch and seconds + job.cost > _BATCH_SECONDS:
                break
            else:
                self._drop(job, "running")
                batch.append(job)
                seconds += job.cost
        self._jobs.extendleft(reversed(passed))
        if not self._jobs:
            self._queued = 0.0  # without what rounding has left
        return batch, late

    def _drop(self, job: Job, state: str) -> None:
        self._jobs.popleft()
        self._count_out(job, state)

    def _count_out(self, job: Job, state: str) -> None:
        self._queued -= job.cost
        self._tokens -= job.tokens
        job.state = state
