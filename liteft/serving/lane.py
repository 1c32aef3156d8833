"""The one thread that computes: it takes what is queued, tokenizes, runs, and hands each job its own logits.

The event loop never runs a model, so it answers probes and refuses at any load. The engine frees the interpreter's lock
while it runs.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable

import numpy as np

from liteft.errors import InputError, ModelError
from liteft.serving.jobs import Batch, Job, Outcome, Times
from liteft.serving.models import ServedModel
from liteft.serving.queueing import JobQueue
from liteft.serving.refusals import refused_input
from liteft.serving.resting import Rest

__all__ = ["Lane"]

Result = Outcome | BaseException
Told = Callable[[ServedModel, list[Job], Batch, np.ndarray, np.ndarray], None]


class Lane(threading.Thread):
    """Computes the jobs of a queue.

    Args:
        queue: of jobs.
        loop: the event loop whose futures the jobs have.
        told: called after a run with the model, its jobs, their logits, and of each text its tokens and whether it was
            truncated.
        rest: of the event loop, which ends when there are results.

    Attributes:
        failures: runs in a row in which the engine failed.
        failed: when it failed last, by time.perf_counter.
    """

    def __init__(self, queue: JobQueue, loop: asyncio.AbstractEventLoop, told: Told, rest: Rest) -> None:
        super().__init__(name="liteft-lane", daemon=True)
        self._queue, self._loop, self._told, self._rest = queue, loop, told, rest
        self.failures = 0
        self.failed = 0.0

    def run(self) -> None:
        """Compute until the queue is closed and empty."""
        while True:
            batch, late = self._queue.take()
            if not batch and not late:
                return
            self._deliver(list(late))
            if batch:
                self._compute(batch)

    def _compute(self, batch: list[Job]) -> None:
        """Run jobs together; if that fails by one text of several jobs, each runs alone."""
        try:
            self._run(batch)
        except BaseException as error:  # a panic of the tokenizer is not an Exception
            self._queue.finished()
            of_one_text = isinstance(error, InputError | ModelError) or not isinstance(error, Exception)
            if of_one_text and len(batch) > 1:
                for job in batch:
                    self._compute([job])
            elif isinstance(error, InputError):
                self._deliver([(batch[0], refused_input(error))])
            else:  # these requests fail, the server goes on
                self.failures += 1
                self.failed = time.perf_counter()
                failed = error if isinstance(error, Exception) else _failure(error)
                self._deliver([(job, failed) for job in batch])

    def _deliver(self, results: list[tuple[Job, Result]]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended, and nobody waits
            if results:
                self._loop.call_soon_threadsafe(_deliver, results)
                self._rest.end()

    def _run(self, batch: list[Job]) -> None:
        model, loaded = batch[0].model, batch[0].loaded
        started = time.perf_counter()
        values = batch[0].values if len(batch) == 1 else [value for job in batch for value in job.values]
        encoded = loaded.classifier.encode(values)
        tokenized = time.perf_counter()
        logits = loaded.classifier.run(encoded, check=False)
        ended = time.perf_counter()
        self.failures = 0
        self._queue.finished()  # before anybody hears of it: who asks again at once is not told to wait for this
        tokens, truncated = loaded.tokens_of(encoded), encoded.truncated
        together = Batch(loaded, logits)
        results: list[tuple[Job, Result]] = []
        first = 0
        for job in batch:
            own = slice(first, first + len(job.values))
            job.times = times = Times(started - job.arrived, tokenized - started, ended - tokenized)
            results.append((job, Outcome(together, own, truncated[own], int(tokens[own].sum()), times)))
            first = own.stop
        self._deliver(results)
        self._told(model, batch, together, tokens, truncated)
        cycle = time.perf_counter() - started  # with the event loop's work for these jobs, where both share a core
        model.learn(len(values), sum(job.characters for job in batch), int(tokens.sum()), cycle)


def _failure(panic: BaseException) -> Exception:
    """Return an error for what is none; as it is, it would end the server's event loop too."""
    error = RuntimeError(f"{type(panic).__name__}: {panic}")
    error.__cause__ = panic
    return error


def _deliver(results: list[tuple[Job, Result]]) -> None:
    """Give jobs their results, in the event loop; a job whose client has left has a cancelled future."""
    for job, result in results:
        if job.future.done():
            continue
        if isinstance(result, BaseException):
            job.future.set_exception(result)
        else:
            job.future.set_result(result)
