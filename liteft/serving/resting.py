"""A short sleep of the event loop after refusals, so that requests are refused several at a time.

A refusal costs 7 us of a core whose caches hold what it needs, and some 200 us where the engine has filled them since
the last one. A server that is offered ten times what it can do lost a tenth of itself by that.
"""

from __future__ import annotations

import asyncio
import threading
import time

from liteft.serving.queueing import JobQueue

__all__ = ["Rest"]

_SECONDS = 0.01  # in which probes and new requests wait; results end it


class Rest:
    """Sleeps in the event loop, once the requests that came with a refused one are dealt with.

    Args:
        queue: that was full; it hears how long those who come meanwhile are not seen.

    Attributes:
        slept: seconds, since whoever reads it has set it to zero.
    """

    def __init__(self, queue: JobQueue) -> None:
        self._queue = queue
        self.slept = 0.0
        self._over = threading.Event()
        self._due = False

    def soon(self) -> None:
        """Sleep soon. In the event loop."""
        if not self._due:
            self._due = True
            loop = asyncio.get_running_loop()
            loop.call_soon(loop.call_soon, self._sleep)  # behind the first steps of those that came together

    def end(self) -> None:
        """Wake the event loop: it has something to tell. From any thread."""
        self._over.set()

    def _sleep(self) -> None:
        self._due = False
        started = time.perf_counter()
        self._over.wait(_SECONDS)
        self._over.clear()
        seconds = time.perf_counter() - started
        self.slept += seconds
        self._queue.lag = max(self._queue.lag, seconds)
